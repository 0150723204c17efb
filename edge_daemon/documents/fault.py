"""Why a file cannot be used."""

from __future__ import annotations


class DocumentError(Exception):
    """What is wrong, as a predicate of the file ("is empty"); `line` counts from 1."""

    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.message = message
        self.hint = hint


MALFORMED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,  # a number that is infinite, or has hundreds of digits
    RecursionError,
)
"""What reading values out of JSON raises where its content is not what it should be."""
