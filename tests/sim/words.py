"""What may be said to people elsewhere: printable sentences that name no folder of the box."""

from __future__ import annotations

import tempfile
import unicodedata

from edge_daemon.core.wording import MESSAGE


def assert_public(*texts: str) -> None:
    """Each is short, of writing only, and holds no path that leads into this box."""
    for text in texts:
        assert len(text) <= MESSAGE, text
        assert text.isprintable(), repr(text)
        assert tempfile.gettempdir() not in text, text
        assert not [s for s in text if ord(s) >= 0x2190 and unicodedata.category(s) == "So"], text
