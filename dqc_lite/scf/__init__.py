"""The self-consistent field: guesses, orthogonalization, DIIS, and the loop around them.

It knows the energy terms only through energies and Fock matrices.
"""
