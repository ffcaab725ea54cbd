"""The infrared spectrum of water, its isotope effect, and the free energy that follows.

The geometry is first relaxed by Newton steps with exact Hessians: three are enough, and the forces
fall quadratically. Masses enter the vibrations only after the Hessian, so that heavy water costs
nothing more.
"""

from pathlib import Path

import jax.numpy as jnp

import dqc_lite as dqc

dqc.enable_x64()

METHOD = dqc.HF()


def relaxed(mol, steps=4):
    """Newton's method in the space that forces span: the pseudo-inverse leaves rigid motions."""
    largest = []
    for _ in range(steps):
        forces = dqc.forces(mol, METHOD)
        largest.append(float(abs(forces).max()))
        n = 3 * mol.natm
        inverse = jnp.linalg.pinv(dqc.hessian(mol, METHOD).reshape(n, n), rtol=1e-2)
        mol = mol.with_positions(mol.positions + (inverse @ forces.ravel()).reshape(-1, 3))
    return mol, largest


def main():
    water = dqc.Molecule.from_xyz(Path(__file__).parent / "water.xyz", basis="sto-3g")
    water, forces = relaxed(water)
    print("largest force of each step:", " ".join(f"{f:.1e}" for f in forces))
    spectra = {}
    for name, hydrogen in (("H2O", 1.00782503), ("D2O", 2.01410178)):
        masses = [15.99491462, hydrogen, hydrogen]
        spectra[name] = dqc.vibrations(water, METHOD, masses=masses)
        print(name)
        pairs = zip(spectra[name].frequencies, spectra[name].intensities, strict=True)
        for frequency, intensity in pairs:
            print(f"  {frequency:10.2f} cm^-1 {intensity:10.3f} km/mol")
        thermo = dqc.thermochemistry(spectra[name])
        print(f"  G = {thermo.gibbs_energy:.6f} hartree, E0 = {thermo.zero_point_energy:.6f}")
    return forces, spectra


if __name__ == "__main__":
    main()
