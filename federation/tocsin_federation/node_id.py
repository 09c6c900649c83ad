"""NodeIDs: a node is named by the hash of its first statement, which outlives every key."""

import re
from base64 import b32decode, b32encode
from functools import lru_cache
from hashlib import sha256

from tocsin_federation.errors import KeyRefused
from tocsin_schema.ids import NODE_ID_FORM

NODE_ID_PATTERN = rf"\A{NODE_ID_FORM}\Z"
_NODE_ID = re.compile(NODE_ID_PATTERN)
_LABEL = b"tocsin/1/incept\x00"


def node_id_of(statement_0: bytes) -> str:
    """The NodeID that the bytes of a statement 0 give: `n1` and base32 of their labelled SHA-256."""
    digest = sha256(_LABEL + statement_0).digest()
    return "n1" + b32encode(digest).decode().lower()[:52]


@lru_cache(maxsize=4096)
def node_id_bytes(node_id: str) -> bytes:
    """The 32 bytes that a NodeID writes. Raises: KeyRefused `node-id-malformed`."""
    if _NODE_ID.match(node_id) is None:
        raise KeyRefused("node-id-malformed")
    return b32decode(node_id[2:].upper() + "====")


def node_id_from_bytes(raw: bytes) -> str:
    """The NodeID that 32 bytes write. Raises: KeyRefused `node-id-malformed`."""
    if len(raw) != 32:
        raise KeyRefused("node-id-malformed")
    return "n1" + b32encode(raw).decode().lower()[:52]
