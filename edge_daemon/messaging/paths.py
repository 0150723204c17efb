"""JMESPath of the settings, compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from edge_daemon.documents import MALFORMED
from edge_daemon.errors import ConfigurationError, SenderError


def compiled(key: str, expression: str, *, try_with: str = "") -> Callable[[Any], Any]:
    """What finds a value in a document, or raises SenderError.

    Raises:
        ConfigurationError: the expression of this key of the settings is no JMESPath.
    """
    try:
        parsed = jmespath.compile(expression).parsed
    except JMESPathError as error:
        raise ConfigurationError(
            f"{key} is not JMESPath: {_first_line(error)}.",
            hint='Write a path such as workOrder or "item.code"; see jmespath.org.',
        ) from error
    what = key.rpartition(".")[2]
    whose = "order" if key.startswith("orders.") else "feedback"
    interpreter = TreeInterpreter()  # one for all messages: making it costs more than a search

    def search(document: Any) -> Any:
        try:
            return interpreter.visit(parsed, document)
        except MALFORMED as error:  # among them JMESPathError, a ValueError
            raise SenderError(
                f"The {whose}'s {what} cannot be read with `{expression}`: {_first_line(error)}.",
                hint=try_with or "Correct the path in the settings.",
            ) from error

    return search


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
