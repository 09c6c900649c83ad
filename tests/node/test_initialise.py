import os
import shutil
import stat
from datetime import UTC, datetime, timedelta

import pytest

from tocsin_node.errors import AlreadyInitialised, NotInitialised, SecretError, SettingsError
from tocsin_node.identity_files import destroy_old_keys, load_identity, newest_first
from tocsin_node.initialise import initialise
from tocsin_node.settings.loading import load

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACME = {"node": {"org": "Acme", "url": "https://tocsin.acme.example"}}


def at(moment):
    return lambda: moment


@pytest.fixture
def home(tmp_path):
    directory = tmp_path / "node"
    initialise(directory, ACME, now=at(NOW))
    return directory


def test_a_new_node_has_keys_a_statement_settings_and_a_token(home):
    identity, keys = load_identity(home)
    assert identity.statement.org.name == "Acme"
    assert identity.statement.org.domain == "tocsin.acme.example"
    assert identity.statement.urls == ("https://tocsin.acme.example",)
    assert identity.node_id.startswith("n1")
    assert set(keys.enc) == {key.kid for key in identity.statement.enc}
    assert load(home, {}).node.org == "Acme"
    assert (home / "token").read_text().startswith("tocsin_")
    assert not list(home.glob(".init-*"))


def test_nobody_else_can_read_what_is_secret(home):
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for folder in ("keys", "offline", "identity"):
        assert stat.S_IMODE((home / folder).stat().st_mode) == 0o700
    secret = [*(home / "keys").iterdir(), home / "offline" / "next-root-0001", home / "token"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in secret} == {0o600}


def test_the_root_key_of_the_first_statement_is_kept_nowhere(home):
    names = {file.name for file in home.rglob("*") if file.is_file()}
    assert not {name for name in names if name.startswith("root")}
    assert "move" in (home / "offline" / "README.txt").read_text().lower()


def test_two_nodes_share_nothing(home, tmp_path):
    other = tmp_path / "other"
    initialise(other, ACME, now=at(NOW))
    assert load_identity(home)[0].node_id != load_identity(other)[0].node_id
    assert (home / "token").read_text() != (other / "token").read_text()


def test_a_directory_that_holds_a_node_is_left_alone(home):
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    with pytest.raises(AlreadyInitialised):
        initialise(home, ACME)
    assert {file: file.read_bytes() for file in home.rglob("*") if file.is_file()} == before


def test_an_empty_directory_that_is_there_already_is_used(tmp_path):
    (tmp_path / "mounted").mkdir(mode=0o755)
    initialise(tmp_path / "mounted", ACME)
    assert stat.S_IMODE((tmp_path / "mounted").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "node",
    [
        {"org": " Acme"},
        {"org": "Ac\nme"},
        {"org": "Acme", "url": "https://UPPER.example"},
        {"org": "Acme", "url": "ftp://a.example"},
        {"org": "Acme", "domain": "not a domain"},
        {"org": "Acme", "port": 0},
        {"org": "Acme", "prot": 1},
        {},
    ],
)
def test_what_peers_could_not_be_told_is_refused_before_anything_is_written(tmp_path, node):
    with pytest.raises(SettingsError):
        initialise(tmp_path / "node", {"node": node})
    assert not (tmp_path / "node").exists()


def test_nothing_half_made_is_left_when_the_disk_fails(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tocsin_node.initialise.write_statement", full)
    with pytest.raises(OSError, match="No space"):
        initialise(tmp_path / "node", ACME)
    assert list((tmp_path / "node").iterdir()) == []


def test_old_encryption_keys_are_destroyed_sixty_days_after_their_term(home):
    identity, _ = load_identity(home)
    ends = sorted((key.exp, key.kid) for key in identity.statement.enc)
    first_end, first = ends[0]
    day = timedelta(days=1)
    end = datetime.fromtimestamp(first_end, UTC)
    assert destroy_old_keys(home, identity, end + 59 * day) == []
    assert destroy_old_keys(home, identity, end + 61 * day) == [first]
    assert not (home / "keys" / f"enc-{first}").exists()


def test_an_expired_statement_is_still_loaded(home):
    identity, _ = load_identity(home)
    assert identity.statement.expires_at == NOW + timedelta(days=100)


def test_entries_are_opened_with_the_likeliest_key_first(home):
    identity, keys = load_identity(home)
    in_force = identity.enc_key(NOW).kid
    assert next(iter(newest_first(identity, keys, NOW))) == in_force


@pytest.mark.parametrize("role", ["log", "http", "witness"])
def test_a_key_of_another_node_is_noticed(home, tmp_path, role):
    other = tmp_path / "other"
    initialise(other, ACME, now=at(NOW))
    shutil.copy(other / "keys" / role, home / "keys" / role)
    with pytest.raises(SecretError, match=role):
        load_identity(home)


@pytest.mark.parametrize(("role", "content"), [("log", "!!!"), ("http", "aGVsbG8="), ("log", "")])
def test_a_damaged_key_is_named_and_not_shown(home, role, content):
    (home / "keys" / role).write_text(content)
    with pytest.raises(SecretError, match=role):
        load_identity(home)


def test_a_missing_encryption_key_is_noticed(home):
    identity, _ = load_identity(home)
    (home / "keys" / f"enc-{identity.statement.enc[0].kid}").unlink()
    with pytest.raises(SecretError, match="enc-"):
        load_identity(home)


def test_keys_can_come_as_credentials(home, tmp_path, monkeypatch):
    shutil.move(home / "keys", tmp_path / "credentials")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert load_identity(home)[0].node_id


def test_a_directory_without_statements_is_no_node(tmp_path):
    with pytest.raises(NotInitialised):
        load_identity(tmp_path)


def test_randomness_is_drawn_from_where_it_is_given(tmp_path):
    drawn = []

    def rng(count):
        drawn.append(count)
        return os.urandom(count)

    initialise(tmp_path / "node", ACME, now=at(NOW), rng=rng)
    assert sum(drawn) >= 5 * 32 + 32
