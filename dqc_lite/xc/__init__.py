"""Exchange-correlation functionals in JAX, one family a file.

A component is a pytree whose leaves are its parameters, with the published values as defaults. It
says with `level` which variables it reads ("lda", "gga", "mgga"), and offers
``energy_density(density)``: energy per volume, hartree / bohr^3, at every point of a
`LocalDensity`. Components with ``attenuated = True`` treat the short range only and take the
attenuation parameter besides: ``energy_density(density, omega)``, omega in 1/bohr.
"""
