import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_cli.queue import Damaged, Queue, Waiting

ITEM = Waiting(
    "incident--1", "A title", "2026-11-20T10:00:00.000Z", "http://127.0.0.1:1", form={"title": "A title"}
)


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / "state" / "queue")


def test_what_is_kept_is_read_back_and_dropped(queue):
    queue.keep(ITEM)
    assert queue.items() == [ITEM]
    assert queue.get(ITEM.id) == ITEM
    queue.drop(ITEM.id)
    assert queue.items() == []
    assert queue.get(ITEM.id) is None
    queue.drop(ITEM.id)


def test_nobody_else_can_read_it(queue):
    os.umask(0o000)
    try:
        path = queue.keep(ITEM)
    finally:
        os.umask(0o022)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_first_filed_is_first(queue):
    for day in ("22", "20", "21"):
        queue.keep(replace(ITEM, id=f"incident--{day}", filed_at=f"2026-11-{day}T10:00:00.000Z"))
    assert [item.id[-2:] for item in queue.items()] == ["20", "21", "22"]


def test_a_damaged_file_is_named_and_stays(queue):
    queue.keep(ITEM)
    for name, content in {
        "a": b"",
        "b": b"{",
        "c": b"[]",
        "d": b'{"v":2,"id":"x"}',
        "e": b'{"v":1,"id":"x"}',
        "f": b'{"v":1,"id":3,"title":"t","filed_at":"f","url":"u","form":{}}',
        "g": b'{"v":1,"id":"x","title":"t","filed_at":"f","url":"u"}',
        "h": b"\xff\xfe",
        "i": b'{"v":1,"id":"x","title":"t","filed_at":"f","url":"u","form":{},"more":1}',
    }.items():
        (queue.directory / f"{name}.json").write_bytes(content)
    found = queue.items()
    assert found[0] == ITEM
    assert [type(item) for item in found[1:]] == [Damaged] * 9
    assert len(list(queue.directory.glob("*.json"))) == 10


def test_an_id_cannot_lead_out_of_the_directory(queue):
    path = queue.keep(replace(ITEM, id="../../../etc/x"))
    assert path.parent == queue.directory
    assert queue.get("../../../etc/x").id == "../../../etc/x"


@given(st.text(), st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_any_form_survives_the_disk(tmp_path_factory, title, form):
    queue = Queue(tmp_path_factory.mktemp("q"))
    item = replace(ITEM, title=title, form=form)
    queue.keep(item)
    assert queue.items() == [item]


def test_a_write_that_fails_leaves_the_old_content_and_no_litter(queue, monkeypatch):
    queue.keep(ITEM)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        queue.keep(replace(ITEM, title="new"))
    monkeypatch.undo()
    assert queue.items() == [ITEM]
    assert [path.name for path in queue.directory.iterdir()] == ["incident--1.json"]


def test_pieces_of_killed_writes_go_after_a_day_and_reports_stay(queue):
    kept = queue.keep(ITEM)
    old, new = queue.directory / ".a.json.00.part", queue.directory / ".b.json.00.part"
    for path in (old, new, kept):
        path.touch()
    os.utime(old, (1, 1))
    os.utime(kept, (1, 1))
    queue.tidy()
    assert (old.exists(), new.exists(), kept.exists()) == (False, True, True)


def test_like_finds_the_same_report_and_nothing_else(queue):
    queue.keep(ITEM)
    again = replace(ITEM, id="incident--2", filed_at="2026-11-21T10:00:00.000Z")
    assert queue.like(again) == ITEM
    queue.keep(replace(ITEM, bundle="{}", node_id="n1x"))
    assert queue.like(again).id == ITEM.id
    for other in (
        {"form": {"title": "B"}},
        {"url": "http://127.0.0.1:2"},
        {"to": ["beta"]},
        {"share": False},
    ):
        assert queue.like(replace(again, **other)) is None


def test_one_report_is_sent_by_one_run_at_a_time(queue):
    code = (
        "import sys; from pathlib import Path; from tocsin_cli.queue import Queue\n"
        "with Queue(Path(sys.argv[1])).sending(sys.argv[2], wait=False) as ours:\n"
        "    print(ours, flush=True); sys.stdin.read()\n"
    )
    queue.keep(ITEM)
    command = [sys.executable, "-c", code, str(queue.directory), ITEM.id]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "True\n"
        with queue.sending(ITEM.id, wait=False) as ours:
            assert not ours
        with queue.sending("incident--2", wait=False) as ours:
            assert ours
        assert queue.like(replace(ITEM, id="incident--3")) is None
        other.send_signal(signal.SIGKILL)
        other.wait()
    with queue.sending(ITEM.id, wait=False) as ours:
        assert ours


def test_the_file_is_plain_json_that_a_person_can_rescue(queue):
    found = json.loads(queue.keep(ITEM).read_text())
    assert found["form"] == {"title": "A title"}
    assert found["v"] == 1
