"""Power cuts under the journal: its folder lies on a file system in a file, copied mid-flight.

    python -m tests.sim.powercuts --n 50 --fs ext4

A writer commits requests as fast as it can and says each one that `commit` returned for. At a
random moment it is stopped, and the file with the file system is copied as it is: what the kernel
still held in memory is not in it, as after a power cut. The copy is mounted, and every commit that
was said must be there. It does not model a disk that lies about flushes.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from edge_daemon.errors import StateError
from edge_daemon.host.journal import AuditRow, Entry, Journal, OutboxRow, RequestRow
from tests.sim.journals import open_journal

SIZES_MB = {"ext4": 48, "xfs": 320}


@dataclass
class Reckoning:
    """What came of a run."""

    file_system: str
    cuts: int = 0
    commits: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        bound = "" if self.faults else f" (95 % bound {3 / max(1, self.cuts):.3f})"
        return (
            f"{self.file_system}: {self.cuts} power cuts, {self.commits} commits acknowledged, "
            f"{self.lost} lost; {len(self.faults)} cuts with a fault{bound}"
        )


def write(folder: Path, *, careless: bool) -> None:
    """Commit for ever, and say the number of each commit once it returned.

    Each brings a message for the broker, and the one before it is delivered meanwhile.
    """
    journal, connection = open_journal(folder)
    if careless:
        connection.execute("PRAGMA synchronous=OFF")
    number = 0
    while True:
        row = RequestRow(f"r{number}", "swap", time.time(), "accepted", b"{}", b"x" * 300)
        audit = AuditRow(time.time(), "request", b"{}")
        message = OutboxRow("event", b"%d" % number)
        journal.commit(
            Entry(state=b"%d" % number, accepted=(row,), audit=(audit,), outbox=(message,))
        )
        os.write(1, b"%d\n" % number)
        if not careless:  # it would be careful again from here on
            journal.outbox_remove(number)
        number += 1


def cut(folder: Path, file_system: str, random: Random, *, careless: bool) -> tuple[int, str]:
    """One cut: how many commits were acknowledged, and what is wrong after it ("" is nothing)."""
    image, copy, said = folder / "image", folder / "copy", folder / "said"
    with mounted(image, folder / "disk") as disk, said.open("wb") as out:
        command = [sys.executable, "-m", "tests.sim.powercuts", "--write", str(disk / "state")]
        command += ["--careless"] if careless else []
        writer = subprocess.Popen(command, stdout=out)
        try:
            while not said.stat().st_size and writer.poll() is None:
                time.sleep(0.01)
            time.sleep(random.uniform(0.0, 0.4))
            writer.send_signal(signal.SIGSTOP)
            acknowledged = len(said.read_bytes().splitlines())
            while True:  # a copy of one moment: nothing was written while it was made
                shutil.copyfile(image, copy)
                if filecmp.cmp(image, copy, shallow=False):
                    break
        finally:
            writer.kill()
            writer.wait()
    with mounted(copy, folder / "after") as disk:
        return acknowledged, fault_of(disk / "state", acknowledged)


def fault_of(folder: Path, acknowledged: int) -> str:
    """What is wrong with the journal that the cut left."""
    try:
        journal = Journal.open(folder)
    except StateError as error:
        return f"it cannot be opened: {error.message}"
    try:
        if journal.recovered is not None:
            return f"corrupt: {journal.recovered.cause}"
        if faults := journal.audit_faults():
            return f"audit: {faults[0]}"
        kept = len(journal.open_requests())
        if kept < acknowledged:
            return f"{acknowledged - kept} acknowledged commits lost"
        waiting = {row.seq for row in journal.outbox_peek(kept + 1)}
        return "" if acknowledged in waiting | {0} else "a message that nobody got is gone"
    finally:
        journal.close()


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """The file system in a file, mounted through a loop device."""
    at.mkdir(exist_ok=True)
    options = "loop,nouuid" if image.read_bytes()[:4] == b"XFSB" else "loop"
    subprocess.run(["mount", "-o", options, str(image), str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def format_image(image: Path, file_system: str) -> None:
    with image.open("wb") as file:
        file.truncate(SIZES_MB[file_system] << 20)
    subprocess.run([f"mkfs.{file_system}", "-q", str(image)], check=True)


def obstacle(file_system: str) -> str:
    """Why this box cannot do it; "" where it can."""
    if shutil.which(f"mkfs.{file_system}") is None:
        return f"mkfs.{file_system} is not installed"
    with tempfile.TemporaryDirectory(prefix="edp-") as folder:
        image = Path(folder) / "image"
        try:
            format_image(image, file_system)
            with mounted(image, Path(folder) / "disk"):
                return ""
        except (OSError, subprocess.CalledProcessError):
            return f"{file_system} cannot be mounted through a loop device; it needs root"


def run(cuts: int, file_system: str, seed: int, *, careless: bool = False) -> Reckoning:
    """So many cuts, each on a fresh file system."""
    reckoning = Reckoning(file_system)
    random = Random(seed)
    for _ in range(cuts):
        with tempfile.TemporaryDirectory(prefix="edp-") as folder:
            format_image(Path(folder) / "image", file_system)
            count, fault = cut(Path(folder), file_system, random, careless=careless)
        reckoning.cuts += 1
        reckoning.commits += count
        if fault:
            reckoning.faults.append(f"cut {reckoning.cuts}: {fault}")
            number = fault.split()[0]
            reckoning.lost += int(number) if number.isdigit() else count
    return reckoning


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50, help="power cuts")
    parser.add_argument("--fs", choices=sorted(SIZES_MB), default="ext4")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--careless", action="store_true", help="synchronous=OFF: must lose")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write is not None:
        write(given.write, careless=given.careless)
    if why := obstacle(given.fs):
        sys.stdout.write(f"Skipped: {why}.\n")
        return 0
    reckoning = run(given.n, given.fs, given.seed, careless=given.careless)
    for fault in reckoning.faults[:10]:
        sys.stdout.write(f"  {fault}\n")
    sys.stdout.write(f"{reckoning}\n")
    return 1 if reckoning.faults else 0


if __name__ == "__main__":
    sys.exit(main())
