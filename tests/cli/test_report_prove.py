"""`tocsin report prove`: a proof is evidence, and a file that is there is not overwritten by the way."""

from aiohttp import web

REPORT = "incident--6f2d7a0e-8a3c-4a53-9f58-0d8a1c8a2f10"


def test_a_proof_overwrites_nothing_unless_that_is_said(tocsin, node, home):
    async def say(_request, _handler):
        return web.Response(body=b"a proof", content_type="text/plain")

    file = home.file("old.txt", "somebody's notes")
    refused = tocsin("report", "prove", REPORT, "--out", str(file))
    assert (refused.exit_code, file.read_text()) == (2, "somebody's notes")
    assert "--force" in refused.stderr
    node.fault("GET", f"/v1/reports/{REPORT}/proof", say)
    done = tocsin("report", "prove", REPORT, "--out", str(file), "--force")
    assert (done.exit_code, file.read_bytes()) == (0, b"a proof")
