import hashlib

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from tocsin_federation.errors import ProofRefused
from tocsin_federation.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    parse_tile_path,
    root_of,
    tile_path,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [hashlib.sha256(b"leaf %d" % i).digest() for i in range(70)]

# Certificate Transparency's reference tree: eight leaves, and the root after each.
CT_LEAVES = [bytes.fromhex(h) for h in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")]  # fmt: skip
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def mth(leaves):
    """RFC 6962 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m, leaves):
    """RFC 6962 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m, leaves, whole):
    """RFC 6962 2.1.2."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def refused(call, *args):
    with pytest.raises(ProofRefused) as caught:
        call(*args)
    return caught.value.code


def test_the_roots_are_those_of_certificate_transparency():
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for leaf, root in zip(CT_LEAVES, CT_ROOTS, strict=True):
        frontier.append(leaf_hash(leaf))
        assert frontier.root().hex() == root


@pytest.mark.parametrize("size", range(66))
def test_every_root_and_proof_up_to_65_is_the_textbooks(size):
    leaves = LEAVES[:size]
    root = mth(leaves)
    assert root_of(leaves) == root
    for index in range(size):
        proof = inclusion_proof(leaves, index)
        assert proof == path(index, leaves)
        verify_inclusion(leaves[index], index, size, proof, root)
    for old in range(size + 1):
        proof = consistency_proof(leaves, old)
        if 0 < old < size:
            assert proof == subproof(old, leaves, True)
        verify_consistency(old, mth(leaves[:old]), size, root, proof)


@pytest.mark.parametrize("size", range(1, 34))
def test_no_inclusion_proof_fits_another_place_size_leaf_or_root(size):
    leaves, root = LEAVES[:size], mth(LEAVES[:size])
    for index in range(size):
        proof = inclusion_proof(leaves, index)
        for other in range(-1, size + 2):
            if other != index:
                assert refused(verify_inclusion, leaves[index], other, size, proof, root)
        assert refused(verify_inclusion, LEAVES[-1], index, size, proof, root) == "proof-mismatch"
        assert refused(verify_inclusion, leaves[index], index, size, proof, LEAVES[-1]) == "proof-mismatch"
        assert refused(verify_inclusion, leaves[index], index, size, [*proof, root], root) == "proof-mismatch"
        if proof:
            assert refused(verify_inclusion, leaves[index], index, size, proof[1:], root) == "proof-mismatch"
            assert refused(verify_inclusion, leaves[index], index, size, proof[:-1], root) == "proof-mismatch"


@pytest.mark.parametrize("size", range(1, 26))
def test_no_consistency_proof_hides_a_changed_leaf(size):
    leaves = LEAVES[:size]
    for old in range(1, size):
        proof, old_root, root = consistency_proof(leaves, old), mth(leaves[:old]), mth(leaves)
        changed = [*leaves[: old - 1], LEAVES[-1], *leaves[old:]]
        assert refused(verify_consistency, old, mth(changed[:old]), size, root, proof) == "proof-mismatch"
        assert refused(verify_consistency, old, old_root, size, mth(changed), proof) == "proof-mismatch"
        forged = consistency_proof(changed, old)
        assert refused(verify_consistency, old, old_root, size, mth(changed), forged) == "proof-mismatch"
        assert refused(verify_consistency, old, old_root, size, root, [*proof, root]) == "proof-mismatch"
        assert refused(verify_consistency, old, old_root, size, root, []) == "proof-mismatch"
        for i in range(len(proof)):
            bad = [*proof[:i], LEAVES[-1], *proof[i + 1 :]]
            assert refused(verify_consistency, old, old_root, size, root, bad) == "proof-mismatch"


def test_the_edges_of_consistency():
    root = mth(LEAVES[:7])
    verify_consistency(0, EMPTY_ROOT, 7, root, [])
    verify_consistency(7, root, 7, root, [])
    assert refused(verify_consistency, 0, root, 7, root, []) == "proof-mismatch"
    assert refused(verify_consistency, 7, root, 7, LEAVES[0], []) == "proof-mismatch"
    assert refused(verify_consistency, 7, root, 7, root, [root]) == "proof-mismatch"
    assert refused(verify_consistency, 8, root, 7, root, []) == "proof-malformed"
    assert refused(verify_consistency, 3, root[:31], 7, root, [root]) == "proof-malformed"
    assert refused(consistency_proof, LEAVES[:3], 4) == "proof-malformed"
    assert refused(inclusion_proof, LEAVES[:3], 3) == "proof-malformed"
    assert refused(verify_inclusion, b"short", 0, 1, [], b"short") == "proof-malformed"


@settings(max_examples=40)
@given(st.integers(66, 5000), st.data())
def test_larger_trees_prove_what_they_hold(size, data):
    leaves = [hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(size)]
    old, index = data.draw(st.integers(1, size)), data.draw(st.integers(0, size - 1))
    frontier = Frontier()
    frontier.extend(leaves[:old])
    old_root = frontier.root()
    frontier.extend(leaves[old:])
    root = frontier.root()
    assert root == root_of(leaves)
    verify_inclusion(leaves[index], index, size, inclusion_proof(leaves, index), root)
    verify_consistency(old, old_root, size, root, consistency_proof(leaves, old))


@given(st.integers(0, 70))
def test_a_frontier_survives_being_written_down(size):
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    again = Frontier.from_bytes(frontier.to_bytes())
    assert again == frontier
    assert again.size == size
    copy = again.copy()
    copy.append(LEAVES[0])
    assert again == frontier
    assert copy.root() == mth([*LEAVES[:size], LEAVES[0]])


@given(st.binary(max_size=120))
def test_a_frontier_of_the_wrong_length_is_refused(raw):
    count = int.from_bytes(raw[:8], "big").bit_count()
    if len(raw) != 8 + 32 * count:
        assert refused(Frontier.from_bytes, raw) == "proof-malformed"


def test_a_frontier_is_mutable_and_has_no_hash():
    with pytest.raises(TypeError):
        hash(Frontier())
    assert "size=0" in repr(Frontier())
    assert Frontier() != "frontier"


def test_tile_paths_are_those_of_c2sp():
    assert tile_path(1234067) == "tile/0/x001/x234/067"
    assert tile_path(273, 112) == "tile/0/273.p/112"
    assert tile_path(0) == "tile/0/000"
    assert tile_path(1000, 1) == "tile/0/x001/000.p/1"


@given(st.integers(0, 10**18 - 1), st.integers(1, 256))
def test_tile_paths_are_read_back(index, width):
    assert parse_tile_path(tile_path(index, width)) == (0, index, width)


@pytest.mark.parametrize(
    "text",
    [
        "", "000", "tile/0/", "tile/0/0", "tile/0/0000", "tile/0/x000/001", "tile/0/001/002", "tile/0/x001/x002",
        "tile/10/000", "tile//000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/001", "tile/0/000.p/", "tile/0/000.p/1/",
        "tile/0/-01", "tile/0/٠٠٠", "tile/0/000\n", "tile/0/000.p/999", "/tile/0/000",
    ],
)  # fmt: skip
def test_a_tile_path_has_one_spelling(text):
    assert refused(parse_tile_path, text) == "proof-malformed"


@pytest.mark.parametrize(("index", "width"), [(-1, 1), (0, 0), (0, 257), (10**18, 1)])
def test_there_are_no_other_tiles(index, width):
    assert refused(tile_path, index, width) == "proof-malformed"


@given(st.integers(0, 70), st.integers(0, 70))
def test_what_a_tree_was_before_follows_from_its_edge_and_a_few_leaves(before, after):
    before, after = sorted((before, after))
    edge = Frontier()
    edge.extend(LEAVES[:after])
    begun = edge.beginning(before)
    assert begun.size <= before
    begun.extend(LEAVES[begun.size : before])
    assert (begun.size, begun.root()) == (before, root_of(LEAVES[:before]))
    assert edge.root() == root_of(LEAVES[:after])
