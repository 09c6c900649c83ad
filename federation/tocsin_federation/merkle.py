"""The Merkle tree of RFC 6962 over leaf hashes: growing it, its root, proofs, and the paths of its tiles.

A log grows through its `Frontier`, the roots of the perfect subtrees that its size is made of (a compact
range): an append touches one of them on average. A reader keeps the frontier of what it has verified and
appends the leaf hashes it is given: when the root then equals the one in a newer signed checkpoint, the older
tree is a prefix of the newer one and no consistency proof is needed. Proofs are for those who do not hold the
leaves.

Nothing here knows what a leaf means. Hashes are 32 bytes, indices count from 0.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Self

from tocsin_federation.errors import ProofRefused

HASH_BYTES = 32
TILE_WIDTH = 256  # hashes in a full tile (C2SP tlog-tiles)
EMPTY_ROOT = sha256(b"").digest()
_MAX_SIZE = 2**53  # sizes travel in JSON


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's bytes: SHA-256(0x00 ‖ leaf), RFC 6962 2.1."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """The right edge of a tree: all that is needed to append to it and to know its root.

    Mutable; `copy()` before trying leaves that are not verified yet.
    """

    __slots__ = ("_nodes", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._nodes: list[bytes] = []  # roots of the perfect subtrees, largest (leftmost) first

    @property
    def size(self) -> int:
        """How many leaves the tree has."""
        return self._size

    @property
    def subtrees(self) -> tuple[bytes, ...]:
        """The roots of the perfect subtrees that the tree is made of, largest first."""
        return tuple(self._nodes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash (32 bytes)."""
        nodes, size = self._nodes, self._size
        while size & 1:
            leaf = sha256(b"\x01" + nodes.pop() + leaf).digest()
            size >>= 1
        nodes.append(leaf)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaf hashes in order."""
        append = self.append
        for leaf in leaves:
            append(leaf)

    def root(self) -> bytes:
        """The tree's root hash; of an empty tree SHA-256 of nothing."""
        if not self._nodes:
            return EMPTY_ROOT
        root = self._nodes[-1]
        for node in reversed(self._nodes[:-1]):
            root = sha256(b"\x01" + node + root).digest()
        return root

    def beginning(self, size: int) -> Self:
        """The tree of the first leaves, as many of its first `size` as this edge still knows apart; often nearly all.

        With the leaves from there on it leads to the root that the tree had at `size` (at most this tree's size).
        """
        shared = size >> (apart := (size ^ self._size).bit_length()) << apart
        other = type(self)()
        other._size, other._nodes = shared, self._nodes[: shared.bit_count()]  # noqa: SLF001  the same class
        return other

    def copy(self) -> Self:
        """An independent frontier in the same state."""
        other = type(self)()
        other._size, other._nodes = self._size, self._nodes.copy()  # noqa: SLF001  the same class
        return other

    def to_bytes(self) -> bytes:
        """The state as bytes: size (u64, big endian), then 32 bytes a subtree, largest first."""
        return self._size.to_bytes(8, "big") + b"".join(self._nodes)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """The frontier that `to_bytes` wrote. Raises: ProofRefused `proof-malformed`."""
        size = int.from_bytes(raw[:8], "big")
        count = size.bit_count()
        if len(raw) != 8 + HASH_BYTES * count or size > _MAX_SIZE:
            raise ProofRefused("proof-malformed")
        frontier = cls()
        frontier._size = size
        frontier._nodes = [raw[8 + HASH_BYTES * i : 40 + HASH_BYTES * i] for i in range(count)]
        return frontier

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Frontier) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Frontier(size={self._size}, root={self.root().hex()[:16]}…)"


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (MTH of RFC 6962)."""
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def root_over(tiles: Sequence[bytes], leaves: Sequence[bytes]) -> bytes:
    """The root of a tree of which the first leaves are known by the roots of their full tiles (256 leaves each)."""
    frontier = Frontier()
    frontier.extend(tiles)
    if not leaves:
        return frontier.root()
    root = root_of(leaves)
    for node in reversed(frontier.subtrees):
        root = node_hash(node, root)
    return root


# Proofs -----------------------------------------------------------------------------------------------


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of leaf `index` in the tree over `leaves`, leaf upwards (RFC 6962 2.1.1).

    Raises: ProofRefused `proof-malformed` when there is no such leaf.
    """
    return [root_of(leaves[low:high]) for low, high in audit_path(index, len(leaves))]


def audit_path(index: int, size: int) -> list[tuple[int, int]]:
    """Which subtrees' roots make the audit path of leaf `index` in a tree of `size`: [low, high), leaf upwards.

    For whoever knows the roots of large subtrees and need not read all leaves. `low` is a multiple of the smallest
    power of two that is not below `high - low`. Raises: ProofRefused `proof-malformed` when there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofRefused("proof-malformed")
    path: list[tuple[int, int]] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low = middle
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return when `proof` shows that leaf hash `leaf` stands at `index` in the tree of `size` with `root`.

    RFC 9162 2.1.3.2. Raises: ProofRefused `proof-malformed`, `proof-mismatch`.
    """
    if not 0 <= index < size <= _MAX_SIZE:
        raise ProofRefused("proof-malformed")
    _check_hashes([leaf, root, *proof])
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofRefused("proof-mismatch")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last or computed != root:
        raise ProofRefused("proof-mismatch")


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """The proof that the tree over the first `old_size` leaves is a prefix of the whole (RFC 6962 2.1.2).

    Empty when `old_size` is 0 or all. Raises: ProofRefused `proof-malformed` when `old_size` is larger than
    the tree.
    """
    if old_size in {0, len(leaves)}:
        return []
    proof = past_proof(leaves, old_size)
    return without_first(proof, old_size)


def without_first(past: Sequence[bytes], old_size: int) -> list[bytes]:
    """The consistency proof of RFC 6962 from a `past_proof`: a perfect tree is its own first node."""
    return list(past[1:] if old_size & (old_size - 1) == 0 else past)


def past_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """The hashes that both roots follow from: of the whole tree, and of its first `old_size` leaves (`roots_of_past`).

    A consistency proof that never leaves out its first hash, so that it shows the older root, too. Raises: ProofRefused
    `proof-malformed` when `old_size` is 0 or larger than the tree.
    """
    return [root_of(leaves[low:high]) for low, high in past_path(old_size, len(leaves))]


def past_path(old_size: int, size: int) -> list[tuple[int, int]]:
    """Which subtrees' roots make the `past_proof` of a tree of `size`, as `audit_path` names them.

    Raises: ProofRefused `proof-malformed` when `old_size` is 0 or larger than the tree.
    """
    if not 0 < old_size <= size:
        raise ProofRefused("proof-malformed")
    path: list[tuple[int, int]] = []
    low, high = 0, size
    while old_size < high:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append((middle, high))
            high = middle
        else:
            path.append((low, middle))
            low = middle
    path.append((low, high))
    return path[::-1]


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return when `proof` shows that the old tree is a prefix of the new one.

    RFC 9162 2.1.4.2, with the two cases it leaves out: an old size of 0 and equal sizes both take an empty
    proof. Raises: ProofRefused `proof-malformed`, `proof-mismatch`.
    """
    if not 0 <= old_size <= new_size <= _MAX_SIZE:
        raise ProofRefused("proof-malformed")
    _check_hashes([old_root, new_root, *proof])
    if old_size in {0, new_size}:
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if proof or old_root != expected:
            raise ProofRefused("proof-mismatch")
        return
    perfect = old_size & (old_size - 1) == 0
    if roots_of_past(old_size, new_size, [old_root, *proof] if perfect else proof) != (old_root, new_root):
        raise ProofRefused("proof-mismatch")


def roots_of_past(old_size: int, new_size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots at both sizes (0 < old < new) that `past_proof` shows: whoever signed another for one of them lies.

    Raises: ProofRefused `proof-malformed`, `proof-mismatch` for a path of another length.
    """
    if not 0 < old_size < new_size <= _MAX_SIZE:
        raise ProofRefused("proof-malformed")
    _check_hashes(proof)
    if not proof:
        raise ProofRefused("proof-mismatch")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = proof[0]
    for sibling in proof[1:]:
        if last == 0:
            raise ProofRefused("proof-mismatch")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise ProofRefused("proof-mismatch")
    return old, new


def _split(size: int) -> int:
    """The largest power of two below `size` (> 1)."""
    return 1 << (size - 1).bit_length() - 1


def _check_hashes(hashes: Iterable[bytes]) -> None:
    if any(len(h) != HASH_BYTES for h in hashes):
        raise ProofRefused("proof-malformed")


# Tiles ------------------------------------------------------------------------------------------------

MAX_LEVEL = 9  # 256^10 leaves are more than a log may have
_TILE_PATH = re.compile(r"tile/([0-9])/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


def tile_path(index: int, width: int = TILE_WIDTH, *, level: int = 0) -> str:
    """The path of tile `index` with `width` hashes, as `tile/0/x001/x234/067.p/5`.

    C2SP tlog-tiles; a full tile has 256. Level 0 has the leaf hashes, each above it the roots of full tiles of the
    level below. Raises: ProofRefused `proof-malformed`.
    """
    if not (0 <= index < 1000**6 and 1 <= width <= TILE_WIDTH and 0 <= level <= MAX_LEVEL):
        raise ProofRefused("proof-malformed")
    digits = f"{index:03d}"
    digits = digits.zfill((len(digits) + 2) // 3 * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    path = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
    return f"tile/{level}/{path}" + (f".p/{width}" if width < TILE_WIDTH else "")


def parse_tile_path(path: str) -> tuple[int, int, int]:
    """(level, index, width) of a path that `tile_path` wrote, and of no other spelling.

    Raises: ProofRefused `proof-malformed`.
    """
    match = _TILE_PATH.fullmatch(path)
    if match is None:
        raise ProofRefused("proof-malformed")
    level, index = int(match[1]), int(match[2].replace("/", "").replace("x", ""))
    width = int(match[3] or TILE_WIDTH)
    if tile_path(index, min(width, TILE_WIDTH), level=level) != path:
        raise ProofRefused("proof-malformed")
    return level, index, width
