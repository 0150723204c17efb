"""Who is at fault when a place refuses what is sent to it: the place, or the thing itself."""

from __future__ import annotations

MOST_TRIES = 5
"""So often a thing is refused by a place that takes others; then it is given up."""

IN_A_ROW = 3
"""So many refusals in a row are the place's fault, and no thing's own."""


class Blame:
    """One sender's things by name, and one place. Not for several threads at once."""

    def __init__(self) -> None:
        self.tries: dict[str, int] = {}
        """How often each was refused while the place took another; 0 while that is not known."""
        self._suspects: set[str] = set()  # refused since the place took something
        self._in_a_row = 0

    def begin(self) -> None:
        """Another round: what was refused in the one before says nothing of the place now."""
        self._in_a_row = 0

    def refused(self, name: str) -> bool:
        """The place did not take it; whether the place itself must be at fault."""
        self._suspects.add(name)
        self.tries.setdefault(name, 0)
        self._in_a_row += 1
        return self._in_a_row == IN_A_ROW

    def taken(self, name: str) -> list[str]:
        """The place works, so what it refused just before is at fault; the names given up now."""
        self._in_a_row = 0
        self.tries.pop(name, None)
        self._suspects.discard(name)
        given_up = []
        for each in sorted(self._suspects):
            self.tries[each] += 1
            if self.tries[each] == MOST_TRIES:
                given_up.append(each)
        self._suspects.clear()
        return given_up

    def is_given_up(self, name: str) -> bool:
        """Whether it was refused too often; until it is forgotten."""
        return self.tries.get(name, 0) >= MOST_TRIES

    def forget(self, name: str) -> None:
        """Nobody sends it any more."""
        self.tries.pop(name, None)
        self._suspects.discard(name)
