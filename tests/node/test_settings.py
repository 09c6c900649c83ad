import tomllib
from pathlib import Path

import msgspec
import pytest

from tocsin_node.errors import NotInitialised, SettingsError
from tocsin_node.node_toml import commented
from tocsin_node.settings.channels import MatrixSettings
from tocsin_node.settings.federation import FederationSettings
from tocsin_node.settings.loading import load, parse
from tocsin_node.settings.record import SECTIONS, Settings

HERE = Path("/node")
ROOM = {"homeserver": "https://m.example", "user_id": "@bot:m.example", "room": "!r:m.example"}


def faults(table, environment=None):
    with pytest.raises(SettingsError) as refused:
        parse(table, HERE, environment or {})
    return refused.value.facts["faults"]


def test_a_name_is_all_that_a_node_needs():
    settings = parse({"node": {"org": "Acme"}}, HERE, {})
    assert settings.node.org == "Acme"
    assert settings.database.embedded
    assert settings.matrix is None
    assert settings.federation == FederationSettings()


def test_every_fault_is_told_at_once_with_the_nearest_known_name():
    found = faults(
        {
            "node": {"org": "Acme", "prot": 1, "port": 99999},
            "federaton": {},
            "alerts": {"grades": ["V"]},
            "limits": {"max_json_depth": "deep"},
        }
    )
    assert found == [
        "node.prot is not a setting; did you mean port?",
        "[federaton] is not a section; did you mean federation?",
        "node.port: expected int <= 65535.",
        "alerts.grades[0]: Invalid enum value 'V'.",
        "limits.max_json_depth: expected int, got str.",
    ]


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({}, "node.org is missing."),
        ({"node": {"org": ""}}, "node.org: expected str of length >= 1."),
        ({"node": 3}, "node must be a section: [node]"),
        ({"node": {"org": "A", "zzzzzz": 1}}, "node.zzzzzz is not a setting; there are: org, domain"),
        ({"node": {"org": "A", "url": "tocsin.example"}}, "node.url must be an address"),
        ({"node": {"org": "A", "url": "https://a.example/x"}}, "node.url must not have a path"),
        (
            {"node": {"org": "A"}, "database": {"url": "postgresql://u:secret@h/d"}},
            "database.url holds a password",
        ),
        (
            {"node": {"org": "A"}, "database": {"url": "postgresql://h/d", "url_file": "f"}},
            "exclude each other",
        ),
        ({"node": {"org": "A"}, "matrix": {"room": "!r:x"}}, "matrix.homeserver is missing."),
        (
            {"node": {"org": "A"}, "matrix": ROOM | {"user_id": "bot"}},
            "matrix.user_id: expected str matching regex",
        ),
        ({"node": {"org": "A"}, "matrix": ROOM | {"access_token": "x"}}, "did you mean access_token_file?"),
        (
            {"node": {"org": "A"}, "matrix": ROOM | {"room_max_tlp": "amber"}},
            "matrix.room_max_tlp = amber needs an encrypted room",
        ),
        (
            {"node": {"org": "A"}, "matrix": ROOM | {"room_max_tlp": "red", "encrypted": True}},
            "matrix.room_max_tlp cannot be red: TLP:RED is for named people",
        ),
        (
            {"node": {"org": "A"}, "matrix": ROOM | {"room_max_tlp": "purple"}},
            "purple is none of clear, green, amber, amber+strict.",
        ),
    ],
)
def test_a_fault_is_told_in_words_that_name_the_setting(table, fault):
    (told,) = faults(table)
    assert fault in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("fields", "ceiling"),
    [
        ({}, "green"),
        ({"room_max_tlp": "clear"}, "clear"),
        ({"encrypted": True}, "amber"),
        ({"encrypted": True, "room_max_tlp": "amber+strict"}, "amber+strict"),
        ({"encrypted": True, "room_max_tlp": "green"}, "green"),
    ],
)
def test_what_a_room_may_read_follows_from_its_encryption(fields, ceiling):
    settings = parse({"node": {"org": "A"}, "matrix": ROOM | fields}, HERE, {})
    assert settings.matrix.max_tlp == ceiling


def test_the_environment_wins_and_lists_are_separated_by_commas():
    settings = parse(
        {"node": {"org": "Acme", "port": 1}, "matrix": ROOM},
        HERE,
        {
            "TOCSIN_NODE_PORT": "2",
            "TOCSIN_NODE_ORG": "123",
            "TOCSIN_FEDERATION_ALLOW_HTTP": "true",
            "TOCSIN_FEDERATION_SWEEP_S": "1.5",
            "TOCSIN_ALERTS_GRADES": "I, II,III",
            "TOCSIN_ALERTS_GRADE_III": "always",
            "TOCSIN_MATRIX_RESPONDERS": "@a:x, @b:x",
            "TOCSIN_URL": "http://the.command.line",
            "TOCSIN_DIR": "/its/own",
            "TOCSIN_TOKEN_FILE": "token",
        },
    )
    assert (settings.node.port, settings.node.org) == (2, "123")
    assert settings.federation.allow_http
    assert settings.federation.sweep_s == 1.5
    assert settings.alerts.grades == ("I", "II", "III")
    assert settings.alerts.grade_iii == "always"
    assert settings.matrix.responders == ("@a:x", "@b:x")


def test_the_environment_alone_can_name_the_room():
    settings = parse(
        {"node": {"org": "Acme"}}, HERE, {f"TOCSIN_MATRIX_{k.upper()}": v for k, v in ROOM.items()}
    )
    assert settings.matrix.room == "!r:m.example"


def test_the_environment_tells_the_second_room_from_a_setting_of_the_first():
    settings = parse(
        {"node": {"org": "Acme"}, "matrix": ROOM},
        HERE,
        {f"TOCSIN_MATRIX_SECOND_{k.upper()}": f"{v}2" for k, v in ROOM.items()},
    )
    assert (settings.matrix.room, settings.matrix_second.room) == ("!r:m.example", "!r:m.example2")
    assert settings.matrix_second.access_token_file != settings.matrix.access_token_file


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ({"matrix_second": ROOM}, "matrix_second stands beside [matrix]"),
        ({"ops": {"room": "!ops:m.example"}}, "ops.room needs the bot of [matrix]"),
        ({"ops": {"channels": ["mail"]}}, "ops.channels names mail, but there is no section"),
    ],
)
def test_a_reserve_without_what_it_stands_beside_is_a_fault(table, fault):
    (told,) = faults({"node": {"org": "Acme"}, **table})
    assert told.startswith(fault)


@pytest.mark.parametrize(
    ("variable", "value", "fault"),
    [
        ("TOCSIN_NODE_PROT", "1", "TOCSIN_NODE_PROT is not a setting; did you mean port?"),
        ("TOCSIN_NODE_PORT", "many", "TOCSIN_NODE_PORT: expected int"),
        ("TOCSIN_NODE_PORT", "99999", "node.port: expected int <= 65535."),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(variable, value, fault):
    (told,) = faults({"node": {"org": "Acme"}}, {variable: value})
    assert told.startswith(fault)


def test_the_commented_file_says_every_setting_and_changes_none():
    text = commented({"node": {"org": "Acme"}})
    assert parse(tomllib.loads(text), HERE, {}) == parse({"node": {"org": "Acme"}}, HERE, {})
    for name, kind in SECTIONS.items():
        assert f"[{name}]" in text
        for field in kind.__struct_fields__:
            assert f"{field} = " in text


def test_every_commented_default_is_the_default():
    """Taking the comment signs away changes nothing but the sections that have to be filled in."""
    text = commented({"node": {"org": "Acme"}})
    bare = "\n".join(
        line.removeprefix("#") if line.startswith("#") and not line.startswith("# ") else line
        for line in text.splitlines()
    )
    table = tomllib.loads(bare)
    for section in ("matrix", "matrix_second", "webhook", "mail", "heartbeat"):
        table.pop(section)
    assert parse(table, HERE, {}) == parse({"node": {"org": "Acme"}}, HERE, {})


def test_values_come_back_from_the_commented_file_as_they_were():
    values = {
        "node": {"org": 'A "quoted" \\ Ürg', "port": 9},
        "alerts": {"grades": ["I"]},
        "matrix": ROOM | {"responders": ["@a:x"], "sends_per_s": 0.5},
    }
    settings = parse(tomllib.loads(commented(values)), HERE, {})
    assert settings.node.org == 'A "quoted" \\ Ürg'
    assert settings.alerts.grades == ("I",)
    assert settings.matrix == msgspec.convert(values["matrix"], MatrixSettings)


@pytest.mark.parametrize("kind", SECTIONS.values())
def test_every_setting_says_what_it_is_for(kind):
    for field in msgspec.structs.fields(kind):
        described = [meta.description for meta in field.type.__metadata__ if meta.description]
        assert described, f"{kind.__name__}.{field.name}"
        assert described[0].endswith(".")


def test_no_setting_can_hold_a_secret():
    for kind in SECTIONS.values():
        for field in kind.__struct_fields__:
            if {"password", "secret", "key", "token"} & set(field.split("_")):
                assert field.endswith("_file"), f"{field} names no file"


def test_peers_are_told_an_address_even_when_none_is_set():
    plain = parse({"node": {"org": "A", "port": 8}}, HERE, {})
    assert (plain.public_url, plain.public_domain) == ("http://127.0.0.1:8", "127.0.0.1")
    six = parse({"node": {"org": "A", "host": "::1"}}, HERE, {})
    assert six.public_url == "http://[::1]:8711"
    named = parse({"node": {"org": "A", "url": "https://t.example.org/"}}, HERE, {})
    assert (named.public_url, named.public_domain) == ("https://t.example.org", "t.example.org")


def test_a_file_is_read_and_a_missing_or_broken_one_is_named(tmp_path):
    with pytest.raises(NotInitialised, match=str(tmp_path)):
        load(tmp_path, {})
    (tmp_path / "node.toml").write_text("[node\n")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(tmp_path, {})
    (tmp_path / "node.toml").write_bytes(b"\xff")
    with pytest.raises(SettingsError):
        load(tmp_path, {})
    (tmp_path / "node.toml").write_text('[node]\norg = "A"\n')
    settings = load(tmp_path, {})
    assert isinstance(settings, Settings)
    assert settings.path("keys/x") == tmp_path / "keys" / "x"
    assert settings.path("/run/x") == Path("/run/x")


def test_a_variable_that_is_not_utf_8_is_a_fault_and_no_crash():
    assert faults({"node": {"org": "Acme"}}, {"TOCSIN_NODE_ORG": "Acm\udce9"}) == [
        "TOCSIN_NODE_ORG is not UTF-8."
    ]


@pytest.mark.parametrize("url", ["http://[", "https://[:]", "https://[x]/"])
def test_an_address_that_readers_of_urls_fail_on_is_a_fault_and_no_crash(url):
    assert [one for one in faults({"node": {"org": "Acme", "url": url}}) if one.startswith("node.url")]
    found = faults({"node": {"org": "Acme"}, "webhook": {"url": url, "secret_file": "s"}})
    assert [one for one in found if one.startswith("webhook.url")]


@pytest.mark.parametrize(
    "text", ["[node]\norg = " + "[" * 3000, "[node]\nport = " + "9" * 5000, "[node", "\udcff"]
)
def test_a_file_that_is_no_toml_says_so(tmp_path, text):
    (tmp_path / "node.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError, match="not valid TOML"):
        load(tmp_path, {})
