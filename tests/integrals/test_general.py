"""The general integral primitive: values, derivatives of every kind, and its cost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pyscf.gto
import pytest

from dqc_lite.basis import Basis, Orbitals, orbitals
from dqc_lite.errors import BasisError, ECPError, InputError, PrecisionError
from dqc_lite.integrals import general, multilinear_form
from dqc_lite.integrals.host.layouts import parts

NSLOT = {"int3c2e": 3, "int2e": 4}
ONE_ELECTRON = ["int1e_ovlp", "int1e_kin", "int1e_r", "int1e_rr", "int1e_rrr"]
TWO_ELECTRON = ["int2c2e", "int3c2e", "int2e"]
POINTS = np.array([[0.3, -0.2, 0.5], [1.1, 0.4, -0.6]])


def build(**keywords):
    """A PySCF molecule and the same as orbitals."""
    mole = pyscf.gto.M(verbose=0, unit="Bohr", spin=None, **keywords)
    layout, positions, _, exponents, coefficients = parts(mole)
    basis = Basis(jnp.asarray(exponents), jnp.asarray(coefficients), layout)
    return mole, orbitals(jnp.asarray(positions), basis)


@pytest.fixture(scope="module")
def small():
    """Two atoms off the axes, s, p and d shells, one general contraction, one pure primitive."""
    oxygen = [[0, [1.5, 0.4, 0.1], [0.7, 0.3, -0.4]], [1, [0.8, 1.0]], [2, [0.6, 1.0]]]
    return build(
        atom="O 0.1 0.2 0.3; H 0.7 -0.9 1.1",
        basis={"O": oxygen, "H": [[0, [1.1, 0.5], [0.4, 0.6]]]},
    )


@pytest.fixture(scope="module")
def tiny():
    """Two atoms, an s and a p contraction."""
    return build(
        atom="N 0.1 0.2 0.3; H 0.7 -0.9 1.1",
        basis={"N": [[1, [0.8, 0.6], [0.3, 0.5]]], "H": [[0, [1.1, 0.5], [0.4, 0.6]]]},
    )


@pytest.fixture(scope="module")
def heavy():
    """A molecule with an effective core potential away from the origin."""
    iodine = [[0, [0.9, 1.0]], [1, [0.5, 1.0]], [2, [0.7, 1.0]]]
    return build(
        atom="I 0.1 0.2 0.3; H 1.4 -1.2 2.5",
        basis={"I": iodine, "H": [[0, [1.1, 0.5], [0.4, 0.6]]]},
        ecp={"I": "def2-svp"},
    )


def evaluate(operator, o, **keywords):
    return general.integral(operator, (o,) * NSLOT.get(operator, 2), **keywords)


def scalar(operator, o, **keywords):
    """A random linear functional of an integral and its arguments (tuple of arrays)."""
    arguments = [o.centers, o.exponents, o.coefficients]
    if operator == "int1e_rinv":
        arguments.append(jnp.asarray(POINTS))

    def tensor(centers, exponents, coefficients, points=None):
        moved = Orbitals(centers, exponents, coefficients, o.layout)
        return evaluate(operator, moved, points=points, **keywords)

    shape = jax.eval_shape(tensor, *arguments).shape
    weight = np.random.default_rng(1).standard_normal(shape)
    return lambda *a: jnp.vdot(weight, tensor(*a)), tuple(arguments)


def direction(arguments):
    """Of the size of the arguments' own scale, different in every entry."""
    rng = np.random.default_rng(2)
    return tuple(jnp.asarray(0.3 * rng.standard_normal(a.shape)) for a in arguments)


def along(f, tangents):
    return lambda *a: jax.jvp(f, a, tangents)[1]


def difference(f, arguments, tangents, h=0.02):
    """Central differences extrapolated twice: the error falls as h^6."""

    def at(s):
        return f(*(a + s * t for a, t in zip(arguments, tangents, strict=True)))

    d = [(at(h / 2**i) - at(-h / 2**i)) / (h / 2 ** (i - 1)) for i in range(3)]
    d = [(4 * d[i + 1] - d[i]) / 3 for i in range(2)]
    return (16 * d[1] - d[0]) / 15


def dot(a, b):
    return sum(jnp.vdot(x, y) for x, y in zip(a, b, strict=True))


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cart", [False, True])
@pytest.mark.parametrize("operator", ONE_ELECTRON)
def test_one_electron_up_to_i_shells(operator, cart):
    shells = [[l, [1.5 - 0.1 * l, 0.6, 0.2], [0.4, 0.3, -0.5]] for l in range(7)]
    hydrogen = pyscf.gto.basis.load("cc-pvdz", "H")
    mole, o = build(
        atom="O 0.1 0.2 0.3; H 0.4 -1.2 1.5; ghost-H -1 1.1 0.2",
        basis={"O": shells, "H": hydrogen, "ghost-H": hydrogen},
        cart=cart,
    )
    expected = mole.intor(operator)
    np.testing.assert_allclose(evaluate(operator, o), expected, atol=1e-12 * abs(expected).max())


@pytest.mark.parametrize("cart", [False, True])
@pytest.mark.parametrize("omega", [0.0, 0.3, -0.4])
@pytest.mark.parametrize("operator", TWO_ELECTRON)
def test_two_electron(operator, omega, cart):
    mole, o = build(atom="O 0.1 0.2 0.3; H 0.4 -1.2 1.5", basis="cc-pvdz", cart=cart)
    with mole.with_range_coulomb(omega):
        expected = mole.intor(operator)
    value = evaluate(operator, o, omega=omega)
    np.testing.assert_allclose(value, expected, atol=1e-13 * abs(expected).max())
    if omega:
        assert abs(value - evaluate(operator, o)).max() > 1e-2


def test_nuclear_attraction(small):
    mole, o = small
    value = evaluate("int1e_rinv", o, points=o.centers)
    assert value.shape == (2, mole.nao, mole.nao)
    expected = mole.intor("int1e_nuc")
    np.testing.assert_allclose(-jnp.tensordot(mole.atom_charges(), value, 1), expected, atol=1e-13)
    assert evaluate("int1e_rinv", o, points=jnp.zeros((0, 3))).shape == (0, mole.nao, mole.nao)


def test_multipole_origin(small):
    mole, o = small
    origin = (0.3, -0.4, 0.5)
    with mole.with_common_orig(origin):
        expected = mole.intor("int1e_rr")
    np.testing.assert_allclose(evaluate("int1e_rr", o, origin=origin), expected, atol=1e-13)


def test_different_sets(small, tiny):
    """Orbital and auxiliary basis, and the large bases that take the path by angular momentum."""
    (mole, o), (other, p) = small, tiny
    expected = pyscf.gto.intor_cross("int1e_kin", mole, other)
    np.testing.assert_allclose(general.integral("int1e_kin", (o, p)), expected, atol=1e-13)
    value = general.integral("int3c2e", (o, o, p))
    whole = general.integral("int3c2e", (o, dataclasses.replace(o, centers=o.centers + 0.0), p))
    np.testing.assert_allclose(value, whole, atol=1e-14)
    mole, o = build(atom="Ne 0.1 0.2 0.3; Ne 2 -1 1", basis="cc-pvtz")
    expected = mole.intor("int1e_kin")
    np.testing.assert_allclose(evaluate("int1e_kin", o), expected, atol=1e-12 * abs(expected).max())


def test_ecp_value(heavy):
    mole, o = heavy
    expected = mole.intor("ECPscalar")
    assert abs(expected).max() > 0.1
    np.testing.assert_allclose(evaluate("ECPscalar", o), expected, atol=1e-12)


# --- first derivatives against PySCF ------------------------------------------------------------


def gradient(operator, o, **keywords):
    """d/dR_Ax, (atom, 3, ...)."""
    derivative = jax.jit(
        jax.jacfwd(lambda r: evaluate(operator, dataclasses.replace(o, centers=r), **keywords))
    )(o.centers)
    return jnp.moveaxis(derivative, (-2, -1), (0, 1))


def shell_derivative(mole, bra):
    """From ``<nabla m|...>`` (3, m, ...): the part of d/dR on the first index, (atom, 3, ...)."""
    out = np.zeros((mole.natm, *bra.shape))
    for atom, (_, _, first, last) in enumerate(mole.aoslice_by_atom()):
        out[atom, :, first:last] = -bra[:, first:last]
    return out


@pytest.mark.parametrize("operator", ["ovlp", "kin"])
def test_gradient_one_electron(small, operator):
    mole, o = small
    part = shell_derivative(mole, mole.intor(f"int1e_ip{operator}"))
    expected = part + part.swapaxes(-1, -2)
    np.testing.assert_allclose(gradient(f"int1e_{operator}", o), expected, atol=1e-13)


def test_gradient_nuclear(small):
    """The functions move, the points do not, and the reverse."""
    mole, o = small
    with mole.with_rinv_origin(POINTS[0]):
        bra = mole.intor("int1e_iprinv")
    part = shell_derivative(mole, bra)
    expected = part + part.swapaxes(-1, -2)
    value = gradient("int1e_rinv", o, points=jnp.asarray(POINTS[:1]))[:, :, 0]
    np.testing.assert_allclose(value, expected, atol=1e-13)
    moved = jax.jit(jax.jacfwd(lambda c: evaluate("int1e_rinv", o, points=c)))(jnp.asarray(POINTS))
    np.testing.assert_allclose(
        jnp.moveaxis(moved[0, :, :, 0], -1, 0), bra + bra.swapaxes(1, 2), atol=1e-13
    )
    assert abs(moved[0, :, :, 1]).max() == 0.0


def test_gradient_repulsion(small):
    mole, o = small
    part = shell_derivative(mole, mole.intor("int2e_ip1"))
    expected = part + part.swapaxes(2, 3)
    expected = expected + expected.transpose(0, 1, 4, 5, 2, 3)
    np.testing.assert_allclose(gradient("int2e", o), expected, atol=1e-13)


def test_gradient_three_center(small):
    mole, o = small
    orbital = shell_derivative(mole, mole.intor("int3c2e_ip1"))
    last = shell_derivative(mole, np.moveaxis(mole.intor("int3c2e_ip2"), 3, 1))
    expected = orbital + orbital.swapaxes(2, 3) + np.moveaxis(last, 2, 4)
    np.testing.assert_allclose(gradient("int3c2e", o), expected, atol=1e-13)


def test_gradient_ecp(heavy):
    mole, o = heavy
    part = shell_derivative(mole, mole.intor("ECPscalar_ipnuc"))
    with mole.with_rinv_at_nucleus(0):
        part[0] += mole.intor("ECPscalar_iprinv")
    expected = part + part.swapaxes(-1, -2)
    assert abs(expected).max() > 0.01
    np.testing.assert_allclose(gradient("ECPscalar", o), expected, atol=1e-10)


def test_second_derivative(small):
    """d2/dR_Ax dR_By of the overlap against PySCF's own second derivatives."""
    mole, o = small
    value = jax.jit(
        jax.jacfwd(jax.jacrev(lambda r: evaluate("int1e_ovlp", dataclasses.replace(o, centers=r))))
    )(o.centers)
    both = mole.intor("int1e_ipipovlp").reshape(3, 3, mole.nao, mole.nao)
    split = mole.intor("int1e_ipovlpip").reshape(3, 3, mole.nao, mole.nao)
    m, n = 0, mole.nao - 1  # on atoms 0 and 1
    np.testing.assert_allclose(value[m, n, 0, :, 0, :], both[:, :, m, n], atol=1e-13)
    np.testing.assert_allclose(value[m, n, 0, :, 1, :], split[:, :, m, n], atol=1e-13)


# --- every argument, every order ----------------------------------------------------------------

ORDERS = [("int1e_ovlp", 3), ("int1e_kin", 3), ("int1e_rr", 2), ("int1e_rinv", 3)]
ORDERS += [("int2c2e", 3), ("int3c2e", 2), ("int2e", 2)]
TOLERANCE = {1: 3e-10, 2: 1e-9, 3: 3e-9, 4: 1e-8}


@pytest.mark.parametrize(("operator", "highest"), ORDERS)
def test_orders_against_differences(tiny, operator, highest):
    """Order k along all arguments at once is the difference quotient of order k - 1."""
    f, arguments = scalar(operator, tiny[1])
    f, tangents = jax.jit(f), direction(arguments)
    for order in range(1, highest + 1):
        lower, f = f, jax.jit(along(f, tangents))
        expected = difference(lower, arguments, tangents)
        assert abs(expected) > 1e-3
        np.testing.assert_allclose(f(*arguments), expected, rtol=TOLERANCE[order])


@pytest.mark.parametrize("operator", ["int1e_ovlp", "int1e_kin"])
def test_fourth_order(small, operator):
    """Along centres, shells up to d: the shifted shells go up to l = 6."""
    f, arguments = scalar(operator, small[1])
    tangents = direction(arguments[:1])

    def lower(r):
        return f(r, *arguments[1:])

    for _ in range(3):
        lower = along(lower, tangents)
    expected = difference(jax.jit(lower), arguments[:1], tangents)
    value = jax.jit(along(lower, tangents))(arguments[0])
    np.testing.assert_allclose(value, expected, rtol=TOLERANCE[4])


@pytest.mark.parametrize("argument", [0, 1, 2])
@pytest.mark.parametrize("operator", ["int1e_kin", "int3c2e"])
def test_one_argument(small, operator, argument):
    """Centres, exponents, coefficients alone, with shells up to d."""
    f, arguments = scalar(operator, small[1])
    tangents = [jnp.zeros_like(a) for a in arguments]
    tangents[argument] = direction(arguments)[argument]
    value = jax.jit(jax.grad(f, argnums=argument))(*arguments)
    expected = difference(jax.jit(f), arguments, tangents)
    np.testing.assert_allclose(jnp.vdot(value, tangents[argument]), expected, rtol=1e-9)


def test_ecp_all_arguments(heavy):
    """ECP quadrature is good to about 1e-11, so difference quotients are to about 1e-9."""
    f, arguments = scalar("ECPscalar", heavy[1])
    f, tangents = jax.jit(f), direction(arguments)
    for _ in range(2):
        lower, f = f, jax.jit(along(f, tangents))
        expected = difference(lower, arguments, tangents)
        np.testing.assert_allclose(f(*arguments), expected, rtol=1e-7)


@pytest.mark.parametrize("operator", ["int1e_kin", "int1e_rinv", "int2e"])
def test_forward_is_reverse(tiny, operator):
    """First and second order, four nestings of jvp and grad."""
    f, arguments = scalar(operator, tiny[1])
    tangents = direction(arguments)
    every = tuple(range(len(arguments)))

    def reverse(g):
        return lambda *a: dot(jax.grad(g, argnums=every)(*a), tangents)

    def forward(g):
        return along(g, tangents)

    first = jax.jit(lambda *a: (forward(f)(*a), reverse(f)(*a)))(*arguments)
    np.testing.assert_allclose(first[1], first[0], rtol=1e-13)
    nested = [forward(forward(f)), reverse(forward(f)), forward(reverse(f)), reverse(reverse(f))]
    second = jax.jit(lambda *a: [g(*a) for g in nested])(*arguments)
    np.testing.assert_allclose(second, second[0], rtol=1e-13)


def test_third_order_modes(tiny):
    """jvp of jvp of jvp, jvp of grad of grad, grad of grad of grad along centres and exponents."""
    f, (centers, exponents, coefficients) = scalar("int1e_ovlp", tiny[1])
    arguments = centers, exponents
    tangents = direction(arguments)

    def reverse(g):
        return lambda *a: dot(jax.grad(g, argnums=(0, 1))(*a), tangents)

    def fixed(r, a):
        return f(r, a, coefficients)

    nested = [
        along(along(along(fixed, tangents), tangents), tangents),
        along(reverse(reverse(fixed)), tangents),
        reverse(reverse(reverse(fixed))),
    ]
    values = jax.jit(lambda *a: [g(*a) for g in nested])(*arguments)
    np.testing.assert_allclose(values, values[0], rtol=1e-12)


def test_hessian_modes(tiny):
    f, arguments = scalar("int1e_kin", tiny[1])

    def at(r):
        return f(r, *arguments[1:])

    modes = [jax.jacfwd(jax.jacrev(at)), jax.jacrev(jax.jacfwd(at)), jax.jacrev(jax.jacrev(at))]
    hessians = jax.jit(lambda r: [mode(r) for mode in modes])(arguments[0])
    for hessian in hessians:
        flat = hessian.reshape(6, 6)
        np.testing.assert_allclose(flat, flat.T, atol=1e-13)
        np.testing.assert_allclose(hessian, hessians[0], atol=1e-13)
    # translational invariance
    np.testing.assert_allclose(hessians[0].sum(2), 0.0, atol=1e-12)


def test_jit_and_eager_agree(tiny):
    f, arguments = scalar("int1e_rinv", tiny[1])
    g = jax.value_and_grad(f, argnums=(0, 1, 2, 3))
    for a, b in zip(jax.tree.leaves(g(*arguments)), jax.tree.leaves(jax.jit(g)(*arguments)),
                    strict=True):  # fmt: skip
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def test_vmap_is_a_loop(tiny):
    """Over positions, values and gradients, and over a second argument that is not mapped."""
    f, arguments = scalar("int1e_kin", tiny[1])
    shifts = 0.1 * np.random.default_rng(3).standard_normal((3, *arguments[0].shape))
    batch = arguments[0] + shifts
    g = jax.value_and_grad(lambda r, a: f(r, a, arguments[2]), argnums=(0, 1))
    one = jax.jit(g)
    many = jax.jit(jax.vmap(g, in_axes=(0, None)))(batch, arguments[1])
    for i, centers in enumerate(batch):
        for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one(centers, arguments[1])),
                        strict=True):  # fmt: skip
            np.testing.assert_allclose(a[i], b, rtol=1e-13, atol=1e-14)


# --- cost and refusals --------------------------------------------------------------------------


@pytest.fixture
def host_calls(monkeypatch):
    """The jobs of every host call since the fixture was made."""
    calls, original = [], multilinear_form.host_evaluate

    def counting(jobs, *arrays):
        calls.append(jobs)
        return original(jobs, *arrays)

    monkeypatch.setattr(multilinear_form, "host_evaluate", counting)
    return calls


def test_host_calls_along_centers(tiny, host_calls):
    """Value and all lower orders: at most 1, 2, 4, 8 host calls at orders 0 to 3."""
    f, arguments = scalar("int1e_ovlp", tiny[1])
    tangents = direction(arguments[:1])

    def nest(g):
        return lambda r: jax.jvp(g, (r,), tangents)

    def nested(r):
        return f(r, *arguments[1:])

    for order in range(4):
        traced = str(jax.make_jaxpr(nested)(arguments[0]))
        assert traced.count("gaussian_integral_form[") == 2**order
        host_calls.clear()
        jax.block_until_ready(jax.jit(nested)(arguments[0]))
        assert order < len(host_calls) <= 2**order  # the compiler may merge equal calls
        nested = nest(nested)


@pytest.mark.parametrize("operator", ["int1e_ovlp", "int2e"])
def test_host_calls_of_gradient(tiny, host_calls, operator):
    """Along centres only, no derivative of anything else; equal slots are differentiated once."""
    f, arguments = scalar(operator, tiny[1])
    jax.block_until_ready(jax.jit(jax.value_and_grad(f))(*arguments))
    assert [len(jobs) for jobs in host_calls] == [1, 1]


def test_host_calls_of_hessian(tiny, host_calls):
    """Not more than jvp of jvp, in all arguments; unused values are not evaluated."""
    f, arguments = scalar("int1e_kin", tiny[1])
    jax.block_until_ready(jax.jit(jax.hessian(f))(*arguments))
    assert 1 <= len(host_calls) <= 4


def test_coefficient_blocks(small, monkeypatch):
    """Small blocks over the uncontracted slot give the same gradient as one block."""
    f, arguments = scalar("int3c2e", small[1])
    whole = jax.grad(f, argnums=(1, 2))(*arguments)
    monkeypatch.setattr(general, "BLOCK_ELEMENTS", 3000)
    for a, b in zip(whole, jax.grad(f, argnums=(1, 2))(*arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def test_refuses_what_libcint_cannot(heavy):
    _, o = build(atom="Ne 0 0 0", basis={"Ne": [[12, [1.0, 1.0]]]})
    evaluate("int1e_ovlp", o)
    with pytest.raises(BasisError, match="l = 13"):
        gradient("int1e_ovlp", o)
    _, o = build(
        atom="I 0 0 0", basis={"I": [[6, [1.0, 1.0]]]}, ecp={"I": "def2-svp"}
    )  # PySCF returns 1e113 here
    with pytest.raises(BasisError, match="l = 6 and 6"):
        evaluate("ECPscalar", o)


def test_refuses_arguments(small):
    _, o = small
    with pytest.raises(InputError, match="int1e_nuc"):
        evaluate("int1e_nuc", o)
    with pytest.raises(InputError, match="takes 4 sets of orbitals, got 2"):
        general.integral("int2e", (o, o))
    with pytest.raises(InputError, match="points"):
        evaluate("int1e_rinv", o)
    with pytest.raises(InputError, match="points must be"):
        evaluate("int1e_rinv", o, points=jnp.zeros(3))
    with pytest.raises(InputError, match="origin"):
        evaluate("int1e_ovlp", o, origin=(0.0, 0.0, 1.0))
    with pytest.raises(InputError, match="omega"):
        evaluate("int1e_ovlp", o, omega=0.3)
    with pytest.raises(ECPError, match="none"):
        evaluate("ECPscalar", o)
    with pytest.raises(PrecisionError, match="float32"):
        evaluate("int1e_ovlp", dataclasses.replace(o, centers=o.centers.astype(jnp.float32)))
