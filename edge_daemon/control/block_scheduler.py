"""The blocks of a compare stage: says whose turn it is, and keeps what each whole block measured.

On the evaluator's thread. Whose verdict counts does not change here: it is the
incumbent's in every block, so that no verdict depends on the time of day and the line does the same
work in both blocks of a pair.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_daemon.core.rollout.blocks import Meter, Rotation
from edge_daemon.core.rollout.progress import Progress
from edge_daemon.core.rollout.values import Arm, Mode
from edge_daemon.core.state import Rollout, State
from edge_daemon.core.values import Instant
from edge_daemon.slots.turns import Turns

AWAY = "the candidate was not beside the line"
PREPARED = "another model was prepared"
STILL = "the line stood still"
FEW = "too few gaps between frames"


class BlockScheduler:
    """Takes a turn each time that the evaluator does.

    Args:
        turns: what the lane reads.
        meters: the box's power and heat.
        memory_of: resident bytes of an arm's model; 0 where that is not known.
    """

    def __init__(
        self,
        turns: Turns,
        meters: Callable[[], Meter] = Meter,
        memory_of: Callable[[Arm], int] = lambda _: 0,
    ) -> None:
        self._turns = turns
        self._meters = meters
        self._memory_of = memory_of
        self._rotation: Rotation | None = None
        self._stage: tuple[str, int] | None = None

    def turn(
        self, rollout: Rollout, progress: Progress, state: State, now: Instant, frames: int
    ) -> bool:
        """Whether there is something new to keep; `frames`: of the line so far."""
        rotation = self._rotation_of(rollout, progress)
        if rotation is None:
            return False
        obstacle = _obstacle(rollout, state) or (STILL if rotation.is_stale(now.at) else "")
        if obstacle:
            return self._discard(rotation, progress, obstacle)
        turn = rotation.turn(now.at, now.utc, frames, self._meters())
        is_over = turn is not None and rotation.ended(now.at)
        if turn is not None and is_over:
            if rotation.keep(self._turns.take(turn.began_at), self._memory_of(turn.arm)):
                progress.blocks[progress.stage] = list(rotation.done)
            else:
                _count(progress, FEW)
            turn = rotation.turn(now.at, now.utc, frames, self._meters())
        self._turns.now = turn
        return is_over

    def _rotation_of(self, rollout: Rollout, progress: Progress) -> Rotation | None:
        """That of the present stage; None where it compares nothing."""
        if not rollout.is_begun or rollout.now.mode is not Mode.COMPARE:
            self.end()
            return None
        stage = (rollout.id, progress.stage)
        if self._rotation is None or stage != self._stage:
            self.end()
            done = progress.blocks.get(progress.stage, ())
            self._stage, self._rotation = stage, Rotation(rollout.id, rollout.now, done)
        return self._rotation

    def _discard(self, rotation: Rotation, progress: Progress, why: str) -> bool:
        """The block under way is nothing; it begins again when the obstacle is gone."""
        self._turns.now = None
        was_running = rotation.interrupt()
        if was_running:
            _count(progress, why)
        return was_running

    def end(self) -> None:
        """Nothing is compared any more."""
        self._turns.now = None
        self._rotation = self._stage = None


def _obstacle(rollout: Rollout, state: State) -> str:
    split = state.split
    if split is None or split.rollout != rollout.id or split.mode is not Mode.COMPARE:
        return AWAY
    return PREPARED if state.op is not None else ""


def _count(progress: Progress, why: str) -> None:
    progress.discarded[why] = progress.discarded.get(why, 0) + 1
