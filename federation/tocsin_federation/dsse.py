"""DSSE: signatures over typed bytes. The type is signed too, so that no document passes for one of another kind.

The envelope is itself strict canonical JSON; what it holds is `payload`, as exact bytes.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from tocsin_federation.errors import KeyRefused
from tocsin_federation.keys import check_public, kid, public_of, sign, verify

Kid = Annotated[str, Meta(pattern=r"\A[0-9a-f]{16}\Z")]


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One signature of an envelope. `keyid`: the `kid` of the key that made it."""

    keyid: Kid
    sig: Annotated[bytes, Meta(min_length=64, max_length=64)]


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    return b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)


def sign_as(payload_type: str, payload: bytes, private: bytes) -> Signature:
    """The signature of one key over `payload` as a document of that type."""
    return Signature(keyid=kid(public_of(private)), sig=sign(private, pae(payload_type, payload)))


def signers(
    payload_type: str, payload: bytes, signatures: Mapping[str, bytes], keys: Iterable[bytes]
) -> set[bytes]:
    """Those of `keys` (public, 32 bytes) that signed; each counts once. `signatures`: kid → signature.

    Raises: KeyRefused `key-weak` for a key that everybody could sign with.
    """
    message, found = pae(payload_type, payload), set()
    for public in keys:
        signature = signatures.get(kid(public))
        if signature is None:
            continue
        try:
            verify(check_public(public), message, signature)
        except KeyRefused as exc:
            if exc.code == "key-weak":
                raise
            continue
        found.add(public)
    return found
