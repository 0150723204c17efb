"""Pictures for the next training, as this station collects them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from edge_daemon.app.picture_losses import COLLECTED, PictureLosses
from edge_daemon.app.resources import Resources
from edge_daemon.app.status import PicturesLost
from edge_daemon.collecting.line import CollectionRules, LineCollector
from edge_daemon.collecting.places import target_of
from edge_daemon.collecting.push import Push
from edge_daemon.collecting.record import (
    FoundObject,
    ModelResult,
    PartResult,
    Record,
    ShownPart,
    name_of,
    read_box,
)
from edge_daemon.collecting.store import CollectionStore, Overruled, RetentionLimits
from edge_daemon.control.arrivals import Noticed
from edge_daemon.core.collecting.choice import draw
from edge_daemon.core.collecting.quota import shares
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.parts.values import By
from edge_daemon.core.values import Instant
from edge_daemon.documents import MALFORMED
from edge_daemon.errors import StateError
from edge_daemon.frames.ring import Ring
from edge_daemon.host.metrics import Metrics
from edge_daemon.host.picture_index import picture_of_part


def line_collector(resources: Resources, ring: Ring, by: By, room: int) -> LineCollector | None:
    """What collects, by the settings; None where nothing is collected."""
    settings = resources.settings.collect
    if settings is None:
        return None
    wanted = settings.shares
    keeping = RetentionLimits(
        settings.quota_mb << 20,
        shares(wanted, settings.reserve),
        settings.days,
        settings.alike_bits,
    )
    store = CollectionStore(
        settings.folder,
        keeping,
        resources.boot,
        lambda: resources.clock.now().utc,
        by_frame=by is By.FRAME,
    )
    kept = resources.settings.results.pictures
    if kept is not None and Why.OVERRULED in wanted:
        store.borrow = partial(borrowed, kept.folder, wanted[Why.OVERRULED])
    wish = CollectionRules(wanted, f".{settings.format}", settings.hidden)
    return LineCollector(ring, store, wish, resources.boot, by, room)


def pusher(resources: Resources) -> Push | None:
    """What sends the pictures on, by the settings; None where nothing does by itself."""
    settings = resources.settings.collect
    if settings is None or settings.push is None or not settings.push.by_itself:
        return None
    clock = resources.clock
    return Push(settings.folder, target_of(settings.push), lambda: clock.now().utc)


def borrowed(folder: Path, share: float, word: Overruled) -> tuple[Record, bytes] | None:
    """The picture of an overruled part from `results.pictures`; None where it has none, or was not
    drawn."""
    with suppress(OSError, StateError, *MALFORMED):
        path = picture_of_part(folder, word.boot, word.part)
        drawn = draw(word.boot, str(word.part))
        if path is None or drawn >= share:
            return None
        facts = json.loads(path.with_suffix(".json").read_bytes())
        return _record(facts, word, drawn, share), path.read_bytes()
    return None


def _record(facts: Mapping[str, Any], word: Overruled, drawn: float, share: float) -> Record:
    (part,) = (each for each in facts["parts"] if each["part"] == word.part)
    told = PartResult(word.part, part["id"], part["serial"], part["verdict"], tuple(part["causes"]))
    width, height = facts["size"]
    found = tuple(
        FoundObject(str(each["class"]), float(each["confidence"]), read_box(each["box"]))
        for each in facts["detections"]
    )
    said = ModelResult(
        facts["model"],
        facts["sha256"],
        facts["recipe"],
        facts["verdict"],
        tuple(facts["causes"]),
        found,
    )
    return Record(
        name=name_of(word.boot, facts["frame"], facts["utc"]),
        boot=word.boot,
        frame=facts["frame"],
        utc=facts["utc"],
        leading=Why.OVERRULED,
        verdict=facts["verdict"],
        causes=tuple(facts["causes"]),
        product=facts["product"],
        job_order=facts["job_order"],
        size=(width, height),
        parts=(ShownPart(str(word.part), drawn, share, (Why.OVERRULED,), told=told),),
        opinions=(said,),
    )


class CollectedPictures:
    """Looks once a second: counts by reason, and tells of what was lost."""

    def __init__(
        self, collecting: LineCollector, put: Callable[[Noticed], None], metrics: Metrics
    ) -> None:
        self._collecting, self._store, self._metrics = collecting, collecting.store, metrics
        self.alarm: Callable[[], bool] = lambda: False
        """Whether an alarm of drift stands; set before the start."""
        self._kept = PictureLosses(collecting.writer, put, metrics, COLLECTED)
        self._seen = dict(self._store.kept_by)

    def look(self, now: Instant) -> None:
        self._kept.look(now)
        self._collecting.drifts = self.alarm()
        for why, count in dict(self._store.kept_by).items():
            self._metrics.collected(why.value, count - self._seen[why])
            self._seen[why] = count

    @property
    def lost(self) -> PicturesLost:
        """What was not kept; any thread."""
        return self._kept.lost
