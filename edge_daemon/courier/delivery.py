"""One bundle: from the first word of it to the last neighbour that wants it.

    in the store already ─────────────────────────────────────┐
    description ─▶ room on the disk ─▶ pieces ─▶ store's door ─┴▶ given to neighbours

What fails is tried again while it is wanted; what is refused stays refused.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_daemon.courier import election
from edge_daemon.courier.origin import MOST_BAD, WebOrigin
from edge_daemon.courier.site import Site
from edge_daemon.courier.staging import StagingArea, Wanted, is_there, staging_area
from edge_daemon.courier.torrent import Torrent, describe, folder_files
from edge_daemon.courier.wire import Progress, changed_progress
from edge_daemon.errors import BoxError, BundleError, EdgeDaemonError
from edge_daemon.host.error_boundary import contained
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from edge_daemon.sources.fetch import PullTarget, fetch, look
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.pins import Pins
from edge_daemon.sources.source import Source, SourceAway

if TYPE_CHECKING:  # its library is an extra
    from edge_daemon.courier.swarm import Swarm

TICK_S = 0.2
MEET_S = 2.0
FIRST_AGAIN_S, LONGEST_AGAIN_S = 2.0, 60.0
_AHEAD = 32
"""Pieces that the elected station asks for at once: 8 MiB."""
_ALONE_SHARE, _ALONE_PIECES = 0.05, 2
"""So much of a bundle is here alone at most before neighbours are waited for."""
LATE_S = 30.0
"""After which a piece that was handed to the swarm and is not there is taken again: checking and
writing it may take its time on a busy box."""


@dataclass
class DeliveryTools:
    """What a delivery works with; `swarm` None: only the sources themselves.

    `sources`: a source, and how it names a bundle. `is_resting`: whether nothing may be taken now.
    `settle_s`: so long neighbours are waited for who have not spoken yet, and those who have not
    said which bundle they want are taken for ones that want this one. `patience_s`: how long a
    station of this rank waits for neighbours. `tell` hears how far it is.
    """

    site: Site
    store: Store
    trust: Trust
    origins: Sequence[WebOrigin]
    sources: Sequence[tuple[Source, str]]
    swarm: Swarm | None
    authority: bytes
    down_mbit: float
    settle_s: float
    patience_s: Callable[[int], float]
    is_resting: Callable[[], bool]
    tell: Callable[[Progress], None]


class Delivery:
    """Runs on a thread of its own until it is cancelled."""

    def __init__(self, wanted: Wanted, means: DeliveryTools) -> None:
        self._wanted, self._with = wanted, means
        self._began = time.monotonic()
        self._cancelled = threading.Event()
        self._progress = self._told = Progress(infohash=wanted.infohash, sha256=wanted.sha256)
        self._told_at = float("-inf")
        # A quarter of the cap is left to neighbours while the origin is read.
        self._pace = Pace(max(1, int(means.down_mbit * 125 * 0.75)), self._pause)
        self._handed: dict[int, float] = {}
        self._alone, self._spread_at = 0, time.monotonic()
        self._chance = random.Random()  # noqa: S311 - no secret
        self._met, self._met_at = list[tuple[str, int]](), float("-inf")
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def cancel(self) -> None:
        """End it; what came is kept."""
        self._cancelled.set()
        self._thread.join()

    def _pause(self, seconds: float) -> bool:
        """Wait, and for as long as nothing may be taken; True where it is cancelled."""
        if self._cancelled.wait(seconds):
            return True
        while self._with.is_resting():
            if self._cancelled.wait(TICK_S):
                return True
        return False

    def _go_on_after(self, seconds: float) -> None:
        """Raises SourceAway where it is cancelled meanwhile."""
        if self._pause(seconds):
            raise SourceAway("It is not wanted any more.")

    def _tell(self, **changed: object) -> None:
        """Each piece changes a number, and the daemon has a line to judge: it hears them now and
        then, and what happened at once.
        """
        before, progress = self._progress, changed_progress(self._progress, changed)
        self._progress = progress
        happened = (progress.phase, progress.why) != (before.phase, before.why)
        now = time.monotonic()
        if happened or (progress != self._told and now - self._told_at >= TICK_S):
            self._told, self._told_at = progress, now
            self._with.tell(progress)

    def _run(self) -> None:
        failures = 0
        while not self._cancelled.is_set():
            with contained() as attempt:
                self._give(self._bring())
                return
            fault = attempt.fault
            is_refused = isinstance(fault, BundleError)
            if is_refused or not self._cancelled.is_set():
                self._tell(phase="refused" if is_refused else "fetching", why=_sentence(fault))
            if self._with.swarm is not None:
                self._with.swarm.leave()
            if is_refused:
                return
            failures += 1
            self._cancelled.wait(min(LONGEST_AGAIN_S, FIRST_AGAIN_S * 2 ** (failures - 1)))

    # ------------------------------------------------------------------ fetching

    def _bring(self) -> Torrent | None:
        """Have it in the store; what the swarm is told of it, if that is known."""
        means, wanted = self._with, self._wanted
        if is_there(means.store, wanted):
            return None
        self._tell(phase="fetching", why="")
        if means.swarm is None or not wanted.infohash:
            self._take_whole()
            return None
        with staging_area(means.store.root, wanted) as staging:
            torrent = self._described(staging)
            staging.reserve(torrent)
            means.swarm.fetch(torrent, staging.folder)
            self._fill(torrent, means.swarm)
            means.swarm.flush()
            # What is whole is only read any more, and neighbours get the last pieces meanwhile.
            staging.hand_over(means.store, means.trust, torrent)
            self._count(means.swarm)
            means.swarm.give(torrent, means.store.find(wanted.ref).parent)
            staging.remove()
        return torrent

    def _described(self, staging: StagingArea) -> Torrent:
        wanted = self._wanted
        torrent = staging.known() or self._asked()
        if torrent.name != wanted.ref.version or wanted.size not in (None, torrent.size):
            raise BundleError(
                f"The swarm of the campaign is not that of {wanted.ref}.",
                hint="Make it again: edge-daemon fleet campaign NAME --id ID --serial N --out FILE",
            )
        if torrent.authority != self._with.authority:
            raise BoxError(
                "The bundle was published for stations of another authority.",
                hint="Publish it again: edge-daemon fleet publish BUNDLE --to DIR --swarm-ca CA, "
                "with the ca.pem of this plant.",
            )
        staging.remember(torrent)
        return torrent

    def _asked(self) -> Torrent:
        why = "No web server is named in fleet.sources."
        for origin in self._with.origins:
            with contained() as attempt:
                return origin.torrent(self._wanted.infohash)
            why = _sentence(attempt.fault)
            if isinstance(attempt.fault, FileNotFoundError):
                why = f"{origin.where} has no description for the swarm."
        # Another server, or this one later, may have the right one: it is not the bundle's fault.
        raise SourceAway(why)

    def _fill(self, torrent: Torrent, swarm: Swarm) -> None:
        """Return when every piece is on the disk."""
        patience = election.Patience()
        try:
            while not swarm.is_whole:
                if self._cancelled.is_set():
                    raise SourceAway("It is not wanted any more.")
                self._look_for_faults(swarm)
                if self._with.is_resting():
                    self._wait(swarm)
                    patience = election.Patience(swarm.counts().peers_bytes)
                self._meet(torrent, swarm)
                if swarm.is_checking:
                    patience = election.Patience(swarm.counts().peers_bytes)
                elif not self._took_a_piece(torrent, swarm, patience):
                    self._wait(swarm)
        finally:
            for origin in self._with.origins:
                origin.close()

    def _wait(self, swarm: Swarm) -> None:
        for origin in self._with.origins:
            origin.close()  # an answer that nobody reads holds a place at the server
        swarm.take_at_most(int(self._with.down_mbit * 125_000))
        self._go_on_after(TICK_S)
        self._count(swarm)

    def _meet(self, torrent: Torrent, swarm: Swarm) -> None:
        """When a neighbour is first heard of, and now and then: a try may fail."""
        places, now = self._with.site.places(torrent.infohash), time.monotonic()
        if places != self._met or now - self._met_at > MEET_S:
            self._met, self._met_at = places, now
            swarm.meet(places)

    def _look_for_faults(self, swarm: Swarm) -> None:
        errors, wrong = swarm.faults()
        if errors:
            raise BoxError(f"The disk failed: {errors[0]}.", hint="Free space there.")
        for piece in wrong:
            self._handed.pop(piece, None)

    def _took_a_piece(self, torrent: Torrent, swarm: Swarm, patience: election.Patience) -> bool:
        """One from the origin, if it is this station's turn."""
        missing = swarm.missing()
        own = 1.0 - len(missing) / max(1, torrent.pieces)
        site, is_new = self._with.site, time.monotonic() - self._began < self._with.settle_s
        if is_new and not site.has_neighbours:
            return False
        having = site.having(torrent.infohash, own, is_new=is_new)
        rank = election.rank(torrent.infohash, site.device, having)
        given = torrent.pieces - len(missing) - len(self._handed)
        most = max(having.values())
        ahead = most if most > own else 0.0
        idle_s = patience.idle_s(swarm.counts().peers_bytes, given, ahead)
        if idle_s < self._with.patience_s(rank):
            return False
        piece = self._next(missing, swarm, rank, idle_s)
        if piece is None:
            return False
        if len(having) > 1 and self._is_far_ahead(torrent, missing, swarm):
            # The origin's answer stays open: what is on its way would be lost.
            self._go_on_after(TICK_S / 2)
            self._count(swarm)
            return True
        swarm.take_at_most(int(self._with.down_mbit * 125_000 * 0.25))
        content = self._read(torrent, piece, rank)
        if content is None:
            patience.begin_again()
            return False
        self._handed[piece] = time.monotonic()
        swarm.put(piece, content)
        self._tell(origin=self._progress.origin + len(content), why="")
        self._count(swarm)
        return True

    def _next(self, missing: list[int], swarm: Swarm, rank: int, idle_s: float) -> int | None:
        """What to ask the origin for: what a neighbour has, it gives; unless it does not."""
        now = time.monotonic()
        lacking = [each for each in missing if now - self._handed.get(each, -1e9) > LATE_S]
        pieces = swarm.nobody_has(lacking)
        if not pieces and idle_s >= self._with.patience_s(max(1, rank)):
            pieces = lacking
        if not pieces:
            return None
        # The elected one goes from the first to the last. Whoever asks beside it, because it is
        # heard of no more or cannot be reached, brings other ones, which both can give.
        return pieces[0] if rank == 0 else self._chance.choice(pieces[len(pieces) // 2 :])

    def _is_far_ahead(self, torrent: Torrent, missing: list[int], swarm: Swarm) -> bool:
        """Whether much is here alone, and would be fetched twice if this station died now.

        Neighbours that take nothing are not waited for.
        """
        lacking, now = set(missing), time.monotonic()
        here = [piece for piece in range(torrent.pieces) if piece not in lacking]
        alone = len(swarm.nobody_has(here))
        is_much = alone > max(_ALONE_PIECES, _ALONE_SHARE * torrent.pieces)
        if alone < self._alone or not is_much:
            self._spread_at = now
        self._alone = alone
        return is_much and now - self._spread_at < self._with.patience_s(1)

    def _read(self, torrent: Torrent, piece: int, rank: int) -> bytes | None:
        """From the first origin that gives it; None: there is none that may be asked."""
        why = ""
        for origin in self._with.origins:
            if origin.bad >= MOST_BAD or (origin.is_metered and rank > 0):
                continue
            try:
                return origin.piece(torrent, piece, self._pace, _AHEAD if rank == 0 else 1)
            except (SourceAway, BundleError) as error:
                why = error.message
        if why:
            self._tell(why=why)
        self._go_on_after(1.0 if why else 0.0)
        return None

    def _count(self, swarm: Swarm) -> None:
        counts = swarm.counts()
        missing = len(swarm.missing())
        pieces = max(1, missing, swarm.pieces)
        self._tell(
            peers=counts.peers_bytes,
            given=counts.given_bytes,
            neighbours=counts.peers,
            have=round(1.0 - missing / pieces, 3),
        )

    def _take_whole(self) -> None:
        """From the first source that has it, without neighbours."""
        faults: list[Exception] = []
        for source, which in self._with.sources:
            with contained() as attempt:
                return self._take_from(source, which)
            assert attempt.fault is not None
            faults.append(attempt.fault)
        # It is refused only where no source may have it later.
        raise next((each for each in faults if not isinstance(each, BundleError)), faults[0])

    def _take_from(self, source: Source, which: str) -> None:
        wanted, means = self._wanted, self._with

        def came(count: int, total: int) -> None:
            origin = self._progress.origin + count
            self._tell(origin=origin, have=round(min(1.0, origin / max(1, total)), 3))

        target = PullTarget(means.store, means.trust, Pins(), came)
        try:
            (offered,) = source.offered(wanted.ref.name, which)
            manifest = look(source, offered, wanted.ref.name, target, self._pace)
        except BundleError as error:  # it may be published later
            raise SourceAway(error.message, hint=error.hint) from error
        if manifest.weights.sha256 != wanted.sha256:
            raise BundleError(
                f"{source.where} has another {wanted.ref} than the campaign names.",
                hint="A version never changes: publish it under a new one.",
            )
        fetch(source, offered, manifest, target, self._pace)

    # ------------------------------------------------------------------ giving

    def _give(self, torrent: Torrent | None) -> None:
        """Give it from the store until nobody wants it given any more."""
        means, wanted = self._with, self._wanted
        self._tell(phase="have", why="", have=1.0)
        swarm = means.swarm
        if swarm is None or not wanted.infohash:
            return
        folder = means.store.find(wanted.ref)
        if torrent is None:
            torrent = describe(folder.name, folder_files(folder), means.authority)
            if torrent.infohash != wanted.infohash:
                return  # signed by somebody else, say: neighbours would refuse each piece
        swarm.give(torrent, folder.parent)
        while not self._cancelled.wait(MEET_S / 2):
            self._meet(torrent, swarm)
            counts = swarm.counts()
            self._tell(given=counts.given_bytes, neighbours=counts.peers)


def _sentence(fault: Exception | None) -> str:
    return fault.message if isinstance(fault, EdgeDaemonError) else str(fault)
