"""libxc, through PySCF: what it says of a functional, its energies and derivatives."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io

import numpy as np
from pyscf.dft import libxc

from dqc_lite.errors import FunctionalError


@dataclasses.dataclass(frozen=True)
class Description:
    """What libxc knows of a functional.

    Attributes:
        name: as given to PySCF.
        level: "lda", "gga", "mgga", or None for exact exchange alone.
        order: the highest derivative.
        exact_exchange: fraction, of the full range; None without.
        long_range_exchange: extra fraction with erf(omega r) / r; None without range separation.
        omega: 1 / bohr; None without range separation.
        vv10: (b, C) and weight of nonlocal correlation; None without.
    """

    name: str
    level: str | None
    order: int
    exact_exchange: float | None
    long_range_exchange: float | None
    omega: float | None
    vv10: tuple[tuple[float, float], float] | None


def describe(name: str) -> Description:
    """Look a functional up.

    Raises:
        FunctionalError: unknown, ambiguous, or of a kind that is not supported.
    """
    _check_name(name)
    kind = libxc.xc_type(name).lower()
    if kind not in ("hf", "lda", "gga", "mgga") or libxc.needs_laplacian(name):
        raise FunctionalError(
            f"functional = 'libxc:{name}' depends on the Laplacian of the density or is of an "
            "unknown kind; choose an LDA, GGA or meta-GGA of the kinetic energy density."
        )
    exact, long_range, omega = _exchange(name)
    return Description(
        name=name,
        level=None if kind == "hf" else kind,
        order=libxc.max_deriv_order(name),
        exact_exchange=exact,
        long_range_exchange=long_range,
        omega=omega,
        vv10=_vv10(name),
    )


def _check_name(name: str) -> None:
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints):
            exchange, components = libxc.parse_xc(name)
    except (AssertionError, IndexError, KeyError, NotImplementedError, ValueError) as error:
        near = difflib.get_close_matches(name.upper(), libxc.XC_CODES, n=3)
        hint = f" Did you mean {', '.join(near).lower()}?" if near else ""
        raise FunctionalError(
            f"functional = 'libxc:{name}' is not understood by PySCF ({error}).{hint}"
        ) from error
    if not components and not any(exchange):
        raise FunctionalError("functional = 'libxc:' is empty; name one, as in 'libxc:b86,lyp'.")
    if "matches" in complaints.getvalue():
        raise FunctionalError(
            f"functional = 'libxc:{name}' is ambiguous ({complaints.getvalue().splitlines()[0]}); "
            "write libxc's label in full."
        )


def _exchange(name: str) -> tuple[float | None, float | None, float | None]:
    """(exact_exchange, long_range_exchange, omega)."""
    try:
        omega, long, beta = map(float, libxc.rsh_coeff(name))
    except (AssertionError, AttributeError, KeyError, ValueError) as error:
        raise FunctionalError(
            f"functional = 'libxc:{name}': its range separation is not supported ({error})."
        ) from error
    if long == beta == 0.0:
        return None, None, None
    if omega == 0.0:
        return long, None, None
    _check_kernel(name)
    return long + beta or None, -beta, omega


def _check_kernel(name: str) -> None:
    """Range separation other than by the error function is refused."""
    for number, _ in libxc.parse_xc(name)[1]:
        omega, long, beta = libxc.rsh_coeff(int(number))
        if omega == 0 or long == beta == 0:
            continue
        try:  # beside an omega that is given, PySCF looks at the kernel; it fails in two ways
            libxc.rsh_coeff(f"SR_HF({omega})*0+{number}")
        except (AttributeError, KeyError) as error:
            raise FunctionalError(
                f"functional = 'libxc:{name}' separates the range by a function other than erf, "
                "for which there are no integrals; choose another."
            ) from error


def _vv10(name: str) -> tuple[tuple[float, float], float] | None:
    pairs = [((float(b), float(c)), float(weight)) for (b, c), weight in libxc.nlc_coeff(name)]
    if len({pair for pair, _ in pairs}) > 1:
        raise FunctionalError(
            f"functional = 'libxc:{name}' has nonlocal correlation with several parameters; one "
            "functional has one."
        )
    return (pairs[0][0], sum(weight for _, weight in pairs)) if pairs else None


def derivatives(name: str, level: str, order: int, variables: np.ndarray) -> np.ndarray:
    """Energy per volume and its derivatives through `order`, atomic units.

    Args:
        name: of the functional.
        level: its level.
        order: 0 to 3.
        variables: (variable, point): rho, sigma, tau of a closed shell, or rho_a, rho_b,
            sigma_aa, sigma_ab, sigma_bb, tau_a, tau_b; as many as the level has.

    Returns:
        (derivative, point), graded by order, each order in lexicographic order of the variables.
    """
    polarized = len(variables) == {"lda": 2, "gga": 5, "mgga": 7}[level]
    variables = np.asarray(variables, dtype=np.float64)
    spins = 2 if polarized else 1
    rows = np.zeros((spins, 6, variables.shape[1]))
    rows[:, 0] = variables[:spins]
    if level != "lda":
        rows[:, 1:3] = _gradients(variables[spins : 5 if polarized else 2])
    if level == "mgga":
        rows[:, 5] = variables[-spins:]
    rows = rows[:, : {"lda": 1, "gga": 4, "mgga": 6}[level]]
    rows = rows[:, 0] if level == "lda" else rows
    out = libxc.eval_xc1(name, rows if polarized else rows[0], spins - 1, order)
    out[0] *= variables[:spins].sum(0)  # libxc's energy is per electron
    return out


def _gradients(sigma: np.ndarray) -> np.ndarray:
    """Density gradients (spin, 2, point) whose products are sigma; PySCF wants vectors."""
    first = np.sqrt(np.maximum(sigma[0], 0.0))
    zero = np.zeros_like(first)
    if len(sigma) == 1:
        return np.stack([[first, zero]])
    along = np.divide(sigma[1], first, out=np.zeros_like(first), where=first > 0)
    across = np.sqrt(np.maximum(sigma[2] - along**2, 0.0))
    return np.array([[first, zero], [along, across]])
