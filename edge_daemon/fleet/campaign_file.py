"""Files of campaigns: what people write in YAML, and the envelope that the keys signed."""

from __future__ import annotations

import json
from pathlib import Path

from edge_daemon.core.fleet.campaign import Campaign, read_campaign
from edge_daemon.documents import DocumentError, Limits, parse, read_bytes, read_text
from edge_daemon.errors import ConfigurationError, SenderError
from edge_daemon.fleet.messages import KIND, plain_key
from edge_daemon.models.countersigned import text_in

MOST_BYTES = 256 << 10
_LIMITS = Limits(bytes=MOST_BYTES, values=60_000)


def load_campaign(file: Path) -> tuple[Campaign, bytes | None]:
    """The campaign of a file, and its envelope where somebody signed it already.

    Raises ConfigurationError for what cannot be read, PlanError for what is no campaign.
    """
    try:
        content = read_bytes(file, MOST_BYTES)
        if plain_key(content, "payload") is not None:
            envelope = content.strip()
            return read_campaign(json.loads(text_in(envelope, KIND))), envelope
        return read_campaign(parse(read_text(file, MOST_BYTES), _LIMITS).value), None
    except DocumentError as error:
        raise ConfigurationError(
            f"{file}:{error.line}: the campaign {error.message}.",
            hint=error.hint
            or "Make one: edge-daemon fleet campaign BUNDLE --id ID --serial NUMBER --out FILE",
        ) from error
    except ValueError as error:
        raise SenderError(f"What was signed in {file} is no campaign.") from error
