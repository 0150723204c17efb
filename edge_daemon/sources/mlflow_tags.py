"""What became of a model version, as a tag of MLflow: `edge.<device>` = `stopped: …`."""

from __future__ import annotations

import json
from collections.abc import Callable

from edge_daemon.errors import BundleError
from edge_daemon.sources.http import Http
from edge_daemon.sources.source import SourceAway
from edge_daemon.sources.write_back import Outcome

_SET_TAG = "api/2.0/mlflow/model-versions/set-tag"
MOST_CHARACTERS = 500
"""Of a tag's value; MLflow takes 5,000 at most, and its list shows one line."""


class MlflowTags:
    """Implements `Writer`."""

    only_endings = False

    def __init__(self, http: Http, device: str) -> None:
        self._http, self._device = http, device

    def write(self, outcome: Outcome, report: Callable[[], bytes]) -> None:  # noqa: ARG002 - a tag
        origin = outcome.origin
        body = {
            "name": origin.name,
            "version": origin.version,
            "key": f"edge.{self._device}",
            "value": outcome.word[:MOST_CHARACTERS],
        }
        headers = {"Content-Type": "application/json"}
        url = f"{self._http.base}/{_SET_TAG}"
        answer = self._http.exchange("POST", url, json.dumps(body).encode(), headers)
        if answer.status in (400, 404):
            raise BundleError(
                f"{self._http.base} takes no tag for {origin.name}/{origin.version}: "
                f"{answer.status}.",
                hint="Was the version deleted there?",
            )
        if answer.status != 200:
            raise SourceAway(
                f"{self._http.base} answers {answer.status}.",
                hint="May this user change tags there?",
            )
