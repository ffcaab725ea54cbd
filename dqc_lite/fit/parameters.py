"""Which numbers of a functional are trained, and between which bounds.

Optimizers see a vector x without bounds; the parameters are ``value(x)``, entry by entry x itself,
``lower + softplus(x)``, ``upper - softplus(x)`` or ``lower + (upper - lower) sigmoid(x)``.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dqc_lite._types import Array, Float
from dqc_lite.errors import FunctionalError, InputError
from dqc_lite.xc.functional import Functional

Bounds = Mapping[str, tuple[float | None, float | None]]


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Trained numbers of a functional.

    Attributes:
        names: of each number.
        start: (parameter,) starting values.
        lower, upper: (parameter,) bounds, infinite where there are none.
        build: the functional from a vector of values.
    """

    names: tuple[str, ...]
    start: Float[np.ndarray, " parameter"]
    lower: Float[np.ndarray, " parameter"]
    upper: Float[np.ndarray, " parameter"]
    build: Callable[[Array], Functional]

    @classmethod
    def select(
        cls,
        functional: Functional | str,
        patterns: str | Sequence[str] = "*",
        bounds: Bounds | None = None,
    ) -> Parameters:
        """Parameters of a functional by name.

        Args:
            functional: where they are taken from; its other numbers stay as they are.
            patterns: shell patterns of names: ``"gga_x_pbe.*"``, ``"weight.lda_x"``,
                ``"exact_exchange"``; `list_parameters` shows all names.
            bounds: pattern -> (lower, upper), None for no bound.

        Raises:
            InputError: a pattern that matches nothing, values outside of their bounds.
        """
        from dqc_lite.xc.names import functional as by_name

        functional = by_name(functional)
        patterns = _patterns(patterns)
        names, leaves, treedef = _named_leaves(functional)
        for pattern in patterns:
            if not fnmatch.filter(names, pattern):
                raise InputError(
                    f"parameters = {pattern!r} matches nothing; the functional has "
                    f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}."
                )
        chosen = [
            i for i, name in enumerate(names)
            if _trainable(leaves[i]) and any(fnmatch.fnmatchcase(name, p) for p in patterns)
        ]  # fmt: skip
        if not chosen:
            raise InputError(f"parameters = {list(patterns)}: these are no numbers to train.")
        fixed = [jnp.asarray(x, float) if _trainable(x) else x for x in leaves]
        shapes = [np.shape(leaves[i]) for i in chosen]
        sizes = [math.prod(shape) for shape in shapes]

        def build(values: Array) -> Functional:
            merged, at = list(fixed), 0
            for i, shape, size in zip(chosen, shapes, sizes, strict=True):
                merged[i] = values[at : at + size].reshape(shape)
                at += size
            return jax.tree.unflatten(treedef, merged)

        single = [
            name for i, shape in zip(chosen, shapes, strict=True)
            for name in _entries(names[i], shape)
        ]  # fmt: skip
        start = np.concatenate([np.ravel(np.asarray(leaves[i], float)) for i in chosen])
        return cls._checked(single, start, bounds, build)

    @classmethod
    def of(
        cls,
        build: Callable[..., Functional],
        start: Mapping[str, float],
        bounds: Bounds | None = None,
    ) -> Parameters:
        """Parameters as keyword arguments of a function that makes the functional.

        ``build(**{name: value})`` may tie weights together, as in B3LYP.
        """
        names = list(start)

        def of_vector(values: Array) -> Functional:
            return build(**{name: values[i] for i, name in enumerate(names)})

        return cls._checked(names, np.array([start[n] for n in names], float), bounds, of_vector)

    @classmethod
    def _checked(
        cls, names: list[str], start: np.ndarray, bounds: Bounds | None, build: Callable
    ) -> Parameters:
        lower, upper = np.full(len(start), -np.inf), np.full(len(start), np.inf)
        if not names:
            raise InputError("parameters: there is none; name at least one number to train.")
        for pattern, pair in (bounds or {}).items():
            low, high = _pair(pattern, pair)
            hits = [i for i, name in enumerate(names) if fnmatch.fnmatchcase(name, pattern)]
            if not hits:
                raise InputError(f"bounds of {pattern!r} match no parameter of {names[:12]}.")
            lower[hits], upper[hits] = low, high
        inside = (lower < start) & (start < upper)
        outside = [name for name, good in zip(names, inside, strict=True) if not good]
        if outside:
            raise InputError(
                f"parameters {outside[:5]} do not start strictly between their bounds (or are not "
                "finite); move bounds or start."
            )
        return cls(tuple(names), start, lower, upper, build)

    def __len__(self) -> int:
        return len(self.names)

    def values(self, x: Float[Array, " parameter"]) -> Float[Array, " parameter"]:
        """Parameters of a point of the optimizer."""
        low, high = self.lower, self.upper
        has_low, has_high = np.isfinite(low), np.isfinite(high)
        if not (has_low.any() or has_high.any()):
            return jnp.asarray(x)
        a, b = np.where(has_low, low, 0.0), np.where(has_high, high, 1.0)
        choices = [has_low & has_high, has_low, has_high]
        above, below, between = (
            a + jax.nn.softplus(x), b - jax.nn.softplus(x), a + (b - a) * jax.nn.sigmoid(x),
        )  # fmt: skip
        return jnp.select(choices, [between, above, below], x)

    def point(self, values: Sequence[float] | np.ndarray | None = None) -> np.ndarray:
        """The point of the optimizer of these values; of the starting ones by default."""
        v = np.asarray(self.start if values is None else values, float)
        low, high = self.lower, self.upper
        if v.shape != self.start.shape or not ((low < v) & (v < high)).all():
            raise InputError(f"values must be {self.start.size} numbers within the bounds.")
        with np.errstate(all="ignore"):
            share = (v - low) / (high - low)
            choices = [np.isfinite(low) & np.isfinite(high), np.isfinite(low), np.isfinite(high)]
            inverse = [np.log(share) - np.log1p(-share), _softplus_inverse(v - low),
                       _softplus_inverse(high - v)]  # fmt: skip
        return np.select(choices, inverse, v)

    def functional(self, x: Float[Array, " parameter"]) -> Functional:
        """The functional at a point of the optimizer."""
        return self.build(self.values(x))

    def table(self, x: Float[Array, " parameter"], most: int = 30) -> str:
        """Names, starting and present values."""
        values = np.asarray(self.values(x))
        width = max(len(name) for name in self.names[:most])
        lines = [f"{'parameter':<{width}} {'start':>18} {'value':>18}"]
        for name, start, value in list(zip(self.names, self.start, values, strict=True))[:most]:
            lines.append(f"{name:<{width}} {start:18.10g} {value:18.10g}")
        if len(self) > most:
            lines.append(f"... and {len(self) - most} more")
        return "\n".join(lines)


def _patterns(given: Any) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else given
    if not isinstance(patterns, list | tuple) or not patterns or not all(
        isinstance(p, str) for p in patterns
    ):  # fmt: skip
        raise InputError(
            f"parameters = {given!r}: give a pattern of names or a list of them, such as "
            "['gga_x_pbe.*']."
        )
    return tuple(patterns)


def _pair(pattern: str, pair: Any) -> tuple[float, float]:
    """Lower and upper bound, infinite for None."""
    fits = isinstance(pair, list | tuple) and len(pair) == 2
    if not fits or not all(v is None or _real(v) for v in pair):
        raise InputError(
            f"bounds of {pattern!r} = {pair!r}: give a lower and an upper number, None for no "
            "bound (in a file 'none')."
        )
    return (-np.inf if pair[0] is None else pair[0]), (np.inf if pair[1] is None else pair[1])


def _real(value: Any) -> bool:
    return np.ndim(value) == 0 and isinstance(value, int | float | np.number | jax.Array) and (
        not isinstance(value, bool) and not np.isnan(value)
    )  # fmt: skip


def list_parameters(functional: Functional | str) -> list[str]:
    """Names of the trainable numbers and arrays of a functional."""
    from dqc_lite.xc.names import functional as by_name

    names, leaves, _ = _named_leaves(by_name(functional))
    return [name for name, leaf in zip(names, leaves, strict=True) if _trainable(leaf)]


def three_parameters(functional: Functional | str = "b3lyp") -> Parameters:
    """a0, ax and ac of Becke's three-parameter hybrid (J. Chem. Phys. 98, 5648 (1993)).

    E = (1 - a0 - ax) LDA_x + a0 HF + ax B88 + ac LYP + (1 - ac) VWN, B88 and LYP being whole.
    """
    from dqc_lite.xc.names import functional as by_name

    base = by_name(functional)
    kinds = {"lda_x": "lda_x", "gga_x_b88": "ax", "gga_c_lyp": "ac", "lda_c_vwn": "lda_c"}
    roles = [next((kinds[k] for k in kinds if label.startswith(k)), None) for label in base.labels]
    if sorted(map(str, roles)) != sorted(kinds.values()) or base.exact_exchange is None:
        raise FunctionalError(
            f"functional {base.name!r} has not the form of B3LYP (components {base.labels})."
        )
    weights = dict(zip(roles, map(float, base.weights), strict=True))

    def build(a0: Array, ax: Array, ac: Array) -> Functional:
        mixed = {"lda_x": 1.0 - a0 - ax, "ax": ax, "ac": ac, "lda_c": 1.0 - ac}
        return dataclasses.replace(
            _as_arrays(base), weights=tuple(mixed[r] for r in roles), exact_exchange=a0
        )

    start = {"a0": float(base.exact_exchange), "ax": weights["ax"], "ac": weights["ac"]}
    return Parameters.of(build, start)


def _as_arrays(functional: Functional) -> Functional:
    return jax.tree.map(lambda x: jnp.asarray(x, float) if _trainable(x) else x, functional)


def _trainable(leaf: Any) -> bool:
    if isinstance(leaf, bool):
        return False
    return isinstance(leaf, int | float) or jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)


def _named_leaves(functional: Functional) -> tuple[list[str], list, Any]:
    """Leaves with names: of components by libxc's label, "#2" after a label that comes again."""
    paths, treedef = jax.tree_util.tree_flatten_with_path(functional)
    labels: list[str] = []
    for i, component in enumerate(functional.components):
        label = functional.labels[i] if functional.labels else type(component).__name__.lower()
        again = sum(known.split("#")[0] == label for known in labels)
        labels.append(label if not again else f"{label}#{again + 1}")
    names = []
    for path, _ in paths:
        field, rest = path[0].name, path[1:]
        if field == "components":
            tail = jax.tree_util.keystr(rest[1:]).lstrip(".")
            names.append(f"{labels[rest[0].idx]}.{tail}")
        elif field == "weights":
            names.append(f"weight.{labels[rest[0].idx]}")
        elif field == "nonlocal_correlation":
            names.append(f"nonlocal_correlation.{'bC'[rest[0].idx]}")
        else:
            names.append(field)
    return names, [leaf for _, leaf in paths], treedef


def _entries(name: str, shape: tuple[int, ...]) -> list[str]:
    if not shape:
        return [name]
    return [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(shape)]


def _softplus_inverse(y: np.ndarray) -> np.ndarray:
    return y + np.log(-np.expm1(-y))
