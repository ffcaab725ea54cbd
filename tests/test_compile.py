"""How much programs are optimized, by their work and by how often they will run."""

import pytest

from dqc_lite.autodiff import jit as jit_options

LEVEL = "xla_backend_optimization_level"


def level(numbers):
    return dict(jit_options.options_for(numbers)).get(LEVEL)


def test_more_work_is_optimized_more():
    assert [level(n) for n in (1e5, 3e6, 5e7)] == [0, 1, None]


def test_what_runs_once_is_optimized_where_running_takes_longer_than_compiling():
    with jit_options.evaluated_once():
        assert [level(n) for n in (1e5, 3e6, 1.7e7, 5e7)] == [0, 0, 1, None]


def test_programs_after_the_one_that_runs_once_are_as_before():
    with pytest.raises(ZeroDivisionError), jit_options.evaluated_once():
        raise ZeroDivisionError
    assert level(3e6) == 1
