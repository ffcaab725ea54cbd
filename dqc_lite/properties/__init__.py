"""Observables: derivatives of `dqc_lite.energy`, expectation values of `dqc_lite.density_matrix`.

Each is written once for all methods. Second derivatives along positions and field, and only they,
have an assembly of their own (`dqc_lite.properties.second_order`), which equals ``jax.hessian`` of
the energy and shares its integrals and linear equations among all directions.
"""
