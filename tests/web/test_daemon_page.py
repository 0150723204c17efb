"""The page of a whole daemon, asked as scripts and probes ask it."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edge_daemon.app import Daemon
from edge_daemon.web.state import PageState
from tests.sim.certificates import pem
from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import free_port

V1, V2 = "bottle@1.0.0", "bottle@2.0.0"
GENEROUS_S = 30.0


class Caller:
    """A script that asks the page of this device."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._port = port
        self._headers = dict(headers or {})

    def get(self, path: str) -> tuple[int, bytes]:
        return self._ask("GET", path, None)

    def post(self, path: str, body: object) -> tuple[int, bytes]:
        return self._ask("POST", path, json.dumps(body).encode())

    def state(self) -> PageState:
        return msgspec.json.decode(self.get("/api/state")[1], type=PageState)

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=GENEROUS_S)
        try:
            command = {"x-edge-daemon": "1", "content-type": "application/json"} if body else {}
            connection.request(method, path, body, {**self._headers, **command})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def running(device: Device) -> Daemon:
    assert device.daemon is not None
    return device.daemon


def test_every_path_of_a_daemon_that_runs(tmp_path: Path) -> None:
    """State, metrics, health, pictures and history tell of the same line."""
    results = {"publish": "none", "ng_images": {"folder": str(tmp_path / "ng")}}
    listen = {"listen": "127.0.0.1:0"}
    with Device(V1, V2, settings={"http": listen, "results": results}) as device:
        device.await_active(V1)
        caller = Caller(running(device).http_port)
        wait_until(lambda: sum(caller.state().history.ok) > 0, "a second of frames")
        state = caller.state()
        assert json.loads(bytes(state.model))["active"]["model"] == V1
        first = state.slots[0]
        assert (first.name, first.role, first.model) == ("A", "active", V1)
        assert {each.model for each in state.models} == {V1, V2}
        assert state.frames.balanced
        assert state.frames.ok > 0
        assert state.last is not None
        assert state.last.model == V1
        assert not state.commands
        assert caller.get("/healthz")[0] == 200
        status, why = caller.get("/readyz")
        assert (status, json.loads(why)["reasons"]) == (503, ["the broker is away"])
        assert (state.health.ready, state.health.problems) == (False, ("the broker is away",))
        assert running(device).monitor.problems() == state.health.problems
        assert f'edge_model_info{{model="{V1}"'.encode() in caller.get("/metrics")[1]
        assert caller.get("/snapshot.jpg")[1].startswith(b"\xff\xd8")
        assert caller.post("/api/request/swap", {"model": V2})[0] == 404
        assert caller.post("/api/preview", {})[0] == 404
        swap = json.loads(caller.get(f"/api/swaps/{state.swaps[0].id}")[1])
        assert swap["receipt"]["to"] == V1


def test_a_station_without_a_model_lives_and_is_not_ready() -> None:
    """A probe must not restart it; page, `/readyz` and health give the same reasons."""
    with Device(settings={"http": {"listen": "127.0.0.1:0"}}) as device:
        caller, daemon = Caller(running(device).http_port), running(device)
        wait_until(lambda: daemon.frames.ledger.counts().captured > 0, "frames")
        status, why = caller.get("/healthz")
        assert (status, json.loads(why)) == (200, {"good": True, "reasons": ["no model is active"]})
        status, why = caller.get("/readyz")
        reasons = ["no model is active", "the broker is away"]
        assert (status, json.loads(why)["reasons"]) == (503, reasons)
        assert caller.state().health.problems == tuple(reasons)
        assert daemon.monitor.problems() == tuple(reasons)


def test_a_certificate_that_ends_soon_is_told_everywhere(tmp_path: Path) -> None:
    """A problem on the page and in health, and a time in the metrics; the station is ready."""
    (tmp_path / "ca.pem").write_bytes(pem(time.time(), 5.5))
    mqtt = {"tls": {"ca": str(tmp_path / "ca.pem")}, "port": free_port()}
    with Device(V1, settings={"http": {"listen": "127.0.0.1:0"}, "mqtt": mqtt}) as device:
        caller = Caller(running(device).http_port)
        problem = "the file of mqtt.tls.ca expires in 5 days"
        wait_until(lambda: problem in caller.state().health.problems, "the problem")
        assert problem not in json.loads(caller.get("/readyz")[1])["reasons"]
        assert b'edge_certificate_expires_seconds{file="ca"}' in caller.get("/metrics")[1]


def test_a_swap_by_http_is_answered_as_one_by_mqtt() -> None:
    """Accepted at once, one outcome with its receipt, and a repeat does nothing."""
    with Device(V1, V2, settings={"http": {"listen": "127.0.0.1:0", "commands": True}}) as device:
        device.await_active(V1)
        caller = Caller(running(device).http_port)
        request = {"id": "r1", "model": V2, "by": "kim"}
        status, first = caller.post("/api/request/swap", request)
        assert status == 200
        assert json.loads(first)["id"] == "r1"

        def outcome() -> dict[str, object]:
            answer: dict[str, object] = json.loads(caller.get("/api/answers/r1")[1])
            return answer

        wait_until(lambda: outcome()["status"] == "succeeded", "the swap")
        status, seen = caller.post("/api/preview", {"limit": 5})
        assert status == 200
        assert json.loads(seen)["adjustable"] == [], "this recipe lets nothing be adjusted"
        status, refused = caller.post("/api/preview", {"set": {"scratch.confidence": 0.9}})
        assert status == 409
        assert "is not adjustable" in json.loads(refused)["error"]["message"]
        for nonsense in ({"set": {"scratch.confidence": "much"}}, {"limit": 0}, []):
            assert caller.post("/api/preview", nonsense)[0] == 400  # type: ignore[arg-type]
        receipt = outcome()["receipt"]
        device.await_active(V2)
        again = json.loads(caller.post("/api/request/swap", request)[1])
        assert again["receipt"] == receipt
        status, refused = caller.post("/api/request/swap", {"model": "bottle@9.9.9"})
        assert (status, json.loads(refused)["error"]["code"]) == (409, "unknown_model")
        by = {each.id: each.by for each in caller.state().swaps}
        assert by[receipt["swap_id"]] == "kim", "the refused one may be newer than the swap's end"


def test_a_swap_for_a_day_that_nobody_lives_to_see_leaves_the_page_as_it_is() -> None:
    """Whatever is answered to it, the state is shown."""
    with Device(V1, V2, settings={"http": {"listen": "127.0.0.1:0", "commands": True}}) as device:
        device.await_active(V1)
        caller = Caller(running(device).http_port)
        late = {"id": "r1", "model": V2, "at": "9999-12-31T23:59:59-23:59"}
        caller.post("/api/request/swap", late)
        caller.post("/api/request/hold", {})  # read after it
        assert caller.get("/api/state")[0] == 200


def test_a_port_in_use_is_one_error_and_the_line_goes_on() -> None:
    """Frames are judged without the page, and the log says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with Device(V1, settings={"http": {"listen": listen}}) as device:
            device.await_active(V1)
            assert running(device).http_port == 0
            errors = [line for line in device.log.read_text().splitlines() if '"error"' in line]
            assert [json.loads(line)["event"] for line in errors if "status_page" in line] == [
                "status_page_missing"
            ]


def test_with_a_token_only_those_who_know_it_see_the_line(tmp_path: Path) -> None:
    """It is read from its file; one that cannot be read leaves no page, not an open one."""
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    http = {"listen": f"127.0.0.1:{free_port()}", "token_file": str(token)}
    with Device(V1, settings={"http": http}) as device:
        device.await_active(V1)
        port = running(device).http_port
        assert Caller(port).get("/api/state")[0] == 401
        assert Caller(port).get("/healthz")[0] == 200
        assert Caller(port, {"authorization": "Bearer s3cret"}).get("/api/state")[0] == 200
        device.stop()
        token.unlink()
        device.start()
        device.await_active(V1)
        assert running(device).http_port == 0
