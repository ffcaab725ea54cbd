"""Numbers, line ends, encodings, labels and counts of xyz text."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dqc_lite as dqc
from dqc_lite import errors
from dqc_lite.geometry import canonical_symbol, isotope_mass, parse_number
from dqc_lite.readers import xyz
from dqc_lite.units import ANGSTROM_IN_BOHR

FINITE = st.floats(-1e5, 1e5, allow_nan=False)
POSITIONS = st.lists(st.tuples(FINITE, FINITE, FINITE), min_size=1, max_size=4)
EXPONENTS = ("e", "E", "D", "d", "*^", "q")
LINE_ENDS = ("\n", "\r\n", "\r")
BLANKS = (" ", "\t", "   ", " \t ")


def written(value: float, exponent: str, minus: str = "-") -> str:
    """17 digits, which is exact, with another exponent than 'e'."""
    return f"{value:.16e}".replace("e", exponent).replace("-", minus)


@settings(deadline=None)
@given(FINITE, st.sampled_from(EXPONENTS), st.sampled_from("-\N{MINUS SIGN}"))
def test_numbers_come_back_exactly(value: float, exponent: str, minus: str) -> None:
    assert parse_number(written(value, exponent, minus)) == value
    assert parse_number(repr(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.173*^-1", 0.1173), ("1.173D-01", 0.1173), ("-1.173d+2", -117.3), ("+.5", 0.5),
        ("5.", 5.0), ("1.0-101", 1e-101), ("-2.5+100", -2.5e100), ("7", 7.0),
    ],
)  # fmt: skip
def test_exponents_of_other_languages(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "1_0", "0x1p3", "1,5", "1e", "*^3", "1.0-1", "***", "\N{EN DASH}1", "\u0661", "1 2"],
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        parse_number(text)


@settings(deadline=None, max_examples=200)
@given(
    POSITIONS, st.sampled_from(EXPONENTS), st.sampled_from(LINE_ENDS), st.sampled_from(BLANKS),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1"]),
    st.text(alphabet="abc \xe9\xe8\xf1\xb0\xb1\xc5,.()", max_size=20), st.integers(0, 3),
)  # fmt: skip
def test_every_way_to_write_a_frame_reads_the_same(
    positions: list, exponent: str, end: str, blank: str, encoding: str, comment: str, empty: int
) -> None:
    rows = [blank.join(["He", *(written(x, exponent) for x in r), "0.5"]) for r in positions]
    text = end.join([str(len(rows)), comment, *rows, *[""] * empty, ""])
    structure = xyz.read(text.encode(encoding))
    assert [atom.position for atom in structure.atoms] == positions
    assert [atom.symbol for atom in structure.atoms] == ["He"] * len(positions)
    assert (structure.charge, structure.spin, structure.unit) == (None, None, "angstrom")


def test_a_file_in_latin_1(tmp_path) -> None:
    path = tmp_path / "water.xyz"
    path.write_bytes(
        b"3\nd\xe9riv\xe9e \xb1 0.1 \xc5\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"
    )
    plain = dqc.Molecule.from_atoms("O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587", "sto-3g")
    np.testing.assert_array_equal(dqc.Molecule.from_xyz(path, "sto-3g").positions, plain.positions)


def test_labels() -> None:
    for label in ("o", "O", "O1", "8", 8, "08", "O_2"):
        assert canonical_symbol(label) == "O"
    for label in ("ghost:O", "ghost-o", "X-O", "Gh(O)", "@O", "ghostO", "GHOST.O"):
        assert canonical_symbol(label) == "GHOST-O"
    for label in ("ghost", "X", "x1", "GHOST1", "ghost-X"):
        assert canonical_symbol(label) == "GHOST-X"
    for label in ("Qq", "", "0", "119", "2H", "13C", "-O", "Bq"):
        with pytest.raises(errors.UnknownElementError, match="unknown"):
            canonical_symbol(label)


def test_deuterium_and_tritium_are_hydrogen_with_their_masses() -> None:
    for label, mass in (("D", 2.01410177812), ("d1", 2.01410177812), ("t", 3.0160492779)):
        assert (canonical_symbol(label), isotope_mass(label)) == ("H", mass)
    for label in ("H", "Dy", "Tl", "ghost-D", 1):
        assert isotope_mass(label) is None
    heavy = dqc.Molecule.from_xyz("3\n\nO 0 0 0\nD 0 0.757 0.587\nH 0 -0.757 0.587\n", "sto-3g")
    assert heavy.symbols == ("O", "H", "H")
    assert heavy.isotope_masses == (None, 2.01410177812, None)
    from dqc_lite.properties.vibrations import atomic_masses

    np.testing.assert_allclose(atomic_masses(heavy), [15.999, 2.01410177812, 1.008])
    isotopes = atomic_masses(heavy, "isotope")
    np.testing.assert_allclose(isotopes, [15.99491461956, 2.01410177812, 1.00782503207])
    np.testing.assert_array_equal(atomic_masses(heavy, [1, 2, 3]), [1, 2, 3])


ATOMS = "O 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"
WRONG = [
    ("2\n\n" + ATOMS, r"line 5: 'H 0 -0\.757 0\.587' follows the announced atoms"),
    ("4\n\n" + ATOMS, r"announces 4 atoms and has 3"),
    ("3\n\n" + ATOMS + "the end\n", r"line 6: 'the end' follows"),
    ("3\n" + ATOMS, r"comment line 'O 0 0 0' is an atom"),
    ("3\n" + ATOMS + "\n\n", r"comment line 'O 0 0 0' is an atom"),
    ("3\n" + ATOMS + "3\n" + ATOMS, r"comment line 'O 0 0 0' is an atom"),
    ("3 water\n\n" + ATOMS, r"number of atoms; got '3 water'"),
    ("1\n\nHe 0 0 1_0\n", r"line 3.*'1_0' is no number"),
    ("1\n\nHe 0 0 ******\n", r"line 3.*'\*\*\*\*\*\*' is no number"),
    ("1\n\nHe 0 0 \N{EN DASH}1\n", r"line 3.*is no number"),
    ("1\n\nHe 0,5 0,5 0,5\n", r"decimal commas"),
    ("1\n\nHe 0 0\n", r"no 'Symbol x y z'"),
    ("1\n\nHe 0 0 0 mass=3.016\n", r"'mass=3.016' after the coordinates"),
    ("2\n\nHe 0 0 0 He 0 0 3\nHe 0 0 6\n", r"more than one atom"),
    ("1\n\nHe 0 0 1e999\n", r"not finite"),
    ("0\n\n", r"no atoms"),
    ("1\nProperties=species:S:1\nHe\n", r"no pos:R:3"),
    ("1\nProperties=species\nHe 0 0 0\n", r"Properties='species' is no list"),
    ("1\nProperties=species:S:1:pos:R:3:forces:R:3\nHe 0 0 0\n", r"4 columns.*announces 7"),
    ("1\nProperties=species:S:1:pos:R:3:Z:I:1\nHe 0 0 0 3\n", r"species 'He' and Z = 3 differ"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_text_is_named(text: str, message: str) -> None:
    with pytest.raises(errors.GeometryError, match=message):
        dqc.Molecule.from_xyz(text, "sto-3g")


def test_what_follows_the_coordinates_and_a_file_of_qm9() -> None:
    rows = "O 0 0 0 -0.4 1 2 3 F\nH 0 0.757 5.87*^-1 0.2\nH\t0\t-0.757\t0.587\t0.2\n"
    tail = "1341.3\t1341.4\t1341.5\nO\tO\nInChI=1S/H2O/h1H2\tInChI=1S/H2O/h1H2\n"
    comment = "gdb 4\t799.58\t437.90\t-76.404702\t\n"
    plain = dqc.Molecule.from_xyz("3\n\n" + ATOMS, "sto-3g")
    for text in ("3\n\n" + rows, f"3\n{comment}{rows}{tail}"):
        mol = dqc.Molecule.from_xyz(text, "sto-3g")
        np.testing.assert_array_equal(mol.positions, plain.positions)
        assert mol.isotope_masses == ()
    assert len(xyz.frames(f"3\n{comment}{rows}" * 3)) == 3
    assert len(xyz.frames(f"3\n{comment}{rows}{tail}" * 2)) == 2


def test_columns_in_any_order() -> None:
    plain = dqc.Molecule.from_xyz("3\n\n" + ATOMS, "sto-3g")
    fields = {"species:S:1": "OHH", "Z:I:1": "811", "pos:R:3": ATOMS.split("\n"), "tag:I:1": "123"}
    fields["pos:R:3"] = [line[2:] for line in fields["pos:R:3"]]
    for names in itertools.permutations(fields, 3):
        if "pos:R:3" not in names or not {"species:S:1", "Z:I:1"} & set(names):
            continue
        rows = "\n".join(" ".join(fields[n][i] for n in names) for i in range(3))
        mol = dqc.Molecule.from_xyz(f"3\nProperties={':'.join(names)}\n{rows}\n", "sto-3g")
        assert mol.symbols == ("O", "H", "H")
        np.testing.assert_array_equal(mol.positions, plain.positions)


def test_positions_in_bohr_if_the_file_says_so() -> None:
    mol = dqc.Molecule.from_xyz(f"2\nunits=bohr\nH 0 0 0\nH 0 0 {ANGSTROM_IN_BOHR}\n", "sto-3g")
    assert float(mol.positions[1, 2]) == ANGSTROM_IN_BOHR
    with pytest.raises(errors.InputError, match="unit = 'nm'"):
        dqc.Molecule.from_xyz("1\nunits=nm\nHe 0 0 0\n", "sto-3g")


def test_entries_of_a_basis_by_other_spellings() -> None:
    text = "O 0 0 0; H 0 0.757 0.587; H 0 -0.757 0.587; ghost-O 0 0 2"
    mol = dqc.Molecule.from_atoms(text, {"o": "sto-3g", 1: "sto-3g", "ghost:o": "6-31g"})
    assert mol.nao == 7 + 9
    with pytest.raises(errors.BasisError, match=r"entry for 'H1'.*single atoms"):
        dqc.Molecule.from_atoms(text, {"H": "sto-3g", "H1": "6-31g", "O": "sto-3g"})
