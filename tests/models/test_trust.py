"""A signature vouches for a whole folder, or for nothing."""

from __future__ import annotations

import base64
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edge_daemon.errors import BundleError, Code, ConfigurationError
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.trust import Trust, generate_keypair, sign
from tests.sim.bundles import make_bundle


def test_any_of_several_keys_may_vouch(tmp_path: Path, line_keys: Any, other_keys: Any) -> None:
    """Keys are changed by trusting both for a while; the one that signed is told."""
    folder = make_bundle(tmp_path, key=line_keys.private)
    trust = Trust([other_keys.public, line_keys.public], required=True)
    assert trust.verify(folder) == line_keys.public


def test_what_must_not_be_signed_may_be_unsigned(tmp_path: Path, line_keys: Any) -> None:
    """Where signatures are welcome but not required, an unsigned bundle has no signer."""
    assert Trust([line_keys.public]).verify(make_bundle(tmp_path)) is None


def test_a_signature_that_is_there_must_hold(
    tmp_path: Path, line_keys: Any, other_keys: Any
) -> None:
    """Not required does not mean not checked: with a key configured, a wrong one is refused."""
    folder = make_bundle(tmp_path, key=other_keys.private)
    with pytest.raises(BundleError) as caught:
        Trust([line_keys.public]).verify(folder)
    assert caught.value.code is Code.NOT_TRUSTED


def test_without_keys_nobody_vouches(tmp_path: Path, line_keys: Any) -> None:
    """A signature that cannot be checked is not taken for one."""
    assert Trust().verify(make_bundle(tmp_path, key=line_keys.private)) is None


def test_what_the_signer_left_out_is_not_covered(tmp_path: Path, line_keys: Any) -> None:
    """A valid signature that ignores the weights vouches for no bundle."""
    folder = make_bundle(tmp_path)
    hashing: Any = import_module("model_signing.hashing")
    signing: Any = import_module("model_signing.signing")
    config = hashing.Config().set_ignored_paths(paths=["weights.pt", "model.sig"])
    signer = signing.Config().use_elliptic_key_signer(private_key=line_keys.private)
    signer.set_hashing_config(config).sign(folder, folder / "model.sig")
    with pytest.raises(BundleError) as caught:
        line_keys.trust.verify(folder)
    assert caught.value.code is Code.NOT_TRUSTED
    assert "weights.pt" in caught.value.message


def test_the_signing_tools_own_signature_is_accepted(tmp_path: Path, line_keys: Any) -> None:
    """A bundle signed by the OpenSSF tool itself, with its defaults, verifies here."""
    folder = make_bundle(tmp_path)
    signing: Any = import_module("model_signing.signing")
    signer = signing.Config().use_elliptic_key_signer(private_key=line_keys.private)
    signer.sign(folder, tmp_path / "made.sig")
    (tmp_path / "made.sig").rename(folder / "model.sig")
    assert line_keys.trust.verify(folder) == line_keys.public


def test_the_signing_tool_accepts_our_signature(tmp_path: Path, line_keys: Any) -> None:
    """What is signed here verifies with the OpenSSF tool as it is."""
    folder = make_bundle(tmp_path, key=line_keys.private)
    verifying: Any = import_module("model_signing.verifying")
    config = verifying.Config().use_elliptic_key_verifier(public_key=line_keys.public)
    config.verify(folder, folder / "model.sig")


def test_signing_again_replaces_the_signature(tmp_path: Path, line_keys: Any) -> None:
    """A changed draft can be signed anew; nothing but model.sig is left in the folder."""
    folder = make_bundle(tmp_path, key=line_keys.private)
    (folder / "golden" / "0000.png").write_bytes(b"new")
    sign(folder, line_keys.private)
    assert line_keys.trust.verify(folder) is not None
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["golden", "model.sig", "model.yaml", "weights.pt"]
    assert [path.name for path in folder.parent.iterdir()] == ["1.0.0"]


@pytest.mark.parametrize("place", ["payload", "signatures", "hint", "extra", "empty"])
def test_a_mangled_signature_is_refused_in_words(
    tmp_path: Path, line_keys: Any, place: str
) -> None:
    """Whatever shape a signature file has, it is not trusted; no other error comes out."""
    folder = make_bundle(tmp_path, key=line_keys.private)
    signature = json.loads((folder / "model.sig").read_text())
    envelope = signature["dsseEnvelope"]
    if place == "payload":
        statement = json.loads(base64.b64decode(envelope["payload"]))
        statement["predicate"]["resources"][0]["digest"] = "0" * 64
        envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    elif place == "signatures":
        envelope["signatures"] = []
    elif place == "hint":
        signature["verificationMaterial"]["publicKey"] = {"hint": None}
    elif place == "extra":
        signature["dsse_envelope"] = envelope
    else:
        signature["verificationMaterial"] = {}
    (folder / "model.sig").write_text(json.dumps(signature))
    manifest = read_manifest(folder)
    for look in (
        lambda: line_keys.trust.verify(folder),
        lambda: line_keys.trust.vouch(folder, manifest.sha256, manifest.weights.sha256),
    ):
        with pytest.raises(BundleError) as caught:
            look()
        assert caught.value.code is Code.NOT_TRUSTED
        assert caught.value.hint


def said_early(payload: bytes) -> bytes:
    """What model signing 0.2 put its signature under."""
    kind = "application/vnd.in-toto+json"
    return f"DSSEV1 {len(kind)} {kind} {len(payload)} {payload!r}".encode()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
@pytest.mark.parametrize("made", ["now", "early"])
def test_the_quick_look_agrees_with_the_library(
    tmp_path: Path, curve: ec.EllipticCurve, made: str, other_keys: Any
) -> None:
    """Whatever the library accepts, of every curve and age, the look before the copy lets pass."""
    key = ec.generate_private_key(curve)
    private, public = tmp_path / "line.key", tmp_path / "line.pub"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(pem, info))
    folder = make_bundle(tmp_path, key=private)
    if made == "early":
        hashed = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
        signature = json.loads((folder / "model.sig").read_text())
        envelope = signature["dsseEnvelope"]
        text = said_early(base64.b64decode(envelope["payload"]))
        mark = key.sign(text, ec.ECDSA(hashed[curve.key_size]))
        envelope["signatures"][0]["sig"] = base64.b64encode(mark).decode()
        (folder / "model.sig").write_text(json.dumps(signature))
    manifest = read_manifest(folder)
    trust = Trust([other_keys.public, public], required=True)
    assert trust.verify(folder) is not None
    trust.vouch(folder, manifest.sha256, manifest.weights.sha256)
    with pytest.raises(BundleError):
        Trust([other_keys.public]).vouch(folder, manifest.sha256, manifest.weights.sha256)


def test_a_required_signature_needs_a_key() -> None:
    """Requiring signatures without naming a key is a bad configuration, not an open door."""
    with pytest.raises(ConfigurationError):
        Trust(required=True)


def test_a_key_that_cannot_be_used_is_told_at_the_start(tmp_path: Path, line_keys: Any) -> None:
    """A missing, broken or unsuitable key is found before the first bundle comes."""
    edwards = ed25519.Ed25519PrivateKey.generate().public_key()
    (tmp_path / "ed.pub").write_bytes(
        edwards.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (tmp_path / "text.pub").write_text("no key")
    for key in (tmp_path / "none.pub", tmp_path / "text.pub", tmp_path / "ed.pub"):
        with pytest.raises(ConfigurationError, match=key.name):
            Trust([key])
    with pytest.raises(ConfigurationError):
        sign(make_bundle(tmp_path), line_keys.public)


def test_a_private_key_is_for_its_owner_only(tmp_path: Path) -> None:
    """The key file that is made can be read by nobody else, and is never overwritten."""
    private, _ = generate_keypair(tmp_path)
    assert private.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        generate_keypair(tmp_path)
