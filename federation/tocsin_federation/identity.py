"""Who a node is: a chain of statements that survives the change of every key, of domain and of address.

Statement 0 gives the NodeID (its hash) and is signed by its own root keys. Each later statement is signed by
root keys that the one before announced only as hashes. So whoever steals all keys that are online cannot
change the identity, and a root key is worthless once its statement is known: it is used once (pre-rotation,
as in KERI).

`verify_chain` is how everybody else learns who a node is; `incept` and `extend` are the ceremonies of its
operator.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

import msgspec

from tocsin_federation.errors import IdentityRefused
from tocsin_federation.keys import (
    VKEY_COSIGNATURE,
    VKEY_ED25519,
    EncKey,
    Rng,
    decode_vkey,
    encode_vkey,
    generate,
    generate_enc,
    kid,
    load_enc_public,
    public_of,
)
from tocsin_federation.merkle import root_of
from tocsin_federation.node_id import node_id_of
from tocsin_federation.statement import (
    KEM,
    MAX_TERM_S,
    STATEMENT,
    EncEntry,
    HttpKey,
    LogKey,
    Org,
    Signed,
    Statement,
    Void,
    check_keys,
    digest,
    is_domain,
    is_url,
    read_statement,
    sign_statement,
)

MAX_CHAIN = 64  # statements: sixteen years of quarterly renewals
MAX_AHEAD = timedelta(days=1)  # how far a statement may be dated ahead of our clock
ENC_PERIOD_S = 30 * 86_400
EARLY_S = 86_400  # the first keys are in force a day before they are issued, for peers whose clock is behind

Role = Literal["http", "witness", "log", "enc"]


@dataclass(frozen=True, slots=True)
class Identity:
    """A node as its chain proves it. `chain`: the DSSE envelopes, oldest first."""

    node_id: str
    chain: tuple[bytes, ...] = field(repr=False)
    statements: tuple[Statement, ...] = field(repr=False)

    @property
    def statement(self) -> Statement:
        """The newest statement, the one in force."""
        return self.statements[-1]

    def http_key(self, key_id: str, now: datetime) -> bytes | None:
        """The public key (32 bytes) that signs requests under `key_id`, if it is in force."""
        at = now.timestamp()
        for key in self.statement.http:
            if key.kid == key_id:
                return key.pk if key.nbf <= at < key.exp else None
        return None

    def enc_key(self, now: datetime) -> EncKey:
        """The key to seal to: of those in force, the newest. Raises: IdentityRefused `no-enc-key`."""
        at = now.timestamp()
        usable = [key for key in self.statement.enc if key.nbf <= at < key.exp]
        if not usable:
            raise IdentityRefused("no-enc-key")
        return load_enc_public(max(usable, key=lambda key: key.nbf).pk)


@dataclass(frozen=True, slots=True)
class EndedLog:
    """A generation of a node's log that another followed. `void`: up to where it is good; None: all of it."""

    key: LogKey
    void: Void | None

    @property
    def good(self) -> int | None:
        """How many of its entries are good; None: all of them."""
        return None if self.void is None else self.void.size


def ended_logs(identity: Identity) -> tuple[EndedLog, ...]:
    """The generations of a node's log that have ended, oldest first [P-150]."""
    statements = identity.statements
    return tuple(
        EndedLog(
            before.log, after.void if after.void is not None and after.void.gen == before.log.gen else None
        )
        for before, after in pairwise(statements)
        if after.log.gen != before.log.gen
    )


def disputed_from(void: Void, leaves: Sequence[bytes]) -> int:
    """From which index on a reader disputes what it holds of a log that was ended by `void` [P-151].

    `leaves`: the leaf hashes that it has verified, from the beginning on. All of it, while they do not give the root
    that the author calls good: its beginning is another one, or the reader has not fetched as much yet [P-152].
    """
    return void.size if root_of(leaves[: void.size]) == void.root else 0


# Verifying --------------------------------------------------------------------------------------------


def verify_chain(
    chain: Sequence[bytes], *, expected: str | None, now: datetime | None, known: Identity | None = None
) -> Identity:
    """The identity that `chain` (DSSE envelopes, oldest first) proves.

    `expected`: the NodeID it must be; None only where the caller learns it here. `now`: None skips the terms
    of check 8, to read what was verified when it was stored. `known`: what is held already; its statements
    are not verified again, and the chain must begin with them.

    All of this must hold, in this order (PROTOCOL.md, 2):

    1. [P-20] there are 1 to 64 statements, each a DSSE envelope around a canonical statement of version 1, with sound
       verifier keys;
    2. [P-21] statement 0 hashes to the NodeID;
    3. [P-22] the chain begins with the statements held already, and is not shorter; other statements are a fork when
       they are signed as 4 to 7 ask, and else nobody's;
    4. [P-23] the first is statement 0, signed by at least its threshold of its own root keys;
    5. [P-24] each later one counts on by one and names the hash of the one before, and is not dated before
       it;
    6. [P-25] it is signed by at least the threshold *of the one before* of distinct root keys, each announced
       there;
    7. [P-26] no root key is announced that was exposed before; a log changes only with its generation, and then key and
       name are new;
    8. [P-27] the newest has not expired and is not dated more than a day ahead;
    9. [P-28] the newest names sound keys, each in one role only.

    Raises: IdentityRefused with the code of the first that fails.
    """
    # (1) P-20
    if not chain:
        raise IdentityRefused("chain-empty")
    if len(chain) > MAX_CHAIN:
        raise IdentityRefused("chain-too-long")
    signed = [read_statement(raw) for raw in chain]
    statements = tuple(s.statement for s in signed)
    # (2) P-21
    node_id = node_id_of(signed[0].payload)
    if expected is not None and node_id != expected:
        raise IdentityRefused("wrong-node")
    # (3) P-22
    held, forked = (0, False) if known is None else _held(signed, known)
    # (4) P-23
    first = statements[0]
    if first.seq != 0:
        raise IdentityRefused("chain-broken")
    if held == 0 and len(signed[0].signers(first.root)) < first.threshold:
        raise IdentityRefused("root-unannounced")
    spent = {digest(public) for public in first.root}
    _refuse_reuse(first, spent)
    for n in range(1, len(signed)):
        before, statement = signed[n - 1], statements[n]
        # (5) P-24
        if (
            statement.seq != n
            or statement.prev != digest(before.payload)
            or statement.iat < before.statement.iat
        ):
            raise IdentityRefused("chain-broken")
        # (6) P-25
        if n >= held:
            _refuse_unannounced(signed[n], before.statement)
        # (7) P-26
        spent.update(digest(public) for public in statement.root)
        _refuse_reuse(statement, spent)
        _refuse_changed_log(statement, statements[:n])
    if forked:
        raise IdentityRefused("chain-forked")
    # (8) P-27
    newest = statements[-1]
    if now is not None:
        if now >= newest.expires_at:
            raise IdentityRefused("statement-expired")
        if newest.issued_at > now + MAX_AHEAD:
            raise IdentityRefused("statement-from-future")
    # (9) P-28
    check_keys(newest)
    return Identity(node_id, tuple(chain), statements)


def refuse_borrowed_origin(theirs: Identity, others: Iterable[Identity]) -> None:
    """Return when no log of `theirs` has the name of a log of `others`, which are known here already [P-251].

    Logs are asked for, cosigned and compared by name: who took another's would stand between it and its readers.
    Raises: IdentityRefused `origin-taken`.
    """
    taken = {s.log.origin for other in others if other.node_id != theirs.node_id for s in other.statements}
    if any(statement.log.origin in taken for statement in theirs.statements):
        raise IdentityRefused("origin-taken")


def _held(signed: Sequence[Signed], known: Identity) -> tuple[int, bool]:
    """How many statements are held already, by content, and whether others follow on these than are held.

    A second signature says nothing new.
    """
    for n, (ours, theirs) in enumerate(zip(known.statements, signed, strict=False)):
        if STATEMENT.encode(ours) != theirs.payload:
            return n, True
    if len(signed) < len(known.statements):
        raise IdentityRefused("chain-stale")
    return len(known.statements), False


def _refuse_unannounced(signed: Signed, before: Statement) -> None:
    announced = [public for public in signed.statement.root if digest(public) in before.next]
    if len(signed.signers(announced)) < before.threshold:
        raise IdentityRefused("root-unannounced")


def _refuse_reuse(statement: Statement, spent: Collection[bytes]) -> None:
    if any(announced in spent for announced in statement.next):
        raise IdentityRefused("root-reused")


def _refuse_changed_log(statement: Statement, earlier: Sequence[Statement]) -> None:
    log, before = statement.log, earlier[-1].log
    if log.gen == before.gen:
        ok = log == before and statement.void == earlier[-1].void
    else:
        void = statement.void
        ok = (
            log.gen == before.gen + 1
            and all(s.log.origin != log.origin and _public(s.log) != _public(log) for s in earlier)
            and (void is None or void.gen == before.gen)
        )
    if not ok:
        raise IdentityRefused("log-changed")


def _public(log: LogKey) -> bytes:
    """The key itself: under another name it would be another verifier key, and still the thief's."""
    return decode_vkey(log.vkey).public


# The operator's ceremonies ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, repr=False)
class NodeKeys:
    """The private halves of a new node. Signing keys have 64 bytes, encryption seeds 32 (by `kid`).

    `root` has done its work once statement 0 is signed: destroy it. `next_root` signs the next statement: put
    it away offline. The others stay with the node.
    """

    root: bytes
    next_root: bytes
    log: bytes
    witness: bytes
    http: bytes
    enc: Mapping[str, bytes]

    def __repr__(self) -> str:
        return "NodeKeys(…)"


@dataclass(frozen=True, slots=True, repr=False)
class RenewedKeys:
    """The private halves that a renewal made; None where the node keeps the key it has.

    Seeds of keys that expired are kept for 60 days more, then destroyed.
    """

    next_root: bytes
    enc: Mapping[str, bytes]
    http: bytes | None = None
    witness: bytes | None = None
    log: bytes | None = None

    def __repr__(self) -> str:
        return "RenewedKeys(…)"


def incept(*, org: str, domain: str, urls: Sequence[str], now: datetime, rng: Rng) -> tuple[NodeKeys, bytes]:
    """A new node: its keys, and statement 0 as DSSE bytes, in force for 100 days.

    `urls`: 1 to 4 addresses at which peers reach it, the first preferred. The encryption keys are four in
    turn, 30 days each. Raises: IdentityRefused `fields-invalid`.
    """
    _refuse_fields(org, domain, urls)
    root, next_root = generate(rng), generate(rng)
    log_private, witness, http = generate(rng), generate(rng), generate(rng)
    iat = int(now.timestamp())
    exp = iat + MAX_TERM_S
    seeds, enc = _enc_keys(iat - EARLY_S, iat, exp, rng)
    log = _log_key(domain, 1, log_private, rng)
    statement = Statement(
        v=1,
        seq=0,
        root=(public_of(root),),
        next=(digest(public_of(next_root)),),
        threshold=1,
        org=Org(name=org, domain=domain),
        urls=tuple(urls),
        log=log,
        wit=encode_vkey(f"{log.origin}/witness", VKEY_COSIGNATURE, public_of(witness)),
        http=(_http_key(http, iat - EARLY_S, exp),),
        enc=enc,
        iat=iat,
        exp=exp,
    )
    envelope = sign_statement(statement, [root])
    verify_chain([envelope], expected=None, now=now)
    return NodeKeys(root, next_root, log_private, witness, http, seeds), envelope


def extend(
    chain: Sequence[bytes],
    *,
    root_private: bytes,
    now: datetime,
    rng: Rng,
    org: str | None = None,
    domain: str | None = None,
    urls: Sequence[str] | None = None,
    replace: Collection[Role] = (),
    void: Void | None = None,
) -> tuple[RenewedKeys, bytes]:
    """The next statement of `chain`, for another 100 days; returns the keys that it made and its DSSE bytes.

    `root_private`: the key put away at the last ceremony; it is spent now. Whatever is not named stays as it
    is; `replace` names the keys to make anew. `log` in `replace` opens a new generation of the log, and
    `void` then names the last good head of the old one. Encryption keys are always laid out anew; the one in
    force is kept unless `enc` is replaced.

    Raises: IdentityRefused `fields-invalid`, `root-private-mismatch`, and as `verify_chain` (a chain cannot
    be extended into one that peers refuse).
    """
    identity = verify_chain(chain, expected=None, now=None)
    before = identity.statement
    org, domain = org or before.org.name, domain or before.org.domain
    urls = before.urls if urls is None else urls
    _refuse_fields(org, domain, urls)
    if digest(public_of(root_private)) not in before.next:
        raise IdentityRefused("root-private-mismatch")
    iat = int(now.timestamp())
    exp = iat + MAX_TERM_S
    next_root = generate(rng)
    http = generate(rng) if "http" in replace else None
    witness = generate(rng) if "witness" in replace else None
    log_private = generate(rng) if "log" in replace else None
    kept = () if "enc" in replace else tuple(key for key in before.enc if key.nbf <= iat < key.exp)
    start = max((key.exp for key in kept), default=iat - EARLY_S)
    seeds, enc = _enc_keys(start, iat, exp, rng)
    log = before.log if log_private is None else _log_key(domain, before.log.gen + 1, log_private, rng)
    statement = msgspec.structs.replace(
        before,
        seq=before.seq + 1,
        prev=digest(read_statement(chain[-1]).payload),
        root=(public_of(root_private),),
        next=(digest(public_of(next_root)),),
        org=Org(name=org, domain=domain),
        urls=tuple(urls),
        log=log,
        wit=before.wit
        if witness is None
        else encode_vkey(f"{log.origin}/witness", VKEY_COSIGNATURE, public_of(witness)),
        http=tuple(msgspec.structs.replace(key, exp=exp) for key in before.http)
        if http is None
        else (_http_key(http, iat - EARLY_S, exp),),
        enc=(*kept, *enc),
        void=void if log_private is not None else before.void,
        iat=iat,
        exp=exp,
    )
    envelope = sign_statement(statement, [root_private])
    verify_chain([*chain, envelope], expected=identity.node_id, now=now, known=identity)
    return RenewedKeys(next_root, seeds, http, witness, log_private), envelope


def _refuse_fields(org: str, domain: str, urls: Sequence[str]) -> None:
    ok = (
        0 < len(org) <= 200
        and org.isprintable()
        and org.strip() == org
        and is_domain(domain)
        and 0 < len(urls) <= 4
        and all(is_url(url) for url in urls)
    )
    if not ok:
        raise IdentityRefused("fields-invalid")


def _log_key(domain: str, gen: int, private: bytes, rng: Rng) -> LogKey:
    """A log of its own name: a domain may be claimed by two nodes, an origin line must not be."""
    origin = f"{domain}/tocsin/{rng(8).hex()}"
    return LogKey(gen=gen, origin=origin, vkey=encode_vkey(origin, VKEY_ED25519, public_of(private)))


def _http_key(private: bytes, nbf: int, exp: int) -> HttpKey:
    public = public_of(private)
    return HttpKey(kid=kid(public), pk=public, nbf=nbf, exp=exp)


def _enc_keys(start: int, iat: int, exp: int, rng: Rng) -> tuple[dict[str, bytes], tuple[EncEntry, ...]]:
    """Keys in turn from `start`, 30 days each counted from `iat`, the last until `exp`."""
    seeds: dict[str, bytes] = {}
    entries: list[EncEntry] = []
    nbf = start
    while nbf < exp:
        until = min(max(nbf, iat) + ENC_PERIOD_S, exp)
        key = generate_enc(rng)
        seeds[key.kid] = key.seed
        entries.append(EncEntry(kid=key.kid, kem=KEM, pk=key.public, nbf=nbf, exp=until))
        nbf = until
    return seeds, tuple(entries)
