"""``dqc-lite check-grad FILE``: derivatives of the energy against finite differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dqc_lite.cli.session import Session
from dqc_lite.errors import MethodError

if TYPE_CHECKING:
    from dqc_lite.cli.calculation import Calculation

_UNITS = {
    "positions": "hartree/bohr",
    "charges": "hartree/e",
    "exponents": "hartree bohr^2",
    "coefficients": "hartree",
    "xc": "hartree per unit of the parameter",
}


def run(session: Session) -> int:
    """Exit code 1 unless every derivative that was checked is confirmed."""
    options, calculation = session.options, session.prepare()

    from dqc_lite.cli import record
    from dqc_lite.gradcheck import check_gradients

    function, point = energy_of(calculation, options.wrt)
    with session.running("gradient check"):
        report = check_gradients(
            function, point,
            rtol=options.rtol, atol=options.atol, max_components=options.max_components,
        )  # fmt: skip
    unit = _UNITS[options.wrt]
    session.say(f"Derivatives of the energy with respect to {options.wrt} ({unit})")
    text = str(report)
    print("\n".join(text.splitlines()[-2:]) if options.quiet else f"{text}\n")
    session.finish(record.of_check(session, calculation, report, unit))
    return 0 if report.passed else 1


def energy_of(calculation: Calculation, wrt: str) -> tuple[Callable[[Any], Any], Any]:
    """The energy (hartree) as a function of one of its inputs, and the point to check it at."""
    from dqc_lite.singlepoint import energy

    mol, method = calculation.mol, calculation.method
    options = calculation.scf_options | {"checkpoint": None}  # of one calculation, not of many

    def at(**parts: Any) -> Any:
        moved = dataclasses.replace(mol, **parts)
        return energy(moved, method, **options)

    def of_functional(xc: Any) -> Any:
        return energy(mol, dataclasses.replace(method, xc=xc), **options)

    if wrt == "xc":
        if not hasattr(method, "xc"):
            raise MethodError("--wrt xc needs a functional; give one with --xc, e.g. --xc pbe.")
        return of_functional, method.xc

    def of_basis(**parts: Any) -> Any:
        return at(basis=dataclasses.replace(mol.basis, **parts))

    # the names of the parameters are those of the components in the table
    return {
        "positions": (lambda positions: at(positions=positions), mol.positions),
        "charges": (lambda charges: at(charges=charges), mol.charges),
        "exponents": (lambda exponents: of_basis(exponents=exponents), mol.basis.exponents),
        "coefficients": (lambda coefficients: of_basis(coefficients=coefficients),
                         mol.basis.coefficients),
    }[wrt]  # fmt: skip
