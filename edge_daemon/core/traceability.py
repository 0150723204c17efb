"""Which pictures are kept, by a rule that an auditor can apply again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Verdict


@dataclass(frozen=True)
class Choice:
    """Which frames' pictures are kept.

    Args:
        ng: rejected ones.
        uninspected: those without a verdict.
        ok_share: of all others (ok and empty), from 0 to 1.
    """

    ng: bool = True
    uninspected: bool = True
    ok_share: float = 0.0

    def wants(self, boot: str, judged: Judged) -> bool:
        """Whether this frame's picture is kept."""
        if judged.verdict is Verdict.NG:
            return self.ng
        if judged.verdict is Verdict.UNINSPECTED:
            return self.uninspected
        return self.ok_share > 0.0 and draw(boot, judged.frame) < self.ok_share


def draw(boot: str, frame: int) -> float:
    """The frame's number in [0, 1): the first 8 bytes of SHA-256 of `<boot>:<frame>` over 2^64."""
    digest = hashlib.sha256(f"{boot}:{frame}".encode()).digest()
    return min(int.from_bytes(digest[:8], "big") / 2.0**64, 1.0 - 2.0**-53)
