"""Verifying a node's log without trusting the node: keys, signature, tree, and what was seen before.

What was verified is remembered by NodeID. So the second look proves more than the first: that the log has
only grown since. When that fails, both checkpoints are kept, since together they are the proof.
"""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tocsin_cli.client import Client
from tocsin_cli.durable import write_durably
from tocsin_cli.errors import AnswerBroken, CliError, NotVerified
from tocsin_cli.filing import member
from tocsin_cli.plain import utc_text

if TYPE_CHECKING:
    from tocsin_federation.checkpoint import Checkpoint
    from tocsin_federation.identity import Identity

PAGE = 65_536
_HASH_BYTES = 32
_NOTE_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Head:
    """What was verified of one log."""

    node_id: str
    origin: str
    size: int
    root: str
    note: str
    at: str
    chain: list[str]


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome of an audit. `before` is the head that the log was found to have grown from."""

    head: Head
    org: str
    before: Head | None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        before = self.before and {"size": self.before.size, "root": self.before.root, "at": self.before.at}
        head = self.head
        told = {
            "node_id": head.node_id,
            "org": self.org,
            "origin": head.origin,
            "size": head.size,
            "root": head.root,
        }
        return {"verified": True, **told, "extends": before}


def audit(
    client: Client, state: Path, *, expected: str | None, now: datetime, advance: Callable[[int], None]
) -> Verified:
    """Fetch and verify the log; `advance` is told how many leaves were taken in.

    All of this must hold, in this order:

    1. the chain of statements proves a node, the one expected if one is, and continues the chain seen before;
    2. the newest statement names the log and the key that the node shows; 3. the checkpoint is signed by that
    key and speaks of that log; 4. the leaf hashes are as many as the checkpoint says, and their tree has its
    root; 5. if the log was verified before, it has not shrunk, and the tree over its first leaves is the one
    seen then.

    Raises: NotVerified with the code of the first that fails; the client's errors.
    """
    from tocsin_federation.checkpoint import open_checkpoint
    from tocsin_federation.errors import FederationError

    # First and second: who the node is, and that this is its log.
    keys = client.json("GET", "/v1/log/keys")
    identity = _identity(keys, state, expected, now)
    log = identity.statement.log
    if member(keys, "origin") != log.origin or member(keys, "vkey") != log.vkey:
        raise NotVerified(
            "The node shows a log that its statements do not vouch for.", code="log-not-vouched-for"
        )
    # Third: what the log has signed.
    note = client.raw("GET", "/v1/log/checkpoint", accept="text/plain", max_bytes=_NOTE_MAX_BYTES)
    try:
        checkpoint = open_checkpoint(note, log.vkey)
    except FederationError as exc:
        raise _not_verified(exc) from exc
    # Fourth and fifth: the tree, and that it has only grown.
    before = _remembered(state, identity.node_id)
    if before is not None and before.origin != log.origin:
        before = None  # a new generation of the log, vouched for by the chain
    _check_tree(client, checkpoint, before, state, note, advance)
    head = Head(
        identity.node_id,
        log.origin,
        checkpoint.size,
        checkpoint.root.hex(),
        note.decode("utf-8"),
        utc_text(now),
        [base64.b64encode(statement).decode() for statement in identity.chain],
    )
    text = json.dumps({name: getattr(head, name) for name in Head.__slots__}, indent=1)
    write_durably(_head_path(state, identity.node_id), text.encode())
    return Verified(head, identity.statement.org.name, before)


def _identity(keys: object, state: Path, expected: str | None, now: datetime) -> "Identity":
    from tocsin_federation.errors import FederationError
    from tocsin_federation.identity import verify_chain

    try:
        chain = [base64.b64decode(text, validate=True) for text in member(keys, "chain")]
    except (ValueError, TypeError) as exc:
        raise AnswerBroken("The node's chain of statements is not base64.") from exc
    try:
        identity = verify_chain(chain, expected=expected, now=now)
        before = _remembered(state, identity.node_id)
        if before is not None:
            seen = [base64.b64decode(text) for text in before.chain]
            known = verify_chain(seen, expected=identity.node_id, now=None)
            identity = verify_chain(chain, expected=identity.node_id, now=now, known=known)
    except FederationError as exc:
        raise _not_verified(exc) from exc
    return identity


def _check_tree(
    client: Client,
    checkpoint: "Checkpoint",
    before: Head | None,
    state: Path,
    note: bytes,
    advance: Callable[[int], None],
) -> None:
    from tocsin_federation.merkle import Frontier

    if before is not None and checkpoint.size < before.size:
        message = f"The log has shrunk: {checkpoint.size} entries, {before.size} were signed on {before.at}."
        raise _contradiction("log-rolled-back", message, before, state, note)
    tree = Frontier()
    while tree.size < checkpoint.size:
        stop = min(tree.size + PAGE, checkpoint.size)
        for leaf in _leaves(client, tree.size, stop):
            _check_past(tree.size, tree.root, before, state, note)
            tree.append(leaf)
        advance(tree.size)
    _check_past(tree.size, tree.root, before, state, note)
    if tree.root() != checkpoint.root:
        raise NotVerified(
            "The node's leaf hashes do not have the root that its checkpoint signs.",
            code="root-mismatch",
            hint="Something was changed, taken out or put in after it was signed: ask who runs the node.",
        )


def _check_past(size: int, root: Callable[[], bytes], before: Head | None, state: Path, note: bytes) -> None:
    if before is not None and size == before.size and root().hex() != before.root:
        message = (
            f"The first {size} entries are not those that were signed on {before.at}: the past was rewritten."
        )
        raise _contradiction("log-rewritten", message, before, state, note)


def _leaves(client: Client, start: int, stop: int) -> list[bytes]:
    query = [("from", str(start)), ("to", str(stop))]
    limit = (stop - start) * _HASH_BYTES
    raw = client.raw("GET", "/v1/log/leaves", query=query, accept="application/octet-stream", max_bytes=limit)
    if len(raw) != limit:
        raise NotVerified(
            f"The node shows {len(raw)} bytes of leaf hashes from {start} to {stop}; {limit} are signed.",
            code="leaves-missing",
            hint="The node has lost part of its log, or hides it: ask who runs it.",
        )
    return [raw[at : at + _HASH_BYTES] for at in range(0, limit, _HASH_BYTES)]


def _remembered(state: Path, node_id: str) -> Head | None:
    path = _head_path(state, node_id)
    try:
        found = json.loads(path.read_text("utf-8"))
        return Head(**found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        raise CliError(
            f"What was verified before cannot be read: {path}.",
            code="memory-broken",
            hint="Move that file away to begin anew; its checkpoint may still be evidence.",
        ) from exc


def _head_path(state: Path, node_id: str) -> Path:
    assert node_id.isalnum()  # NodeIDs are n1 and base32; verify_chain made this one
    return state / "heads" / f"{node_id}.json"


def _contradiction(code: str, message: str, before: Head, state: Path, note: bytes) -> NotVerified:
    path = (
        state / "evidence" / f"{before.node_id}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}.json"
    )
    evidence: Mapping[str, str] = {"code": code, "held": before.note, "offered": note.decode("utf-8")}
    write_durably(path, json.dumps(evidence, indent=1).encode())
    hint = f"Both signed checkpoints are kept in {path}: together they are the proof. Ask who runs the node."
    return NotVerified(message, code=code, hint=hint)


def _not_verified(exc: Any) -> NotVerified:
    return NotVerified(str(exc), code=exc.code, hint=exc.hint)
