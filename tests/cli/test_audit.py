"""`tocsin audit` against a real node: what is listed, exported and verified, and what is found out."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.node import open_here, settings_on

from tocsin_cli.main import cli

STIX = {"Content-Type": "application/stix+json"}


@pytest.fixture
async def place(database, tmp_path):
    """A node with a few acts, and a `tocsin` that talks to it from another thread."""
    async with open_here(settings_on(tmp_path / "acme", database)) as served:
        env = {"XDG_STATE_HOME": str(tmp_path / "state"), "TOCSIN_URL": served.url, "COLUMNS": "150"}
        env["TOCSIN_TOKEN_FILE"] = str(tmp_path / "acme" / "token")

        async def tocsin(*args: object):
            given = [str(arg) for arg in args]
            return await asyncio.to_thread(CliRunner().invoke, cli, given, env=env)

        yield served, tocsin, tmp_path


async def file_one(served, title="Pump") -> str:
    async with served.client.post("/v1/reports", data=served.bundle(title), headers=STIX) as answer:
        return (await answer.json())["id"]


async def exported(tocsin, file: Path) -> list[str]:
    done = await tocsin("audit", "export", "--out", file, "--force")
    assert done.exit_code == 0, done.output
    return lines_of(file)


def lines_of(file: Path) -> list[str]:
    return file.read_text().splitlines()


async def refusal(tocsin, *args) -> str:
    result = await tocsin("audit", "verify", "--json", *args)
    assert result.exit_code == 4, result.output
    return json.loads(result.stderr)["code"]


async def test_it_lists_who_did_what_newest_first_and_narrows(place):
    served, tocsin, _ = place
    report = await file_one(served)
    listed = await tocsin("audit", "list")
    assert listed.exit_code == 0, listed.output
    assert "report.file" in listed.stdout
    assert "node.start" in listed.stdout
    found = json.loads((await tocsin("audit", "list", "--json", "--object", report)).stdout)
    assert [(one["action"], one["who"]) for one in found["items"]] == [("report.file", "token:init")]
    found = json.loads((await tocsin("audit", "list", "--json", "--action", "node")).stdout)
    assert {one["action"].split(".")[0] for one in found["items"]} == {"node"}
    assert (await tocsin("audit", "list", "--who", "person:Nobody")).exit_code == 0


async def test_an_action_that_there_is_not_is_refused_and_not_answered_by_nothing(place):
    _, tocsin, _ = place
    for wrong, meant in (("reports", "did you mean report?"), ("report.fle", "did you mean report.file?")):
        refused = await tocsin("audit", "list", "--action", wrong)
        assert refused.exit_code == 1
        assert meant in refused.stderr
    assert "the groups are: alert, " in (await tocsin("audit", "list", "--action", "zzzzzz")).stderr


async def test_the_second_look_proves_that_it_has_only_grown(place):
    served, tocsin, _ = place
    first = json.loads((await tocsin("audit", "verify", "--json")).stdout)
    assert first["grown_from"] is None
    await file_one(served)
    second = json.loads((await tocsin("audit", "verify", "--json")).stdout)
    assert second["grown_from"] == {"size": first["size"], "root": first["root"]}
    assert second["size"] > first["size"]
    assert second["node_id"] == served.node.identity.node_id


async def test_an_export_is_verified_without_the_node_and_against_an_older_one(place):
    served, tocsin, path = place
    await exported(tocsin, path / "old")
    await file_one(served)
    lines = await exported(tocsin, path / "new")
    node_id = served.node.identity.node_id
    done = await tocsin("audit", "verify", path / "new", "--against", path / "old", "--node-id", node_id)
    assert done.exit_code == 0, done.output
    assert f"{len(lines) - 1} lines" in done.stdout
    kept = served.node.settings.dir / "audit-note"
    assert (await tocsin("audit", "verify", path / "new", "--against", kept)).exit_code == 0
    assert await refusal(tocsin, path / "old", "--against", path / "new") == "audit-rolled-back"


async def test_whatever_is_done_to_an_export_is_found_out(place):
    served, tocsin, path = place
    report = await file_one(served)
    lines = await exported(tocsin, path / "log")

    async def code(changed: list[str], *more: object) -> str:
        (path / "changed").write_text("".join(f"{line}\n" for line in changed))
        return await refusal(tocsin, path / "changed", *more)

    assert await code(lines[:-1]) == "audit-truncated"
    assert await code([*lines, lines[-1]]) in {"audit-line-missing", "audit-too-long"}
    assert await code(lines[:2] + lines[3:]) == "audit-line-missing"
    assert await code([lines[0], lines[2], lines[1], *lines[3:]]) == "audit-line-missing"
    assert (
        await code([line.replace('"who":"token:init"', '"who":"token:evil"') for line in lines])
        == "audit-root-differs"
    )
    assert await code([line.replace(report, "incident--x") for line in lines]) == "audit-object-differs"
    assert await code(lines[1:]) == "audit-head-malformed"
    stranger = "n1" + "a" * 52
    wrong = await tocsin("audit", "verify", path / "log", "--node-id", stranger)
    assert wrong.exit_code in {2, 4}


async def test_a_past_that_was_written_anew_is_found_out_though_it_is_signed(place):
    served, tocsin, path = place
    await file_one(served)
    await exported(tocsin, path / "before")
    assert (await tocsin("audit", "verify")).exit_code == 0
    # Whoever has the database and the node's key writes another past and signs it.
    async with served.node.pool.acquire() as conn:
        await conn.execute("alter table audit_line disable trigger user")
        await conn.execute("truncate audit_line; delete from audit_head; truncate audit_waiting")
    served.node.auditing._head = None  # as after a restart
    for title in ("One", "Two", "Three", "Four", "Five", "Six"):
        await file_one(served, title)
    await exported(tocsin, path / "after")
    assert (await tocsin("audit", "verify", path / "after")).exit_code == 0
    assert await refusal(tocsin, path / "after", "--against", path / "before") == "audit-rewritten"
    assert await refusal(tocsin) == "audit-rewritten", "what was verified here before is remembered"


async def test_the_tokens_that_the_shell_makes_are_noted_with_the_user_of_the_machine(place):
    served, tocsin, _ = place
    done = await tocsin(
        "--dir", served.node.settings.dir, "token", "create", "auditor", "--scope", "audit:read"
    )
    assert done.exit_code == 0, done.output
    found = json.loads((await tocsin("audit", "list", "--json", "--action", "token.create")).stdout)["items"]
    assert found[0]["object"] == "token:auditor"
    assert found[0]["who"].startswith("user:")
    assert done.stdout.strip() not in json.dumps(found)


async def test_the_audit_log_needs_a_scope_of_its_own(place):
    served, _, _ = place
    _, token = await served.node.tokens.create("reader", ("report:read", "log:read"))
    headers = {"Authorization": f"Bearer {token}"}
    for path in ("/v1/audit", "/v1/audit/head", "/v1/audit/lines"):
        async with served.client.get(path, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "scope-missing")
