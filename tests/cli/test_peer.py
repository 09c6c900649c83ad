import json

import pytest
from tests.cli.fake_node.peers import WORDS
from tests.cli.fake_node.wire import answers

INVITE = "tocsin1.SECRETINVITE"


def test_an_invite_is_printed_alone_on_stdout(tocsin, node):
    result = tocsin("peer", "invite", "beta", "--ttl", "24h")
    assert result.stdout == INVITE + "\n"
    assert node.asked == {"name": "beta", "ttl_s": 86400}
    assert "tocsin peer approve beta" in result.stderr
    assert json.loads(tocsin("peer", "invite", "beta", "--json").stdout)["invite"] == INVITE
    assert node.asked == {"name": "beta"}


@pytest.mark.parametrize("ttl", ["1", "h", "1w", "-1h", "1.5h", "99999999h"])
def test_a_span_that_is_none_is_usage(tocsin, node, ttl):
    assert tocsin("peer", "invite", "beta", "--ttl", ttl).exit_code == 2


def test_an_invite_is_taken_from_a_pipe_or_a_file_and_never_repeated(tocsin, node, home):
    path = home.file("invite", INVITE + "\n")
    for args, given in ((["--file", str(path)], None), ([], INVITE + "\n"), (["--name", "ours"], INVITE)):
        result = tocsin("peer", "join", *args, input=given)
        assert result.exit_code == 0
        assert INVITE not in result.output
        assert node.asked["invite"] == INVITE
        assert "  ".join(WORDS) in result.stderr
    assert node.asked["name"] == "ours"
    assert INVITE not in str([(seen.path, seen.query) for seen in node.seen])


def test_an_invite_is_no_argument(tocsin, node):
    assert tocsin("peer", "join", INVITE).exit_code == 2
    assert node.seen == []


@pytest.mark.parametrize("given", ["", "\n", "   \n"])
def test_no_invite_is_usage(tocsin, node, given):
    assert tocsin("peer", "join", input=given).exit_code == 2
    assert node.seen == []


def test_approval_shows_the_words_and_asks(tocsin, node):
    node.add_peer("beta", state="pending")
    result = tocsin("peer", "approve", "beta", input="y\n")
    assert result.exit_code == 0
    assert "  ".join(WORDS) in result.stderr
    assert node.asked == {"sas": " ".join(WORDS)}
    assert "Words compared:" in result.stdout


def test_words_that_were_not_compared_approve_nobody(tocsin, node):
    node.add_peer("beta", state="pending")
    for answer in ("n\n", "\n"):
        result = tocsin("peer", "approve", "beta", input=answer)
        assert result.exit_code == 4
        assert "[not-compared]" in result.stderr
    assert not [seen for seen in node.seen if seen.method == "POST"]


def test_words_may_be_given_and_wrong_ones_are_not_verified(tocsin, node):
    node.add_peer("beta", state="pending")
    assert (
        tocsin("peer", "approve", "beta", "--words", " ".join(WORDS), "--max-tlp-in", "green").exit_code == 0
    )
    assert node.asked == {"sas": " ".join(WORDS), "max_tlp_in": "green"}
    result = tocsin("peer", "approve", "beta", "--words", "other words")
    assert result.exit_code == 4
    assert "[sas-mismatch]" in result.stderr


def test_unverified_approval_must_be_asked_for(tocsin, node):
    node.add_peer("beta", state="pending")
    assert tocsin("peer", "approve", "beta", "--unverified").exit_code == 0
    assert node.asked == {"unverified": True}
    assert tocsin("peer", "approve", "beta", "--unverified", "--words", "a").exit_code == 2


def test_who_has_not_joined_cannot_be_approved(tocsin, node):
    result = tocsin("peer", "approve", "nobody")
    assert result.exit_code == 1
    assert "[peer-unknown]" in result.stderr
    given = tocsin("peer", "approve", "nobody", "--words", "a b")
    for each in (result, given):
        assert "If you have invited them, they have not joined yet." in " ".join(each.stderr.split())


def test_an_input_that_ends_names_the_option_that_answers_too(tocsin, node):
    node.add_peer("beta", state="pending")
    assert "--words" in tocsin("peer", "approve", "beta", input="").stderr
    assert "--yes" in tocsin("peer", "remove", "beta", input="").stderr


def test_the_list_and_the_status_of_all(tocsin, node):
    node.add_peer("beta")
    node.add_peer(
        "gamma",
        state="suspect",
        problem={"code": "root-mismatch", "hint": "Ask them.", "at": "2026-11-20T10:00:00Z"},
        outcomes={
            "stored": 1,
            "unchanged": 0,
            "superseded": 0,
            "refused": {"a": 2, "b": 3},
            "quarantined": {"c": 1},
        },
    )
    listed = tocsin("peer", "list").stdout
    assert "beta Org" in listed
    assert "https://gamma.example" in listed
    result = tocsin("peer", "status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0] == "NAME"
    assert "suspect!" in lines[2]
    assert lines[2].split()[-5:] == ["1", "5", "1", "1", "-"]
    assert "gamma: root-mismatch since 2026-11-20 11:00:00 +01:00 → Ask them." in result.stdout
    assert len(json.loads(tocsin("peer", "status", "--json").stdout)["items"]) == 2


def test_the_status_of_one(tocsin, node):
    node.add_peer("beta", clock_skew_s=-90.4)
    result = tocsin("peer", "status", "beta")
    for words in ("90 s behind ours", "3 stored, 1 unchanged, 0 superseded", "bad-wrap", "TLP:AMBER"):
        assert words in result.stdout
    assert json.loads(tocsin("peer", "status", "beta", "--json").stdout)["sas"] == WORDS


def test_the_status_says_when_they_were_compared_and_what_was_found(tocsin, node):
    node.add_peer("beta")
    assert "not yet; it is done once a day" in tocsin("peer", "status", "beta").stdout
    found = {"at": "2026-11-20T10:00:00Z", "same": True, "amiss": 0, "contradicted": False, "mended": 1}
    found |= {"tried_at": "2026-11-21T10:00:00Z", "trouble": "peer-unreachable"}
    node.add_peer("beta", comparison=found)
    told = tocsin("peer", "status", "beta").stdout
    assert "2026-11-20 11:00:00 +01:00: 1 entry was fetched again; nothing is missing" in told
    assert "not done at 2026-11-21 11:00:00 +01:00: it could not be reached → tocsin peer verify beta" in told
    assert tocsin("peer", "status").stdout.splitlines()[1].endswith("yes")
    node.add_peer("beta", comparison=found | {"same": False, "amiss": 3, "mended": 0, "trouble": None})
    told = tocsin("peer", "status").stdout
    assert told.splitlines()[1].endswith("no")
    line = "beta: 2026-11-20 11:00:00 +01:00: 3 entries were missing on one side → tocsin peer verify beta"
    assert line in told


def test_no_peers_yet_says_what_to_do(tocsin, node):
    result = tocsin("peer", "status")
    assert result.stdout == ""
    assert "tocsin peer invite" in result.stderr


def test_sync_and_resume(tocsin, node):
    node.add_peer("beta")
    assert tocsin("peer", "sync", "beta").exit_code == 0
    assert node.asked == {}
    assert tocsin("peer", "sync", "beta", "--resume").exit_code == 0
    assert node.asked == {"resume": True}


def test_removal_asks_first(tocsin, node):
    node.add_peer("beta")
    assert tocsin("peer", "remove", "beta", input="n\n").exit_code == 0
    assert "beta" in node.peers
    assert tocsin("peer", "remove", "beta", input="").exit_code == 2
    assert tocsin("peer", "remove", "beta", "--yes").stdout == "Removed: beta\n"
    assert node.peers == {}


def test_a_name_cannot_lead_to_another_path(tocsin, node):
    result = tocsin("peer", "status", "../reports?x=1")
    assert result.exit_code == 1
    assert node.seen[-1].path == "/v1/peers/../reports?x=1"
    assert node.seen[-1].query == []


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a b", "?", "#", "%2F"])
def test_any_name_is_one_segment_of_the_address(tocsin, node, name):
    """So that `peer remove ..` asks for a peer of that name, and for nothing else."""
    result = tocsin("peer", "status", name)
    assert result.exit_code == 1
    assert "[peer-unknown]" in result.stderr
    node.add_peer(name)
    assert tocsin("peer", "remove", name, "--yes").exit_code == 0
    assert node.peers == {}


def test_an_empty_name_names_nothing(tocsin, node):
    assert tocsin("peer", "remove", "", "--yes").exit_code == 2
    assert node.seen == []


def test_the_next_command_may_be_copied_as_it_stands(tocsin, node):
    for args in (["invite", "two words; ls"], ["join", "--name", "two words; ls"]):
        assert "tocsin peer approve 'two words; ls'" in tocsin("peer", *args, input=INVITE).stderr
    for args in (["approve", "two words; ls", "--unverified"], ["sync", "two words; ls"]):
        assert "tocsin peer status 'two words; ls'" in tocsin("peer", *args).stderr


def test_a_peer_that_does_not_answer_is_unreachable(tocsin, node):
    node.fault("POST", "/v1/peers/join", answers(502, "peer-unreachable", "Their node does not answer."))
    result = tocsin("peer", "join", input=INVITE)
    assert result.exit_code == 3
    assert "[peer-unreachable]" in result.stderr


def test_a_statement_that_ends_soon_is_said_with_the_days_that_are_left(tocsin, node):
    ending = {
        "number": 2,
        "expires_at": "2026-12-13T00:00:00Z",
        "days_left": 13,
        "expiring": True,
        "generation": 1,
    }
    node.add_peer("birch", statement=ending)
    node.add_peer("cedar", statement={**ending, "days_left": 80, "expiring": False})
    node.add_peer("elm", statement={**ending, "days_left": -2})
    told = tocsin("peer", "status").stdout
    assert "birch: its statement ends in 13 days, on 2026-12-13" in told
    assert "elm: its statement ended on 2026-12-13" in told
    assert "cedar: " not in told
    assert "ends in 13 days" in tocsin("peer", "status", "birch").stdout
    assert "number 2, until 2026-12-13; generation 1" in tocsin("peer", "status", "cedar").stdout


def test_a_policy_is_one_record_and_only_what_is_named_is_sent(tocsin, node):
    node.add_peer("beta")
    shown = tocsin("peer", "policy", "beta")
    assert shown.exit_code == 0
    assert "TLP:AMBER" in shown.stdout
    assert "50 (as all peers)" in shown.stdout
    assert [seen.method for seen in node.seen] == ["GET"]
    changed = tocsin(
        "peer", "policy", "beta", "--no-onward", "--client", "--alerts-per-day", "3", "--rate", "all"
    )
    assert node.asked == {"onward": False, "client": True, "alerts_per_day": 3, "requests_per_s": None}
    assert "60 (as all peers)" in changed.stdout
    assert "Named to other readers" in changed.stdout
    tocsin("peer", "policy", "beta", "--unnamed")
    assert node.asked == {"unnamed": True}
    told = json.loads(tocsin("peer", "policy", "beta", "--json").stdout)
    assert (told["name"], told["onward"], told["alerts_per_day"]) == ("beta", False, 3)
    assert told["as_all"] == ["requests_per_s"]


@pytest.mark.parametrize("number", ["-1", "many", "100001"])
def test_a_number_that_is_none_changes_no_policy(tocsin, node, number):
    node.add_peer("beta")
    assert tocsin("peer", "policy", "beta", "--alerts-per-day", number).exit_code == 2
    assert node.seen == []


def complaint(number, against):
    def named(name):
        return {"name": name, "node_id": f"n1{name}"}

    return {
        "id": number, "by": named("gamma"), "against": named(against), "author": named("us"),
        "report_id": "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", "ver": 1, "tlp": "amber+strict",
        "recipients": [named("gamma")], "entry": {"gen": 1, "index": 3, "leaf_hash": "00"},
        "at": "2026-11-20T10:00:00Z", "author_told": True,
    }  # fmt: skip


def test_complaints_are_listed_with_who_did_it_and_the_proof_is_written(tocsin, node, home):
    assert tocsin("peer", "complaints").stdout == ""
    node.complaints = [complaint(1, "beta"), complaint(2, "delta")]
    listed = tocsin("peer", "complaints").stdout
    assert "beta" in listed
    assert "TLP:AMBER+STRICT" in listed
    assert [c["id"] for c in json.loads(tocsin("peer", "complaints", "delta", "--json").stdout)["items"]] == [
        2
    ]
    path = home.file("proof", "another proof")
    assert tocsin("peer", "complaints", "--evidence", "1", "--out", str(path)).exit_code == 2
    assert path.read_text() == "another proof"
    written = tocsin("peer", "complaints", "--evidence", "1", "--out", str(path), "--force")
    assert (written.exit_code, path.read_text()) == (0, "c2sp.org/tlog-proof@v1\n")
    assert "tocsin proof verify" in written.stderr
    assert tocsin("peer", "complaints", "--evidence", "7").exit_code == 1
    assert tocsin("peer", "complaints", "--out", str(path)).exit_code == 2
    node.add_peer("beta", complaints=1)
    assert "tocsin peer complaints beta" in tocsin("peer", "status", "beta").stdout
