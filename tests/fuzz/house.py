"""What people, files and other servers give to a node: reports, imports, settings, a room's events, answers."""

import io
import json
import tempfile
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

from tests.fuzz import seeds

from tocsin_node.errors import NodeError
from tocsin_node.links import matrix_answers, peer_client, webhook
from tocsin_node.links.answer import read as read_answer
from tocsin_node.links.transport import Retry
from tocsin_node.settings.loading import load, parse
from tocsin_node.settings.server import LimitSettings
from tocsin_node.web.body import parse_json
from tocsin_schema.check import check_bundle
from tocsin_schema.form import check_form
from tocsin_schema.imports import aiid, aiid_classes, atlas, atlas_techniques, avid, stix
from tocsin_schema.imports.record import Record

_STATUSES = (200, 400, 401, 403, 404, 413, 429, 500, 503, 302)


def bundle(data: bytes) -> None:
    """`check_bundle` never raises: it gives a report, or says why not."""
    checked = check_bundle(data)
    assert (checked.report is None) == any(one.level == "error" for one in checked.findings)


def form(data: bytes) -> None:
    """A report as a person writes it, in TOML."""
    try:
        value = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return
    check_form(value)


def imported(door: Any, data: bytes) -> None:
    """Each record is a report that passes the check, or a refusal; never neither."""
    for one in door(io.BytesIO(data)):
        if isinstance(one, Record):
            assert (one.bundle is None) == (one.refusal is not None)
            assert one.bundle is None or check_bundle(one.bundle).report is not None


aiid_file = partial(imported, aiid.read)
avid_file = partial(imported, avid.read)
atlas_file = partial(imported, atlas.read)


def stix_file(data: bytes) -> None:
    """Read for a node, and converted."""
    imported(stix.read, data)
    imported(stix.convert, data)


def aiid_classes_file(data: bytes) -> None:
    aiid_classes.read_classes([io.BytesIO(data)])


def atlas_stix_file(data: bytes) -> None:
    atlas_techniques.published(io.BytesIO(data))


def settings(data: bytes) -> None:
    """A node.toml."""
    (_DIRECTORY / "node.toml").write_bytes(data)
    load(_DIRECTORY, {})


def settings_table(data: bytes) -> None:
    """The same, once TOML has been read."""
    table = _json(data)
    try:
        json.dumps(table, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return  # no TOML file holds half characters
    if isinstance(table, dict):
        parse(table, _DIRECTORY, {})


def form_value(data: bytes) -> None:
    """A report as a person writes it, once TOML or JSON has been read: `check_form` never raises."""
    check_form(_json(data))


def matrix(data: bytes) -> None:
    """An answer by a homeserver, whatever it was asked: first a line with its Retry-After, then the body."""
    retry_after, _, raw = data.partition(b"\n")
    body = _json(raw)
    for status in _STATUSES:
        meaning = matrix_answers.refusal(matrix_answers.Answer(status, body, retry_after.decode("latin-1")))
        if isinstance(meaning, Retry) and meaning.after_s is not None:
            assert 0 < meaning.after_s <= matrix_answers.LIMITED_MOST_S  # not NaN either
    lists = [body, *matrix_answers.mapping(body).values()]
    for values in lists:
        matrix_answers.receipts(values)
        events = matrix_answers.events(values)
        for event in events:
            read_answer(event)
        for encrypted in (False, True):
            matrix_answers.room_trouble(events, encrypted=encrypted)
        matrix_answers.may_post(events, _BOT)
        matrix_answers.may_ring_all(events, _BOT)
        matrix_answers.joined(events)


def peer_answer(data: bytes) -> None:
    """An answer by whatever stands at a peer's address."""
    for status in _STATUSES:
        said = peer_client._refusal(peer_client.Answer(status, data, None, "application/problem+json"))
        assert isinstance(said, NodeError)
        str(said).encode()
    peer_client.parse_chain(peer_client._json(data))


def request_body(data: bytes) -> None:
    """The JSON of a request."""
    parse_json(data, LimitSettings())


def webhook_answer(data: bytes) -> None:
    """The Retry-After of whoever is called by webhook."""
    for status in _STATUSES:
        meaning = webhook.meaning(status, data.decode("latin-1"))
        if isinstance(meaning, Retry) and meaning.after_s is not None:
            assert 1 <= meaning.after_s <= webhook.LIMITED_MOST_S


# Seeds ------------------------------------------------------------------------------------------------

_BOT = "@tocsin:example.org"
_DIRECTORY = Path(
    tempfile.mkdtemp(prefix="tocsin-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
)


def _json(data: bytes) -> Any:
    """As links/matrix.py reads an answer."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _event(kind: str, content: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "event_id": "$a",
        "sender": "@eve:example.org",
        "type": kind,
        "origin_server_ts": 1772452800000,
        "content": content,
        **more,
    }


def room() -> list[bytes]:
    """What a room may hold, and what a homeserver may refuse with."""
    state = [
        _event("m.room.create", {"room_version": "12", "additional_creators": [_BOT]}, state_key=""),
        _event(
            "m.room.power_levels",
            {
                "users": {_BOT: "50"},
                "users_default": 0,
                "events": {"m.room.message": 10},
                "events_default": "0",
                "notifications": {"room": 50},
            },
            state_key="",
        ),
        _event("m.room.member", {"membership": "join"}, state_key=_BOT),
        _event("m.room.tombstone", {"replacement_room": "!b:example.org"}, state_key=""),
    ]
    said = [
        _event(
            "m.reaction",
            {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$b", "key": "\U0001f440"}},
        ),
        _event(
            "m.room.message",
            {
                "msgtype": "m.text",
                "body": "> quoted\n\n!ack #12 on it",
                "m.relates_to": {"m.in_reply_to": {"event_id": "$b"}},
            },
        ),
        _event("m.room.redaction", {"redacts": "$b"}, unsigned={"transaction_id": "t"}),
        {
            "type": "m.receipt",
            "content": {"$b": {"m.read": {"@eve:example.org": {"ts": 1772452800000, "thread_id": "main"}}}},
        },
    ]
    refused = {"errcode": "M_LIMIT_EXCEEDED", "error": "later", "retry_after_ms": 2000}
    return [
        b"5\n" + json.dumps(one).encode() for one in (state, said, {"chunk": said, "state": state}, refused)
    ]


def node_toml() -> list[bytes]:
    whole = (seeds.ROOT / "deploy" / "node.example.toml").read_bytes()
    bare = b"\n".join(line.removeprefix(b"# ") for line in whole.split(b"\n"))
    return [
        whole,
        bare,
        b'[node]\norg = "Alder"\nurl = "https://tocsin.alder.example"\n[duties]\nzone = "Europe/Berlin"\nholidays = ["2026-01-01"]\n',
    ]


def tables() -> list[bytes]:
    return [
        json.dumps(tomllib.loads(raw.decode()), default=str).encode() for raw in node_toml() if _is_toml(raw)
    ]


def form_values() -> list[bytes]:
    incidents = tomllib.loads((seeds.ROOT / "deploy" / "demo" / "incidents.toml").read_text("utf-8"))[
        "incident"
    ]
    return [json.dumps(one, default=str).encode() for one in incidents]


def _is_toml(raw: bytes) -> bool:
    try:
        tomllib.loads(raw.decode())
    except tomllib.TOMLDecodeError:
        return False
    return True


def forms() -> list[bytes]:
    return [
        (seeds.ROOT / "deploy" / "demo" / name).read_bytes() for name in ("severe.toml", "incidents.toml")
    ]


PROBLEMS = [
    b'{"type":"about:blank","code":"not-approved","hint":"Ask them.","status":403}',
    b'{"chain":["e30=","e30="]}',
]
