"""The ceremony of the keys: what it makes, what it destroys, and that a power cut at any step does no harm."""

import os
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from tocsin_federation.errors import IdentityRefused
from tocsin_federation.identity import verify_chain
from tocsin_federation.keys import public_of
from tocsin_federation.statement import Void, digest
from tocsin_node.disk import Disk
from tocsin_node.errors import SecretError
from tocsin_node.identity_files import load_identity, next_root_name, read_chain, settle_keys, write_statement
from tocsin_node.initialise import initialise
from tocsin_node.passphrase import KeyLocked, Passphrase, PassphraseWrong, is_locked
from tocsin_node.rehearsal import rehearse
from tocsin_node.rotation import Change, NextRoot, RootKey, rotate

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=80)
ACME = {"node": {"org": "Acme", "url": "https://tocsin.acme.example"}}
EVERY = ("http", "witness", "log", "enc")


def at(moment):
    return lambda: moment


def quick(text="correct horse battery staple"):
    """A passphrase that costs little to stretch."""
    return Passphrase(text, ops=1, mem_bytes=8192)


@pytest.fixture
def home(tmp_path):
    directory = tmp_path / "node"
    initialise(directory, ACME, now=at(NOW))
    return directory


def content(directory):
    return {file: file.read_bytes() for file in directory.rglob("*") if file.is_file()}


class PowerCut(BaseException):
    """Nobody handles it: as if the machine had stopped."""


class CutDisk(Disk):
    """Stops at step `at`: before a step, or in the middle of a write. Counts the steps."""

    def __init__(self, at=10**9):
        self.steps = 0
        self.at = at

    def _step(self):
        self.steps += 1
        if self.steps == self.at:
            raise PowerCut

    def move(self, file, to):
        self._step()
        super().move(file, to)

    def remove(self, file):
        self._step()
        super().remove(file)

    def _put(self, descriptor, content):
        super()._put(descriptor, content[: len(content) // 2])
        self._step()
        super()._put(descriptor, content[len(content) // 2 :])


def steps_of(tmp_path, **how):
    counting = CutDisk()
    directory = tmp_path / "counted"
    initialise(directory, ACME, now=at(NOW))
    rotate(directory, now=at(LATER), disk=counting, **how)
    shutil.rmtree(directory)
    return counting.steps


def test_a_rotation_keeps_the_identity_and_spends_the_offline_key(home):
    before, _ = load_identity(home)
    made = rotate(home, now=at(LATER))
    after, keys = load_identity(home)
    assert (after.node_id, after.statement.seq) == (before.node_id, 1)
    assert after.statement.expires_at == LATER + timedelta(days=100)
    in_99_days = LATER + timedelta(days=99)
    assert verify_chain(read_chain(home), expected=before.node_id, now=in_99_days, known=before)
    assert not (home / "offline" / "next-root-0001").exists()
    assert made.next_root == home / "offline" / "next-root-0002"
    assert {key.kid for key in after.statement.enc} <= set(keys.enc)


def test_there_is_a_key_to_seal_to_at_every_moment_of_the_term(home):
    statement = rotate(home, now=at(LATER)).identity
    for hours in range(0, 100 * 24, 7):
        assert statement.enc_key(LATER + timedelta(hours=hours))
    assert len({statement.enc_key(LATER + timedelta(days=day)).kid for day in (1, 35, 65, 95)}) == 4


def test_a_rotation_says_what_the_settings_say_now(home):
    settings = (home / "node.toml").read_text()
    (home / "node.toml").write_text(settings.replace("tocsin.acme.example", "new.acme.example"))
    statement = rotate(home, now=at(NOW)).identity.statement
    assert (statement.urls, statement.org.domain) == (("https://new.acme.example",), "new.acme.example")
    change = Change(url="https://third.example", domain="third.example")
    statement = rotate(home, change=change, now=at(NOW)).identity.statement
    assert (statement.urls, statement.org.domain) == (("https://third.example",), "third.example")


def test_the_offline_key_may_lie_elsewhere_and_the_next_one_is_written_beside_it(home, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    shutil.move(home / "offline" / "next-root-0001", stick / "next-root-0001")
    with pytest.raises(SecretError, match="no secret at"):
        rotate(home, now=at(NOW))
    rotate(home, root=RootKey.at(stick / "next-root-0001"), now=at(NOW))
    assert [file.name for file in stick.iterdir()] == ["next-root-0002"]
    rotate(home, root=RootKey.at(stick / "next-root-0002"), now=at(NOW))
    assert load_identity(home)[0].statement.seq == 2


def test_a_stick_whose_file_system_knows_no_owners_is_read(home, tmp_path):
    shutil.move(home / "offline" / "next-root-0001", tmp_path / "key")
    (tmp_path / "key").chmod(0o755)
    rotate(home, root=RootKey.at(tmp_path / "key"), now=at(NOW))
    assert load_identity(home)[0].statement.seq == 1


def test_a_wrong_offline_key_changes_nothing(home, tmp_path):
    other = tmp_path / "other"
    initialise(other, ACME, now=at(NOW))
    before = content(home)
    with pytest.raises(IdentityRefused) as refused:
        rotate(home, root=RootKey.at(other / "offline" / "next-root-0001"), now=at(NOW))
    assert refused.value.code == "root-private-mismatch"
    assert content(home) == before


def test_keys_can_be_made_anew_and_what_was_sealed_to_the_old_ones_still_opens(home):
    _, before = load_identity(home)
    rotate(home, change=Change(("http", "witness", "enc")), now=at(NOW))
    identity, after = load_identity(home)
    assert after.http_kid != before.http_kid
    assert after.witness != before.witness
    assert after.log == before.log
    assert set(before.enc).isdisjoint({key.kid for key in identity.statement.enc})
    assert set(before.enc) < set(after.enc)


def test_a_new_log_key_opens_a_new_generation_and_names_what_is_good_of_the_old(home):
    void = Void(gen=1, size=7, root=bytes(32))
    statement = rotate(home, change=Change(("log",), void), now=at(NOW)).identity.statement
    assert (statement.log.gen, statement.void) == (2, void)


@pytest.mark.parametrize("roles", [(), EVERY])
def test_a_power_cut_at_any_step_leaves_a_node_that_starts_and_a_rotation_that_can_be_held_again(
    tmp_path, roles
):
    steps = steps_of(tmp_path, change=Change(roles))
    assert steps > 15
    for step in range(1, steps + 1):
        directory = tmp_path / f"cut-{step}"
        initialise(directory, ACME, now=at(NOW))
        before, _ = load_identity(directory)
        with pytest.raises(PowerCut):
            rotate(directory, change=Change(roles), now=at(LATER), disk=CutDisk(step))
        identity, keys = load_identity(directory)  # as the node does at its start
        number = identity.statement.seq
        assert number in {0, 1}
        settle_keys(directory, identity, Disk(), None)
        assert not list((directory / "keys").glob("*.next"))
        assert load_identity(directory)[1].enc.keys() == keys.enc.keys()
        # What signs the next statement is there, whichever one is in force, and the ceremony goes on.
        root = RootKey.at(directory / "offline" / next_root_name(number + 1))
        assert digest(public_of(root.private(number + 1, None))) in identity.statement.next
        made = rotate(directory, change=Change(roles), now=at(LATER))
        assert made.identity.statement.seq == number + 1
        verify_chain(made.identity.chain, expected=before.node_id, now=LATER, known=before)
        load_identity(directory)
        assert [file.name for file in (directory / "offline").glob("next-root-*")] == [
            next_root_name(number + 2)
        ]
        shutil.rmtree(directory)


def test_a_power_cut_while_keys_are_locked_leaves_a_node_that_starts_with_the_passphrase(tmp_path):
    from tocsin_node.key_lock import decrypt_keys, encrypt_keys

    directory = tmp_path / "counted"
    initialise(directory, ACME, now=at(NOW))
    counting = CutDisk()
    encrypt_keys(directory, quick(), counting)
    for work, undo in ((encrypt_keys, decrypt_keys), (decrypt_keys, encrypt_keys)):
        for step in range(1, counting.steps + 1):
            shutil.rmtree(directory)
            initialise(directory, ACME, now=at(NOW))
            if work is decrypt_keys:
                encrypt_keys(directory, quick())
            with pytest.raises(PowerCut):
                work(directory, quick(), CutDisk(step))
            load_identity(directory, quick())
            work(directory, quick())
            load_identity(directory, quick())
            assert work(directory, quick()) == []
            assert undo(directory, quick())


def test_another_nodes_root_key_on_the_same_stick_is_neither_deleted_nor_overwritten(home, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    other = tmp_path / "other"
    initialise(other, ACME, now=at(NOW))
    rotate(other, now=at(NOW))
    foreign = (other / "offline" / "next-root-0002").read_bytes()
    mine = home / "offline" / "next-root-0001"
    shutil.copy(mine, stick / "mine")
    shutil.move(other / "offline" / "next-root-0002", stick / "next-root-0002")
    mine.unlink()
    before = content(home)
    with pytest.raises(SecretError, match="exists already"):
        rotate(home, root=RootKey.at(stick / "mine"), now=at(NOW))
    assert content(home) == before
    assert (stick / "next-root-0002").read_bytes() == foreign
    rotate(home, root=RootKey.at(stick / "mine"), to=NextRoot(stick / "acme"), now=at(NOW))
    assert (stick / "next-root-0002").read_bytes() == foreign
    assert sorted(file.name for file in stick.iterdir()) == ["acme", "next-root-0002"]


def test_a_node_that_starts_while_keys_are_rotated_takes_nothing_away(home, monkeypatch):
    """The rotation stands between its keys and its statement; the node starts then, and again afterwards."""
    from tocsin_node import rotation

    def started_meanwhile(*args):
        rotation.end_cut_off(home, None)
        assert len(list((home / "keys").glob("*.next"))) > 3
        load_identity(home)
        write_statement(*args)

    monkeypatch.setattr(rotation, "write_statement", started_meanwhile)
    rotate(home, change=Change(EVERY), now=at(LATER))
    rotation.end_cut_off(home, None)
    assert load_identity(home)[0].statement.seq == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root writes for others")
def test_what_root_writes_belongs_to_whoever_owns_the_directory(home):
    for file in (home, *home.rglob("*")):
        os.chown(file, 65534, 65534)
    rotate(home, change=Change(EVERY), now=at(LATER))
    assert {file.stat().st_uid for file in home.rglob("*") if file.is_file()} == {65534}


# Paper ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("passphrase", [None, quick()])
def test_a_root_key_on_paper_is_typed_back_and_signs(home, passphrase):
    pages = []
    rotate(home, to=NextRoot(paper=True, show=pages.append), passphrase=passphrase, now=at(NOW))
    assert not list((home / "offline").glob("next-root-*"))
    typed = pages[0].lower().replace("\n\n", "\n").replace("o", "0")  # as somebody types it
    rotate(home, root=RootKey(typed.encode()), passphrase=passphrase, now=at(NOW))
    assert load_identity(home)[0].statement.seq == 2


def test_a_slip_of_the_pen_is_found_in_its_line(home):
    pages = []
    rotate(home, to=NextRoot(paper=True, show=pages.append), now=at(NOW))
    lines = pages[0].splitlines()
    at_line = next(n for n, line in enumerate(lines) if line.startswith(" 3 "))
    last = lines[at_line][-1]
    lines[at_line] = lines[at_line][:-1] + ("A" if last != "A" else "B")
    with pytest.raises(SecretError, match="Line 3 is not"):
        rotate(home, root=RootKey("\n".join(lines).encode()), now=at(NOW))
    with pytest.raises(SecretError, match="one after the other"):
        rotate(home, root=RootKey("\n".join(lines[:at_line] + lines[at_line + 1 :]).encode()), now=at(NOW))


def test_a_paper_that_did_not_arrive_changes_nothing(home):
    def torn(_text):
        raise BrokenPipeError

    before, statements = load_identity(home), read_chain(home)
    with pytest.raises(BrokenPipeError):
        rotate(home, to=NextRoot(paper=True, show=torn), now=at(NOW))
    assert read_chain(home) == statements
    assert load_identity(home)[1] == before[1]
    assert (home / "offline" / "next-root-0001").exists()


# At rest -------------------------------------------------------------------------------------------------


def test_locked_keys_stay_locked_through_a_rotation_and_so_is_the_next_root_key(home):
    from tocsin_node.key_lock import encrypt_keys

    encrypt_keys(home, quick())
    with pytest.raises(KeyLocked):
        load_identity(home)
    with pytest.raises(KeyLocked):
        rotate(home, now=at(NOW))
    with pytest.raises(PassphraseWrong):
        load_identity(home, quick("another one, quite wrong"))
    rotate(home, change=Change(EVERY), passphrase=quick(), now=at(NOW))
    files = [file for file in (home / "keys").iterdir() if file.is_file()]
    assert files
    assert all(is_locked(file.read_bytes()) for file in [*files, home / "offline" / "next-root-0002"])
    load_identity(home, quick())


def test_a_locked_key_cannot_be_put_in_another_ones_place(home):
    from tocsin_node.key_lock import encrypt_keys

    encrypt_keys(home, quick())
    shutil.copy(home / "keys" / "log", home / "keys" / "http")
    with pytest.raises(SecretError, match="lies the key log"):
        load_identity(home, quick())
    forged = (home / "keys" / "log").read_bytes().replace(b'"name":"log"', b'"name":"http"')
    (home / "keys" / "http").write_bytes(forged)
    with pytest.raises(PassphraseWrong):
        load_identity(home, quick())


@pytest.mark.parametrize(
    "content",
    [
        b"{}",
        b'{"v":2}',
        b'{"v":1,"name":"log","kdf":"argon2id","ops":3,"mem":99999999999999,"salt":"","box":""}',
        b"{" * 5000,
    ],
)
def test_a_locked_key_that_asks_for_too_much_or_is_damaged_is_refused_in_words(home, content):
    (home / "keys" / "log").write_bytes(content)
    with pytest.raises(SecretError, match="key log is damaged"):
        load_identity(home, quick())


def test_a_short_passphrase_locks_nothing(home):
    from tocsin_node.key_lock import encrypt_keys

    before = content(home)
    with pytest.raises(SecretError, match="too short"):
        encrypt_keys(home, quick("hunter2"))
    assert content(home) == before


# Rehearsal -----------------------------------------------------------------------------------------------


def test_a_rehearsal_says_what_would_happen_and_changes_nothing(home, tmp_path):
    shutil.move(home / "offline" / "next-root-0001", tmp_path / "key")
    before = content(tmp_path)
    made = rehearse(home, root=RootKey.at(tmp_path / "key"), change=Change(EVERY), now=at(LATER))
    assert (made.identity.statement.seq, made.identity.statement.log.gen) == (1, 2)
    assert content(tmp_path) == before
    rotate(home, root=RootKey.at(tmp_path / "key"), now=at(LATER))


def test_a_rehearsal_finds_a_root_key_that_is_not_the_right_one(home, tmp_path):
    other = tmp_path / "other"
    initialise(other, ACME, now=at(NOW))
    with pytest.raises(IdentityRefused) as refused:
        rehearse(home, root=RootKey.at(other / "offline" / "next-root-0001"), now=at(NOW))
    assert refused.value.code == "root-private-mismatch"
