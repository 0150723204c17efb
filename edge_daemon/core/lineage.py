"""What a model was trained on and where it came from, as far as anybody said so.

`lineage` in model.yaml is for people, so it is read leniently: what is not understood is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_daemon.core.text import is_line

MOST_NAMES = 64
_LONGEST = 512


@dataclass(frozen=True)
class Origin:
    """The source that a bundle came from.

    Args:
        kind: folder, http, oci or mlflow; `url`: its address, without credentials.
        name: what the source calls it: the repository, the registered model, else the bundle.
        digest: of an OCI manifest, else of model.yaml, in hex.
        version: as the source numbers it; None where it does not.
        alias: the tag or alias that led to it; None where it was asked for by version or digest.
        run_id: the training run, where the source knows it.
        datasets: what the source says the run was trained on.
        seen: when it came, in POSIX seconds.
    """

    kind: str
    url: str
    name: str
    digest: str = ""
    version: str | None = None
    alias: str | None = None
    run_id: str | None = None
    datasets: tuple[str, ...] = ()
    seen: float = 0.0


@dataclass(frozen=True)
class Trained:
    """What a version was trained on; empty or None: nobody said.

    `parent` is the version that the training began with, as name@version.
    """

    datasets: tuple[str, ...] = ()
    run: str | None = None
    parent: str | None = None


def read_trained(name: str, said: Mapping[str, object], origin: Origin | None = None) -> Trained:
    """By `lineage` of model.yaml; what it leaves open, by the source.

    `dataset` may be a name, a list of names, or {name: …, digest: …}; `run` a name or {id: …};
    `parent` a version of the same bundle name, or name@version.
    """
    datasets = _names(said.get("dataset"), "name")
    run = next(iter(_names(said.get("run"), "id")), None)
    parent = next(iter(_names(said.get("parent"), "version")), None)
    if parent is not None and "@" not in parent:
        parent = f"{name}@{parent}"
    if origin is not None:
        datasets, run = datasets or origin.datasets, run or origin.run_id
    return Trained(datasets, run, parent)


def trained_on(dataset: str, known: Mapping[str, Trained]) -> dict[str, str | None]:
    """The versions in which a data set lives on: name@version -> through which ancestor.

    None where the version itself was trained on it. A chain of parents ends where it is unknown.
    """
    found: dict[str, str | None] = {}
    for model in known:
        at, seen = model, {model}
        while True:
            if dataset in known[at].datasets:
                found[model] = None if at == model else at
                break
            parent = known[at].parent
            if parent is None or parent in seen or parent not in known:
                break
            seen.add(parent)
            at = parent
    return found


def _names(said: object, key: str) -> tuple[str, ...]:
    """One name, several, or a table that has one."""
    if isinstance(said, Mapping):
        said = said.get(key)
    each = said if isinstance(said, (list, tuple)) else (said,)
    return tuple(name for one in each[:MOST_NAMES] if (name := _name(one)) is not None)


def _name(said: object) -> str | None:
    if isinstance(said, bool) or not isinstance(said, (str, int, float)):
        return None
    name = str(said).strip()
    return name if name and len(name) <= _LONGEST and is_line(name) else None
