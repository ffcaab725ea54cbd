"""Commands and options that do not exist: what was meant."""

from __future__ import annotations

import difflib
import re
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path

COMMANDS = {
    "sp": "energy", "scf": "energy", "single-point": "energy", "singlepoint": "energy",
    "force": "forces", "grad": "forces", "gradient": "forces", "gradients": "forces",
    "frequencies": "freq", "frequency": "freq", "hessian": "freq", "vibrations": "freq",
    "vib": "freq", "ir": "freq", "train": "fit", "check": "check-grad",
}  # fmt: skip
"""What other programs call them."""

OPTIONS = {
    "--functional": "--xc", "--dft": "--xc", "--theory": "--method", "-b": "--basis",
    "-m": "--method", "-c": "--charge", "-q": "--quiet", "-s": "--spin", "-o": "--json",
    "--output": "--json", "--out": "--json", "--multiplicity": "--spin", "--mult": "--spin",
    "--unpaired": "--spin", "--unrestricted": "--restricted false", "--uhf": "--method uhf",
    "--rohf": "--method rohf", "--uks": "--restricted false",
    "--field": "--electric-field", "--df": "--density-fit", "--ri": "--density-fit",
    "--aux": "--density-fit", "--auxbasis": "--density-fit", "--cartesian": "--cart",
    "--grid": "--grid-level", "--d3": "--dispersion d3bj", "--d4": "--dispersion d4",
    "--maxiter": "--max-cycle", "--max-iter": "--max-cycle", "--iterations": "--max-cycle",
    "--conv": "--energy-tol", "--tol": "--energy-tol", "--initial-guess": "--guess",
    "--init-guess": "--guess", "--restart": "--guess", "--chk": "--checkpoint",
    "--newton": "--solver second-order", "--spectrum": "--plot",
}  # fmt: skip
"""What other programs call them."""

_BEFORE = ("-h", "--help", "--version")
"""Options without a command."""

_MULTIPLICITY = ("--multiplicity", "--mult")


def check(
    parser: ArgumentParser, commands: Mapping[str, ArgumentParser], tokens: Sequence[str]
) -> None:
    """Leave by SystemExit, with the nearest known name, at what no parser knows."""
    at = next((i for i, token in enumerate(tokens) if not token.startswith("-")), len(tokens))
    early = [token for token in tokens[:at] if token not in _BEFORE]
    if early:
        parser.error(f"option {early[0]} stands before the command: dqc-lite COMMAND FILE OPTIONS")
    if at == len(tokens):
        return
    if tokens[at] not in commands:
        parser.error(_unknown_command(tokens[at], list(commands)))
    command = commands[tokens[at]]
    known = _options(command)
    for i, token in enumerate(tokens[at + 1 :], at + 1):
        if token == "--":
            return
        name = token.partition("=")[0]
        if _is_option(token) and name not in known:
            value = [*token.split("=", 1)[1:], *tokens[i + 1 : i + 2], ""][0]
            command.error(_unknown_option(name, value, known, commands))


def _options(parser: ArgumentParser) -> list[str]:
    """Those of a command, as its help names them."""
    return re.findall(r"(?<![\w-])--?[a-z](?:[a-z-]*[a-z])?(?![\w-])", parser.format_help())


def _is_option(token: str) -> bool:
    return re.match(r"--?[A-Za-z]", token) is not None and " " not in token


def _unknown_command(name: str, commands: Sequence[str]) -> str:
    if Path(name).suffix or Path(name).is_file():
        return f"{name!r} is no command; one comes before the file: dqc-lite energy {name}"
    known = {command: command for command in commands} | COMMANDS
    plain = name.lower().replace("_", "-")
    near = [known[plain]] if plain in known else _near(plain, known)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"there is no command {name!r}; {meant}commands: {', '.join(commands)}"


def _unknown_option(
    name: str, value: str, known: Sequence[str], commands: Mapping[str, ArgumentParser]
) -> str:
    plain = name.lower().replace("_", "-")
    plain = plain if len(plain) == 2 or plain.startswith("--") else f"-{plain}"
    if plain in _MULTIPLICITY and "--spin" in known:
        unpaired = f" {int(value) - 1}" if re.fullmatch("[1-9][0-9]?", value) else ""
        return f"there is no option {name}; give --spin{unpaired} (2S, the multiplicity less 1)"
    others = [command for command, parser in commands.items() if plain in _options(parser)]
    if others and plain not in known:
        return f"{name} is an option of {', '.join(others)}"
    meant = {o: m for o, m in OPTIONS.items() if m.split()[0] in known} | {o: o for o in known}
    near = [meant[plain]] if plain in meant else _near(plain, meant)
    more = f"did you mean {near[0]}?" if near else "--help lists those there are"
    return f"there is no option {name}; {more}"


def _near(name: str, known: Mapping[str, str]) -> list[str]:
    return [known[close] for close in difflib.get_close_matches(name, known, 1)]
