"""examples/vibrations.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[2] / "examples" / "vibrations.py"


def test_vibrations_of_water_and_heavy_water() -> None:
    """Newton's method converges, and the frequencies obey the product rule of isotopes.

    Teller and Redlich: the ratio of the products of frequencies follows from masses and moments of
    inertia alone (Wilson, Decius, Cross, *Molecular Vibrations*, sec. 8-5).
    """
    forces, spectra = runpy.run_path(str(EXAMPLE))["main"]()
    assert forces[-1] < 1e-6 < forces[0]
    light, heavy = spectra["H2O"], spectra["D2O"]

    def rigid(v) -> float:
        center = v.masses @ v.positions / v.masses.sum()
        r = v.positions - center
        second = np.einsum("a,ax,ay->xy", v.masses, r, r)
        inertia = np.linalg.det(np.trace(second) * np.eye(3) - second)
        return np.sqrt(v.masses.sum() ** 3 * inertia / (v.masses**3).prod())

    ratio = np.prod(light.frequencies / heavy.frequencies)
    np.testing.assert_allclose(ratio, rigid(light) / rigid(heavy), rtol=1e-6)
