"""The envelope: how one report is sealed to named nodes, once, and opened by each of them.

    DEK, salt  32 and 24 random bytes
    ctx        SHA-256("tocsin/1/ctx" 00 ‖ the header without `enc`)
    K ‖ kc     BLAKE2b-512(key = DEK, person = "tocsin/1/body", salt ‖ ctx)
    pt         00 ‖ length u32 ‖ content ‖ zeros up to Padmé (at least 1,024 bytes)
    ct         XChaCha20-Poly1305(K, nonce = 24 zeros, no associated data, pt)      K is used once
    leaf       the header with enc = {suite 1, salt, kc, SHA-256(ct), length of ct}
    wrap       HPKE (X-Wing, HKDF-SHA256, ChaCha20-Poly1305), Base mode, of the DEK to each recipient,
               info = "tocsin/1/wrap" 00 ‖ leaf hash ‖ author ‖ recipient

What that buys: every field of the header goes into K, so nothing of it can be changed, and the ciphertext
cannot be passed off under another author, marking or audience. `kc` stands in the signed log, so one entry
has one DEK and one plaintext: XChaCha20-Poly1305 alone lets a sender make one ciphertext that opens to two
texts under two keys. Wraps are outside the leaf: any co-recipient could mend a bad one, and shredding keys
leaves the tree whole.

The content is bytes; what it says is not judged here, and it is never written anew.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hmac import compare_digest

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from tocsin_federation.errors import EntryRefused, KeyRefused, SealRefused
from tocsin_federation.frames import MAX_CT_BYTES, Frame
from tocsin_federation.keys import EncKey, EncPrivateKey, Rng
from tocsin_federation.merkle import leaf_hash
from tocsin_federation.messages import (
    FACTS,
    HEADER,
    MAX_LEAF_BYTES,
    MAX_RECIPIENTS,
    SUITE,
    Audience,
    Encryption,
    Facts,
    Header,
    Kind,
    facts_of,
    read_header,
)
from tocsin_federation.node_id import node_id_bytes
from tocsin_federation.padding import MAX_CONTENT_BYTES, pad, unpad
from tocsin_schema.marking import Tlp

TAG_BYTES = 16
MAX_ENC_KEYS = 16  # of our own that are tried on one wrap

_CTX_LABEL = b"tocsin/1/ctx\x00"
_WRAP_LABEL = b"tocsin/1/wrap\x00"
_BODY_PERSON = b"tocsin/1/body"
_NONCE = bytes(24)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed entry, ready for the log. `wraps`: NodeID → its wrap. `data_key`: opens it, and it alone."""

    leaf: bytes
    leaf_hash: bytes
    ct: bytes = field(repr=False)
    wraps: Mapping[str, bytes] = field(repr=False)
    data_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry that came through all checks of the envelope. `content`: the exact bytes that were sealed.

    `data_key` (32 bytes) shows to anybody that these are the bytes, and opens nothing else.
    """

    header: Header
    content: bytes = field(repr=False)
    data_key: bytes = field(repr=False)


def seal(
    *,
    t: Kind,
    by: str,
    id: str,  # noqa: A002  the wire's word
    ver: int,
    tlp: Tlp,
    content: bytes,
    recipients: Mapping[str, EncKey],
    now: datetime,
    rng: Rng,
    prev: bytes | None = None,
    ref: bytes | None = None,
    aud: Audience | None = None,
) -> Sealed:
    """Seal `content` (≤ 1 MiB) to each of `recipients` (NodeID → the key of theirs that is in force).

    `prev`: leaf hash of the entry with the version before, if it was ever sent; `ref`: leaf hash of the entry
    that an `ack` or a `remark` answers. `aud`: the place in a circle that it is addressed to, or nobody by name
    (P-217); None: to the recipients by name. The release rules are the caller's: see `sharing.release` and
    `circle_rules.release_into`.

    Raises: SealRefused `no-recipient`, `too-many-recipients`, `own-recipient`, `content-too-large`,
    `header-invalid`.
    """
    if not recipients:
        raise SealRefused("no-recipient")
    if len(recipients) > MAX_RECIPIENTS:
        raise SealRefused("too-many-recipients")
    if by in recipients:
        raise SealRefused("own-recipient")
    if len(content) > MAX_CONTENT_BYTES:
        raise SealRefused("content-too-large")
    try:
        facts = Facts(
            v=1,
            t=t,
            by=by,
            id=id,
            ver=ver,
            ts=int(now.timestamp() * 1000),
            aud=aud or Audience(nodes=tuple(sorted(recipients))),
            tlp=tlp,
            prev=prev,
            ref=ref,
        )
    except ValueError as exc:
        raise SealRefused("header-invalid") from exc
    data_key, salt = rng(32), rng(24)
    key, commitment = _derive(data_key, salt, facts)
    ct = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(pad(content), None, _NONCE, key)
    enc = Encryption(suite=SUITE, salt=salt, kc=commitment, ct=hashlib.sha256(ct).digest(), n=len(ct))
    leaf = HEADER.encode(_with_enc(facts, enc))
    try:
        read_header(leaf)
    except EntryRefused as exc:
        raise SealRefused("header-invalid") from exc
    hashed = leaf_hash(leaf)
    wraps = {node: public.wrap(data_key, wrap_info(hashed, by, node)) for node, public in recipients.items()}
    return Sealed(leaf, hashed, ct, wraps, data_key)


def open_entry(
    frame: Frame,
    *,
    expected_leaf_hash: bytes,
    origin: str,
    me: str,
    enc_private: Mapping[str, EncPrivateKey],
) -> Opened:
    """Open what `origin` put at this place of its log for `me`; believe nothing before it was checked.

    `expected_leaf_hash`: from the log as verified against a signed checkpoint. `enc_private`: our keys, the
    likeliest (newest in force) first; at most 16 are tried.

    All of this must hold, in this order (PROTOCOL.md, 6):

    1.  [P-60] leaf and ciphertext are within their limits;
    2.  [P-61] the leaf hashes to what the log holds at this place;
    3.  [P-62] the leaf is canonical, of a version we know, and has a header's form;
    4.  [P-63] the header names `origin` as its author;
    5.  [P-64] the header names `me` among its audience, or nobody;
    6.  [P-65] the ciphertext has the length and the hash that the header names;
    7.  [P-66] the wrap is 1,168 bytes and opens, bound to this leaf, author and recipient, with a key of ours;
    8.  [P-67] the data key is the one the header commits to, compared in constant time;
    9.  [P-68] the ciphertext opens under the key derived from data key and header;
    10. [P-69] the padding is Padmé's, all zeros, and nothing else follows the content.

    The caller must then judge the content: that it is valid, and `sharing.admit`.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-60
    if len(frame.leaf) > MAX_LEAF_BYTES or len(frame.ct) > MAX_CT_BYTES:
        raise EntryRefused("too-large")
    # (2) P-61
    if leaf_hash(frame.leaf) != expected_leaf_hash:
        raise EntryRefused("hash-mismatch")
    # (3) P-62
    header = read_header(frame.leaf)
    # (4) P-63
    if header.by != origin:
        raise EntryRefused("wrong-origin")
    # (5) P-64
    if not header.aud.may_name(me):
        raise EntryRefused("not-addressed")
    # (6) P-65
    if len(frame.ct) != header.enc.n or hashlib.sha256(frame.ct).digest() != header.enc.ct:
        raise EntryRefused("ciphertext-mismatch")
    # (7) P-66
    data_key = _unwrap(frame.wrap, wrap_info(expected_leaf_hash, origin, me), enc_private)
    # (8) P-67
    key = _committed(header, data_key)
    # (9) P-68
    padded = _decrypt(frame.ct, key)
    # (10) P-69
    return Opened(header, unpad(padded), data_key)


def open_returned(
    frame: Frame, *, expected_leaf_hash: bytes, me: str, enc_private: Mapping[str, EncPrivateKey]
) -> Opened:
    """Open an entry of our own log that a recipient gives back: as `open_entry`, but that we are its author (P-228).

    The wrap is bound to us as author and as recipient. Raises: EntryRefused.
    """
    if len(frame.leaf) > MAX_LEAF_BYTES or len(frame.ct) > MAX_CT_BYTES:
        raise EntryRefused("too-large")
    if leaf_hash(frame.leaf) != expected_leaf_hash:
        raise EntryRefused("hash-mismatch")
    header = read_header(frame.leaf)
    if header.by != me:
        raise EntryRefused("wrong-origin")
    if len(frame.ct) != header.enc.n or hashlib.sha256(frame.ct).digest() != header.enc.ct:
        raise EntryRefused("ciphertext-mismatch")
    data_key = _unwrap(frame.wrap, wrap_info(expected_leaf_hash, me, me), enc_private)
    key = _committed(header, data_key)
    return Opened(header, unpad(_decrypt(frame.ct, key)), data_key)


def open_disclosed(header: Header, data_key: bytes, ct: bytes) -> bytes:
    """The content of an entry of ours or one that was verified, by its data key alone: checks 6, 8, 9 and 10.

    Raises: EntryRefused `ciphertext-mismatch`, `commitment`, `bad-ciphertext`, `padding`, `unsupported`.
    """
    if len(ct) != header.enc.n or hashlib.sha256(ct).digest() != header.enc.ct:
        raise EntryRefused("ciphertext-mismatch")
    return unpad(_decrypt(ct, _committed(header, data_key)))


def check_disclosed(header: Header, data_key: bytes, content: bytes) -> None:
    """Return when `content` is what the entry under `header` was sealed from.

    Raises: EntryRefused `too-large`, `commitment`, `ciphertext-mismatch`.
    """
    seal_again(header, data_key, content)


def seal_again(header: Header, data_key: bytes, content: bytes) -> bytes:
    """The ciphertext of the entry under `header`, from the content that it was sealed from.

    Sealing is deterministic once the data key is known, so content and key are all that anybody needs: the
    ciphertext that is made anew has to have the hash that stands in the header.

    Raises: EntryRefused `too-large`, `commitment`, `ciphertext-mismatch`.
    """
    if len(content) > MAX_CONTENT_BYTES:
        raise EntryRefused("too-large")
    key = _committed(header, data_key)
    ct = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(pad(content), None, _NONCE, key)
    if len(ct) != header.enc.n or hashlib.sha256(ct).digest() != header.enc.ct:
        raise EntryRefused("ciphertext-mismatch")
    return ct


# Keys -------------------------------------------------------------------------------------------------


def wrap_info(hashed_leaf: bytes, author: str, recipient: str) -> bytes:
    """What a wrap is bound to: this leaf, its author, this recipient."""
    return _WRAP_LABEL + hashed_leaf + node_id_bytes(author) + node_id_bytes(recipient)


def _committed(header: Header, data_key: bytes) -> bytes:
    """The body key, once the data key is known to be the one that the header commits to."""
    key, commitment = _derive(data_key, header.enc.salt, facts_of(header))
    if not compare_digest(commitment, header.enc.kc):
        raise EntryRefused("commitment")
    return key


def _derive(data_key: bytes, salt: bytes, facts: Facts) -> tuple[bytes, bytes]:
    """(body key, commitment), 32 bytes each."""
    ctx = hashlib.sha256(_CTX_LABEL + FACTS.encode(facts)).digest()
    both = hashlib.blake2b(salt + ctx, key=data_key, person=_BODY_PERSON).digest()
    return both[:32], both[32:]


def _unwrap(wrap: bytes, info: bytes, enc_private: Mapping[str, EncPrivateKey]) -> bytes:
    for _, private in zip(range(MAX_ENC_KEYS), enc_private.values(), strict=False):
        try:
            return private.unwrap(wrap, info)
        except KeyRefused:
            continue
    raise EntryRefused("bad-wrap")


def _decrypt(ct: bytes, key: bytes) -> bytes:
    if len(ct) < TAG_BYTES:
        raise EntryRefused("bad-ciphertext")
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(ct, None, _NONCE, key)
    except CryptoError as exc:
        raise EntryRefused("bad-ciphertext") from exc


def _with_enc(facts: Facts, enc: Encryption) -> Header:
    fields = {name: getattr(facts, name) for name in Facts.__struct_fields__}
    return Header(**fields, enc=enc)
