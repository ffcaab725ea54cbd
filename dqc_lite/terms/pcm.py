"""A polarizable continuum around the molecule: ``E = 1/2 q(v) v``.

v are the potentials of nuclei and electrons at the points of a cavity, q the charges that the
dielectric puts there, linear in v. With S the Coulomb matrix of the (Gaussian) surface charges, D
that of their field along the normals, and the areas A,

    C-PCM:    S q = -f v,                                f = (eps - 1)/eps,
    IEF-PCM:  (S - f D A S/(2 pi)) q = -f (1 - D A/(2 pi)) v,   f = (eps - 1)/(eps + 1)

(V. Barone, M. Cossi, J. Phys. Chem. A 102, 1995 (1998); E. Cances, B. Mennucci, J. Tomasi, J. Chem.
Phys. 107, 3032 (1997)). The charges that the energy is differentiated to are those of the
symmetric part of ``q(v)``. Points that are switched off have an infinite self-interaction in S;
multiplied from the left by the switches F all equations are finite and smooth: with
``T = F S`` and ``X = F D a/(2 pi)``, a the areas without switches,

    (1 - f X) T q = -f (1 - X) F v;    C-PCM: X = 0.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite import memory
from dqc_lite._pytree import pytree, static
from dqc_lite._types import Array, Float
from dqc_lite.autodiff.jit import adaptive_jit
from dqc_lite.autodiff.zero_valued import summed, without_value
from dqc_lite.basis import Orbitals
from dqc_lite.density import Density
from dqc_lite.errors import InputError
from dqc_lite.integrals import differentials, operators
from dqc_lite.molecule import Molecule
from dqc_lite.terms import _gaussian_charges as gaussian
from dqc_lite.terms._cavity import Cavity, Spheres, cavity, checked_points, checked_radii
from dqc_lite.terms.term import Leaf, Term, as_array, require_array

METHODS = ("C-PCM", "IEF-PCM")

MATRICES = 6
"""(point, point) arrays that live at once."""


@pytree
class Dielectric:
    """The equations of the surface charges.

    Attributes:
        factor: f.
        switches: (point,) F.
        coulomb: (point, point) T.
        field: (point, point) X, or None for C-PCM.
        inverse: (point, point) of (1 - f X) T, a constant: it solves, what is solved says the rest.
    """

    factor: Leaf
    switches: Float[Array, " point"]
    coulomb: Float[Array, "point point"]
    field: Float[Array, "point point"] | None
    inverse: Float[Array, "point point"] | None

    def product(self, charges: Float[Array, "point ..."]) -> Float[Array, "point ..."]:
        """The left-hand side."""
        product = self.coulomb @ charges
        return product if self.field is None else product - self.factor * (self.field @ product)

    def charges(self, potentials: Float[Array, " point"]) -> Float[Array, " point"]:
        """q(v), e."""
        right = self.switches * potentials
        if self.field is not None:
            right = right - self.field @ right
        inverse = self.inverse
        assert inverse is not None
        return jax.lax.custom_linear_solve(
            self.product,
            -self.factor * right,
            solve=lambda _, b: inverse @ b,
            transpose_solve=lambda _, b: inverse.T @ b,
        )

    def energy(self, potentials: Float[Array, " point"]) -> Float[Array, ""]:
        """Hartree."""
        return 0.5 * jnp.vdot(potentials, self.charges(potentials))


@pytree
class Surface:
    """What a geometry determines.

    Attributes:
        electrons: (point, pair) potentials of pairs of basis functions m >= n, hartree per e.
        nuclei: (point,) potential of the nuclei.
        dielectric: what the potentials are answered with.
    """

    electrons: Float[Array, "point pair"]
    nuclei: Float[Array, " point"]
    dielectric: Dielectric

    def potentials(self, pairs: Float[Array, " pair"]) -> Float[Array, " point"]:
        """v, hartree per e, of a density matrix over pairs, those of m > n counted twice."""
        return self.nuclei - self.electrons @ pairs

    def answer(
        self, potentials: Float[Array, " point"]
    ) -> tuple[Float[Array, ""], Float[Array, " point"]]:
        """The energy, hartree, and its derivative, the charges of the symmetric part of q, e."""
        return jax.value_and_grad(self.dielectric.energy)(potentials)


@pytree
class PCM(Term):
    """A dielectric outside of spheres around the atoms (not around ghost atoms).

    The cavity is that of PySCF's PCM: switched Lebedev points with Gaussian charges. The energy is
    the free energy of polarization; cavitation, dispersion and repulsion are not in it.

    Attributes:
        eps: relative permittivity, a leaf; 78.4 is water.
        method: "C-PCM" or "IEF-PCM".
        radii: van der Waals radii in angstrom by element, ``{"O": 1.52}``, in the place of those
            of the table (Bondi's, 1.10 for H).
        scale: of all radii.
        points: Lebedev points on each sphere.

    Raises:
        InputError: a method, radii or points that are not understood; when used, an element without
            radius, and eps < 1.
        MemoryBudgetError: matrices over the points that do not fit.
    """

    eps: Leaf = 78.4
    method: str = static(default="C-PCM")
    radii: Any = static(default=None)
    scale: int | float = static(default=1.2)
    points: int = static(default=302)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"method = {self.method!r} is unknown; use 'C-PCM' or 'IEF-PCM'.")
        scale = self.scale
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < 100:
            raise InputError(f"scale = {scale!r} must be a positive factor of the radii.")
        object.__setattr__(self, "eps", as_array(self.eps))
        object.__setattr__(self, "radii", checked_radii(self.radii))
        object.__setattr__(self, "points", checked_points(self.points))

    def prepare(self, mol: Molecule, orbitals: Orbitals) -> Surface:
        self._check()
        spheres = self._spheres(mol)
        memory.require(
            8.0 * (MATRICES * spheres.count**2 + 2 * spheres.count * operators.npair(mol.nao)),
            f"a continuum of {spheres.count} surface points and {mol.nao} basis functions",
            "take fewer points on a sphere, as in PCM(points=110)",
        )
        made = self._at(mol, orbitals, None)
        inverse = jax.lax.stop_gradient(_inverse(made.dielectric))
        return dataclasses.replace(
            made, dielectric=dataclasses.replace(made.dielectric, inverse=inverse)
        )

    def evaluate(self, surface: Surface, density: Density) -> tuple[dict[str, Array], Array]:
        energy, charges = surface.answer(surface.potentials(_pairs(density)))
        fock = -operators.unpack(charges @ surface.electrons, density.matrix.shape[-1])
        return {"pcm": energy}, fock[None]

    def differential(
        self, mol: Molecule, orbitals: Orbitals, surface: Surface, density: Density
    ) -> Array:
        spheres, inverse = self._spheres(mol), surface.dielectric.inverse
        potentials, charges, dual = _fixed(surface, density)
        moving = (mol.positions, mol.charges, self.eps)
        at = _at_fixed(spheres, self.method, moving, (inverse, potentials, charges))
        functions = cavity(spheres).functions(mol.positions)
        return summed([without_value(at), differentials.three_center(orbitals, functions, dual)])

    def moving_integrals(
        self, mol: Molecule, orbitals: Orbitals, surface: Surface, density: Density
    ) -> Surface:
        return self._at(mol, orbitals, surface.dielectric.inverse)

    def _at(self, mol: Molecule, orbitals: Orbitals, inverse: Array | None) -> Surface:
        spheres = self._spheres(mol)
        return Surface(
            electrons=operators.three_center(orbitals, cavity(spheres).functions(mol.positions)),
            nuclei=_potential_of_nuclei(spheres, mol.positions, mol.charges),
            dielectric=_dielectric(spheres, self.method, mol.positions, self.eps, inverse),
        )

    def _spheres(self, mol: Molecule) -> Spheres:
        return Spheres.of(mol.layout, self.radii, self.scale, self.points)

    def _check(self) -> None:
        require_array("eps", self.eps)
        if self.eps is None:
            raise InputError("eps = None is no number; give a relative permittivity, such as 78.4.")
        if jnp.shape(self.eps) != ():
            raise InputError(f"eps has shape {jnp.shape(self.eps)}; give one number.")
        if not isinstance(self.eps, jax.core.Tracer) and not float(self.eps) >= 1.0:
            raise InputError(f"eps = {self.eps} must be a relative permittivity of at least 1.")


def _pairs(density: Density) -> Float[Array, " pair"]:
    total = density.total
    return operators.pack(total * (2.0 - jnp.eye(len(total))))


@adaptive_jit
def _fixed(surface: Surface, density: Density) -> tuple[Array, Array, Array]:
    """Potentials, charges, and the derivative of the energy along those of the electrons."""
    pairs = _pairs(density)
    potentials = surface.potentials(pairs)
    _, charges = surface.answer(potentials)
    return potentials, charges, -charges[:, None] * pairs


@functools.partial(adaptive_jit, static_argnums=(0, 1))
def _at_fixed(
    spheres: Spheres, method: str, moving: tuple, fixed: tuple[Array, Array, Array]
) -> Float[Array, ""]:
    """What moves the energy at fixed potentials, charges and density, but for the electrons'."""
    (positions, nuclei, eps), (inverse, potentials, charges) = moving, fixed
    dielectric = _dielectric(spheres, method, positions, eps, inverse)
    outside = jnp.vdot(charges, _potential_of_nuclei(spheres, positions, nuclei))
    return dielectric.energy(potentials) + outside


@functools.partial(adaptive_jit, static_argnums=(0,))
def _potential_of_nuclei(
    spheres: Spheres, positions: Float[Array, "atom 3"], charges: Float[Array, " atom"]
) -> Float[Array, " point"]:
    made = cavity(spheres)
    apart = made.points(positions)[:, None] - positions
    return gaussian.potential(made.exponents[:, None], (apart**2).sum(-1)) @ charges


@functools.partial(adaptive_jit, static_argnums=(0, 1))
def _dielectric(
    spheres: Spheres,
    method: str,
    positions: Float[Array, "atom 3"],
    eps: Leaf,
    inverse: Float[Array, "point point"] | None,
) -> Dielectric:
    made, ief = cavity(spheres), method == "IEF-PCM"
    switches, squared = made.switches(positions), made.squared_distances(positions)
    own = np.eye(spheres.count, dtype=bool)
    # the self-interaction is that of distance 0, divided by the switch
    coulomb = gaussian.potential(made.pair_exponents, squared)
    coulomb *= jnp.where(own, 1.0, switches[:, None])
    field = _field(made, positions, switches, squared) if ief else None
    factor = (eps - 1.0) / (eps + (1.0 if ief else 0.0))
    return Dielectric(factor, switches, coulomb, field, inverse)


def _field(made: Cavity, positions: Array, switches: Array, squared: Array) -> Array:
    """X; a charge feels its own field by the curvature of the sphere."""
    field = gaussian.field(made.pair_exponents, squared) * made.on_normals(positions)
    own = -np.sqrt(made.exponents / (2.0 * np.pi)) / made.radius
    field = jnp.where(np.eye(len(own), dtype=bool), own[:, None], field)
    return switches[:, None] * field * made.area / (2.0 * math.pi)


@adaptive_jit
def _inverse(dielectric: Dielectric) -> Float[Array, "point point"]:
    return jnp.linalg.inv(dielectric.product(jnp.eye(len(dielectric.switches))))
