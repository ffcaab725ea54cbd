"""Iterative solvers that apply an operator to one vector, or a block, after the other."""
