"""`tocsin circle`: the ceremony of its admins with files alone, and what members see and do at their node."""

import json
import stat

import pytest
from aiohttp import web

from tocsin_federation.circle import read_file, read_manifest, verify_circle, write_file
from tocsin_schema.marking import Tlp

ONE, TWO = "n1" + "a" * 52, "n1" + "e" * 51 + "a"
NEW = ("--name", "Vigil", "--member", ONE, "--member", TWO)
WORDS = "five or six random words"
CIRCLE = {
    "id": "ab" * 32, "name": "Vigil", "state": "offered", "epoch": 1, "members": 2, "member": True, "max_tlp": "amber",
    "hidden": False, "admins": 3, "threshold": 2, "expires_at": "2027-01-01T00:00:00Z", "closed": "circle-not-adopted",
    "told_by": "Alder", "changed_at": "2026-01-01T00:00:00Z", "frozen_at": None, "admin_keys": [],
    "nodes": [
        {"name": "Acme", "node_id": ONE, "us": True, "peer": "us", "max_tlp_out": None, "knows_epoch": 1},
        {"name": TWO, "node_id": TWO, "us": False, "peer": "none", "max_tlp_out": None, "knows_epoch": None},
    ],
    "entries": [{"name": "Alder", "node_id": TWO, "entries": 2, "last": 3, "missing": 1, "doubled": 0}],
}  # fmt: skip


@pytest.fixture
def words(home):
    file = home.file("words", WORDS)
    file.chmod(0o600)
    return str(file)


@pytest.fixture
def admins(tocsin):
    """Three public keys; the private ones are in key-0, key-1 and key-2, without a passphrase."""
    made = [tocsin("circle", "key", "new", f"key-{n}", "--unlocked") for n in range(3)]
    assert [one.exit_code for one in made] == [0, 0, 0]
    return [one.stdout.strip() for one in made]


def said(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def propose(tocsin, file, admins, *more):
    named = [word for each in admins for word in ("--admin", each)]
    return said(tocsin("circle", "propose", file, *named, *more, "--json"))


def founded(tocsin, admins):
    return propose(tocsin, "vigil.json", admins, *NEW, "--threshold", "2")


def sign(tocsin, file, key, *more):
    return tocsin("circle", "sign", file, "--key-file", key, "--yes", *more)


def circle_in(home, name):
    from datetime import UTC, datetime

    return verify_circle(read_file((home.path / name).read_bytes()), now=datetime.now(UTC))


def test_a_key_is_locked_and_its_owners_alone_and_signs_under_its_passphrase(tocsin, home, words):
    made = tocsin("circle", "key", "new", "key", "--passphrase-file", words)
    file = home.path / "key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "argon2id" in file.read_text()
    assert len(bytes.fromhex(made.stdout.strip())) == 32
    again = tocsin("circle", "key", "new", "key", "--unlocked")
    assert (again.exit_code, "Name another file" in again.stderr) == (2, True)
    propose(tocsin, "vigil.json", [made.stdout.strip()], *NEW, "--threshold", "1")
    other = home.file("other-words", "another passphrase")
    other.chmod(0o600)
    before = (home.path / "vigil.json").read_bytes()
    assert "does not open" in sign(tocsin, "vigil.json", "key", "--passphrase-file", str(other)).stderr
    assert "locked by a passphrase" in sign(tocsin, "vigil.json", "key").stderr
    assert (home.path / "vigil.json").read_bytes() == before
    assert said(sign(tocsin, "vigil.json", "key", "--passphrase-file", words, "--json"))["ready"] is True


def test_without_a_passphrase_no_key_is_made_unless_that_is_said(tocsin, home):
    refused = tocsin("circle", "key", "new", "key")
    assert refused.exit_code == 2
    assert not (home.path / "key").exists()
    assert tocsin("circle", "key", "new", "key", "--unlocked").exit_code == 0


def test_a_circle_hides_its_members_from_the_first_epoch_on_or_never(tocsin, home, admins):
    propose(tocsin, "veil.json", admins, *NEW, "--threshold", "2", "--hidden")
    assert stat.S_IMODE((home.path / "veil.json").stat().st_mode) == 0o600
    assert "do not see each other" in sign(tocsin, "veil.json", "key-0").stderr
    assert said(sign(tocsin, "veil.json", "key-1", "--json"))["ready"] is True
    done = tocsin("circle", "propose", "next.json", "--from", "veil.json", "--remove", TWO)
    assert done.exit_code == 0, done.output
    for key in ("key-0", "key-1"):
        sign(tocsin, "next.json", key)
    assert circle_in(home, "next.json").hidden
    founded(tocsin, admins)
    late = tocsin("circle", "propose", "late.json", "--from", "vigil.json", "--hidden")
    assert (late.exit_code, (home.path / "late.json").exists()) == (2, False)
    assert "know each other already" in late.stderr


def test_enough_admins_found_a_circle_and_enough_of_both_change_it(tocsin, home, admins):
    assert founded(tocsin, admins)["ready"] is False
    one = said(sign(tocsin, "vigil.json", "key-0", "--json"))
    assert (one["ready"], one["signed"]) == (False, [{"by": "this epoch", "have": 1, "need": 2}])
    again = sign(tocsin, "vigil.json", "key-0")
    assert "Your signature was there already." in again.stderr
    assert "Signed by 1 admin of this epoch; it takes 2." in again.stderr
    assert said(sign(tocsin, "vigil.json", "key-1", "--json"))["ready"] is True
    circle = circle_in(home, "vigil.json")
    assert (circle.newest.name, circle.newest.members, circle.newest.max_tlp) == (
        "Vigil",
        (ONE, TWO),
        Tlp.AMBER,
    )
    done = tocsin(
        "circle", "propose", "next.json", "--from", "vigil.json", "--remove", TWO, "--max-tlp", "green"
    )
    assert done.exit_code == 0, done.output
    shown = sign(tocsin, "next.json", "key-1")
    assert f"- member {TWO}" in shown.stderr
    assert "Before: up to TLP:AMBER; 2 of 3 admins." in shown.stderr
    assert sign(tocsin, "next.json", "key-2").exit_code == 0
    circle = circle_in(home, "next.json")
    assert (circle.epoch, circle.newest.members, circle.newest.max_tlp) == (1, (ONE,), Tlp.GREEN)


def test_who_is_no_admin_does_not_sign(tocsin, home, admins):
    founded(tocsin, admins[:2])
    before = (home.path / "vigil.json").read_bytes()
    assert "not-admin" in sign(tocsin, "vigil.json", "key-2").stderr
    assert (home.path / "vigil.json").read_bytes() == before


def test_nothing_is_signed_by_who_does_not_say_yes(tocsin, home, admins):
    founded(tocsin, admins)
    result = tocsin("circle", "sign", "vigil.json", "--key-file", "key-0", input="n\n")
    assert "Nothing is signed" in result.stderr
    (envelope,) = read_file((home.path / "vigil.json").read_bytes())
    assert read_manifest(envelope).signatures == ()


@pytest.mark.parametrize(
    "wrong",
    [
        ("--name", "Vigil"),
        ("--name", "Vigil", "--member", ONE, "--admin", "zz", "--threshold", "1"),
        ("--name", "Vigil", "--member", ONE, "--admin", "01" + "00" * 31, "--threshold", "1"),
        ("--from", "nonsense.json"),
    ],
)
def test_what_is_no_manifest_is_not_written(tocsin, home, wrong):
    home.file("nonsense.json", "{}")
    refused = tocsin("circle", "propose", "out.json", *wrong)
    assert refused.exit_code != 0
    assert not (home.path / "out.json").exists()


def test_more_signatures_than_admins_are_not_asked_for(tocsin, home, admins):
    named = ("--name", "Vigil", "--member", ONE, "--admin", admins[0], "--threshold", "2")
    assert tocsin("circle", "propose", "out.json", *named).exit_code == 2
    assert not (home.path / "out.json").exists()


# At a node ------------------------------------------------------------------------------------------------


def answer(node, method, path, document, status=200):
    async def say(_request, _handler):
        return web.json_response(document, status=status)

    node.fault(method, path, say)


def test_circles_are_listed_and_shown_with_what_did_not_come(tocsin, node):
    answer(node, "GET", "/v1/circles", {"items": [CIRCLE]})
    listed = tocsin("circle", "list")
    assert listed.stdout.splitlines()[1].split()[:3] == ["Vigil", "offered", "1"]
    answer(node, "GET", "/v1/circles/Vigil", CIRCLE)
    shown = tocsin("circle", "show", "Vigil")
    assert "nothing is shared into it [circle-not-adopted]" in shown.stdout
    assert "circle-gap" in shown.stderr
    answer(node, "GET", "/v1/circles/Vigil", CIRCLE)
    assert said(tocsin("circle", "members", "Vigil", "--json"))["items"] == CIRCLE["nodes"]


def test_the_list_says_that_a_circle_is_closed_to_a_member_that_was_taken_out(tocsin, node):
    out = CIRCLE | {"state": "adopted", "member": False, "closed": "circle-not-member"}
    answer(node, "GET", "/v1/circles", {"items": [out]})
    assert "adopted [circle-not-member]" in tocsin("circle", "list").stdout
    answer(node, "GET", "/v1/circles", {"items": [out | {"member": True, "closed": None}]})
    assert "[" not in tocsin("circle", "list").stdout


def test_who_signs_with_a_node_at_hand_reads_names_beside_the_members(tocsin, node, admins):
    founded(tocsin, admins)
    node.add_peer("alder", node_id=TWO)
    shown = sign(tocsin, "vigil.json", "key-0").stderr
    assert f"+ member {TWO}  alder\n" in shown
    assert f"+ member {ONE}\n" in shown


def test_a_circle_is_adopted_from_its_file_or_by_its_name_and_left(tocsin, node, home, admins):
    founded(tocsin, admins)
    answer(node, "POST", "/v1/circles", CIRCLE | {"state": "adopted", "closed": None}, 201)
    done = tocsin("circle", "adopt", "vigil.json")
    assert done.exit_code == 0, done.output
    assert "1 of its members are no approved peers" in done.stderr
    answer(node, "POST", "/v1/circles/Vigil/adopt", CIRCLE)
    assert said(tocsin("circle", "adopt", "Vigil", "--json"))["name"] == "Vigil"
    answer(node, "POST", "/v1/circles/Vigil/leave", CIRCLE | {"state": "left"})
    assert "Left: Vigil. Others still name this node" in tocsin("circle", "leave", "Vigil").output


def test_the_file_of_a_circle_is_written_once(tocsin, node, home, admins):
    founded(tocsin, admins)
    raw = (home.path / "vigil.json").read_bytes()

    async def say(_request, _handler):
        return web.Response(body=raw, content_type="application/json")

    node.fault("GET", "/v1/circles/Vigil/file", say)
    assert tocsin("circle", "export", "Vigil", "out.json").exit_code == 0
    assert (home.path / "out.json").read_bytes() == raw == write_file(read_file(raw))
    assert tocsin("circle", "export", "Vigil", "out.json").exit_code == 2
    node.fault("GET", "/v1/circles/Vigil/file", say)
    done = tocsin("circle", "propose", "next.json", "--from", "Vigil")
    assert done.exit_code == 0, done.output


def test_new_members_get_what_was_there_before(tocsin, node):
    item = {"id": "incident--1", "outcome": "stored", "to": [{"name": "Cedar", "node_id": TWO}], "code": None}
    held = {
        "id": "incident--2",
        "outcome": "refused",
        "to": [],
        "code": "review-needed",
        "hint": "Look at it.",
    }
    answer(node, "POST", "/v1/circles/Vigil/backfill", {"items": [item, held], "more": False})
    done = tocsin("circle", "backfill", "Vigil", "--since", "2026-01-01")
    assert "Cedar" in done.stdout
    assert "review-needed" in done.stderr


def test_a_circle_stands_alone_beside_names(tocsin, node, home):
    form = home.file("form.toml", 'title = "T"\n')
    refused = tocsin("report", "submit", "--file", str(form), "--circle", "Vigil", "--to", "Cedar")
    assert refused.exit_code == 2
    nobody = tocsin("report", "share", "incident--" + "0" * 8 + "-0000-4000-8000-" + "0" * 12)
    assert nobody.exit_code == 2
