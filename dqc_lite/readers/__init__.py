"""What comes in from files: text, xyz frames, and what they state of charge and spin."""
