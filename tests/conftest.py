"""Double precision everywhere, and shape annotations checked while the tests run."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jaxtyping

# Not the classes that JAX also fills with tangents and placeholders (Molecule, Basis, Problem),
# nor the functions that check the input of users themselves. The linear algebra and the general
# integrals pass NumPy scalars in places and are not checked yet.
CHECKED = [
    "dqc_lite.density",
    "dqc_lite.integrals.differentials",
    "dqc_lite.integrals.host.values",
    "dqc_lite.integrals.operators",
    "dqc_lite.jk",
    "dqc_lite.scf",
    "dqc_lite.terms",
]
jaxtyping.install_import_hook(CHECKED, "beartype.beartype")

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "standard")

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import derivative_table
import pytest

from dqc_lite.autodiff import jit as jit_options

OPTIMIZATION_LEVEL = "xla_backend_optimization_level"
MEMORY_LIMIT = 2 * 2**30
"""Bytes of one test process, beyond which compiled programs are dropped between files."""


@pytest.fixture(autouse=True, scope="module")
def _bounded_memory() -> Iterator[None]:
    yield
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    if pages * os.sysconf("SC_PAGE_SIZE") > MEMORY_LIMIT:
        jax.clear_caches()


def _default_set(config: pytest.Config) -> bool:
    return config.option.markexpr == "not slow"


def pytest_configure(config: pytest.Config) -> None:
    """Programs of the default set are compiled far longer than they run: what names no compiler
    options of its own gets those of small programs, here and in subprocesses. The slow set keeps
    XLA's own. XLA reads the variable when the first array is made.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if _default_set(config) and OPTIMIZATION_LEVEL not in flags:
        options = ((OPTIMIZATION_LEVEL, 0), *jit_options.emitters("cpu"))
        quick = [f"--{name}={str(value).lower()}" for name, value in options]
        os.environ["XLA_FLAGS"] = " ".join([flags, *quick])


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "write the derivatives that the tests have shown to this file"
    parser.addoption("--derivative-table", metavar="FILE", help=text)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file goes to one process, whose compiled programs and fixtures its tests share (the long
    files of the slow set do not).
    """
    from xdist.scheduler import LoadFileScheduling

    whole_files = _default_set(config) and config.option.dist == "load"
    return LoadFileScheduling(config, log) if whole_files else None


@pytest.fixture
def compiled_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """For tests that run each program once: less optimization of larger ones, too."""
    slow = request.node.get_closest_marker("slow") is not None
    with contextlib.nullcontext() if slow else jit_options.evaluated_once():
        yield


@pytest.fixture
def shown(record_property: Callable) -> Callable:
    """``shown(mol, method, molecule, quantity, wrt, order, mode, error)``: what was compared."""

    def record(mol, method, molecule, quantity, wrt, order, mode, error) -> None:
        row = {
            "method": derivative_table.method_name(mol, method), "molecule": molecule,
            "quantity": quantity, "wrt": wrt, "order": order, "mode": mode, "error": float(error),
        }  # fmt: skip
        record_property(derivative_table.PROPERTY, row)

    return record


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    file = config.getoption("--derivative-table")
    if file is not None:
        path = pathlib.Path(file)
        rows = derivative_table.rows(terminalreporter.stats.get("passed", []))
        before = path.read_text() if path.exists() else ""
        path.write_text(derivative_table.table(rows, before))


_COMPILATIONS: list[str] = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: _COMPILATIONS.append(event) if "backend_compile" in event else None
)


@pytest.fixture
def compilations() -> Callable[[], contextlib.AbstractContextManager[Callable[[], int]]]:
    """``with compilations() as count: ...; count()``: XLA compilations since the block began."""

    @contextlib.contextmanager
    def counting() -> Iterator[Callable[[], int]]:
        start = len(_COMPILATIONS)
        yield lambda: len(_COMPILATIONS) - start

    return counting
