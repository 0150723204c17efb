"""Copies of pictures in a bucket of S3. botocore lives here and nowhere else.

It is imported by the first connection, and by no station that copies elsewhere.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from edge_daemon.config.named_files import readable_path
from edge_daemon.config.pictures import S3Settings
from edge_daemon.errors import BoxError

_CONNECT_S = 10.0
_ANSWER_S = 60.0
_KEYS = "results.pictures.copy_to_s3"
_TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".json": "application/json"}
_REFUSED = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken")
_NOT_ALLOWED = ("AccessDenied", "AllAccessDisabled", "403")
_FULL = ("QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "507")


class S3Place:
    """Implements `Place`. An object is there whole or not at all: the protocol has it so.

    `keys`: where it stands in the settings.
    """

    def __init__(self, settings: S3Settings, keys: str = _KEYS) -> None:
        self._settings, self._keys = settings, keys
        self.name = f"the bucket {settings.bucket}"
        if settings.endpoint is not None:
            self.name += f" at {settings.endpoint.partition('://')[2]}"
        self._client: Any = None

    def open(self) -> None:
        """Whether the bucket is there; a key that may write but not look is good too."""
        if self._client is not None:
            return
        client = _client(self._settings, self._keys)
        try:
            client.head_bucket(Bucket=self._settings.bucket)
        except Exception as error:
            if _code(error) not in _NOT_ALLOWED:
                raise self._in_words(error) from error
        self._client = client

    def put(self, path: str, content: bytes) -> None:
        suffix = path[path.rindex(".") :]
        try:
            self._client.put_object(
                Bucket=self._settings.bucket,
                Key=f"{self._settings.prefix}{path}",
                Body=content,
                ContentType=_TYPES[suffix],
            )
        except Exception as error:
            raise self._in_words(error) from error

    def close(self) -> None:
        if self._client is not None:
            with suppress(Exception):  # it is given up in any case
                self._client.close()
            self._client = None

    def _in_words(self, error: Exception) -> BoxError:
        """What a technician can act on; the library's own words are for the log."""
        from botocore import exceptions  # noqa: PLC0415

        code = _code(error)
        if code in _REFUSED:
            told = f"refuses the key {self._settings.access_key_id}"
            hint = f"Check access_key_id and secret_key_file of {self._keys}."
        elif code in _NOT_ALLOWED:
            told = f"does not let the key {self._settings.access_key_id} write"
            hint = "Give this key the right s3:PutObject there."
        elif code in {"NoSuchBucket", "404"}:
            told, hint = "is not there", f"Make it, or correct {self._keys}.bucket."
        elif code in _FULL:
            told, hint = "is full", "Make room there; the pictures wait."
        elif code == "RequestTimeTooSkewed":
            told, hint = "says that this box's clock is wrong", "Set it: timedatectl."
        elif code:
            told, hint = f"did not take a picture ({code})", "See the server's log."
        elif isinstance(error, exceptions.SSLError):
            told = "shows a certificate that is not trusted"
            hint = f"Name its authority: {self._keys}.ca"
        elif isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
            told, hint = "does not answer", "Is it there, and is the network?"
        elif isinstance(error, exceptions.EndpointConnectionError):
            told, hint = "cannot be reached", "Check endpoint and region, and that it runs."
        else:
            told = f"cannot be used ({type(error).__name__})"
            hint = f"Check {self._keys}."
        return BoxError(f"{self.name} {told}", hint=hint, detail=str(error))


def _code(error: Exception) -> str:
    """The server's word for what is wrong; empty where it said none."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def _client(settings: S3Settings, keys: str) -> Any:
    """Raises BoxError where the library is not installed or a file cannot be read."""
    try:
        from botocore.config import Config  # noqa: PLC0415
        from botocore.session import Session  # noqa: PLC0415
    except ImportError as error:
        raise BoxError(
            f"{keys} needs botocore, which is not installed",
            hint="Install it: pip install 'edge-daemon[s3]'",
        ) from error
    ca = readable_path(settings.ca, f"{keys}.ca")
    return Session().create_client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.read_secret_key(keys),
        verify=ca if ca is not None else True,
        config=Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_ANSWER_S,
            retries={"total_max_attempts": 1},  # tried again as all copies are
            request_checksum_calculation="when_required",  # older servers know no other
            s3={"addressing_style": "path" if settings.endpoint else "auto"},
        ),
    )
