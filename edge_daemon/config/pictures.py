"""Settings of kept pictures."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from edge_daemon.config.fields import FilePath, Group, Host, User, printable
from edge_daemon.config.named_files import read_secret
from edge_daemon.core.traceability import Choice

RemoteFolder = Annotated[str, Field(min_length=1, max_length=1_024), AfterValidator(printable)]


def _web_address(text: str) -> str:
    """An address without credentials; raises ValueError."""
    if not text.startswith(("https://", "http://")) or "@" in text:
        raise ValueError("should be https://host:port, or http://… within a plant's own network")
    return printable(text)


WebAddress = Annotated[str, Field(max_length=2_048), AfterValidator(_web_address)]


class NgImages(Group):
    """Keeps pictures of rejected parts."""

    folder: FilePath
    """Where they go."""
    quota_mb: int = Field(default=512, ge=1, le=10_485_760)
    """Megabytes; beyond it the oldest go."""


class SftpSettings(Group):
    """A folder on an SFTP server. Needs `pip install edge-daemon[sftp]`."""

    host: Host
    """Host name or address."""
    port: int = Field(default=22, ge=1, le=65_535)
    """TCP port."""
    user: User
    """Who writes there."""
    folder: RemoteFolder
    """A folder that is there; days and orders are made below it."""
    known_hosts_file: FilePath
    """The server's host keys, as `ssh-keyscan` writes them; a server with another key gets
    nothing."""
    key_file: FilePath | None = None
    """Private key of the user, without a passphrase; or give `password_file`."""
    password_file: FilePath | None = None
    """File that holds the password and nothing else."""

    @model_validator(mode="after")
    def _key_or_password(self) -> SftpSettings:
        if (self.key_file is None) == (self.password_file is None):
            raise ValueError("should have either a key_file or a password_file")
        return self

    def read_password(self) -> str | None:
        """The password as it stands in its file now; raises ConfigurationError."""
        return read_secret(self.password_file, "results.pictures.copy_to_sftp.password_file")


class S3Settings(Group):
    """A bucket of S3 or of a server that speaks its protocol. Needs `pip install
    edge-daemon[s3]`."""

    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$")]
    """A bucket that is there."""
    prefix: Annotated[str, Field(max_length=512), AfterValidator(printable)] = ""
    """What every key begins with, such as `line3/`."""
    endpoint: WebAddress | None = None
    """Address of a server of one's own; null: Amazon's."""
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")] = "us-east-1"
    """Region of the bucket."""
    access_key_id: User
    """Who writes there; it is no secret."""
    secret_key_file: FilePath
    """File that holds the secret access key and nothing else."""
    ca: FilePath | None = None
    """PEM of the authority that signed the server's certificate; null: the usual ones."""

    def read_secret_key(self, keys: str = "results.pictures.copy_to_s3") -> str:
        """The secret as it stands in its file now; raises ConfigurationError.

        `keys`: where these settings stand.
        """
        return read_secret(self.secret_key_file, f"{keys}.secret_key_file")


class PicturesSettings(Group):
    """Keeps pictures of parts with what was said of them, to be found by serial number."""

    folder: FilePath
    """Where they go, in a folder for each day and order."""
    quota_mb: int = Field(default=2048, ge=1, le=10_485_760)
    """Megabytes; beyond it the oldest go."""
    days: int | None = Field(default=None, ge=1, le=36_500)
    """Days; older ones go, whatever room there is. null: only the quota counts."""
    ng: bool = True
    """Rejected frames."""
    uninspected: bool = True
    """Frames without a verdict, where the camera gave a picture."""
    ok_share: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the others; by a hash of boot and frame, so that it can be checked which."""
    drawn: bool = False
    """A second picture beside each, with zones, boxes and causes drawn: the first one stays as the
    camera gave it, for training."""
    copy_to: FilePath | None = None
    """A folder that is there, a mounted share for example: every picture is copied to it, also
    after an outage. null: nothing is copied there."""
    copy_to_sftp: SftpSettings | None = None
    """The same to an SFTP server."""
    copy_to_s3: S3Settings | None = None
    """The same to a bucket of S3."""

    @model_validator(mode="after")
    def _one_place(self) -> PicturesSettings:
        places = (self.copy_to, self.copy_to_sftp, self.copy_to_s3)
        if sum(place is not None for place in places) > 1:
            raise ValueError("has one place to copy to: copy_to, copy_to_sftp or copy_to_s3")
        return self

    @property
    def choice(self) -> Choice:
        return Choice(self.ng, self.uninspected, self.ok_share)
