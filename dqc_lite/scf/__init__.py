"""The self-consistent field: guesses, orthogonalization, and the search for a converged state.

It knows the energy terms only through energies and Fock matrices.
"""
