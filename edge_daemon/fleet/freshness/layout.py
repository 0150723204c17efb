"""The roles of a fleet's metadata: who signs each, how many must, and how long it is good.

root         three keys, two of which sign; kept offline; signs `targets` too
bundles      QA: which bundles exist; as many must sign as `fleet keys init` was told
campaigns    ops and release, both: which campaigns are current
online       one key on the publisher's machine: snapshot and timestamp

<repository>/metadata/<version>.<role>.json and timestamp.json   what stations read
<repository>/targets/…    the texts that are listed, named by their digests
<repository>/staged/…     changes that wait for signatures; no station reads them
"""

from __future__ import annotations

import re

ROOT, TARGETS, SNAPSHOT, TIMESTAMP = "root", "targets", "snapshot", "timestamp"
BUNDLES, CAMPAIGNS, ONLINE = "bundles", "campaigns", "online"
REPOSITORY = "_tuf"
"""The folder of a repository beside the bundles of an origin; no bundle has such a name."""

KEY_ROLES = (ROOT, BUNDLES, CAMPAIGNS, ONLINE)
"""What people name when they add or revoke a key."""
FIRST_KEYS = {
    ROOT: ("root-1", "root-2", "root-3"),
    BUNDLES: ("qa",),
    CAMPAIGNS: ("ops", "release"),
    ONLINE: ("online",),
}
THRESHOLDS = {ROOT: 2, BUNDLES: 1, CAMPAIGNS: 2, ONLINE: 1}
PATHS = {BUNDLES: "bundles/*/*/model.yaml", CAMPAIGNS: "campaigns/*.json"}
DAYS = {ROOT: 730, TARGETS: 730, BUNDLES: 365, CAMPAIGNS: 365, SNAPSHOT: 7}
HOURS = 24.0
"""How long a timestamp is good."""

_CAMPAIGN = re.compile(r"campaigns/([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.json")


def campaign_path(campaign: str) -> str:
    """The target of a campaign."""
    return f"campaigns/{campaign}.json"


def campaign_of(path: str) -> str | None:
    """The id of the campaign that is this target; None for any other."""
    found = _CAMPAIGN.fullmatch(path)
    return None if found is None else found[1]


def bundle_path(name: str, version: str) -> str:
    """The target of a bundle: its manifest, which pins everything else."""
    return f"bundles/{name}/{version}/model.yaml"
