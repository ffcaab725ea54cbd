"""JAX for a command-line process: double precision and a cache of compiled programs on disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jax

from dqc_lite.molecule import enable_x64

CACHE_VARIABLE = "DQC_LITE_CACHE_DIR"


def set_up(use_cache: bool) -> Path | None:
    """Switch on double precision and the cache; returns the folder of the cache, if there is one.

    The folder is ``$DQC_LITE_CACHE_DIR``, else ``$XDG_CACHE_HOME/dqc_lite``, else
    ``~/.cache/dqc_lite``, and in it one folder for each version of JAX. An explicit
    ``JAX_COMPILATION_CACHE_DIR`` of the user goes before the last two.
    """
    enable_x64()
    if not use_cache:
        jax.config.update("jax_enable_compilation_cache", False)
        return None
    try:
        folder = _made(cache_folder())
    except (OSError, RuntimeError) as error:
        print(f"warning: no cache of compiled programs: {error}", file=sys.stderr)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def cache_folder() -> Path:
    """Where compiled programs are kept. RuntimeError when there is no home folder."""
    own, jaxs = os.environ.get(CACHE_VARIABLE), os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if jaxs and not own:
        return Path(jaxs)
    if own:
        base = Path(own).expanduser()
    else:
        shared = os.environ.get("XDG_CACHE_HOME")
        base = (Path(shared) if shared else Path.home() / ".cache") / "dqc_lite"
    return base / f"jax-{jax.__version__}"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{str(folder)!r} is not writable; set {CACHE_VARIABLE}")
    return folder
