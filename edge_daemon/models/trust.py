"""Who signed a bundle: OpenSSF model signatures with elliptic-curve keys.

The signature is checked over a folder; for loading, that folder is the private copy, so what was
signed and what is loaded are the same bytes. The signing library skips `.git*` and whatever the
signer told it to ignore, so every file is looked up in the signed list as well.

The library checks a signature together with every file that it covers, which takes a second for
each bundle. A store asks for the key of every bundle at every start, before any weights are read:
`is_made_by` looks at the envelope alone.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_daemon.core.wording import listed
from edge_daemon.documents import DocumentError, read_bytes
from edge_daemon.documents.durable import sync_folder
from edge_daemon.errors import BoxError, BundleError, Code, ConfigurationError
from edge_daemon.models.files import Folder
from edge_daemon.models.manifest import MANIFEST_FILE, SIGNATURE_FILE
from edge_daemon.models.shared_folder import SharedFolder, opened, replace_file

_MAX_SIGNATURE_BYTES = 4 << 20
_MAX_KEY_BYTES = 64 << 10
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
HASHES = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
"""By the key's size in bits, as the library chooses them."""


class Trust:
    """The keys this box trusts, and whether a bundle must be signed by one of them.

    Raises ConfigurationError for a key that cannot be read, and for `required` without a key.
    """

    def __init__(
        self,
        public_keys: Sequence[Path] = (),
        required: bool = False,
        revoked: Sequence[str] = (),
    ) -> None:
        self.take(public_keys, required, revoked)

    def take(self, public_keys: Sequence[Path], required: bool, revoked: Sequence[str]) -> None:
        """Trust these keys from now on; raises as the constructor, and then changes nothing.

        `revoked`: digests of weights, or of a `model.yaml`, that no signature makes good.
        """
        loaded = tuple(read_public_key(key) for key in public_keys)
        if required and not public_keys:
            raise ConfigurationError(
                "models.trust.required is set, but there is no public key.",
                hint="Name one in models.trust.public_keys.",
            )
        self.public_keys, self._loaded = tuple(public_keys), loaded
        self.required = required
        self.revoked = frozenset(revoked)

    def verify(self, folder: Path) -> Path | None:
        """Check `model.sig` over every byte of the folder; gives the key that signed it.

        None when the bundle is unsigned and need not be signed, or when no key is configured.
        Raises BundleError(not_trusted) when it is unsigned and must not be, when no configured
        key made the signature, and when any file differs from what was signed or is not covered.
        """
        with Folder(folder) as opened:
            content = _read_signature(opened)
            files = {entry.path for entry in opened.entries()[0]} - {SIGNATURE_FILE}
        if content is None:
            self._refuse_unsigned()
            return None
        if not self.public_keys:
            return None
        if not_covered := files - set(_claimed_digests(content)):
            raise _untrusted(
                f"The signature does not cover {listed(sorted(not_covered))}.",
                "Sign the whole folder again.",
            )
        return self._verified_key(folder, content)

    def vouch(self, folder: Path, manifest_sha256: str, weights_sha256: str) -> None:
        """Check that a key made the signature, and that it is one of this `model.yaml`.

        So much is known before any weights are read. Raises BundleError(not_trusted) as `verify`,
        and for what was revoked.
        """
        if revoked := self.revoked & {manifest_sha256, weights_sha256}:
            raise _untrusted(
                f"It was revoked on this device: {min(revoked)[:12]}… stands in models.revoked.",
                "Ask for another version.",
            )
        with Folder(folder) as opened:
            content = _read_signature(opened)
        if content is None:
            self._refuse_unsigned()
        elif self.public_keys:
            if _claimed_digests(content).get(MANIFEST_FILE) != manifest_sha256:
                raise _untrusted(
                    f"The signature is not one of this {MANIFEST_FILE}.",
                    "Sign the bundle again, as it is now.",
                )
            if not any(is_made_by(content, key) for key in self._loaded):
                raise self._not_vouched_for()

    def _refuse_unsigned(self) -> None:
        if self.required:
            raise _untrusted(
                f"The bundle has no {SIGNATURE_FILE}.",
                "Sign it: edge-daemon models sign FOLDER --key KEY",
            )

    def _verified_key(self, folder: Path, content: bytes) -> Path:
        reasons = []
        with tempfile.TemporaryDirectory(prefix="edge-daemon-") as private:
            # The checked signature is the one read above, whatever happens to the folder's.
            signature = Path(private) / SIGNATURE_FILE
            signature.write_bytes(content)
            for key in self.public_keys:
                reason = _reason_against(folder, signature, key)
                if reason is None:
                    return key
                reasons.append(f"{key.name}: {reason}")
        raise self._not_vouched_for(reasons)

    def _not_vouched_for(self, reasons: Sequence[str] = ()) -> BundleError:
        return _untrusted(
            "No configured key vouches for the bundle: it was signed with another key, or changed"
            f" since. Known are {listed([key.name for key in self.public_keys])}.",
            "Sign it with a trusted key, or add the signer's key to models.trust.public_keys.",
            detail="; ".join(reasons),
        )


def sign(folder: Path, private_key: Path, store: Path | None = None) -> Path:
    """Sign every file of a bundle; writes and returns its `model.sig`, replacing an older one.

    `private_key` is an unencrypted PEM file (P-256, P-384 or P-521). `store`: the folder in which
    the bundle lies when others write there too; no link below it is followed. Raises BundleError
    when the folder cannot be signed, ConfigurationError when the key cannot be used, BoxError when
    the signature cannot be written.
    """
    read_private_key(private_key)
    root, names = (folder, ()) if store is None else (store, folder.relative_to(store).parts)
    try:
        with SharedFolder(root) as shared, shared.inner(*names) as place:
            with Folder(opened(place)) as held:
                files, _ = held.entries()  # refuses links and the like before they are signed
            if not any(entry.path == MANIFEST_FILE for entry in files):
                raise BundleError(
                    f"{folder.name} holds no {MANIFEST_FILE}.", hint="Name a bundle's folder."
                )
            replace_file(place, SIGNATURE_FILE, _signature_of(folder, private_key))
    except OSError as error:
        raise BoxError(
            f"The signature of {folder.name} cannot be made: {error.strerror or error}.",
            hint="Sign a real folder, no link, and let this user write in it and beside it.",
        ) from error
    return folder / SIGNATURE_FILE


def _signature_of(folder: Path, private_key: Path) -> bytes:
    signing: Any = import_module("model_signing.signing")  # a second that only signers pay
    with tempfile.TemporaryDirectory(prefix="edge-daemon-") as private:
        made = Path(private) / SIGNATURE_FILE
        config = signing.Config().use_elliptic_key_signer(private_key=private_key)
        config.set_hashing_config(_hashing()).sign(folder, made)
        return made.read_bytes()


def generate_keypair(folder: Path, name: str = "signing") -> tuple[Path, Path]:
    """Make a P-256 key pair: `<name>.key` (readable by the owner only) and `<name>.pub`."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    fd = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    sync_folder(folder)
    return private, public


def is_made_by(signature: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether this key made it; False for anything that is no such signature."""
    try:
        envelope = json.loads(signature)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        mark = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        if envelope["payloadType"] != _PAYLOAD_TYPE:
            return False
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False
    texts = (encoded(_PAYLOAD_TYPE, payload), _early_text(payload))
    return any(is_valid(mark, text, key) for text in texts)


def is_valid(mark: bytes, text: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether this ECDSA signature of the text was made with the key's other half."""
    try:
        key.verify(mark, text, ec.ECDSA(HASHES[key.curve.key_size]))
    except InvalidSignature:
        return False
    return True


def encoded(kind: str, text: bytes) -> bytes:
    """DSSE's pre-authentication encoding (secure-systems-lab/dsse, protocol.md)."""
    return f"DSSEv1 {len(kind.encode())} {kind} {len(text)} ".encode() + text


def _early_text(payload: bytes) -> bytes:
    """As model signing before 1.0 wrote it, which the library accepts still."""
    return f"DSSEV1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} {payload!r}".encode()


def _read_signature(folder: Folder) -> bytes | None:
    """The bytes of a bundle's `model.sig`; None where there is none."""
    try:
        return folder.read(SIGNATURE_FILE, _MAX_SIGNATURE_BYTES)
    except FileNotFoundError:
        return None


def _claimed_digests(signature: bytes) -> dict[str, str]:
    """What a signature claims, path -> SHA-256 in hex; true only once the signature is verified.

    Raises BundleError(not_trusted) when it is no signature of single files by SHA-256.
    """
    try:
        bundle = json.loads(signature)
        if set(bundle) != {"mediaType", "verificationMaterial", "dsseEnvelope"}:
            # Other spellings of these names could show us another payload than the library's.
            raise ValueError("unexpected keys")
        if not bundle["verificationMaterial"]["publicKey"]["hint"]:
            raise ValueError("no key is named")
        payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        predicate = payload["predicate"]
        kind = (predicate["serialization"]["method"], predicate["serialization"]["hash_type"])
        if kind != ("files", "sha256"):
            raise ValueError("not signed file by file with SHA-256")
        return {str(item["name"]): str(item["digest"]) for item in predicate["resources"]}
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise _untrusted(
            f"{SIGNATURE_FILE} is not an OpenSSF model signature made with a key.",
            "Sign the bundle again.",
            detail=str(error),
        ) from error


def _untrusted(message: str, hint: str, detail: str = "") -> BundleError:
    return BundleError(message, hint=hint, code=Code.NOT_TRUSTED, detail=detail)


def _hashing() -> Any:
    hashing: Any = import_module("model_signing.hashing")
    config = hashing.Config().use_file_serialization(
        hashing_algorithm="sha256", allow_symlinks=False
    )
    return config.set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)


def _reason_against(folder: Path, signature: Path, key: Path) -> str | None:
    verifying: Any = import_module("model_signing.verifying")  # a second that only checks pay
    config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    try:
        config.set_hashing_config(_hashing()).verify(folder, signature)
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def read_public_key(path: Path) -> Any:
    """An elliptic-curve key from its PEM file; raises ConfigurationError."""
    return _read_key(path, serialization.load_pem_public_key)


def read_private_key(path: Path) -> Any:
    """The same of a private key, unencrypted."""
    return _read_key(path, lambda pem: serialization.load_pem_private_key(pem, None))


def _read_key(path: Path, load: Callable[[bytes], Any]) -> Any:
    try:
        key = load(read_bytes(path, _MAX_KEY_BYTES))
    except DocumentError as error:
        raise ConfigurationError(
            f"The key {path} {error.message}.",
            hint="Put the signer's key there; MANUAL.md shows how a pair is made.",
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"The key {path} cannot be read as PEM: {error}.", hint="Give an unencrypted EC key."
        ) from error
    elliptic = isinstance(key, (ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey))
    if not elliptic or key.curve.name not in _CURVES:
        raise ConfigurationError(
            f"The key {path} is not an elliptic-curve key that model signing knows.",
            hint="Use P-256, P-384 or P-521.",
        )
    return key
