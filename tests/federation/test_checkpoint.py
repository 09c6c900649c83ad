import hypothesis.strategies as st
import pytest
from hypothesis import example, given
from tests.federation.nodes import A_KEYS, A

from tocsin_federation.checkpoint import (
    Checkpoint,
    open_checkpoint,
    open_note,
    parse_checkpoint_text,
    sign_checkpoint,
)
from tocsin_federation.errors import CheckpointRefused

LOG = A.statement.log
roots = st.binary(min_size=32, max_size=32)

# Two texts that others publish: Go's sumdb/note, and the example of C2SP tlog-checkpoint (whose key is not given).
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
)
GO_NOTE = GO_TEXT + (
    "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
C2SP_TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"


@example(2**53 - 1, bytes(32))
@given(st.integers(0, 2**53 - 1), roots)
def test_what_is_signed_is_read_back(size, root):
    note = sign_checkpoint(LOG.origin, size, root, A_KEYS.log)
    assert open_checkpoint(note, LOG.vkey) == Checkpoint(LOG.origin, size, root)


@given(roots, st.data())
def test_a_flipped_bit_anywhere_is_refused(root, data):
    note = bytearray(sign_checkpoint(LOG.origin, 42, root, A_KEYS.log))
    bit = data.draw(st.integers(0, len(note) * 8 - 1))
    note[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CheckpointRefused):
        open_checkpoint(bytes(note), LOG.vkey)


@given(st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_out_of_noise(raw):
    with pytest.raises(CheckpointRefused):
        open_checkpoint(raw, LOG.vkey)


@given(st.text(max_size=200))
def test_a_checkpoints_text_has_one_spelling(text):
    with pytest.raises(CheckpointRefused):
        parse_checkpoint_text(text)


def test_gos_own_note_opens():
    assert open_note(GO_NOTE.encode(), GO_VKEY) == GO_TEXT
    with pytest.raises(CheckpointRefused, match="signature"):
        open_note(GO_NOTE.replace("answer", "Answer").encode(), GO_VKEY)


def test_the_example_of_c2sp_is_read():
    checkpoint = parse_checkpoint_text(C2SP_TEXT)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.root.hex().startswith("0ac5186a91863e8e")


def test_the_note_looks_as_it_must():
    note = sign_checkpoint(LOG.origin, 0, bytes(32), A_KEYS.log).decode()
    lines = note.split("\n")
    assert lines[:4] == [LOG.origin, "0", "A" * 43 + "=", ""]
    assert lines[4].startswith(f"— {LOG.origin} ")
    assert lines[5:] == [""]
