"""What can be asked on the command line. Nothing heavy is imported here: ``--help`` is instant."""

from __future__ import annotations

import argparse
import itertools
import math
import re
from collections.abc import Mapping, Sequence

from dqc_lite import __version__
from dqc_lite.cli import spelling

DENSITY_FIT = "--density-fit"

STANDARD = "-"
"""Standard input in the place of a geometry file, standard output in that of the JSON file."""

MAX_CYCLE, ENERGY_TOL, GRADIENT_TOL = 60, 1e-10, 1e-8
"""Those of the default solver."""

RTOL, ATOL = 1e-6, 1e-8
"""Those of `dqc_lite.check_gradients`."""

WRT = ("positions", "charges", "exponents", "coefficients", "xc")

GRID_LEVEL = 3
"""That of `dqc_lite.KS`."""

_MIX = "turn alpha's highest occupied and lowest virtual orbital by this (radian; 0.8: half)"

_NEGATIVE_NUMBER = re.compile(r"^-((\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|inf(inity)?|nan)$", re.I)
_GEOMETRY = (".xyz", ".extxyz")

_EPILOG = """\
exit codes: 0 done, 1 not converged (or gradients not confirmed, or one of several files failed),
2 bad input, 130 interrupted

examples:
  dqc-lite energy water.xyz --basis def2-svp
  dqc-lite forces water.xyz --xc b3lyp --dispersion d3bj
  dqc-lite freq water.xyz --basis '6-31g*' --plot spectrum.png
  dqc-lite forces ch3.xyz --basis '6-31g*' --spin 1 --json ch3.json
  cat water.xyz | dqc-lite energy - --method pbe --json - > water.json
  dqc-lite energy *.xyz --method pbe --json all.json
  dqc-lite check-grad water.xyz --basis sto-3g --max-components 3
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Options of one command; leaves by SystemExit on ``--help``, ``--version`` and wrong usage.

    Without any arguments the help is shown.
    """
    parser, commands = build_parsers()
    tokens = _prepare(argv)
    if not tokens:
        parser.print_help()
        parser.exit()
    spelling.check(parser, commands, tokens)
    options, rest = parser.parse_known_args(tokens)
    command = commands[options.command]
    if not hasattr(options, "files"):
        return options if not rest else command.error(f"{rest[0]!r} is not understood")
    options.files += rest  # those that stand behind options
    _check_files(command, options)
    return options


def _check_files(command: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if len(options.files) == 1:
        return
    if options.files.count(STANDARD) > 1:
        command.error(f"standard input ({STANDARD}) can be read once")
    for name in ("checkpoint", "plot"):
        if getattr(options, name, None) is not None:
            command.error(f"--{name} writes one file and {len(options.files)} FILEs are given")


def build_parsers() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser of all commands, and that of each."""
    parser = argparse.ArgumentParser(
        prog="dqc-lite",
        description="Hartree-Fock and density functional energies and exact derivatives.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"dqc-lite {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _command(commands, "energy", "total energy and its components")
    _command(commands, "forces", "energy, and forces on the nuclei")
    check = _command(commands, "check-grad", "compare derivatives with finite differences")
    _add_check_options(check.add_argument_group("gradient check"))
    frequencies = _command(commands, "freq", "vibrations, infrared intensities, thermochemistry")
    _add_frequency_options(frequencies.add_argument_group("vibrations"))
    _add_fit(commands)
    return parser, commands.choices


def _add_fit(commands: argparse._SubParsersAction) -> None:
    what = "train the parameters of a functional"
    parser = commands.add_parser(
        "fit", help=what, description=f"{what.capitalize()}.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--config", required=True, metavar="FIT.toml", help="data, parameters, loss, optimizer")
    add(
        "--check-gradients", type=int, metavar="N",
        help="only compare N derivatives of the loss with finite differences",
    )  # fmt: skip
    add("--fresh", action="store_true", help="start anew although the folder has a checkpoint")
    add("--quiet", action="store_true", help="results only")
    add("--no-cache", action="store_true", help="do not keep compiled programs on disk")


def _command(commands: argparse._SubParsersAction, name: str, what: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=what, description=f"{what.capitalize()}.", allow_abbrev=False
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="+",
        help=f"geometry in angstrom, .xyz or .extxyz, one or several; {STANDARD}: standard input",
    )  # fmt: skip
    _add_molecule_options(parser.add_argument_group("molecule"))
    _add_method_options(parser.add_argument_group("method"))
    _add_scf_options(parser.add_argument_group("self-consistent field"))
    _add_output_options(parser.add_argument_group("output"))
    return parser


def _add_molecule_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--basis", default="def2-svp", metavar="NAME", help="basis set (default %(default)s)")
    add("--charge", type=int, metavar="Q", help="total charge in e (default: the file's, else 0)")
    add("--spin", type=int, metavar="2S", help="unpaired electrons (default: the file's, else 0)")
    add("--frame", type=int, metavar="N", help="frame of the file, from 0, if there are several")
    add("--ecp", metavar="NAME", help="effective core potentials for elements that have them")
    add("--cart", action="store_true", help="Cartesian instead of spherical basis functions")
    add(
        "--electric-field", type=_finite, nargs=3, metavar=("X", "Y", "Z"),
        help="homogeneous field in atomic units",
    )  # fmt: skip


def _add_method_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--method", metavar="NAME",
        help="hf (rhf, uhf, rohf), a functional, or ks (default where --xc is given)",
    )  # fmt: skip
    add("--xc", metavar="NAME", help="density functional with PySCF's meaning, e.g. pbe, b3lyp")
    add(
        "--grid-level", type=int, metavar="N",
        help=f"integration grid of ks, 0 (coarse) to 9 (default {GRID_LEVEL})",
    )  # fmt: skip
    add(
        "--dispersion", metavar="MODEL",
        help="d3bj, d3zero or d4, damped for the functional; d3bj:pbe: for another one",
    )  # fmt: skip
    add(
        "--restricted", choices=("auto", "true", "false", "rohf"), default="auto",
        help="kind of determinant; auto: restricted for spin 0, else unrestricted (default)",
    )  # fmt: skip
    add(
        "--smearing", type=_finite, metavar="SIGMA",
        help="Fermi-Dirac occupations of this k_B T in hartree; the energy is the free energy",
    )  # fmt: skip
    add(
        DENSITY_FIT, nargs="?", const=True, default=False, metavar="AUX",
        help="density-fitted repulsion, in PySCF's default auxiliary basis or in AUX",
    )  # fmt: skip


def _add_scf_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--solver", choices=("auto", "diis", "second-order"), default="auto",
        help="auto (default): diis, second order where that fails, away from likely saddle points",
    )  # fmt: skip
    add(
        "--stability", action="store_true",
        help="with auto: look in every case whether the solution is a minimum, go on if not",
    )  # fmt: skip
    add(
        "--guess", default="minao", metavar="NAME",
        help="minao (default), atom, huckel, sap, core, or a checkpoint file",
    )  # fmt: skip
    add("--mix", type=_finite, default=0.0, metavar="ANGLE", help=_MIX)
    add("--checkpoint", metavar="OUT.h5", help="write this file in every cycle")
    add(
        "--max-cycle", type=int, default=MAX_CYCLE, metavar="N",
        help="cycles of each method at most (default %(default)s)",
    )  # fmt: skip
    add(
        "--energy-tol", type=_finite, default=ENERGY_TOL, metavar="E",
        help="change of the energy at convergence, hartree (default %(default)g)",
    )  # fmt: skip
    add(
        "--gradient-tol", type=_finite, default=GRADIENT_TOL, metavar="G",
        help="norm of the orbital gradient at convergence, hartree (default %(default)g)",
    )  # fmt: skip


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--json", metavar="OUT.json",
        help=f"write the results to this file as well; {STANDARD}: to standard output, and the "
        "report to stderr",
    )  # fmt: skip
    amount = group.add_mutually_exclusive_group()
    amount.add_argument(
        "-v", "--verbose", action="store_true", help="also geometry and orbital energies"
    )
    amount.add_argument("--quiet", action="store_true", help="results only")
    add("--no-cache", action="store_true", help="do not keep compiled programs on disk")


def _add_frequency_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--isotope", action="store_true",
        help="masses of the most abundant isotopes instead of averages",
    )  # fmt: skip
    add(
        "--temperature", type=_finite, default=298.15, metavar="K",
        help="of the thermochemistry, kelvin (default %(default)s)",
    )  # fmt: skip
    add(
        "--pressure", type=_finite, default=101325.0, metavar="PA",
        help="of the thermochemistry, pascal (default %(default)s)",
    )  # fmt: skip
    add(
        "--symmetry-number", type=int, metavar="N",
        help="of the rotation (default: counted)",
    )  # fmt: skip
    add("--plot", metavar="OUT.png", help="draw the infrared spectrum (needs matplotlib)")


def _add_check_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--wrt", choices=WRT, default=WRT[0], help="differentiate by (default %(default)s)")
    add(
        "--max-components", type=int, metavar="N",
        help="check only so many components, drawn at random, and 3 random directions",
    )  # fmt: skip
    add("--rtol", type=_finite, default=RTOL, help="relative tolerance (default %(default)g)")
    add("--atol", type=_finite, default=ATOL, help="absolute tolerance (default %(default)g)")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


_finite.__name__ = "number"  # argparse: "invalid number value: 'x'"


def _prepare(argv: Sequence[str]) -> list[str]:
    """Settle two ambiguities of argparse.

    A blank before negative numbers keeps "-1e-3" from being taken for an option, and
    ``--density-fit water.xyz`` means that the file follows, not an auxiliary basis.
    """
    tokens = [f" {t}" if _NEGATIVE_NUMBER.match(t) else t for t in argv]
    for i, (token, following) in enumerate(itertools.pairwise(tokens)):
        file = following == STANDARD or following.lower().endswith(_GEOMETRY)
        if token == DENSITY_FIT and file:
            return [*tokens[:i], *tokens[i + 1 :], DENSITY_FIT]
    return tokens
