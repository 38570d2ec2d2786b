"""The environment notebooks run in, so that a comparison depends on the book and not on whoever runs it.

A pytest plugin, which the root conftest.py loads, and a function for the authoring tool. Kernels inherit it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import MutableMapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

DEFAULTS = {
    "OMP_NUM_THREADS": "1",  # kernels run side by side; a second thread also changes the seventh digit
    "TQDM_DISABLE": "1",  # a progress bar never prints the same thing twice; readers still see theirs
}
"""Used where nothing else is set: `make portability` sets its own number of threads."""

FIXED = {
    "CUDA_VISIBLE_DEVICES": "",  # stored outputs were computed on a CPU, which every machine has
    "HF_HUB_OFFLINE": "1",  # a chapter that needs the network must fail here, not at a reader's desk
    "HF_DATASETS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",  # otherwise it warns on stderr after a fork
    "TZ": "UTC",
}
"""Replaces whatever the user has set."""

REMOVED = (
    "MPLBACKEND",  # any value stops figures from reaching the notebook
    "MKL_NUM_THREADS",  # would overrule OMP_NUM_THREADS
    "PYTHONHASHSEED",  # readers have none: an output that depends on the order of a set must fail
    "PYTHONOPTIMIZE",  # strips the asserts that the claims consist of
    "PYTHONWARNINGS",  # hides or adds stderr
    "COLUMNS",  # wraps tables differently
)
"""Must not reach a kernel. PYTHONPATH does: it says which companion to use."""

QUIET_KERNEL = """\
c.HistoryManager.enabled = False  # kernels side by side would lock each other's history
c.IPKernelApp.log_level = "ERROR"  # no remark about unencrypted local sockets for every notebook
"""


def prepare(environ: MutableMapping[str, str], ipython_dir: Path) -> None:
    """Make `environ` fit to run notebooks.

    Args:
        environ: changed in place; usually `os.environ`.
        ipython_dir: an empty folder, to stand in for the user's IPython profile and its start-up files.
    """
    for name, value in DEFAULTS.items():
        environ.setdefault(name, value)
    environ.update(FIXED)
    for name in REMOVED:
        environ.pop(name, None)
    profile = ipython_dir / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(QUIET_KERNEL, encoding="utf-8")
    environ["IPYTHONDIR"] = str(ipython_dir)
    if matplotlib := find_spec("matplotlib"):  # its own defaults, not the user's matplotlibrc
        folder = Path(matplotlib.submodule_search_locations[0])
        environ["MATPLOTLIBRC"] = str(folder / "mpl-data" / "matplotlibrc")


@cache
def apply() -> None:
    """Prepare this process, once, and thereby every kernel it starts."""
    folder = Path(tempfile.mkdtemp(prefix="book-ipython-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    prepare(os.environ, folder)
    # The first import on a machine builds a font cache and says so on stderr: not in a chapter, please.
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], capture_output=True, check=False)


def pytest_configure(config) -> None:
    """Prepare a pytest run that compares notebooks; workers inherit from the process that started them."""
    if config.getoption("nbval", False) and not hasattr(config, "workerinput"):
        apply()
