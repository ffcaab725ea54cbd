"""The one host boundary: integrals over Gaussians from PySCF's libcint, with derivatives."""
