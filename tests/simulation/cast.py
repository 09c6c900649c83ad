"""Who plays: identities made once, and reports that are cheap to make and pass the real check."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import shake_256
from typing import Any

from tocsin_federation.identity import Identity, NodeKeys, Role, extend, incept, verify_chain
from tocsin_federation.keys import EncPrivateKey, Rng, load_enc_private
from tocsin_federation.statement import Void
from tocsin_schema.stix import build, node_identity, withdraw

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NAMES = ("alder", "birch", "cedar", "dogwood", "elm", "fir", "gorse", "hazel")
MILD = {"realization": "near-miss", "description": "Nobody was hurt."}
GRAVE = {
    "realization": "harm-event",
    "description": "Two people died.",
    "causality": "direct",
    "harms": [{"harm_type": "physical-health", "materialised": True}],
    "quantities": {"deaths": 2},
}
_ID = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
_MADE = datetime(2026, 1, 1, tzinfo=UTC)
_CHANGED = datetime(2026, 1, 2, tzinfo=UTC)
_TITLE = "A title that is put in place of this one"


@dataclass(frozen=True)
class Player:
    """An identity with all its keys. `enc`: what entries to it are opened with."""

    name: str
    keys: NodeKeys
    identity: Identity
    enc: Mapping[str, EncPrivateKey]

    @property
    def node_id(self) -> str:
        return self.identity.node_id


@cache
def player(name: str) -> Player:
    """The node of that name, the same in every run."""
    count = 0

    def dice(length: int) -> bytes:
        nonlocal count
        count += 1
        return shake_256(f"simulation {name} {count}".encode()).digest(length)

    keys, statement = incept(
        org=name, domain=f"{name}.example", urls=[f"https://{name}.example"], now=START, rng=dice
    )
    identity = verify_chain([statement], expected=None, now=START)
    enc = {kid: load_enc_private(seed) for kid, seed in keys.enc.items()}
    return Player(name, keys, identity, enc)


def renewed(old: Player, *, now: datetime, rng: Rng, void: Void | None, stolen: bool) -> tuple[Player, bytes]:
    """That node after the ceremony that ends its log, with the key that was put away; and its new statement.

    `stolen`: every key that was online is replaced; else the log's alone.
    """
    roles: tuple[Role, ...] = ("log", "http", "witness", "enc") if stolen else ("log",)
    chain = old.identity.chain
    made, statement = extend(
        chain, root_private=old.keys.next_root, now=now, rng=rng, replace=roles, void=void
    )
    identity = verify_chain([*chain, statement], expected=old.node_id, now=now, known=old.identity)
    keys = replace(
        old.keys,
        root=b"",
        next_root=made.next_root,
        log=made.log or old.keys.log,
        http=made.http or old.keys.http,
        witness=made.witness or old.keys.witness,
        enc={**old.keys.enc, **made.enc},
    )
    enc = {**{kid: load_enc_private(seed) for kid, seed in made.enc.items()}, **old.enc}
    return Player(old.name, keys, identity, enc), statement


@cache
def _template(name: str, tlp: str, grave: bool, revoked: bool) -> bytes:
    form: dict[str, Any] = {"title": _TITLE, "tlp": tlp, **(GRAVE if grave else MILD)}
    producer = node_identity(name, player(name).node_id)
    raw = build(form, producer=producer, incident_id=_ID, now=_MADE)
    return withdraw(raw, reason="It was a test.", now=_CHANGED) if revoked else raw


def bundle(
    name: str, incident_id: str, title: str, ver: int, *, tlp: str, grave: bool, revoked: bool
) -> bytes:
    """A report by the node called `name`, made from a template: the checks are real, only the making is quick."""
    modified = _CHANGED if revoked else _MADE
    later = (_CHANGED + timedelta(seconds=ver)).strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
    first = modified.strftime("%Y-%m-%dT%H:%M:%S.000Z").encode()
    raw = _template(name, tlp, grave, revoked)
    if ver > 1:
        raw = raw.replace(b'"modified":"' + first, b'"modified":"' + later)
    return raw.replace(_ID.encode(), incident_id.encode()).replace(_TITLE.encode(), title.encode())
