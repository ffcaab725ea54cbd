"""Coulomb and exchange builders.

A builder is a pytree made from the orbitals. It offers ``coulomb(density)`` and
``exchange(density)``, the matrices J (ao, ao) and K (spin, ao, ao) in hartree,
``on_orbitals(density, coulomb, exchange)``, ``coulomb J - w exchange K`` times the factor of the
density, (spin, ao, occ), ``response(density, coulomb, exchange)``, the function dC -> dF C of the
same matrix F, and ``differential(orbitals, density, coulomb, exchange)``, zero-valued,
with the derivative of ``coulomb/2 tr(P J) - exchange w/2 sum_s tr(P_s K_s)`` along the orbitals at
fixed density (w: `Density.exchange_weight`; None for a part that is absent). ``at(orbitals,
omega)`` is the builder whose `differential` is to be followed along these, and ``moving(orbitals,
omega, density)`` one whose integrals move too, as far as `differential` makes use of them at about
that density. ``omega`` is None for the repulsion 1/r, or the attenuation parameter of its long
range, erf(omega r)/r, in 1/bohr.
"""

from dqc_lite.jk.density_fitted import DensityFitted
from dqc_lite.jk.exact import Exact

__all__ = ["DensityFitted", "Exact"]
