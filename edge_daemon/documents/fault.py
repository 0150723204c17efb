"""Why a file cannot be used."""

from __future__ import annotations


class DocumentError(Exception):
    """What is wrong, as a predicate of the file ("is empty"); `line` counts from 1."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint
