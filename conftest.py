"""Settings of every pytest run: one thread a process, no progress bars, a clean room for notebooks."""

import os

from tools.notebook_env import DEFAULTS, pytest_configure

__all__ = ["pytest_configure"]  # a hook: pytest finds it here by its name

# Here and not in the hook: torch reads the number of threads when a test module first imports it.
for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
