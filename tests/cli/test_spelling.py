"""Commands and options that do not exist, and what is proposed in their place."""

import contextlib
import io
import subprocess
import sys

import hypothesis
import pytest
from hypothesis import strategies as st

from dqc_lite.cli import arguments, main, spelling

COMMANDS = ("energy", "forces", "check-grad", "freq", "fit")


def refused(capsys, *argv):
    """The message; its last line."""
    with pytest.raises(SystemExit) as leaving:
        main(argv)
    captured = capsys.readouterr()
    assert (leaving.value.code, captured.out) == (2, "")
    assert captured.err.startswith("usage: dqc-lite")
    return captured.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("enrgy", "energy"), ("Energy", "energy"), ("force", "forces"), ("gradient", "forces"),
        ("frequencies", "freq"), ("hessian", "freq"), ("check_grad", "check-grad"),
        ("train", "fit"), ("single_point", "energy"),
    ],
)  # fmt: skip
def test_commands(capsys, given, meant):
    assert f"there is no command {given!r}; did you mean {meant}?" in refused(capsys, given, "a")


def test_a_file_in_the_place_of_the_command(capsys):
    assert "dqc-lite energy water.xyz" in refused(capsys, "water.xyz", "--basis", "sto-3g")


def test_an_option_in_the_place_of_the_command(capsys):
    assert "option --basis stands before" in refused(capsys, "--basis", "x", "energy", "water.xyz")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--functional", "pbe"], "did you mean --xc?"),
        (["--functional=pbe"], "did you mean --xc?"),
        (["-xc", "pbe"], "did you mean --xc?"),
        (["--BASIS", "x"], "did you mean --basis?"),
        (["--bassis", "x"], "did you mean --basis?"),
        (["-basis", "x"], "did you mean --basis?"),
        (["-b", "x"], "did you mean --basis?"),
        (["--grid_level", "3"], "did you mean --grid-level?"),
        (["--max-cycles", "3"], "did you mean --max-cycle?"),
        (["--densityfit"], "did you mean --density-fit?"),
        (["--ri"], "did you mean --density-fit?"),
        (["--d3"], "did you mean --dispersion d3bj?"),
        (["--uhf"], "did you mean --method uhf?"),
        (["--multiplicity", "3"], "give --spin 2 (2S"),
        (["--multiplicity=1"], "give --spin 0 (2S"),
        (["--multiplicity", "triplet"], "give --spin (2S"),
        (["--wrt", "charges"], "--wrt is an option of check-grad"),
        (["--zzz"], "--help lists those there are"),
    ],
)
def test_options(capsys, argv, message):
    line = refused(capsys, "energy", "water.xyz", *argv)
    assert message in line
    assert argv[0].split("=")[0] in line


def test_a_wrong_option_goes_before_one_that_is_missing(capsys):
    assert "did you mean --config?" in refused(capsys, "fit", "--confg", "x.toml")


def test_what_is_proposed_exists():
    _, commands = arguments.build_parsers()
    assert set(commands) == set(COMMANDS)
    assert set(spelling.COMMANDS.values()) <= set(COMMANDS)
    known = {option for command in commands.values() for option in spelling._options(command)}
    assert {meant.split()[0] for meant in spelling.OPTIONS.values()} <= known
    assert not known & (set(spelling.OPTIONS) | set(spelling.COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_known(command):
    """What argparse accepts and what the check lets through are the same."""
    parser = arguments.build_parsers()[1][command]
    for option in spelling._options(parser):
        if option not in ("-h", "--help"):
            _, rest = parser.parse_known_args(_complete(parser, command, option))
            assert rest == []


def _complete(parser, command, option):
    needed = ["--config", "x"] if command == "fit" else ["a.xyz"]
    for values in ([], ["1"], ["1", "1", "1"], ["true"], ["positions"], ["auto"]):
        try:
            parser.parse_known_args([*needed, option, *values])
        except SystemExit:
            continue
        return [*needed, option, *values]
    raise AssertionError(option)


@hypothesis.given(st.text("abcdefghijklmnopqrstuvwxyz-_", min_size=1, max_size=12))
def test_any_other_word_is_refused(word):
    _, commands = arguments.build_parsers()
    with contextlib.redirect_stderr(io.StringIO()):
        if f"--{word}" in spelling._options(commands["energy"]):
            return
        hypothesis.assume(word.strip("-_") == word)
        with pytest.raises(SystemExit) as leaving:
            arguments.parse(["energy", "a.xyz", f"--{word}", "1"])
    assert leaving.value.code == 2


@pytest.mark.parametrize("module", ["dqc_lite", "dqc_lite.cli"])
def test_help_without_arguments(module):
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("field", ["-1e-3", "-inf", "-NaN"])
def test_negative_numbers_are_no_options(capsys, field):
    argv = ["energy", "a.xyz", "--electric-field", "0", "0", field]
    if field == "-1e-3":
        assert arguments.parse(argv).electric_field == [0.0, 0.0, -1e-3]
    else:
        assert "is not a finite number" in refused(capsys, *argv)
