"""What each Python script here begins with: the interpreter that has what it needs.

Whatever Python starts a script, the one of .venv runs it; where there is none, one sentence says
which command makes it. Standard library only, and nothing is written.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"


def ready(doc: str | None, *needs: str) -> None:
    """Return where every module of `needs` can be imported; run anew in .venv, or end, elsewhere.

    Without any of them `--help` prints `doc`, the script's own.
    """
    missing = [name for name in needs if find_spec(name) is None]
    if not missing:
        return
    is_inside = VENV.is_dir() and os.path.samefile(sys.prefix, VENV)
    python = VENV / "bin" / "python"
    if python.exists() and not is_inside:
        script = str(Path(sys.argv[0]).resolve())
        os.execv(python, [str(python), script, *sys.argv[1:]])
    if {"-h", "--help"} & set(sys.argv[1:]):
        print((doc or "").strip())
        sys.exit(0)
    name = Path(sys.argv[0]).name
    print(
        f"scripts/{name} needs what is set up by: scripts/setup --test (missing: {missing[0]})",
        file=sys.stderr,
    )
    sys.exit(1)
