"""What derivative rules share: primitives, zero-valued functions, leaves that move, guards."""
