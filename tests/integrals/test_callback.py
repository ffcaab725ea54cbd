"""Host functions inside of compiled programs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ON_ONE_CPU = """
import os
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
import dqc_lite as dqc
dqc.enable_x64()
import jax, jax.numpy as jnp
from dqc_lite.integrals.callback import host_call

def long(x):
    ones = jnp.ones((300, 300)) * x
    return jax.lax.fori_loop(0, 100, lambda i, a: jnp.sin(a @ a), ones)[0, 0]

def with_host(x):
    return host_call(lambda y: y.sum(), (), x + jnp.zeros(200_000))

first, second = jax.jit(long), jax.jit(with_host)
for i in range(5):
    value = second(first(1.0 + i) * 0.0 + 1.0)
    assert float(value) == 200_000.0
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_large_arguments_on_one_cpu() -> None:
    """Without the set-up of `enable_x64` this waits for ever (JAX 0.10.2)."""
    subprocess.run([sys.executable, "-c", ON_ONE_CPU], check=True, timeout=120)
