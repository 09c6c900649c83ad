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
    purged or narrowed; so is a report of yours that is erased here. "passed on by NAME": that peer gave it to
    them, and its node takes it back from them when you do; how far that got its operators see.
    """
    found = session.client.json("GET", f"/v1/reports/{segment(report_id)}/receipts")
    items, recalls = member(found, "items"), member(found, "recalls")
    onward = found.get("passed_on", ())  # an older node does not say
    if session.out.as_json:
        session.out.document(found)
        return
    if not (items or recalls or onward):
        session.out.say("It was sent to nobody.")
        return
    rows = [[_name(item), _what(item), _stage(item), local_time(_since(item))] for item in standing(items)]
    rows += [
        [_name(one), RECALLS[one["what"]], _stage(one), local_time(recalled_since(one))] for one in recalls
    ]
    rows += [
        [
            str(node["name"]),
            f"version {one['ver']}",
            "passed on by us" if one["by"].get("ours") else f"passed on by {one['by']['name']}",
            local_time(one["at"]),
        ]
        for one in onward
        for node in one["to"]
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
    return version if item["kind"] == "report" else f"{item['kind']} on {version}"


def _stage(item: Mapping[str, Any]) -> str:
    return f"{item['stage']}: {item['code']}" if item.get("code") else str(item["stage"])


def _since(item: Mapping[str, Any]) -> object:
    return item.get(_TIMES.get(item["stage"], "outcome_at"))
