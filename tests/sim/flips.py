"""One bit after another is turned in a signed bundle, and how each copy of it fared."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from edge_daemon.errors import BundleError
from edge_daemon.models.bundle import verified_copy, vouched_reader
from edge_daemon.models.manifest import SIGNATURE_FILE
from edge_daemon.models.trust import Trust

TAKEN = "taken"


def turn_bits(folder: Path, aside: Path, trust: Trust, count: int, seed: int) -> Counter[str]:
    """How often a bundle with one turned bit was refused, by code, and how often it was `taken`.

    Each file of `folder` has its turn, wherever the bit falls in it; `aside` is where copies go.
    Afterwards the bundle is as it was.
    """
    rng = random.Random(seed)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found: Counter[str] = Counter()
    for number in range(count):
        path = files[number % len(files)]
        good = path.read_bytes()
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        found[_fate(folder, aside / str(number), trust, path.name)] += 1
        path.write_bytes(good)
    return found


def _fate(folder: Path, copy: Path, trust: Trust, turned: str) -> str:
    try:
        manifest = vouched_reader(trust)(folder)
        verified_copy(manifest, folder, copy, trust)
    except BundleError as error:
        return error.code.value
    # A signature may say of itself what nobody reads; what it vouches for is unchanged.
    return "harmless" if turned == SIGNATURE_FILE else TAKEN
