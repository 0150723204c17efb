"""Which decoded pictures are whole: what builds on a damaged one is damaged too.

A decoder conceals what it could not read, and later pictures build on that until the next key
frame. Packets and pictures come in different orders, so a picture is known by the number of its
packet.
"""

from __future__ import annotations

_GROUPS = 64  # more than any decoder holds back


class Decoding:
    """Follows one stream from packet to picture."""

    def __init__(self) -> None:
        self._next = 0
        self._starts = [0]  # of the groups that may still be shown; each begins with a key frame
        self._damage: dict[int, tuple[int, str]] = {}  # by the group's start: from which packet on

    @property
    def remembered(self) -> int:
        """How many groups are remembered; bounded, whatever the stream brings."""
        return max(len(self._starts), len(self._damage))

    def send(self, *, is_key: bool) -> int:
        """A packet goes to the decoder; returns its number."""
        number, self._next = self._next, self._next + 1
        if is_key and number:
            self._starts.append(number)
        if len(self._starts) > _GROUPS:  # none of them was shown
            self._forget_before(self._starts[1])
        return number

    def complain(self, number: int, words: str) -> None:
        """The decoder, or what carried the data, complained about this packet."""
        start = self._start_of(number)
        if start not in self._damage or number < self._damage[start][0]:
            self._damage[start] = number, words

    def show(self, number: int) -> str | None:
        """The picture of this packet is shown; what is wrong with it, or None."""
        start = self._start_of(number)
        if number == start:  # a key frame: nothing shown from here on builds on older groups
            self._forget_before(start)
        if start in self._damage and number >= self._damage[start][0]:
            return self._damage[start][1]
        # Shown before its own key frame, it may build on the group before, too.
        before = self._damage.get(self._starts[0]) if start != self._starts[0] else None
        return before[1] if before is not None else None

    def _forget_before(self, start: int) -> None:
        if self._starts[0] < start:
            self._starts = [each for each in self._starts if each >= start]
            self._damage = {at: it for at, it in self._damage.items() if at >= start}

    def _start_of(self, number: int) -> int:
        return max((start for start in self._starts if start <= number), default=self._starts[0])
