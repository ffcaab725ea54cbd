"""libxc, through PySCF, in the variables of the functionals; and the densities to try."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.dft.libxc as libxc

from dqc_lite.xc.density import LocalDensity


def unpolarized(rho, sigma, tau) -> LocalDensity:
    """Closed shell from the total density, its squared gradient, its kinetic energy density."""
    return LocalDensity(0.5 * rho[None], 0.25 * sigma[None], sigma, 0.5 * tau[None])


def polarized(rho, sigma, tau) -> LocalDensity:
    """rho (2, point); sigma (3, point): aa, ab, bb; tau (2, point)."""
    return LocalDensity(rho, sigma[::2], sigma[0] + 2.0 * sigma[1] + sigma[2], tau)


def _gradients(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient vectors (3, point) of alpha and beta with these products."""
    a = np.sqrt(sigma[0])
    along = np.divide(sigma[1], a, out=np.zeros_like(a), where=a > 0)
    across = np.sqrt(np.maximum(sigma[2] - along**2, 0.0))
    zero = np.zeros_like(a)
    return np.stack([a, zero, zero]), np.stack([along, across, zero])


def evaluate(name: str, rho, sigma, tau, order: int, omega: float | None = None):
    """libxc's energy per volume and derivatives in libxc's order of variables.

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


def first_derivatives(component, density_of, variables, *omega):
    """(energy density, derivatives with respect to each of the variables at each point)."""

    def total(*v):
        e = component.energy_density(density_of(*v), *omega)
        return e.sum(), e

    grads, e = jax.grad(total, argnums=tuple(range(len(variables))), has_aux=True)(*variables)
    return e, grads


def sample(npoint: int = 400, seed: int = 0, *, spin: int = 2):
    """Random physical densities over many decades: (rho, sigma, tau) of shape (2|3|2, point).

    tau is at or above the von Weizsaecker bound sigma / (8 rho).
    """
    rng = np.random.default_rng(seed)
    rho = 10.0 ** rng.uniform(-6, 3, (2, npoint))
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
