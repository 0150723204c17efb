"""One finding of a check, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """How serious it is; only an error keeps the station from its work."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Finding:
    """`message` is one sentence; `remedy` the next step, there for warnings and errors."""

    name: str
    level: Level
    message: str
    remedy: str = ""


def ok(name: str, message: str) -> Finding:
    """Fine."""
    return Finding(name, Level.OK, message)


def warning(name: str, message: str, remedy: str) -> Finding:
    """It works, but will cause trouble one day."""
    return Finding(name, Level.WARNING, message, remedy)


def error(name: str, message: str, remedy: str) -> Finding:
    """It keeps the station from its work."""
    return Finding(name, Level.ERROR, message, remedy)


def skipped(name: str, message: str) -> Finding:
    """Not checked, and why."""
    return Finding(name, Level.SKIPPED, message)
