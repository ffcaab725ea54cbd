"""Sphinx configuration: ``python -m pip install '.[docs]' && sphinx-build docs docs/_build``."""

project = "dqc_lite"
author = "the dqc_lite developers"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
