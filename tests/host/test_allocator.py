"""Free memory goes back to the kernel, seen from a process that holds nothing else."""

import platform
import subprocess
import sys

import pytest

_HELD = """
import re
from edge_daemon.host import allocator


def resident_mb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) >> 10

assert allocator.share_arenas()
before = resident_mb()
blocks = [bytes(3000) for _ in range(20_000)]
pins = blocks[::100]
del blocks
kept = resident_mb() - before
allocator.give_back()
print(kept, resident_mb() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_what_was_freed_between_blocks_in_use_goes_back() -> None:
    said = subprocess.run([sys.executable, "-c", _HELD], capture_output=True, text=True, check=True)
    kept_mb, left_mb = map(int, said.stdout.split())
    assert kept_mb > 30, "the allocator kept nothing: this test shows nothing"
    assert left_mb < kept_mb / 2
