"""How a child interpreter is started: it runs our code, never code of the current folder.

`python -m` and `python -c` look for modules in the current folder first, and anybody may have
filled the folder that an operator happens to be in. So each child is isolated (`-I`: no current
folder, no PYTHON* variables), is given the import path explicitly, and runs in `FOLDER`. From
Python 3.11 on `-P` would do part of this; 3.10 lacks it.

Only modules that every interpreter loads at its start are imported here, for `__main__` uses this
before anything else.
"""

import os
import sys

FOLDER = "/"
"""The working folder of children; only root can write there."""

_PATH = "import sys; sys.path[:] = sys.argv.pop(1).split(':')"
_RUN = "import runpy; runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"


def leave_current_folder() -> None:
    """Remove the current folder from the import path, here and in child processes.

    `python -m` has put it first on the import path, and an empty entry of PYTHONPATH means it.
    """
    sys.path[:] = import_path()
    os.environ["PYTHONSAFEPATH"] = "1"
    if "PYTHONPATH" in os.environ:
        given = os.environ["PYTHONPATH"].split(":")
        os.environ["PYTHONPATH"] = ":".join(entry for entry in given if entry in sys.path)


def module_command(name: str, *arguments: str) -> list[str]:
    """What `python -m NAME ARGUMENT…` means, from `FOLDER` and on our own import path."""
    return [*_isolated(f"{_PATH}; {_RUN}"), name, *arguments]


def code_command(text: str, *arguments: str) -> list[str]:
    """What `python -c TEXT ARGUMENT…` means, likewise."""
    return [*_isolated(f"{_PATH}\n{text}"), *arguments]


def import_path() -> list[str]:
    """Where this process finds modules, without the current folder.

    That one stays where the package itself lies in it: in a checkout it is our own code.
    """
    real = os.path.realpath
    home = real(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    try:
        here = real(os.getcwd())
    except OSError:  # it was removed
        here = home
    return [entry for entry in sys.path if entry and (real(entry) == home or real(entry) != here)]


def _isolated(program: str) -> list[str]:
    return [sys.executable, "-I", "-c", program, ":".join(import_path())]
