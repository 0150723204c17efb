"""Settings of kept pictures."""

from __future__ import annotations

from pydantic import Field

from edge_daemon.config.fields import FilePath, Group
from edge_daemon.core.traceability import Choice


class NgImages(Group):
    """Keeps pictures of rejected parts."""

    folder: FilePath
    """Where they go."""
    quota_mb: int = Field(default=512, ge=1, le=10_485_760)
    """Megabytes; beyond it the oldest go."""


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
    """Share of the others; by a hash of boot and frame, so that anybody can tell which."""
    copy_to: FilePath | None = None
    """A folder that is there, a mounted share for example: every picture is copied to it, also
    after an outage. null: nothing is copied."""

    @property
    def choice(self) -> Choice:
        """The same as the lane asks it."""
        return Choice(self.ng, self.uninspected, self.ok_share)
