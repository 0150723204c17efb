"""The store: are all bundles that this line needs there, and are they trusted?"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from edge_daemon.cli.checks.finding import Finding, error, ok, warning
from edge_daemon.cli.store import trust_of
from edge_daemon.config import Settings, read_desired
from edge_daemon.core.recipe import can_reject
from edge_daemon.core.text import number_of
from edge_daemon.core.values import BundleRef
from edge_daemon.core.verdicts import NEVER_REJECTS
from edge_daemon.errors import ConfigurationError, EdgeDaemonError
from edge_daemon.host.gpu import open_gpu
from edge_daemon.models.bundle import Manifest, verified_copy
from edge_daemon.models.store import Offer, Store
from edge_daemon.models.trust import Trust
from edge_daemon.models.versions import provisions, unmet

_ADD = "Add it: edge-daemon models add FOLDER"


def check_models(settings: Settings) -> list[Finding]:
    """Keys, bundles, the initial model, links."""
    root = settings.models.store
    store = Store(root, floor=settings.models.floor)
    offer = store.offer()
    if offer.trouble:
        return [error("store", f"The store {root} {offer.trouble}.", f"mkdir -p {root}; {_ADD}")]
    found = list(_bundles(settings, store, offer))
    found += _initial(settings, offer)
    found += _links(settings, store, offer)
    found += _desired(settings, offer)
    return found


def _bundles(settings: Settings, store: Store, offer: Offer) -> Iterator[Finding]:
    try:
        trust = trust_of(settings)
    except ConfigurationError as fault:
        yield error("keys", fault.message, fault.hint)
        trust = Trust()
    else:
        if trust.public_keys:
            yield ok("keys", f"Readable: {number_of(len(trust.public_keys), 'public key')}.")
    gpu = _capability(settings.slots.device)
    for known in offer.known:
        manifest = store.manifest(known.ref)
        yield _bundle(store, manifest, trust, gpu)
        if settings.parts and settings.parts.by == "track" and manifest.recipe.part is None:
            yield warning(
                str(known.ref),
                "Its recipe does not say what a part is, so parts.by: track counts none.",
                "Pack it again with `edge-daemon models pack --part`, or set parts.by to frame or "
                "trigger.",
            )
    for problem in offer.problems:
        yield warning("bundle", f"{problem.folder}: {problem.error.message}", problem.error.hint)
    if not offer.known:
        yield error("store", f"{store.root} holds no complete bundle.", _ADD)


def _bundle(store: Store, manifest: Manifest, trust: Trust, gpu: str | None) -> Finding:
    ref = str(manifest.ref)
    try:
        with tempfile.TemporaryDirectory(prefix="edge-daemon-") as scratch:
            copy = Path(scratch) / "copy"
            verified = verified_copy(manifest, store.find(manifest.ref), copy, trust)
    except EdgeDaemonError as fault:
        return error(ref, fault.message, fault.hint or "Publish it again under a new version.")
    if lacking := unmet(manifest.requires, provisions(gpu)):
        needs = "; ".join(lacking)
        return error(ref, f"It needs: {needs}.", "Install it, or build the bundle for this box.")
    if not manifest.golden:
        return warning(
            ref, "It has no golden images: the gate cannot measure it.", "Add some to the bundle."
        )
    if not can_reject(manifest.recipe):
        return warning(ref, f"{NEVER_REJECTS.capitalize()}.", "Give its recipe a reject or rules.")
    signer = f"signed with {verified.signer.name}" if verified.signer else "unsigned"
    return ok(ref, f"Whole, {signer}, {len(manifest.golden)} golden images.")


def _capability(device: str) -> str | None:
    gpu = open_gpu(device, os.environ)
    if gpu is None:
        return None
    with closing(gpu):
        return gpu.capability


def _initial(settings: Settings, offer: Offer) -> Iterator[Finding]:
    initial = settings.models.initial
    if initial is None:
        yield warning(
            "models.initial",
            "No model is named for the first start: nothing judges until a swap or an order.",
            "Set models.initial: NAME@VERSION.",
        )
        return
    fits = [
        known.ref
        for known in offer.known
        if known.ref.name == initial.name and initial.version in (None, known.ref.version)
    ]
    floor = dict(offer.below).get(fits[-1]) if fits else None
    if floor is not None:
        yield error(
            "models.initial",
            f"{fits[-1]} is older than {floor}, the floor of {initial.name}: it does not start.",
            "Name a newer version, or lower models.floor.",
        )
    elif fits:
        yield ok("models.initial", f"{initial} is there: {fits[-1]}.")
    else:
        yield error("models.initial", f"{initial} is not in the store.", _ADD)


def _desired(settings: Settings, offer: Offer) -> Iterator[Finding]:
    if settings.desired is None:
        return
    wished, _ = read_desired(settings.desired.file, settings.links)
    known = {known.ref for known in offer.known}
    for ref in wished.models if wished else ():
        if ref in known:
            yield ok(f"desired {ref.name}", f"{ref} is in the store.")
        else:
            message = f"{ref} is desired, and not in the store: it is waited for."
            yield warning(f"desired {ref.name}", message, _ADD)


def _links(settings: Settings, store: Store, offer: Offer) -> Iterator[Finding]:
    names = {known.ref.name for known in offer.known}
    for product, name in settings.links.items():
        if name in names:
            continue
        yield error(
            f"links.{product}",
            f"{product} is linked to {name}, and the store has no bundle of that name.",
            f"{_ADD}; or correct the link. It has: {', '.join(sorted(names)) or 'none'}.",
        )
    if settings.links and set(settings.links.values()) <= names:
        yield ok("links", f"Products with a model: {len(settings.links)}.")
    if settings.orders and not settings.links:
        yield error(
            "links",
            "Orders are read, but no product is linked to a model.",
            "Add under links: PRODUCT: NAME",
        )
    for known in offer.known:
        yield from _meant_for(settings, known.ref, store.manifest(known.ref))


def _meant_for(settings: Settings, ref: BundleRef, manifest: Manifest) -> Iterator[Finding]:
    for product in manifest.products:
        linked = settings.links.get(product)
        if linked is not None and linked != ref.name:
            yield warning(
                f"links.{product}",
                f"{ref} says that it is meant for {product}, which is linked to {linked}.",
                "One of them is wrong.",
            )
