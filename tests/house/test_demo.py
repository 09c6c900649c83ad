"""The demonstration keeps its promises: what it prints, what it proves, and that it leaves nothing behind."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from deploy.demo.wire import Proxy, Search
from tests.house.repository import ROOT
from tests.support.node import environment_of_a_run

from tocsin_cli.importing import Account

TEXT = "Sepsis early warning — falls silent after an update; two patients die"
WAYS = {
    "UTF-8": str.encode,
    "escaped JSON": lambda text: json.dumps(text).encode(),
    "UTF-16, little end first": lambda text: text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    **{
        f"Base64 after {n} bytes": lambda text, n=n: base64.b64encode(b"x" * n + text.encode())
        for n in range(6)
    },
    "Base64 for addresses": lambda text: base64.urlsafe_b64encode(b"?" + text.encode() + b"?"),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_search_finds_the_text_however_it_travels(way):
    search = Search([TEXT])
    stream = os.urandom(100) + WAYS[way](TEXT) + os.urandom(100)
    assert search.found_in([b"", stream]) == set(search.pieces)


@pytest.mark.parametrize("way", WAYS)
def test_the_search_finds_a_piece_although_the_rest_is_missing(way):
    search = Search([TEXT])
    for piece in search.pieces:
        assert piece in search.found_in([WAYS[way](piece)])


def test_the_search_finds_nothing_where_there_is_nothing():
    assert Search([TEXT]).found_in([os.urandom(100_000), b"", TEXT[:10].encode()]) == set()


def test_the_proxy_keeps_both_directions_and_changes_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        answer = os.urandom(300_000)

        def serve():
            connection, _ = server.accept()
            with connection:
                assert connection.recv(100) == b"question"
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with Proxy(server.getsockname()[1]) as proxy:
            with socket.create_connection(("127.0.0.1", proxy.port)) as client:
                client.sendall(b"question")
                got = bytearray()
                while chunk := client.recv(65_536):
                    got += chunk
            thread.join()
            assert got == answer
            assert sorted(proxy.streams(), key=len) == [b"question", answer]


def demo(*arguments, directory):
    """The demonstration as a child process whose temporary files all go below `directory`."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "deploy/demo/demo.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(directory)},
        start_new_session=True,
    )


def left_behind(directory):
    """Files and processes that a demonstration in `directory` has left."""
    running = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
        except OSError:
            continue
        if str(directory).encode() in line:
            running.append(line.replace(b"\0", b" "))
    return [*directory.iterdir(), *running]


@pytest.mark.journey
def test_the_whole_story_is_told_and_ends_with_one_document(tmp_path):
    told, said = (process := demo("--json", directory=tmp_path)).communicate(timeout=170)
    assert process.returncode == 0, told + said
    lines = told.splitlines()
    measured = json.loads(lines[-1])
    assert list(measured) == [
        "imported", "refused", "filed_to_stored_ms", "filed_to_seen_ms", "acknowledged_at_origin",
        "plaintext_on_wire", "messages_in_room", "log_verified",
    ]  # fmt: skip
    assert measured["imported"] >= 12
    account = Account(imported=measured["imported"]).line()  # the samples need no repair
    assert f"   │ {account}" in lines
    assert measured["refused"] == 0
    assert 0 < measured["filed_to_stored_ms"] < measured["filed_to_seen_ms"]
    assert measured["acknowledged_at_origin"] is True
    assert measured["plaintext_on_wire"] == 0
    assert measured["messages_in_room"] == 1
    assert measured["log_verified"] is True
    assert max(map(len, lines[:-1])) <= 80
    assert not left_behind(tmp_path)


@pytest.mark.journey
def test_a_failure_names_its_step_and_leaves_nothing_behind(tmp_path):
    header, row = "incident_id,date,title,description", "1,2020-01-01,A title,What happened"
    (broken := tmp_path / "broken.csv").write_text(f"{header}\n{row}\n2,{'x' * (2 << 20)}\n")
    _, said = (process := demo("--data", str(broken), directory=tmp_path)).communicate(timeout=170)
    assert process.returncode == 1
    assert "step 3" in said
    assert "tocsin import aiid" in said
    assert left_behind(tmp_path) == [broken]


@pytest.mark.journey
def test_what_is_kept_can_be_looked_at_and_other_incidents_can_be_brought(tmp_path):
    export = tmp_path / "incidents.csv"
    export.write_text(
        "_id,incident_id,date,title,description\n"
        "x,1,2019-05-04,A barrier closes early,A level crossing's camera takes a bus for a shadow.\n"
        "x,2,2020-01-02,A loan is refused,A scoring model reads a hyphenated name as two people.\n"
    )
    (home := tmp_path / "home").mkdir()
    process = demo("--keep", "--data", str(export), directory=home)
    told = []
    for line in process.stdout:
        told.append(line)
        if "Ctrl-C here stops" in line:
            break
    told = "".join(told)
    hospital, lab = re.findall(r"export TOCSIN_DIR=(\S+)", told)
    assert len(reports(lab)) == 3, told
    assert len(reports(hospital)) == 3
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert not left_behind(home)


def reports(node):
    """What the node in a directory holds, as the demonstration says that one can ask it."""
    ran = subprocess.run(
        [sys.executable, "-m", "tocsin_cli", "report", "list", "--json"],
        env=environment_of_a_run({"TOCSIN_DIR": node}),
        check=True,
        capture_output=True,
    )
    return json.loads(ran.stdout)["items"]


@pytest.mark.journey
def test_an_interrupt_takes_everything_down(tmp_path):
    process = demo("--keep", directory=tmp_path)
    for line in process.stdout:
        if "They become peers" in line:
            break
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "taken down" in said
    assert not left_behind(tmp_path)


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"", b"\xff\xfe\x00", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused_before_anything_starts(tmp_path, content):
    data = tmp_path / "incidents.csv"
    data.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "deploy/demo/demo.py", "--data", str(data)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{data} cannot be imported: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
