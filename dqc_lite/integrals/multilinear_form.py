"""Multilinear forms of integrals as one JAX primitive, closed under differentiation.

With slots k = 1..K (2, 3 or 4 sets of raw shells, linear in their coefficients c_k) and a dual
tensor X, an integral I defines ``M(c_1..c_K, X) = sum X_{i1..iK} I_{i1..iK}(c_1..c_K)``. A form is
the gradient of M with respect to the one argument left out: X omitted, the tensor I; c_k omitted, a
vector like c_k. The transpose of a form with respect to a linear argument is a form with another
argument omitted; its derivative along centres or exponents is a form over shifted shells. So jvp,
transpose and every nesting of them stay among forms, which a custom_jvp would not give: JAX inlines
its body when it transposes.

One evaluation of the primitive is one host call and serves many forms. A derivative adds at most
two: one for forms that do not depend on tangents, one for forms linear in them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from dqc_lite._types import Array, Float
from dqc_lite.integrals import cartesian
from dqc_lite.integrals.cartesian import RawLayout


@runtime_checkable
class Evaluator(Protocol):
    """What a form needs to know of its operator; hashable.

    Attributes:
        components: leading components of the integral (per point, with points).
        permutations: orders of the slots under which the integral does not change.
    """

    @property
    def components(self) -> int: ...

    @property
    def permutations(self) -> tuple[tuple[int, ...], ...]: ...

    def check(self, layouts: Sequence[RawLayout]) -> None: ...  # raises if it cannot evaluate

    def evaluate(self, job: Job, operands: Sequence[np.ndarray | None]) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class Job:
    """A form without its arrays: static, a jit key.

    `operands` holds, for each slot, centres (atom, 3), exponents (prim,) and coefficients
    (coefficient,), then points (point, 3) or None, None, and the dual tensor (lead, n_1..n_K):
    here the positions of these arrays in an argument list, in `Form` the arrays themselves.
    The linear operands are every third; the one that is None is the output.
    """

    operator: Evaluator
    layouts: tuple[RawLayout, ...]
    operands: tuple[int | None, ...]

    @property
    def nslot(self) -> int:
        return len(self.layouts)

    @functools.cached_property
    def omitted(self) -> int:
        """The slot whose coefficients are the output; the number of slots for the dual."""
        return self.operands[2::3].index(None)

    def slot(self, k: int) -> tuple:
        return self.layouts[k], *self.operands[3 * k : 3 * k + 3]

    def pick(self, arrays: Sequence[Any]) -> tuple:
        return tuple(None if i is None else arrays[i] for i in self.operands)

    def shape(self, operands: Sequence[Any]) -> tuple[int, ...]:
        if self.omitted < self.nslot:
            return (len(self.layouts[self.omitted].exponent),)
        points = operands[3 * self.nslot]
        lead = self.operator.components * (1 if points is None else points.shape[0])
        return (lead, *(layout.ncomponent for layout in self.layouts))

    def orbit(self, k: int) -> dict[int, tuple[int, ...]]:
        """Slots that are slot k again, each with the order of axes that exchanges them."""
        if self.omitted < self.nslot:
            return {k: tuple(range(self.nslot))}
        slots = [self.slot(i) for i in range(self.nslot)]
        found: dict[int, tuple[int, ...]] = {}
        for order in self.operator.permutations:
            if all(slots[i] == slots[j] for i, j in enumerate(order)):
                found.setdefault(order.index(k), order)
        return found


class Form(NamedTuple):
    """A `Job` with its arrays, while tracing."""

    operator: Evaluator
    layouts: tuple[RawLayout, ...]
    operands: tuple[Any, ...]

    def with_operand(self, position: int, value: Any) -> Form:
        operands = list(self.operands)
        operands[position] = value
        return self._replace(operands=tuple(operands))

    def with_slot(self, k: int, layout: RawLayout, coefficients: Any) -> Form:
        layouts = list(self.layouts)
        layouts[k] = layout
        return self.with_operand(3 * k + 2, coefficients)._replace(layouts=tuple(layouts))


def evaluate(forms: Sequence[Form]) -> list[Array]:
    """All forms in one host call; what could fail there is checked here, while tracing."""
    for f in forms:
        f.operator.check(f.layouts)
    arrays: list[Any] = []
    position: dict[int, int] = {}

    def index(array: Any) -> int | None:
        if array is None:
            return None
        if id(array) not in position:
            position[id(array)] = len(arrays)
            arrays.append(array)
        return position[id(array)]

    jobs = tuple(Job(f.operator, f.layouts, tuple(map(index, f.operands))) for f in forms)
    return form_p.bind(*arrays, jobs=jobs) if jobs else []


# --- the primitive ------------------------------------------------------------------------------


def host_evaluate(jobs: tuple[Job, ...], *arrays: Any) -> list[np.ndarray]:
    """The host call: NumPy in, NumPy out."""
    arrays = tuple(np.asarray(a) for a in arrays)
    return [job.operator.evaluate(job, job.pick(arrays)) for job in jobs]


def _eager(*arrays: Any, jobs: tuple[Job, ...]) -> list[Array]:
    return [jnp.asarray(out) for out in host_evaluate(jobs, *arrays)]


def _callback(*arrays: Any, jobs: tuple[Job, ...]) -> list[Array]:
    outputs = [jax.ShapeDtypeStruct(job.shape(job.pick(arrays)), jnp.float64) for job in jobs]
    call = functools.partial(_call, jobs)
    return jax.pure_callback(call, outputs, *arrays, vmap_method="sequential")


def _call(jobs: tuple[Job, ...], *arrays: Any) -> list[np.ndarray]:
    return host_evaluate(jobs, *arrays)


def _abstract(*avals: Any, jobs: tuple[Job, ...]) -> list[Any]:
    return [jax.core.ShapedArray(job.shape(job.pick(avals)), jnp.dtype("float64")) for job in jobs]


def _batch(arrays: Sequence[Any], axes: Sequence[Any], *, jobs: tuple[Job, ...]) -> tuple:
    mapped = [i for i, axis in enumerate(axes) if axis is not None]

    def one(slices: list[Array]) -> list[Array]:
        merged = list(arrays)
        for i, piece in zip(mapped, slices, strict=True):
            merged[i] = piece
        return form_p.bind(*merged, jobs=jobs)

    outputs = jax.lax.map(one, [jnp.moveaxis(arrays[i], axes[i], 0) for i in mapped])
    return outputs, [0] * len(jobs)


def _transpose(cotangents: Sequence[Any], *arrays: Any, jobs: tuple[Job, ...]) -> list[Any]:
    forms: list[Form] = []
    targets: list[int] = []
    for job, cotangent in zip(jobs, cotangents, strict=True):
        linear = [q for q, i in enumerate(job.operands) if i is not None and _undefined(arrays[i])]
        if isinstance(cotangent, ad.Zero) or not linear:
            continue
        (q,) = linear  # a form of a tangent is linear in that one operand
        form = Form(job.operator, job.layouts, job.pick(arrays))
        forms.append(form.with_operand(3 * job.omitted + 2, cotangent).with_operand(q, None))
        target = job.operands[q]
        assert target is not None
        targets.append(target)
    results = [ad.Zero(a.aval) if _undefined(a) else None for a in arrays]
    for target, value in zip(targets, evaluate(forms), strict=True):
        results[target] = _add(results[target], value)
    return results


def _undefined(array: Any) -> bool:
    return ad.is_undefined_primal(array)


def _add(a: Any, b: Any) -> Any:
    return b if isinstance(a, ad.Zero) else a + b


# --- derivative ---------------------------------------------------------------------------------


class Term(NamedTuple):
    """``finish(value of form)`` is a part of a tangent; `linear`: the form depends on tangents."""

    form: Form
    finish: Callable[[Array], Array]
    linear: bool


def _jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, jobs: tuple[Job, ...]
) -> tuple[list[Array], list[Any]]:
    outputs = form_p.bind(*primals, jobs=jobs)
    moving = [None if isinstance(t, ad.Zero) else t for t in tangents]
    owners, terms = [], []
    for owner, job in enumerate(jobs):
        form = Form(job.operator, job.layouts, job.pick(primals))
        for term in _terms(job, form, job.pick(moving)):
            owners.append(owner)
            terms.append(term)
    results = [ad.Zero(jax.core.ShapedArray(o.shape, o.dtype)) for o in outputs]
    for linear in (False, True):
        chosen = [i for i, term in enumerate(terms) if term.linear == linear]
        values = evaluate([terms[i].form for i in chosen])
        for i, value in zip(chosen, values, strict=True):
            results[owners[i]] = _add(results[owners[i]], terms[i].finish(value))
    return outputs, results


def _terms(job: Job, form: Form, moving: Sequence[Any]) -> Iterable[Term]:
    """The parts of the tangent of one form; identical slots are differentiated once."""
    if moving[-1] is not None:
        yield Term(form.with_operand(-1, moving[-1]), lambda value: value, True)
    for k in range(job.nslot):
        orbit = job.orbit(k)
        if min(orbit) < k:
            continue
        centers, exponents, coefficients = moving[3 * k : 3 * k + 3]
        terms = []
        if coefficients is not None:
            terms.append(Term(form.with_operand(3 * k + 2, coefficients), lambda v: v, True))
        velocity = _velocity(form, k, centers, moving[3 * job.nslot])
        if velocity is not None:
            terms.append(_center_term(form, job.omitted, k, velocity))
        if exponents is not None:
            terms.append(_exponent_term(form, job.omitted, k, exponents))
        orders = list(orbit.values())
        yield from (Term(t.form, _symmetrized(t.finish, orders), t.linear) for t in terms)


def _symmetrized(finish: Callable, orders: list[tuple[int, ...]]) -> Callable[[Array], Array]:
    def total(value: Array) -> Array:
        part = finish(value)
        if len(orders) == 1:
            return part
        parts = (jnp.transpose(part, (0, *(1 + i for i in order))) for order in orders)
        return jnp.asarray(sum(parts))

    return total


def _velocity(form: Form, k: int, centers: Any, points: Any) -> Float[Array, "_ _ 3"] | None:
    """(lead or 1, component, 3) motion of the functions of slot k relative to the points.

    An integral around a point depends on positions relative to it only (translational
    invariance), so moving the point is moving all functions backwards.
    """
    layout, velocity = form.layouts[k], None
    if centers is not None:
        velocity = centers[layout.atom[layout.component_shell]][None]
    if points is not None:
        apart = -jnp.repeat(points, form.operator.components, axis=0)[:, None]
        apart = jnp.broadcast_to(apart, (apart.shape[0], layout.ncomponent, 3))
        velocity = apart if velocity is None else velocity + apart
    return velocity


def _center_term(form: Form, omitted: int, k: int, velocity: Array) -> Term:
    layout, shift = form.layouts[k], cartesian.gradient(form.layouts[k])
    exponents, coefficients = form.operands[3 * k + 1 : 3 * k + 3]
    factor = jnp.where(shift.raised, 2.0 * exponents[shift.layout.exponent], 1.0)
    shifted = None if k == omitted else coefficients[shift.source] * factor
    moved = form.with_slot(k, shift.layout, shifted)
    contract = functools.partial(cartesian.contract, layout=layout, kind="gradient", axis=k + 1)
    if omitted == len(form.layouts):
        return Term(moved, lambda value: contract(value, velocity), False)
    moved = moved.with_operand(-1, _dual(contract, moved, form.operands[-1], velocity))
    if k != omitted:
        return Term(moved, lambda value: value, True)
    empty = jnp.zeros(len(layout.exponent))
    return Term(moved, lambda value: empty.at[shift.source].add(factor * value), True)


def _exponent_term(form: Form, omitted: int, k: int, exponents: Array) -> Term:
    layout, shift = form.layouts[k], cartesian.radial(form.layouts[k])
    coefficients = form.operands[3 * k + 2]
    factor = -exponents[layout.exponent]
    moved = form.with_slot(k, shift.layout, None if k == omitted else coefficients * factor)
    contract = functools.partial(cartesian.contract, layout=layout, kind="radial", axis=k + 1)
    one = jnp.ones((1, layout.ncomponent, 1))
    if omitted == len(form.layouts):
        return Term(moved, lambda value: contract(value, one), True)
    moved = moved.with_operand(-1, _dual(contract, moved, form.operands[-1], one))
    if k != omitted:
        return Term(moved, lambda value: value, True)
    return Term(moved, lambda value: factor * value, False)


def _dual(contract: Callable, moved: Form, dual: Array, velocity: Array) -> Array:
    """The dual tensor over shifted shells that does to them what `dual` does to the derivative."""
    shape = (dual.shape[0], *(layout.ncomponent for layout in moved.layouts))
    like = jax.ShapeDtypeStruct(shape, dual.dtype)
    (shifted,) = jax.linear_transpose(lambda value: contract(value, velocity), like)(dual)
    return shifted


form_p = Primitive("gaussian_integral_form")
form_p.multiple_results = True
form_p.def_impl(_eager)
form_p.def_abstract_eval(_abstract)
ad.primitive_jvps[form_p] = _jvp
ad.primitive_transposes[form_p] = _transpose
batching.primitive_batchers[form_p] = _batch
mlir.register_lowering(form_p, mlir.lower_fun(_callback, multiple_results=True))
