"""`tocsin key`: the ceremonies as an operator holds them, on a node's real files."""

import json
import os
import shutil
import stat

import pytest
from tests.cli.fake_node.wire import says


@pytest.fixture
def made(tocsin, home):
    directory = home.path / "node"
    assert tocsin("init", str(directory), "--org", "Acme", "--url", "https://acme.example").exit_code == 0
    return directory


@pytest.fixture
def put_away(made, home):
    """The offline key, where it belongs."""
    stick = home.path / "stick"
    stick.mkdir()
    return shutil.move(made / "offline" / "next-root-0001", stick / "next-root-0001")


def words(home, text="correct horse battery staple", name="words"):
    file = home.file(name, text + "\n")
    file.chmod(0o600)
    return str(file)


def test_status_says_what_there_is_and_what_needs_somebody(tocsin, made):
    found = tocsin("key", "status", str(made), "--json")
    assert found.exit_code == 7
    told = json.loads(found.stdout)
    assert [trouble["code"] for trouble in told["troubles"]] == ["root-key-here"]
    assert told["next_root"] == "next-root-0001"
    assert told["roots_here"] == [str(made / "offline" / "next-root-0001")]
    keys = {(key["role"], key["term"], key["at_rest"]) for key in told["keys"]}
    assert keys == {
        ("log", "in-force", "plain"),
        ("witness", "in-force", "plain"),
        ("http", "in-force", "plain"),
        ("enc", "in-force", "plain"),
        ("enc", "coming", "plain"),
    }
    assert all(len(key["kid"]) == 16 and key["where"].startswith(str(made)) for key in told["keys"])
    read = tocsin("key", "status", str(made))
    assert "still here" in read.stdout
    assert "Move it away" in read.stderr


def test_status_is_well_once_the_root_key_is_put_away(tocsin, made, put_away):
    found = tocsin("key", "status", "--dir", str(made))
    assert found.exit_code == 0
    assert "not on this machine, as it should be" in found.stdout


def test_status_finds_a_missing_key_and_one_that_others_can_read(tocsin, made, put_away):
    (made / "keys" / "http").unlink()
    (made / "keys" / "log").chmod(0o644)
    told = json.loads(tocsin("key", "status", str(made), "--json").stdout)
    assert {trouble["code"] for trouble in told["troubles"]} == {"key-missing", "key-readable"}


def test_a_rehearsal_says_whether_it_is_the_right_key_and_changes_nothing(tocsin, home, made, put_away):
    before = {file: file.read_bytes() for file in home.path.rglob("*") if file.is_file()}
    told = tocsin("key", "rehearse", str(made), "--root-key", str(put_away), "--new-key", "http", "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["rehearsed"] is True
    assert {file: file.read_bytes() for file in home.path.rglob("*") if file.is_file()} == before
    other = home.path / "other"
    tocsin("init", str(other), "--org", "Other")
    wrong = tocsin("key", "rehearse", str(made), "--root-key", str(other / "offline" / "next-root-0001"))
    assert wrong.exit_code == 1
    assert "root-private-mismatch" in wrong.stderr


def test_a_rotation_takes_the_node_that_dir_names(tocsin, made, put_away):
    told = tocsin("key", "rotate", "--dir", str(made), "--root-key", str(put_away), "--json")
    assert told.exit_code == 0, told.stderr
    said = json.loads(told.stdout)
    assert said["statement"] == 1
    assert said["offline_key"] == str(put_away.with_name("next-root-0002"))
    assert not put_away.exists()
    assert tocsin("key", "rotate").exit_code == 2


def test_a_root_key_goes_onto_paper_and_comes_back_from_stdin(tocsin, made):
    printed = tocsin("key", "rotate", str(made), "--paper")
    assert printed.exit_code == 0, printed.stderr
    paper = printed.stdout.partition("Node:")[0]
    assert "signs statement 2, once" in paper
    typed = "\n".join(line for line in paper.splitlines() if line[:2].strip().isdigit())
    again = tocsin(
        "key", "rotate", str(made), "--root-key", "-", "--next-root", str(made / "next"), input=typed
    )
    assert again.exit_code == 0, again.stderr
    assert stat.S_IMODE((made / "next").stat().st_mode) == 0o600
    wrong = tocsin("key", "rotate", str(made), "--root-key", "-", input=typed)
    assert wrong.exit_code == 2
    assert "signs statement 2; the next statement is 3" in wrong.stderr
    both = tocsin("key", "rotate", str(made), "--paper", "--json")
    assert both.exit_code == 2
    assert "--next-root FILE" in both.stderr


def test_keys_are_locked_and_unlocked_in_place(tocsin, home, made, put_away):
    file = words(home)
    assert tocsin("key", "encrypt", str(made)).exit_code == 2  # nobody to ask and nothing given
    done = tocsin("key", "encrypt", str(made), "--passphrase-file", file, "--json")
    assert done.exit_code == 0, done.stderr
    assert len(json.loads(done.stdout)["encrypted"]) == 3 + len(list((made / "keys").glob("enc-*")))
    assert {key["at_rest"] for key in status(tocsin, made)["keys"]} == {"encrypted"}
    locked = tocsin("key", "rotate", str(made), "--root-key", str(put_away), "--json")
    assert json.loads(locked.stderr)["code"] == "key-locked"
    wrong = words(home, "something else entirely", "wrong")
    refused = tocsin("key", "decrypt", str(made), "--passphrase-file", wrong, "--json")
    assert json.loads(refused.stderr)["code"] == "passphrase-wrong"
    read, write = os.pipe()
    os.write(write, b"correct horse battery staple\n")
    os.close(write)
    turned = tocsin("key", "rotate", str(made), "--root-key", str(put_away), "--passphrase-fd", str(read))
    assert turned.exit_code == 0, turned.stderr
    assert put_away.with_name("next-root-0002").read_text().startswith("{")
    assert tocsin("key", "decrypt", str(made), "--passphrase-file", file).exit_code == 0
    assert {key["at_rest"] for key in status(tocsin, made)["keys"]} == {"plain"}


def test_a_passphrase_that_others_can_read_is_not_taken(tocsin, home, made):
    file = home.file("words", "correct horse battery staple")
    file.chmod(0o644)
    refused = tocsin("key", "encrypt", str(made), "--passphrase-file", str(file))
    assert (refused.exit_code, "chmod 600" in refused.stderr) == (2, True)


def test_a_recovery_says_what_happened_before_it_does_anything(tocsin, made):
    for given in (
        (),
        ("--lost", "http", "--last-good", "3"),
        ("--stolen", "log", "--last-good-root", "AAAA"),
    ):
        assert tocsin("key", "recover", str(made), *given).exit_code == 2
    assert len(list((made / "identity").iterdir())) == 1


def test_lost_and_stolen_online_keys_are_replaced(tocsin, made):
    before = {key["role"]: key["kid"] for key in status(tocsin, made)["keys"] if key["role"] != "enc"}
    told = tocsin("key", "recover", str(made), "--lost", "http", "--stolen", "witness", "--json")
    assert told.exit_code == 0, told.stderr
    assert json.loads(told.stdout)["new_keys"] == ["http", "witness"]
    after = {key["role"]: key["kid"] for key in status(tocsin, made)["keys"] if key["role"] != "enc"}
    assert after["log"] == before["log"]
    assert {after["http"], after["witness"]}.isdisjoint(before.values())


def test_a_lost_log_begins_anew_and_one_whose_database_is_lost_is_ended_where_a_peer_says(tocsin, made):
    lost = json.loads(tocsin("key", "recover", str(made), "--lost", "log", "--json").stdout)
    assert (lost["generation"], lost["last_good"]) == (2, None)
    root = "A" * 43 + "="
    given = ("--stolen", "all", "--last-good", "41", "--last-good-root", root)
    stolen = tocsin("key", "recover", str(made), *given, "--json")
    assert stolen.exit_code == 0, stolen.stderr
    said = json.loads(stolen.stdout)
    assert (said["generation"], said["last_good"]) == (3, 41)
    assert said["new_keys"] == ["http", "witness", "enc", "log"]


def test_what_was_published_again_is_listed(tocsin, node):
    item = {
        "id": "incident--1",
        "ver": 2,
        "title": "Dose",
        "outcome": "stored",
        "to": ["birch"],
        "withheld": [],
    }
    node.fault("POST", "/v1/log/republish", says(json.dumps({"generation": 2, "items": [item]}).encode()))
    told = tocsin("key", "republish")
    assert told.exit_code == 0, told.stderr
    assert "incident--1" in told.stdout
    assert "birch" in told.stdout


def status(tocsin, directory):
    return json.loads(tocsin("key", "status", str(directory), "--json").stdout)
