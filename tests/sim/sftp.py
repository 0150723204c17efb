"""An SFTP server over a real socket: one user, a folder, a disk that may be full."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncssh

USER, PASSWORD = "line3", "not in the settings"


class SftpStation:
    """Serves `folder` as its root, on its own thread. `full` and `refused` may change any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.full = False
        self.refused: Callable[[str], bool] = lambda _: False
        self.logins = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncssh.SSHAcceptor | None = None

    def start(self) -> None:
        self._call(self._listen())

    def stop(self) -> None:
        """It vanishes, with every connection."""
        self._call(self._close())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def known_hosts(self, path: Path, key: asyncssh.SSHKey | None = None) -> Path:
        """A file that says which key this server has."""
        public = (key or self.host_key).export_public_key().decode()
        path.write_text(f"[127.0.0.1]:{self.port} {public}")
        return path

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def _listen(self) -> None:
        station = self

        class Door(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                station.connections.append(conn)

            def begin_auth(self, username: str) -> bool:
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                station.logins += 1
                return (username, password) == (USER, PASSWORD)

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return username == USER and key == station.user_key.convert_to_public()

        class Files(asyncssh.SFTPServer):
            def __init__(self, chan: Any) -> None:
                super().__init__(chan, chroot=str(station.folder).encode())

            def open(self, path: bytes, pflags: int, attrs: Any) -> object:
                if station.refused(path.decode()):
                    raise asyncssh.SFTPPermissionDenied("not this one")
                return super().open(path, pflags, attrs)

            def write(self, file_obj: object, offset: int, data: bytes) -> int:
                if station.full:
                    raise asyncssh.SFTPFailure("No space left on device")
                return super().write(file_obj, offset, data)  # type: ignore[return-value]

        self.connections: list[asyncssh.SSHServerConnection] = []
        self._server = await asyncssh.listen(
            "127.0.0.1",
            self.port,
            server_factory=Door,
            server_host_keys=[self.host_key],
            sftp_factory=Files,
            reuse_address=True,
        )
        self.port = self._server.get_port()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            for connection in self.connections:
                connection.abort()
            await self._server.wait_closed()
            self._server = None


@contextmanager
def sftp_station(folder: Path) -> Iterator[SftpStation]:
    """A server that listens."""
    folder.mkdir(parents=True, exist_ok=True)
    asyncssh.set_log_level("CRITICAL")
    station = SftpStation(folder)
    try:
        station.start()
        yield station
    finally:
        station.close()
