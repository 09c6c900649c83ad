"""`tocsin report receipts`: how far a report of ours got at each peer."""

from collections.abc import Mapping, Sequence
from typing import Any

import click

from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.filing import member
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

RECALLS = {"purge": "taken back", "narrow": "marked more strictly"}
_TIMES = {
    "queued": "queued_at",
    "sent": "sent_at",
    "verified": "verified_at",
    "alerted": "alerted_at",
    "acknowledged": "acknowledged_at",
}


@click.command("receipts", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@pass_session
def receipts(session: Session, report_id: str) -> None:
    """Show how far a report got at each peer that it was sent to.

    queued: it stands in our log. sent: the peer was given it. verified: the peer went on to what follows in our log.
    Then the peer's own word: stored, unchanged, superseded, refused or quarantined with a code; alerted: its people's
    room or another way took the alert; acknowledged: somebody there has seen it. A peer that runs an older version
    says nothing of stored and alerted. What was taken back is shown the same way, up to waiting (for a person there),
    purged or narrowed; so is a report of yours that is erased here. "PEER, through NAME": NAME passed it on to PEER,
    and tells you what PEER says. When you take the report back, NAME's node takes it back from PEER.
    """
    found = session.client.json("GET", f"/v1/reports/{segment(report_id)}/receipts")
    items, recalls = member(found, "items"), member(found, "recalls")
    if session.out.as_json:
        session.out.document(found)
        return
    if not (items or recalls or _beyond(found)):
        session.out.say("It was sent to nobody.")
        return
    rows: list[list[object]] = []
    beyond = _beyond(found)
    for item in standing(items):
        rows.append([_name(item), _what(item), _stage(item), local_time(_since(item))])
        rows += beyond.pop(str(item["peer"]["node_id"]), [])
    rows += [row for more in beyond.values() for row in more]
    rows += [
        [_name(one), RECALLS[one["what"]], _stage(one), local_time(recalled_since(one))] for one in recalls
    ]
    session.out.table(["peer", "what", "how far", "since"], rows)
    late = sorted({_name(one) for one in recalls if one["overdue"]})
    if late:
        session.out.warn(f"Overdue: {', '.join(late)}. Call them.")
    refused = [item for item in standing(items) if item.get("code")]
    if refused:
        session.out.warn(
            f"{len(refused)} not taken: ask that peer's operator; node/ERRORS.md explains the codes."
        )


def _beyond(found: Mapping[str, Any]) -> dict[str, list[list[object]]]:
    """By the NodeID of who passed it on: a row for each that got it so, of the version it got last."""
    last: dict[tuple[str, str], Mapping[str, Any]] = {}
    for one in found.get("readers") or _unheard(found):
        last[str(one["by"]["node_id"]), str(one["peer"]["node_id"])] = one
    rows: dict[str, list[list[object]]] = {}
    for (by, _), one in last.items():
        who = "us" if one["by"].get("ours") else one["by"]["name"]
        cells = [f"{one['peer']['name']}, through {who}", _what(one), _stage(one).replace("-", " ", 1)]
        rows.setdefault(by, []).append([*cells, local_time(one["since"])])
    return rows


def _unheard(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an older node says: to whom it was passed on, and nothing of how far that got."""
    return [
        {"by": each["by"], "peer": node, "ver": each["ver"], "stage": "passed-on", "since": each["at"]}
        for each in found.get("passed_on") or ()
        for node in each["to"]
    ]


def standing(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of what went to a peer twice, the last; the one before where the peer had it already when it came again."""
    last: dict[tuple[object, ...], Mapping[str, Any]] = {}
    for item in items:
        key = (item["peer"]["node_id"], item["kind"], item["ver"])
        if item["stage"] != "unchanged" or key not in last or last[key].get("code"):
            last[key] = item
    return list(last.values())


def recalled_since(one: Mapping[str, Any]) -> object:
    """Since when a recall is as far as it is at a peer."""
    known = (one["done_at"], one["waiting_at"], one["verified_at"], one["sent_at"], one["at"])
    return next(at for at in known if at)


def _name(item: Mapping[str, Any]) -> str:
    return str(item["peer"]["name"])


def _what(item: Mapping[str, Any]) -> str:
    version = f"version {item['ver']}"
    return version if item.get("kind", "report") == "report" else f"{item['kind']} on {version}"


def _stage(item: Mapping[str, Any]) -> str:
    return f"{item['stage']}: {item['code']}" if item.get("code") else str(item["stage"])


def _since(item: Mapping[str, Any]) -> object:
    return item.get(_TIMES.get(item["stage"], "outcome_at"))
