"""torchvision without torch's compiler, which takes two seconds to import and is not used here.

ultralytics imports torchvision for its suppression of double boxes, and some releases of that ask
`torch._dynamo.utils` for a function that only another operator calls. While torchvision is
imported, a stand-in gives one that imports the compiler when it is called.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo.utils"
_DEFERRED = "is_compile_supported"


def import_torchvision() -> None:
    """Import it, where it is not there yet."""
    if _COMPILER in sys.modules or "torchvision" in sys.modules:
        return
    import torch  # noqa: F401, PLC0415 - it may want its compiler itself

    if _COMPILER in sys.modules:
        return
    stand_in = sys.modules[_COMPILER] = _StandIn(_COMPILER)
    try:
        import torchvision  # noqa: F401, PLC0415
    finally:
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]


class _StandIn(ModuleType):
    """Gives the deferred function; whatever else is asked for, the real module answers."""

    def __getattr__(self, name: str) -> Any:
        if name == _DEFERRED:
            return _is_compile_supported
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_compiler(), name)


def _is_compile_supported(*args: Any) -> Any:
    return getattr(_compiler(), _DEFERRED)(*args)


def _compiler() -> ModuleType:
    if isinstance(sys.modules.get(_COMPILER), _StandIn):
        del sys.modules[_COMPILER]
    return importlib.import_module(_COMPILER)
