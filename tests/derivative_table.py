"""The table of what was differentiated with respect to what, from the tests that show it.

    python -m pytest -m "slow or not slow" tests/implicit tests/kohn_sham/test_response.py \
        --derivative-table docs/derivative_table.md

A test calls the fixture ``shown`` with each derivative that it has compared; rows of tests that
passed are gathered, molecules in one row. A run adds to the file; remove it to start anew.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from typing import Any

import dqc_lite as dqc

PROPERTY = "derivative"
HEADER = """# What has been differentiated

Written by the tests (`tests/derivative_table.py` has the command). Each row is a derivative that
was compared with finite differences of the next lower one, with PySCF's or, where so named, with
that of the other mode, and the largest error found, relative to the derivative. Order counts
derivatives of the quantity; modes are forward (jvp) and reverse (vjp).

| method | quantity | with respect to | order | mode | molecules | largest relative error |
|---|---|---|---|---|---|---|
"""


def method_name(mol: dqc.Molecule, method: dqc.HF | dqc.KS) -> str:
    """As people write it."""
    kind = "U" if method.restricted is False or (method.restricted is None and mol.spin) else "R"
    kind = "RO" if method.restricted == "rohf" else kind
    name = f"{kind}HF" if isinstance(method, dqc.HF) else f"{kind}KS {method.xc.name}"
    details = [
        word
        for word, present in (("density-fitted", method.density_fit), ("smeared", method.smearing))
        if present
    ]
    return ", ".join([name, *details])


def rows(reports: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """What passing tests have shown."""
    for report in reports:
        yield from (value for name, value in report.user_properties if name == PROPERTY)


def table(found: Iterable[dict[str, Any]], before: str = "") -> str:
    """Markdown; the rows of the table `before` are kept, with the larger error."""
    groups = collections.defaultdict(lambda: (set(), 0.0))
    for line in before.removeprefix(HEADER).splitlines():
        *key, molecules, error = (cell.strip() for cell in line.strip("| ").split(" | "))
        groups[tuple(key)] = (set(molecules.split(", ")), float(error))
    for row in found:
        key = tuple(str(row[k]) for k in ("method", "quantity", "wrt", "order", "mode"))
        molecules, worst = groups[key]
        groups[key] = (molecules | {row["molecule"]}, max(worst, row["error"]))
    lines = [
        f"| {' | '.join(key)} | {', '.join(sorted(molecules))} | {worst:.0e} |"
        for key, (molecules, worst) in sorted(groups.items())
    ]
    return HEADER + "\n".join(lines) + "\n"
