import json
import os
import resource
import subprocess
import sys

import click
import pytest
from tests.cli.fake_node.wire import TOKEN, answers, says

from tocsin_cli.command import Late
from tocsin_cli.exits import MEANING, Exit
from tocsin_cli.main import COMMANDS, cli


@click.command("broken")
def broken() -> None:
    password = TOKEN
    raise RuntimeError(f"cannot use {password}")


@click.command("interrupted")
def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def with_broken(monkeypatch):
    monkeypatch.setitem(cli.late, "broken", Late(f"{__name__}:broken", "Break."))
    monkeypatch.setitem(cli.late, "interrupted", Late(f"{__name__}:interrupted", "Be interrupted."))
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


# Every exit code ------------------------------------------------------------------------------------


def test_0_done(tocsin, node):
    assert tocsin("report", "list").exit_code == 0


def test_1_the_node_refused_and_its_code_is_printed(tocsin, node):
    node.fault("GET", "/v1/reports", answers(400, "bad-parameter", "That is odd.", hint="Do it otherwise."))
    result = tocsin("report", "list")
    assert result.exit_code == 1
    assert "Error: That is odd. [bad-parameter]\n→ Do it otherwise.\n" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "args",
    [
        ["repot"],
        ["report", "lst"],
        ["report", "list", "--grde", "I"],
        ["report", "show"],
        ["report", "show", "x"],
    ],
)
def test_2_usage(tocsin, node, args):
    result = tocsin(*args)
    assert result.exit_code == 2
    assert result.stderr
    assert node.seen == []


def test_2_no_node_is_named(tocsin):
    result = tocsin("report", "list")
    assert result.exit_code == 2
    assert "--dir DIR" in result.stderr


def test_3_unreachable(tocsin, home, monkeypatch):
    monkeypatch.setenv("TOCSIN_URL", "http://127.0.0.1:9")
    result = tocsin("report", "list")
    assert result.exit_code == 3
    assert "Nothing answers at http://127.0.0.1:9. [node-unreachable]" in result.stderr


def test_4_not_verified(tocsin, node):
    node.grow(3)
    node.fault("GET", "/v1/log/leaves", says(b"\0" * 96, content_type="application/octet-stream"))
    result = tocsin("log", "verify")
    assert result.exit_code == 4
    assert "[root-mismatch]" in result.stderr


def test_5_not_allowed(tocsin, node):
    node.fault("GET", "/v1/reports", answers(403, "scope-missing", "The token lacks report:read."))
    result = tocsin("report", "list")
    assert result.exit_code == 5
    assert "report:read" in result.stderr
    assert "scope" in result.stderr


def test_6_findings(tocsin, node, home):
    result = tocsin("report", "submit", "--file", str(home.file("r.toml", "title = 3\n")))
    assert result.exit_code == 6
    assert node.posts() == []


def test_70_a_fault_of_ours_has_a_reference_and_no_secret(tocsin, home, with_broken):
    result = tocsin("broken")
    assert result.exit_code == 70
    reference = result.stderr.split("reference ")[1][:8]
    note = home.state / "crashes" / f"{reference}.txt"
    assert str(note) in result.stderr
    assert note.stat().st_mode & 0o777 == 0o600
    assert "RuntimeError" in note.read_text()
    assert "test_main.py" in note.read_text()
    assert TOKEN not in note.read_text() + result.output
    assert "Traceback" not in result.output


def test_130_interrupted(tocsin, with_broken):
    assert tocsin("interrupted").exit_code == 130


def test_every_exit_code_has_a_meaning_and_stands_in_the_help(tocsin):
    assert set(MEANING) == set(Exit)
    text = tocsin("--help").stdout
    for code in Exit:
        assert f"  {code.value} " in text


# Errors as documents --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args", [["--json", "report", "list"], ["report", "list", "--json"], ["report", "--json", "list"]]
)
def test_with_json_an_error_is_one_problem_document_on_stderr(tocsin, node, args):
    node.fault("GET", "/v1/reports", answers(403, "scope-missing", "The token lacks report:read.", hint="H"))
    result = tocsin(*args)
    assert json.loads(result.stderr) == {
        "type": "about:blank",
        "title": "scope missing",
        "detail": "The token lacks report:read.",
        "code": "scope-missing",
        "hint": "H",
        "exit": 5,
    }
    assert result.stdout == ""


def test_a_usage_error_is_a_document_too(tocsin):
    found = json.loads(tocsin("report", "list", "--grade", "V", "--json").stderr)
    assert (found["code"], found["exit"]) == ("usage", 2)


def test_an_error_from_afar_cannot_reach_the_terminal(tocsin, node):
    node.fault(
        "GET", "/v1/reports", answers(400, "a\x1b[31mb", "\x1b]0;x\x07\x9b2JBad\u202e", hint="\x1b[2J")
    )
    result = tocsin("report", "list")
    assert "\x1b" not in result.output
    assert "\x9b" not in result.output
    assert "\u202e" not in result.output
    node.fault("GET", "/v1/reports", answers(400, "x", "\x9b2J\u202e\x1b"))
    result = tocsin("report", "list", "--json")
    assert json.loads(result.stderr)["detail"] == "\x9b2J\u202e\x1b"
    assert not {"\x9b", "\u202e", "\x1b"} & set(result.stderr)


# Help -----------------------------------------------------------------------------------------------


def test_a_group_alone_shows_its_help_and_ends_with_2(tocsin):
    for args in ([], ["report"], ["peer"]):
        result = tocsin(*args)
        assert result.exit_code == 2
        assert "Usage: tocsin" in result.stderr
        assert "Error" not in result.stderr


def test_the_version_is_that_of_the_package(tocsin):
    from importlib.metadata import version

    assert tocsin("--version").stdout == f"tocsin {version('tocsin')}\n"


def test_a_mistyped_command_is_answered_with_the_right_one(tocsin):
    assert "Did you mean 'report'?" in tocsin("repot").stderr
    assert "Did you mean 'status'?" in tocsin("peer", "satus").stderr


def test_global_options_may_stand_anywhere(tocsin, node, monkeypatch):
    monkeypatch.delenv("TOCSIN_URL")
    for args in (
        ["--node", node.url, "report", "list", "--json"],
        ["report", "--node", node.url, "list", "--json"],
        ["report", "list", "--json", "--node", node.url],
    ):
        assert json.loads(tocsin(*args).stdout) == {"items": [], "next": None}


def test_verbose_tells_each_request_without_the_token(tocsin, node):
    result = tocsin("-v", "report", "list")
    assert "GET /v1/reports → 200" in result.stderr
    assert TOKEN not in result.output


def test_quiet_leaves_data_and_errors(tocsin, node):
    assert tocsin("-q", "report", "list").stderr == ""
    assert tocsin("-q", "report", "show", "x").stderr != ""


# The process ----------------------------------------------------------------------------------------


def run(*args: str, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tocsin_cli", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


def test_help_imports_nothing_heavy(home):
    code = (
        "import sys; from tocsin_cli.main import cli; cli.main(['--help'], standalone_mode=False);"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'rich', 'urllib3', 'stix2', 'msgspec', 'orjson',"
        " 'nacl', 'cryptography', 'aiohttp', 'asyncio', 'tocsin_schema', 'tocsin_federation', 'tocsin_node'}),"
        " file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr == "[]\n"
    assert "report" in result.stdout


def cpu_s(*command: str) -> float:
    """The processor time of a child: unlike the clock on the wall it does not depend on who else is busy."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_quick(home):
    assert min(cpu_s(sys.executable, "-m", "tocsin_cli", "--help") for _ in range(5)) < 0.3


def test_a_reader_that_leaves_early_is_no_error(home, node):
    for _ in range(3):
        node.add_alert(title="x" * 100_000)
    command = f"{sys.executable} -m tocsin_cli alert list | head -c 10; echo ${{PIPESTATUS[0]}} >&2"
    env = os.environ | {"PYTHONWARNINGS": "error"}
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=env, check=False, timeout=60
    )
    assert len(result.stdout) == 10
    assert result.stderr.splitlines()[-1] == "0"
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr


def test_a_terminal_of_another_encoding_breaks_nothing(home, node):
    node.add_alert(title="Grüße 🚨 ąę")
    env = os.environ | {"PYTHONIOENCODING": "latin-1"}
    result = subprocess.run(
        [sys.executable, "-m", "tocsin_cli", "alert", "list"],
        capture_output=True,
        env=env,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0
    assert "Grüße".encode("latin-1") in result.stdout


def test_json_is_json_on_a_terminal_of_another_encoding(home, node):
    node.add_alert(title="Grüße 🚨 ąę")
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [sys.executable, "-m", "tocsin_cli", "alert", "list", "--json"],
        capture_output=True,
        env=env,
        check=False,
    )
    assert json.loads(result.stdout)["items"][0]["title"] == "Grüße 🚨 ąę"


def test_the_server_part_may_be_missing(tocsin, monkeypatch):
    monkeypatch.setitem(cli.late, "init", Late("aiohttp_is_not_here:init", "x"))
    result = tocsin("init")
    assert result.exit_code == 2
    assert "pip install 'tocsin[node,embedded]'" in result.stderr
    assert set(COMMANDS) <= set(cli.late)
