"""Everything that touches PySCF, libxc, dftd3 and dftd4: NumPy on the host, nothing traced."""
