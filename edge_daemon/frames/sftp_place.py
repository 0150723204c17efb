"""Copies of pictures on an SFTP server. asyncssh lives here and nowhere else.

It is imported by the first connection, and by no station that copies elsewhere. The server must
show a key of `known_hosts_file`: it is never learned at the first connection.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from edge_daemon.config.named_files import readable_path
from edge_daemon.config.pictures import SftpSettings
from edge_daemon.errors import BoxError

if TYPE_CHECKING:
    import asyncssh

_T = TypeVar("_T")

_CONNECT_S = 10.0
_LOGIN_S = 20.0
_FILE_S = 60.0
_KEEPALIVE_S = 15.0


class SftpPlace:
    """Implements `Place`; the connection is kept from one picture to the next."""

    def __init__(self, settings: SftpSettings) -> None:
        self._settings = settings
        self.name = f"the SFTP server {settings.host}:{settings.port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None
        self._made: set[str] = set()

    def open(self) -> None:
        if self._client is None:
            _library()
            self._run(self._connect(), _CONNECT_S + _LOGIN_S)

    def put(self, path: str, content: bytes) -> None:
        """Whole, and on the server's disk where it can say so."""
        self._run(self._put(path, content), _FILE_S)

    def close(self) -> None:
        connection, loop = self._connection, self._loop
        self._connection = self._client = self._loop = None
        self._made.clear()
        if loop is None:
            return
        if connection is not None:
            connection.abort()
            with suppress(Exception):  # it is given up in any case
                loop.run_until_complete(asyncio.wait_for(connection.wait_closed(), 1.0))
        loop.close()

    def _run(self, work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        import asyncssh  # noqa: PLC0415 - with the first connection

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, timeout_s))
        except (asyncssh.Error, OSError, asyncio.TimeoutError, ValueError) as error:
            raise self._in_words(error) from error

    async def _connect(self) -> None:
        import asyncssh  # noqa: PLC0415

        settings = self._settings
        keys = "results.pictures.copy_to_sftp"
        known = readable_path(settings.known_hosts_file, f"{keys}.known_hosts_file")
        key = readable_path(settings.key_file, f"{keys}.key_file")
        self._connection = await asyncssh.connect(
            settings.host,
            settings.port,
            username=settings.user,
            password=settings.read_password(),
            client_keys=[key] if key else None,
            known_hosts=known,
            agent_path=None,
            config=None,
            connect_timeout=_CONNECT_S,
            login_timeout=_LOGIN_S,
            keepalive_interval=_KEEPALIVE_S,
        )
        self._client = client = await self._connection.start_sftp_client()
        if not await client.isdir(settings.folder):
            raise BoxError(
                f"{self.name} has no folder {settings.folder}",
                hint="Make it there, or correct results.pictures.copy_to_sftp.folder.",
            )

    async def _put(self, path: str, content: bytes) -> None:
        import asyncssh  # noqa: PLC0415

        client = self._client
        assert client is not None
        to = posixpath.join(self._settings.folder, path)
        folder = posixpath.dirname(to)
        if folder not in self._made:
            await client.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        part = posixpath.join(folder, f".{posixpath.basename(to)}.part")
        async with client.open(part, "wb") as file:
            await file.write(content)
            with suppress(asyncssh.SFTPOpUnsupported):
                await file.fsync()
        if (await client.stat(part)).size != len(content):
            raise BoxError(f"{self.name} kept a part of a file", hint="Is its disk full?")
        try:
            await client.posix_rename(part, to)
        except asyncssh.SFTPOpUnsupported:
            with suppress(asyncssh.SFTPNoSuchFile):
                await client.remove(to)
            await client.rename(part, to)

    def _in_words(self, error: Exception) -> BoxError:
        """What a technician can act on; the library's own words are for the log."""
        import asyncssh  # noqa: PLC0415

        each = self._settings
        known, where = each.known_hosts_file.name, f"-p {each.port} {each.host}"
        says = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        words: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
            (
                (asyncssh.HostKeyNotVerifiable,),
                f"shows a host key that is not in {known}",
                f"Is it the right server? Then: ssh-keyscan {where} > {known}",
            ),
            (
                (asyncssh.PermissionDenied,),
                f"refuses the user {each.user}",
                "Check user, key_file and password_file of results.pictures.copy_to_sftp.",
            ),
            (
                (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError),
                "cannot be asked: its key_file or known_hosts_file is not of the right kind",
                "A key without a passphrase, as ssh-keygen makes it; hosts as ssh-keyscan does.",
            ),
            (
                (asyncssh.SFTPNoSpaceOnFilesystem, asyncssh.SFTPQuotaExceeded),
                "is full",
                "Make room there; the pictures wait.",
            ),
            (
                (asyncssh.SFTPPermissionDenied,),
                f"does not let {each.user} write to {each.folder}",
                "Give this user the right to write there.",
            ),
            (
                (asyncio.TimeoutError, TimeoutError),
                "does not answer",
                "Is it there, and is the network?",
            ),
            (
                (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.DisconnectError),
                "ended the connection",
                "See its log.",
            ),
            (
                (asyncssh.SFTPError,),
                f"did not take a file ({says})",
                f"Is its disk full, or may {each.user} not write there?",
            ),
        )
        for kinds, told, hint in words:
            if isinstance(error, kinds):
                return BoxError(f"{self.name} {told}", hint=hint, detail=str(error))
        told, hint = f"cannot be reached ({says})", "Check host and port, and that it runs."
        return BoxError(f"{self.name} {told}", hint=hint, detail=str(error))


def _library() -> None:
    """Raises BoxError where it is not installed."""
    try:
        import asyncssh  # noqa: PLC0415
    except ImportError as error:
        raise BoxError(
            "results.pictures.copy_to_sftp needs asyncssh, which is not installed",
            hint="Install it: pip install 'edge-daemon[sftp]'",
        ) from error
    asyncssh.set_log_level("WARNING")  # who logged in is no news
