"""An OCI registry: digests all the way, and tags that move."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.errors import BundleError, Code
from edge_daemon.sources.http import Http, basic
from edge_daemon.sources.oci import OciSource
from edge_daemon.sources.oci_login import OciLogin
from edge_daemon.sources.oci_referrers import ARTIFACT, OciReferrers
from edge_daemon.sources.source import SourceAway
from edge_daemon.sources.write_back import Outcome
from tests.sim import registry as debian
from tests.sim.bundles import make_bundle, noise
from tests.sim.registry import MODEL_PACK, TITLE, Registry
from tests.sim.token_registry import TokenRegistry
from tests.sources.conftest import Station

needs_registry = pytest.mark.skipif(not debian.is_installed(), reason="needs docker-registry")
REPOSITORY = "line3/bottle"
STABLE = f"{REPOSITORY}:stable"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")).running() as registry:
        yield registry


@needs_registry
@pytest.mark.parametrize("path_key", [TITLE, MODEL_PACK])
def test_a_tag_comes_into_the_store(
    station: Station, shelf: Path, running: Registry, path_key: str
) -> None:
    """With its paths as oras or as the ModelPack writes them; then by its digest as well."""
    made = make_bundle(shelf, key=station.key)
    digest = running.push(made, REPOSITORY, "stable", path_key)
    source = OciSource(running.url)
    (offered,) = source.offered("bottle", STABLE)
    assert offered.mark == digest
    origin = offered.origin
    assert (origin.name, origin.alias, origin.digest) == (REPOSITORY, "stable", digest)
    (fetched,) = station.pull(source, STABLE)
    assert fetched.is_new
    assert station.listed == ["bottle@1.0.0"]
    (again,) = station.pull(source, f"{REPOSITORY}@{digest}")
    assert not again.is_new


@needs_registry
def test_a_tag_that_moves(station: Station, shelf: Path, running: Registry) -> None:
    """To another version: it comes too. To another bundle of the same version: refused."""
    source = OciSource(running.url)
    running.push(make_bundle(shelf, "bottle@1.0.0", key=station.key), REPOSITORY, "stable")
    station.pull(source, STABLE)
    running.push(make_bundle(shelf, "bottle@1.1.0", key=station.key), REPOSITORY, "stable")
    station.pull(source, STABLE)
    assert station.listed == ["bottle@1.0.0", "bottle@1.1.0"]
    other = make_bundle(shelf / "x", "bottle@1.1.0", weights=noise("other"), key=station.key)
    running.push(other, REPOSITORY, "stable")
    with pytest.raises(BundleError, match=r"another bottle@1\.1\.0") as refused:
        station.pull(source, STABLE)
    assert refused.value.code is Code.INVALID_BUNDLE


@needs_registry
def test_an_unsigned_bundle_is_refused(station: Station, shelf: Path, running: Registry) -> None:
    """A registry's digests say that nothing changed on the way, not who made it."""
    running.push(make_bundle(shelf), REPOSITORY, "stable")
    with pytest.raises(BundleError) as refused:
        station.pull(OciSource(running.url), STABLE)
    assert refused.value.code is Code.NOT_TRUSTED
    assert station.listed == []


@needs_registry
def test_a_byte_that_flips_on_the_registrys_disk(
    station: Station, shelf: Path, running: Registry
) -> None:
    """The registry gives it out without a word; the station refuses it."""
    made = make_bundle(shelf, weights=noise("flips"), key=station.key)
    running.push(made, REPOSITORY, "stable")
    content = bytearray((made / "weights.pt").read_bytes())
    blob = running.blob_file(hashlib.sha256(content).hexdigest())
    content[7] ^= 1
    blob.write_bytes(content)
    with pytest.raises(BundleError, match=r"digest of weights\.pt") as refused:
        station.pull(OciSource(running.url), STABLE)
    assert refused.value.code is Code.DIGEST_MISMATCH
    assert station.listed == station.left_over == []


@needs_registry
def test_what_is_not_there_is_said(station: Station, running: Registry) -> None:
    """By its whole name."""
    with pytest.raises(BundleError, match="has no line3/bottle:nothing"):
        station.pull(OciSource(running.url), f"{REPOSITORY}:nothing")


def test_a_registry_that_gives_tokens(station: Station, shelf: Path) -> None:
    """The user's password goes to where the registry sends for a token, the token to it."""
    made = make_bundle(shelf, key=station.key)
    with TokenRegistry(made, basic("line3", "secret")).serving() as registry:
        with pytest.raises(SourceAway, match="refuses the credentials"):
            station.pull(OciSource(registry.url), STABLE)
        source = OciSource(registry.url, basic=lambda: basic("line3", "secret"))
        station.pull(source, STABLE)
        assert station.listed == ["bottle@1.0.0"]
        assert registry.scopes == {f"repository:{REPOSITORY}:pull"}


LAYER = {"digest": f"sha256:{'0' * 64}", "size": 1, "annotations": {TITLE: "model.yaml"}}


@pytest.mark.parametrize(
    "manifest",
    [
        b"<html>",
        b"[]",
        json.dumps({"manifests": []}).encode(),
        json.dumps({"layers": [{**LAYER, "annotations": {TITLE: "../../etc/passwd"}}]}).encode(),
        json.dumps({"layers": [{**LAYER, "annotations": None}]}).encode(),
        json.dumps({"layers": [{**LAYER, "digest": "md5:1"}]}).encode(),
        json.dumps({"layers": [{**LAYER, "size": -1}]}).encode(),
        json.dumps({"layers": [LAYER, LAYER]}).encode(),
        json.dumps({"layers": ["x"]}).encode(),
    ],
)
def test_manifests_that_make_no_sense_are_refused(
    station: Station, shelf: Path, manifest: bytes
) -> None:
    """In one sentence, whatever a registry answers."""
    made = make_bundle(shelf, key=station.key)
    with TokenRegistry(made, None, manifest).serving() as registry, pytest.raises(BundleError):
        station.pull(OciSource(registry.url), STABLE)
    assert station.listed == []


def test_a_pinned_digest_is_checked(station: Station, shelf: Path) -> None:
    """A registry that answers with another manifest than the one asked for."""
    made = make_bundle(shelf, key=station.key)
    wanted = f"{REPOSITORY}@sha256:{'0' * 64}"
    with TokenRegistry(made, None).serving() as registry:
        source = OciSource(registry.url)
        with pytest.raises(BundleError, match="another manifest"):
            station.pull(source, wanted)


def as_oras_would(
    registry: Registry, repository: str, listed: dict[str, Any], subject: str
) -> dict[str, bytes]:
    """The files of one referrer: what is listed, the manifest and each blob must be what they are
    announced as."""
    manifest = _fetched(registry, f"{repository}/manifests", listed)
    artifact = json.loads(manifest)
    assert (artifact["schemaVersion"], artifact["mediaType"]) == (2, listed["mediaType"])
    assert artifact["artifactType"] == listed["artifactType"] == ARTIFACT
    assert artifact["annotations"] == listed["annotations"]
    of = artifact["subject"]
    assert of["digest"] == subject
    assert len(_fetched(registry, f"{repository}/manifests", of)) > 2
    assert _fetched(registry, f"{repository}/blobs", artifact["config"]) == b"{}"
    return {
        layer["annotations"][TITLE]: _fetched(registry, f"{repository}/blobs", layer)
        for layer in artifact["layers"]
    }


def _fetched(registry: Registry, place: str, described: dict[str, Any]) -> bytes:
    content = registry.get(f"{place}/{described['digest']}")
    assert len(content) == described["size"]
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == described["digest"]
    return content


@needs_registry
def test_a_report_refers_to_its_bundle(station: Station, shelf: Path, running: Registry) -> None:
    """Found from the bundle's digest; told again it is there once, and another is beside it."""
    digest = running.push(make_bundle(shelf, key=station.key), "line9/bottle", "stable")
    source = OciSource(running.url)
    (offered,) = source.offered("bottle", "line9/bottle:stable")
    first = Outcome("r1", "bottle@1.0.0", "stopped: low_light -7 pts", True, offered.origin)
    http = Http(running.url)
    writer = OciReferrers(http, OciLogin(http), "line3-cam1", lambda: None)
    writer.write(first, lambda: b'{"rollout":"r1"}')
    writer.write(first, lambda: b'{"rollout":"r1"}')
    writer.write(replace(first, rollout="r2", word="confirmed"), lambda: b'{"rollout":"r2"}')
    tag = digest.replace(":", "-")
    listed = json.loads(running.get(f"line9/bottle/manifests/{tag}"))["manifests"]
    words = [each["annotations"]["edge-daemon.outcome"] for each in listed]
    assert words == ["stopped: low_light -7 pts", "confirmed"]
    assert [as_oras_would(running, "line9/bottle", each, digest) for each in listed] == [
        {"rollout.json": b'{"rollout":"r1"}'},
        {"rollout.json": b'{"rollout":"r2"}'},
    ]
    (again,) = station.pull(source, "line9/bottle:stable")
    assert again.is_new, "the bundle itself is as before"
    gone = replace(first, origin=replace(offered.origin, digest=f"sha256:{'0' * 64}"))
    with pytest.raises(BundleError, match="no more"):
        writer.write(gone, bytes)


@needs_registry
def test_two_stations_that_end_together_are_both_listed(
    station: Station, shelf: Path, running: Registry
) -> None:
    """The other one read the list before this one wrote, and writes its own over it."""
    digest = running.push(make_bundle(shelf, key=station.key), "line8/bottle", "stable")
    (offered,) = OciSource(running.url).offered("bottle", "line8/bottle:stable")
    tag, http = digest.replace(":", "-"), Http(running.url)
    others: list[dict[str, Any]] = []

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(running.get(f"line8/bottle/manifests/{tag}"))[
            "manifests"
        ]
        return found

    def overwrite() -> None:
        """Once, with what this station has put there as if it had never been."""
        if not others:
            mine = listed()
            others.extend(mine)
            elsewhere = Outcome("r2", "bottle@1.0.0", "confirmed", True, offered.origin)
            OciReferrers(http, OciLogin(http), "cam2", lambda: None).write(elsewhere, lambda: b"2")
            theirs = [each for each in listed() if each not in mine]
            running.put_index("line8/bottle", tag, theirs)

    told = Outcome("r1", "bottle@1.0.0", "confirmed", True, offered.origin)
    OciReferrers(http, OciLogin(http), "cam1", overwrite).write(told, lambda: b"1")
    devices = {each["annotations"]["edge-daemon.device"] for each in listed()}
    assert devices == {"cam1", "cam2"}
    lost = replace(told, word="stopped")
    writer = OciReferrers(
        http, OciLogin(http), "cam1", lambda: running.put_index("line8/bottle", tag, [])
    )
    with pytest.raises(SourceAway, match="Others write the list"):
        writer.write(lost, lambda: b"1")


def test_whoever_writes_asks_for_that_right(station: Station, shelf: Path) -> None:
    """A token to pull is not enough; the user's password goes to the service only."""
    made = make_bundle(shelf, key=station.key)
    with TokenRegistry(made, basic("kim", "secret")).serving() as registry:
        source = OciSource(registry.url, basic=lambda: basic("kim", "secret"))
        (offered,) = source.offered("bottle", STABLE)
        told = Outcome("r1", "bottle@1.0.0", "confirmed", True, offered.origin)
        http, user = Http(registry.url), lambda: basic("kim", "secret")
        login = OciLogin(http, basic=user, actions="pull,push")
        OciReferrers(http, login, "cam1", lambda: None).write(told, lambda: b"{}")
        assert registry.scopes == {f"repository:{REPOSITORY}:{r}" for r in ("pull", "pull,push")}
        kinds = [path.split("/")[4] for path in registry.written]
        assert kinds == ["blobs"] * 4 + ["manifests"] * 2
