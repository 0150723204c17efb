"""The messages between a slot and its worker, and the socket that carries them.

msgpack in one packet for each message over a SOCK_SEQPACKET pair; the descriptor of frame memory
travels beside `Attach`. Nothing is unpickled on either side, every field is bounded, and what does
not parse is a worker that broke its protocol: `SlotLost`.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Container
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Union

import msgspec

from edge_daemon.core.wording import public
from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError, SlotLost
from edge_daemon.slots.sightings import DETECTIONS_LIMIT, FAINT_LIMIT, Label, Sighting
from edge_daemon.slots.slot import Inference, Loaded, LoadOrder

MESSAGE_LIMIT_BYTES = 128 * 1024
TEXT_LIMIT = 2000

Text = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)]
Labels = Annotated[tuple[Label, ...], msgspec.Meta(max_length=10_000)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 50)]
Side = Annotated[int, msgspec.Meta(ge=1, le=1 << 16)]
# Not tuple[Side, Side]: beside a bounded number in a union it crashes msgspec 0.22 when the garbage
# is collected while a decoder is made.
Sides = Annotated[tuple[Side, ...], msgspec.Meta(min_length=2, max_length=2)]


# --------------------------------------------------------------------------- to the worker


class Load(msgspec.Struct, tag="load", frozen=True, array_like=True):
    """Bring a bundle into memory; answered by `LoadedReply` or `WorkerFault`."""

    order: LoadOrder


class Attach(msgspec.Struct, tag="attach", frozen=True, array_like=True):
    """Map the frame memory whose descriptor comes along; not answered."""

    memory: int
    height: int
    width: int
    places: int


class Detach(msgspec.Struct, tag="detach", frozen=True, array_like=True):
    """Let a frame memory go; not answered."""

    memory: int


class InferPlace(msgspec.Struct, tag="infer", frozen=True, array_like=True):
    """Judge the frame at a place of an attached memory; answered by `Inferred` or `WorkerFault`."""

    memory: int
    place: int


class InferFile(msgspec.Struct, tag="file", frozen=True, array_like=True):
    """Decode and judge one image file; answered by `Inferred` or `WorkerFault`."""

    path: str


class Decode(msgspec.Struct, tag="decode", frozen=True, array_like=True):
    """Decode one image file into the memory whose descriptor comes along; answered by `Decoded`
    or `WorkerFault`."""

    path: str


class Promote(msgspec.Struct, tag="promote", frozen=True, array_like=True):
    """Leave the background's priority; not answered."""


class Ping(msgspec.Struct, tag="ping", frozen=True, array_like=True):
    """Say that you can answer; answered by `Pong`."""


Request = Union[Load, Attach, Detach, InferPlace, InferFile, Decode, Promote, Ping]


# --------------------------------------------------------------------------- from the worker


class Ready(msgspec.Struct, tag="ready", frozen=True, array_like=True):
    """The engine's library is imported and warm; sent once, unasked."""

    warm_ms: Milliseconds


class Pong(msgspec.Struct, tag="pong", frozen=True, array_like=True):
    """The worker is there, and idle."""


class LoadedReply(msgspec.Struct, tag="loaded", frozen=True, array_like=True):
    """The bundle is in memory; the fields are those of `Loaded`."""

    classes: Labels
    task: Label
    load_ms: Milliseconds
    memory_bytes: Size
    gpu_bytes: Size
    head_classes: Union[Size, None]
    imgsz: Union[Side, Sides, None] = None

    @classmethod
    def of(cls, loaded: Loaded) -> LoadedReply:
        return cls(**vars(loaded))

    def loaded(self) -> Loaded:
        return Loaded(**msgspec.structs.asdict(self))


class Inferred(msgspec.Struct, tag="found", frozen=True, array_like=True):
    """One inference."""

    inference_ms: Milliseconds
    finite: bool
    detections: Annotated[tuple[Sighting, ...], msgspec.Meta(max_length=DETECTIONS_LIMIT)]
    faint: Annotated[tuple[Sighting, ...], msgspec.Meta(max_length=FAINT_LIMIT)] = ()

    @classmethod
    def of(cls, inference: Inference) -> Inferred:
        return cls(
            inference.inference_ms,
            inference.finite,
            tuple(map(Sighting.of, inference.detections)),
            tuple(map(Sighting.of, inference.faint)),
        )

    def is_near(self, height: int, width: int) -> bool:
        """Whether nothing lies further out of a picture than the picture is large, and no mask is
        larger than the picture.

        A turned box may reach out of it a little. Nothing was seen far outside, and whatever runs
        in a worker could tell secrets in such numbers: detections are published.
        """
        return all(each.is_near(height, width) for each in (*self.detections, *self.faint))

    def inference(self, classes: Container[str]) -> Inference:
        """Raises SlotLost for a label that is none of the bundle's classes: whatever runs there
        may say anything, and what it says is published."""
        told = (*self.detections, *self.faint)
        if any(label not in classes for each in told for label in each.labels()):
            raise SlotLost("The worker named a class that the bundle does not have.")
        found = tuple(each.detection() for each in self.detections)
        faint = tuple(each.detection() for each in self.faint)
        return Inference(found, self.inference_ms, self.finite, faint)


class Blame(str, Enum):
    """Who is at fault, and with it what is left: after `slot` the worker ends."""

    BUNDLE = "bundle"
    BOX = "box"
    SLOT = "slot"


class WorkerFault(msgspec.Struct, tag="fault", frozen=True, array_like=True):
    """What was asked could not be done."""

    blame: Blame
    code: Code
    message: Text
    hint: Text
    detail: Text

    @classmethod
    def of(cls, error: EdgeDaemonError) -> WorkerFault:
        blame = Blame.BUNDLE if isinstance(error, BundleError) else Blame.BOX
        if isinstance(error, SlotLost):
            blame = Blame.SLOT
        texts = (text[:TEXT_LIMIT] for text in (error.message, error.hint, error.detail))
        return cls(blame, error.code, *texts)

    def error(self) -> EdgeDaemonError:
        """Whatever the worker wrote, what is told of it is printable and names no folder."""
        kind = {Blame.BUNDLE: BundleError, Blame.BOX: BoxError, Blame.SLOT: SlotLost}[self.blame]
        message, hint = public(self.message), public(self.hint)
        return kind(message, hint=hint, code=self.code, detail=self.detail)


class Decoded(msgspec.Struct, tag="decoded", frozen=True, array_like=True):
    """The picture fills the memory, row by row."""

    height: Size
    width: Size


Reply = Union[Ready, Pong, LoadedReply, Inferred, Decoded, WorkerFault]


# --------------------------------------------------------------------------- the socket


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A request as it travels; its number is 0 where no answer is waited for."""

    number: int
    request: Request


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """A reply as it travels, with the number of what it answers.

    A worker that answers ahead, or twice, would have each later frame judged by the frame before.
    """

    number: int
    reply: Reply


_encode = msgspec.msgpack.Encoder(enc_hook=os.fspath).encode


def _path(_kind: type, value: str) -> Path:
    """The one type of a request that msgspec does not know."""
    return Path(value)


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends: the slot's and the worker's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class SlotEnd:
    """The slot's end: every wait has a limit, and every packet is checked."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = bytearray(MESSAGE_LIMIT_BYTES + 1)
        self._view = memoryview(self._buffer)
        self._decode = msgspec.msgpack.Decoder(Answered).decode
        self._number = 0
        self._timeout_s: float | None = None

    def send(self, request: Request, timeout_s: float, fds: tuple[int, ...] = ()) -> None:
        """Raises SlotLost when the worker is gone or does not read."""
        self._number += 1
        packet = _encode(Asked(self._number, request))
        try:
            self._limit(timeout_s)
            if fds:
                socket.send_fds(self._end, [packet], list(fds))
            else:
                self._end.send(packet)
        except OSError as error:
            raise SlotLost("The worker does not take messages any more.") from error

    def post(self, request: Request) -> None:
        """Send what is not answered and may be lost; from any thread, for a packet goes whole."""
        with suppress(OSError):
            self._end.send(_encode(Asked(0, request)))

    def has_answer(self, timeout_s: float) -> bool:
        """Whether there is one, or the end of the stream, within this time."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        return bool(poll.poll(timeout_s * 1e3))

    def receive(self, timeout_s: float) -> Reply:
        """The answer to the last `send`; raises SlotLost at the end of the stream, past the limit,
        or for anything else; TimeoutError stays the cause of a timeout."""
        try:
            self._limit(timeout_s)
            size = self._end.recv_into(self._buffer)
        except TimeoutError as error:
            raise SlotLost(f"The worker gave no answer within {timeout_s:g} s.") from error
        except OSError as error:
            raise SlotLost("The worker's socket failed.") from error
        if size == 0:
            raise SlotLost("The worker ended.")
        if size > MESSAGE_LIMIT_BYTES:
            raise SlotLost("The worker sent a message that is too long.")
        try:
            answer: Answered = self._decode(self._view[:size])
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: bad UTF-8
            raise SlotLost("The worker sent a malformed message.") from error
        if answer.number != self._number:
            raise SlotLost("The worker answered what it was not asked at this moment.")
        return answer.reply

    def close(self) -> None:
        self._end.close()

    def _limit(self, timeout_s: float) -> None:
        if timeout_s != self._timeout_s:  # setting it costs a system call
            self._end.settimeout(max(timeout_s, 1e-3))
            self._timeout_s = timeout_s


class WorkerEnd:
    """The worker's end: it waits for ever, because its life ends with the slot's."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._end.setblocking(True)
        self._decode = msgspec.msgpack.Decoder(Asked, dec_hook=_path).decode
        self._number = 0

    def receive(self) -> tuple[Request, list[int]] | None:
        """The next request with its descriptors; None when the slot's end is closed."""
        packet, fds, _, _ = socket.recv_fds(
            self._end, MESSAGE_LIMIT_BYTES, 1, socket.MSG_CMSG_CLOEXEC
        )
        if not packet:
            return None
        asked: Asked = self._decode(packet)
        self._number = asked.number
        return asked.request, fds

    def send(self, reply: Reply) -> None:
        """Answer what was received last."""
        self._end.send(_encode(Answered(self._number, reply)))
