"""`tocsin duty` and `tocsin report export authority`, against a node at the HTTP seam."""

import json
import subprocess
from datetime import UTC, datetime

import pytest
from aiohttp import web
from tests.cli.fake_node.node import FakeNode
from tests.cli.fake_node.reports import Kept
from tests.cli.fake_node.wire import problem

from tocsin_schema.stix import build

INCIDENT = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
FORM = {
    "title": "<script>alert(1)</script> [x](javascript:1)",
    "description": "# Two people died.",
    "tlp": "amber",
    "realization": "harm-event",
    "aware_at": "2026-11-20T09:00:00Z",
    "harms": [{"harm_type": "physical-health"}],
    "quantities": {"deaths": 2},
}
DUTY = {
    "id": 7, "report_id": INCIDENT, "report_name": "Two\x1b[31m died", "tlp": "amber", "grade": "II",
    "regime": "eu-cop-9.3-3", "stage": "initial", "nth": 1, "title": "Code of Practice, death of a person",
    "stage_title": "Initial report", "recipient": "AI Office", "wording": "10 days", "clock": "running",
    "start_from": "aware_at", "assumed": "", "waits_for": "", "reasons": ["deaths=2"], "missing": [],
    "doubts": ["not law, but a code of practice"], "verified": True, "effective_from": "2025-08-02",
    "standing": "applies", "state": "proposed", "in_force": True, "start_at": "2026-11-20T09:00:00Z",
    "due_conservative": "2026-11-30T09:00:00Z", "due_legal": "2026-11-30T23:00:00Z", "progress": 0.5,
    "warned": [50], "missed_at": None, "decided_by": None, "decided_at": None, "reason": None, "done_at": None,
    "late": False, "reference": None, "created_at": "2026-11-20T10:00:00Z",
}  # fmt: skip
HISTORY = [{"at": "2026-11-20T10:00:00Z", "what": "proposed", "by": None, "via": None, "said": "applies"}]
ORGANISATION = {"name": "Fake Org", "roles": ["provider"], "jurisdictions": ["EU"], "stated": True}


class DutyNode(FakeNode):
    """With the duties of the API."""

    def __post_init__(self):
        super().__post_init__()
        self.duties, self.organisation, self.sent = [dict(DUTY)], dict(ORGANISATION), []

    def _routes(self):
        return [
            *super()._routes(),
            web.get("/v1/duties", self._duties),
            web.post("/v1/duties/track", self._change),
            web.get("/v1/duties/{id}", self._duty),
            web.post("/v1/duties/{id}/{verb}", self._change),
        ]

    async def _duties(self, _request):
        return web.json_response({"items": self.duties, "next": None, "organisation": self.organisation})

    async def _duty(self, request):
        if request.match_info["id"] != "7":
            return problem(404, "duty-unknown", "There is no duty.", "Look.")
        return web.json_response({**self.duties[0], "history": HISTORY})

    async def _change(self, request):
        self.sent.append((request.path, await request.json()))
        if request.path.endswith("/track"):
            return web.json_response({"items": self.duties})
        return web.json_response({**self.duties[0], "state": "confirmed", "history": HISTORY})


@pytest.fixture
def node(home, monkeypatch):
    with DutyNode() as running:
        raw = build(
            FORM, producer=running.identity, incident_id=INCIDENT, now=datetime(2026, 11, 20, 10, tzinfo=UTC)
        )
        running.reports[INCIDENT] = Kept(raw, 1, [])
        monkeypatch.setenv("TOCSIN_URL", running.url)
        yield running


def test_the_list_shows_the_safe_date_and_how_it_stands(tocsin, node):
    result = tocsin("duty", "list")
    assert ("open", "1") in node.seen[-1].query
    assert "2026-11-30 10:00:00 +01:00" in result.stdout
    assert "50%" in result.stdout
    assert "\x1b" not in result.stdout
    assert "Next: tocsin duty show DUTY" in result.stderr
    tocsin("duty", "list", "--all")
    assert ("open", "1") not in node.seen[-1].query
    tocsin("duty", "list", "--report", INCIDENT)
    assert ("report", INCIDENT) in node.seen[-1].query
    assert json.loads(tocsin("duty", "list", "--json").stdout)["items"][0]["id"] == 7
    assert tocsin("duty", "list", "--open", "--all").exit_code == 2


def test_a_missed_doubtful_one_says_so_in_the_list(tocsin, node):
    node.duties[0] |= {"missed_at": "2026-12-01T00:00:00Z", "standing": "possible", "verified": False}
    assert "MISSED, proposed (possible) (not verified)" in tocsin("duty", "list").stdout


def test_an_organisation_that_said_nothing_is_told_what_to_do(tocsin, node):
    node.duties, node.organisation = [], {**ORGANISATION, "stated": False}
    result = tocsin("duty", "list")
    assert "[duties] of node.toml" in result.stderr


def test_one_duty_in_full(tocsin, node):
    text = tocsin("duty", "show", "7").stdout
    for said in (
        "deaths=2",
        "not law, but a code of practice",
        "AI Office",
        "2026-12-01 00:00:00 +01:00",
        "proposed: applies",
    ):
        assert said in text
    assert json.loads(tocsin("duty", "show", "7", "--json").stdout)["history"] == HISTORY
    unknown = tocsin("duty", "show", "8")
    assert (unknown.exit_code, "duty-unknown" in unknown.stderr) == (1, True)


def test_people_decide_by_name(tocsin, node):
    assert tocsin("duty", "confirm", "7").exit_code == 2
    assert tocsin("duty", "dismiss", "7", "--by", "Mara").exit_code == 2
    done = tocsin("duty", "confirm", "7", "--by", "Mara", "--start", "2026-11-20 10:00")
    assert "tocsin report export authority" in done.stderr
    tocsin("duty", "dismiss", "7", "--by", "Mara", "--reason", "no")
    tocsin("duty", "done", "7", "--by", "Mara", "--reference", "A-1", "--at", "2026-11-21 12:00")
    tocsin("duty", "track", INCIDENT, "--by", "Mara")
    assert node.sent == [
        ("/v1/duties/7/confirm", {"by": "Mara", "start": "2026-11-20T09:00:00.000Z"}),
        ("/v1/duties/7/dismiss", {"by": "Mara", "reason": "no"}),
        ("/v1/duties/7/done", {"by": "Mara", "reference": "A-1", "at": "2026-11-21T11:00:00.000Z"}),
        ("/v1/duties/track", {"report_id": INCIDENT, "by": "Mara"}),
    ]
    future = tocsin("duty", "done", "7", "--by", "Mara", "--at", "2031-01-01")
    assert (future.exit_code, len(node.sent)) == (2, 4)


def export(tocsin, *more):
    return tocsin("report", "export", "authority", INCIDENT, "--regime", "eu-cop-9.3-3", *more)


def test_a_form_is_filled_and_what_is_missing_is_counted(tocsin, node, home):
    result = export(tocsin)
    assert result.stdout.startswith("# Code of Practice, death of a person: Initial report")
    assert "\\# Two people died." in result.stdout
    assert "MISSING: 6 of 7 items" in result.stdout
    assert "6 items are missing:" in result.stderr
    assert "6: what was done about it (actions_taken)" in result.stderr
    told = json.loads(export(tocsin, "--json").stdout)
    assert len(told["missing"]) == 6
    assert told["head"]["Duty"] == "7: applies, proposed"
    html = home.path / "form.html"
    assert export(tocsin, "--format", "html", "--out", str(html)).exit_code == 0
    assert "<script" not in html.read_text("utf-8")
    assert "# Two people died." in html.read_text("utf-8")


def test_a_pdf_is_written_to_a_file(tocsin, node, home):
    pytest.importorskip("typst")
    file = home.path / "form.pdf"
    result = export(tocsin, "--format", "pdf", "--out", str(file))
    assert result.exit_code == 0, result.stderr
    assert file.read_bytes().startswith(b"%PDF-")


def test_what_cannot_be_written_is_refused_with_advice(tocsin, node, home):
    unknown = tocsin("report", "export", "authority", INCIDENT, "--regime", "eu-gdpr", "--json")
    told = json.loads(unknown.stderr)
    assert (unknown.exit_code, told["code"], "eu-gdpr-33" in told["hint"]) == (2, "regime-unknown", True)
    stage = export(tocsin, "--stage", "letter")
    assert (stage.exit_code, "There are: initial." in stage.stderr) == (2, True)
    nowhere = export(tocsin, "--out", str(home.path / "no" / "such" / "file"))
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (2, True)


def test_without_typst_a_pdf_is_refused_and_html_advised(tmp_path):
    """In a process of its own, whose typst cannot be imported."""
    import sys

    code = (
        "import sys; sys.modules['typst'] = None\n"
        "from tocsin_schema.authority.document import Document\n"
        "from tocsin_schema.authority.pdf import to_pdf\n"
        "from tocsin_schema.errors import PdfUnavailable\n"
        "from datetime import datetime, UTC\n"
        "try:\n    to_pdf(Document('a', (), (), (), ()), at=datetime.now(UTC))\n"
        "except PdfUnavailable as exc:\n    print(exc.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--format html" in done.stdout
