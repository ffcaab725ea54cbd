"""libxc, the copy inside PySCF, in the variables of the functionals; and the densities to try."""

from __future__ import annotations

import ctypes
import functools
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.dft.libxc as libxc
import pyscf.lib

from dqc_lite.xc.density import LocalDensity


def unpolarized(rho, sigma, tau) -> LocalDensity:
    """Closed shell from the total density, its squared gradient, its kinetic energy density."""
    return LocalDensity(0.5 * rho[None], 0.25 * sigma[None], sigma, 0.5 * tau[None])


def polarized(rho, sigma, tau) -> LocalDensity:
    """rho (2, point); sigma (3, point): aa, ab, bb; tau (2, point)."""
    return LocalDensity(rho, sigma[::2], sigma[0] + 2.0 * sigma[1] + sigma[2], tau)


def from_rows(rows) -> LocalDensity:
    """From variables one after another: (3, point) closed shell, (7, point) polarized."""
    if len(rows) == 3:
        return unpolarized(*rows)
    return polarized(rows[:2], rows[2:5], rows[5:])


def as_rows(variables) -> np.ndarray:
    """The inverse of `from_rows`, from (rho, sigma, tau)."""
    return np.concatenate([np.atleast_2d(np.asarray(v)) for v in variables])


NPOINT = 64
"""Points of most tests: operations that XLA has compiled for one of them serve the others."""


def of_size(rows) -> np.ndarray:
    """The points repeated until they are `NPOINT`."""
    assert rows.shape[1] <= NPOINT
    return np.take(rows, np.arange(NPOINT), axis=1, mode="wrap")


def _gradients(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient vectors (3, point) of alpha and beta with these products."""
    a = np.sqrt(sigma[0])
    along = np.divide(sigma[1], a, out=np.zeros_like(a), where=a > 0)
    across = np.sqrt(np.maximum(sigma[2] - along**2, 0.0))
    zero = np.zeros_like(a)
    return np.stack([a, zero, zero]), np.stack([along, across, zero])


def evaluate(name: str, rho, sigma, tau, order: int, omega: float | None = None):
    """PySCF's energy per volume and derivatives in libxc's order of variables.

    Unpolarized if `rho` has one axis. Returns (energy density, vxc, fxc, kxc), the latter as
    PySCF's tuples, None beyond `order`.
    """
    rho, sigma, tau = map(np.asarray, (rho, sigma, tau))
    if rho.ndim == 1:
        zero = np.zeros_like(rho)
        rows = np.stack([rho, np.sqrt(sigma), zero, zero, zero, tau])
        total, spin = rho, 0
    else:
        ga, gb = _gradients(sigma)
        zero = np.zeros_like(rho[0])
        rows = np.stack(
            [np.stack([r, *g, zero, t]) for r, g, t in zip(rho, (ga, gb), tau, strict=True)]
        )
        total, spin = rho.sum(0), 1
    kind = libxc.xc_type(name)
    rows = rows[..., {"LDA": slice(0, 1), "GGA": slice(0, 4), "MGGA": slice(0, 6)}[kind], :]
    if kind == "LDA":
        rows = rows[..., 0, :]
    exc, vxc, fxc, kxc = libxc.eval_xc(name, rows, spin, deriv=order, omega=omega)
    return exc * total, vxc, fxc, kxc


@functools.cache
def _library() -> ctypes.CDLL:
    folder = pathlib.Path(pyscf.lib.__file__).parent
    (path,) = folder.glob("deps/lib*/libxc.*")
    lib = ctypes.CDLL(str(path))
    pointer = ctypes.c_void_p
    lib.xc_functional_get_number.argtypes = [ctypes.c_char_p]
    lib.xc_func_alloc.restype = pointer
    lib.xc_func_init.argtypes = [pointer, ctypes.c_int, ctypes.c_int]
    lib.xc_func_end.argtypes = lib.xc_func_free.argtypes = [pointer]
    lib.xc_func_get_info.argtypes, lib.xc_func_get_info.restype = [pointer], pointer
    lib.xc_func_info_get_family.argtypes = lib.xc_func_info_get_flags.argtypes = [pointer]
    lib.xc_func_set_ext_params_name.argtypes = [pointer, ctypes.c_char_p, ctypes.c_double]
    for threshold in ("dens", "zeta", "sigma", "tau"):
        setter = getattr(lib, f"xc_func_set_{threshold}_threshold")
        setter.argtypes = [pointer, ctypes.c_double]
    return lib


_FIELDS = {
    "lda": ("rho",),
    "gga": ("rho", "sigma"),
    "mgga": ("rho", "sigma", "lapl", "tau"),
}
_FAMILIES = {1: "lda", 2: "gga", 4: "mgga", 32: "gga", 64: "mgga", 128: "lda"}
_OUTPUTS = ("exc", "vxc", "fxc", "kxc")
_HAS_DERIVATIVE = 1  # flag of the energy; those of the derivatives follow


class Libxc:
    """One functional of libxc, by its label; without libxc's cutoffs of small densities.

    `zeta` is the least 1 - |zeta|, None libxc's own choice of 2e-16.
    """

    def __init__(
        self, label: str, spin: int, omega: float | None = None, zeta: float | None = None
    ):
        lib = _library()
        number = lib.xc_functional_get_number(label.encode())
        if number < 0:
            raise KeyError(f"libxc knows no {label}")
        self.sizes = {
            "rho": spin, "sigma": 2 * spin - 1, "lapl": spin, "tau": spin
        }  # fmt: skip
        self._handle = lib.xc_func_alloc()
        if lib.xc_func_init(self._handle, number, spin):
            raise RuntimeError(f"libxc cannot initialize {label}")
        info = lib.xc_func_get_info(self._handle)
        self.family = _FAMILIES[lib.xc_func_info_get_family(info)]
        self.fields = _FIELDS[self.family]
        flags = lib.xc_func_info_get_flags(info)
        self.order = max(k for k in range(4) if flags & (_HAS_DERIVATIVE << k))
        lib.xc_func_set_dens_threshold(self._handle, 1e-25)
        lib.xc_func_set_sigma_threshold(self._handle, 1e-50)
        lib.xc_func_set_tau_threshold(self._handle, 1e-45)
        if zeta is not None:
            lib.xc_func_set_zeta_threshold(self._handle, zeta)
        if omega is not None:
            lib.xc_func_set_ext_params_name(self._handle, b"_omega", omega)

    def __del__(self):
        if getattr(self, "_handle", None):
            _library().xc_func_end(self._handle)
            _library().xc_func_free(self._handle)

    def _entries(self, order: int):
        """Arrays of one order, in libxc's sequence: each a list of its entries' variables."""
        for fields in itertools.combinations_with_replacement(self.fields, order):
            counts = [(field, fields.count(field)) for field in dict.fromkeys(fields)]
            groups = (
                itertools.combinations_with_replacement([(f, i) for i in range(self.sizes[f])], n)
                for f, n in counts
            )
            yield [
                list(itertools.chain.from_iterable(entry)) for entry in itertools.product(*groups)
            ]

    def tensors(self, rows: np.ndarray, order: int) -> list[np.ndarray]:
        """Energy per volume and its derivatives to `order`, as full symmetric tensors.

        `rows` (variable, point) as `from_rows` takes; the k-th has k axes of variables before that
        of the points.
        """
        if order > self.order:
            raise ValueError(f"libxc has derivatives to order {self.order} only")
        spin, (nrow, npoint) = self.sizes["rho"], rows.shape
        split = dict(zip(("rho", "sigma", "tau"), np.split(rows, [spin, nrow - spin]), strict=True))
        start = {"rho": 0, "sigma": spin, "tau": nrow - spin}
        split["lapl"] = np.zeros((spin, npoint))
        inputs = [np.ascontiguousarray(split[f].T) for f in self.fields]
        layout = [list(self._entries(k)) for k in range(order + 1)]
        outputs = [[np.zeros((npoint, len(e))) for e in entries] for entries in layout]
        function = getattr(_library(), "_".join(["xc", self.family, *_OUTPUTS[: order + 1]]))
        function.restype = None
        arrays = inputs + [array for arrays in outputs for array in arrays]
        function(
            ctypes.c_void_p(self._handle), ctypes.c_size_t(npoint),
            *(ctypes.c_void_p(array.ctypes.data) for array in arrays),
        )  # fmt: skip
        result = [outputs[0][0][:, 0] * split["rho"].sum(0)]
        for k in range(1, order + 1):
            tensor = np.zeros((nrow,) * k + (npoint,))
            for entries, array in zip(layout[k], outputs[k], strict=True):
                for entry, values in zip(entries, array.T, strict=True):
                    if any(field == "lapl" for field, _ in entry):
                        continue
                    where = [start[field] + i for field, i in entry]
                    for permuted in set(itertools.permutations(where)):
                        tensor[permuted] = values
            result.append(tensor)
        return result


def first_derivatives(component, density_of, variables, *omega):
    """(energy density, derivatives with respect to each of the variables at each point)."""

    def total(*v):
        e = component.energy_density(density_of(*v), *omega)
        return e.sum(), e

    grads, e = jax.grad(total, argnums=tuple(range(len(variables))), has_aux=True)(*variables)
    return e, grads


def tensors(energy_density, rows, order: int, chosen=None):
    """As `Libxc.tensors`, of ``energy_density(rows)``, by nested forward mode; traceable.

    `chosen`: indices of the variables that it depends on (None: all).
    """
    nrow, npoint = rows.shape
    chosen = range(nrow) if chosen is None else chosen
    indices = np.array(list(itertools.combinations_with_replacement(chosen, order)))

    def jet(entry):
        """[e, D_i e, D_i D_j e, ...] for the variables `entry` = (i, j, ...)."""
        function = energy_density
        for index in entry:
            direction = jnp.zeros_like(rows).at[index].set(1.0)
            function = functools.partial(_with_slope, function, direction)
        return [jax.tree.leaves(function(rows))[2**k - 1] for k in range(order + 1)]

    values = jax.vmap(jet)(jnp.asarray(indices))
    result = [values[0][0]]
    for k in range(1, order + 1):
        tensor = jnp.zeros((*(nrow,) * k, npoint))
        for permuted in itertools.permutations(range(k)):
            tensor = tensor.at[tuple(indices[:, permuted].T)].set(values[k])
        result.append(tensor)
    return result


def _with_slope(function, direction, rows):
    return jax.jvp(function, (rows,), (direction,))


def sample(npoint: int = 400, seed: int = 0, *, spin: int = 2):
    """Random physical densities over many decades: (rho, sigma, tau) of shape (2|3|2, point).

    The spins differ by factors up to 1000: libxc computes with zeta, so that the density of a
    spin much smaller than the other has lost the digits that 1 - |zeta| cannot hold. tau is at or
    above the von Weizsaecker bound sigma / (8 rho).
    """
    rng = np.random.default_rng(seed)
    rho = 10.0 ** (rng.uniform(-5, 3, npoint) + rng.uniform(-1.5, 1.5, (2, npoint)))
    reduced = 10.0 ** rng.uniform(-3, 1, (2, npoint))
    size = reduced * rho ** (4 / 3)
    angle = rng.uniform(-1, 1, npoint)
    sigma = np.stack([size[0] ** 2, size[0] * size[1] * angle, size[1] ** 2])
    bound = sigma[::2] / (8 * rho)
    uniform = 0.3 * (6 * np.pi**2) ** (2 / 3) * rho ** (5 / 3)
    tau = bound + uniform * 10.0 ** rng.uniform(-2, 1, (2, npoint))
    if spin == 2:
        return jnp.asarray(rho), jnp.asarray(sigma), jnp.asarray(tau)
    return (
        jnp.asarray(2 * rho[0]), jnp.asarray(4 * sigma[0]), jnp.asarray(2 * tau[0]),
    )  # fmt: skip
