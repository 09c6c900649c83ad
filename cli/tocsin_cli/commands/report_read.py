"""`tocsin report list` and `tocsin report show`."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.client import STIX, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.alert_lines import act_line
from tocsin_cli.commands.redaction_told import redaction_lines
from tocsin_cli.commands.remark_told import remark_lines
from tocsin_cli.commands.report_content import content_facts
from tocsin_cli.commands.report_table import command_of, query_of, tell_page
from tocsin_cli.commands.report_told import severity_line
from tocsin_cli.errors import Refused, UsageFault
from tocsin_cli.filing import member, names
from tocsin_cli.listing import cursor_option, cursor_refused, limit_option
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import Grade, Since, Tlp

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ReportId(click.ParamType[str]):
    """An incident's id; the UUID alone will do."""

    name = "ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the whole id."""
        del param, ctx  # click hands them over; the message needs neither
        text = str(value).strip().lower()
        uuid = text.removeprefix("incident--")
        if not _UUID.fullmatch(uuid):
            raise UsageFault(
                f"{value!r} is not the id of a report.",
                hint="`tocsin report list` shows the ids: incident--UUID.",
            )
        return f"incident--{uuid}"


@click.command("list", cls=Command)
@limit_option("Reports")
@cursor_option
@click.option("--grade", type=Grade(), metavar="GRADE", help="Only this response grade.")
@click.option("--tlp", type=Tlp(), metavar="TLP", help="Only this marking.")
@click.option("--state", type=click.Choice(["active", "withdrawn"]), help="Only these.")
@click.option(
    "--origin", metavar="NAME", help="Only what this peer sent; us for what was filed or imported here."
)
@click.option("--text", metavar="WORDS", help="Only reports with these words in their title.")
@click.option("--since", type=Since(), metavar="WHEN", help="Only what began then or later: 2025-03-24.")
@pass_session
def list_(session: Session, /, limit: int, **filters: str | None) -> None:
    """List the reports that the node holds, newest first."""
    asked = {"limit": limit, **filters}
    try:
        found = session.client.json("GET", "/v1/reports", query=query_of(asked))
    except Refused as exc:
        raise cursor_refused(exc, filters.get("cursor")) from exc
    if session.out.as_json:
        member(found, "items")
        session.out.document(found)
        return
    tell_page(session, found, command_of("tocsin report list", {**asked, "cursor": None}, {}))


DISPUTED = (
    "its author no longer vouches for this version and has ended the log that it stands in: its key was stolen, or\n"
    "its database restored. Ask them before you act on it; what is so they publish again."
)


@click.command("show", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option("--stix", is_flag=True, help="Print the STIX bundle, byte for byte as it was signed.")
@pass_session
def show(session: Session, report_id: str, stix: bool) -> None:
    """Show one report: what it says, who has it, who acknowledged it."""
    path = f"/v1/reports/{segment(report_id)}"
    if stix:
        session.out.raw(session.client.raw("GET", path, accept=STIX))
        return
    found = session.client.json("GET", path)
    member(found, "id")
    explanation = _explanation(found)
    if session.out.as_json:
        session.out.document({**found, "explanation": explanation})
        return
    session.out.facts([*_facts(found, explanation), *_content(session, found)])
    description = _description(found)
    if description:
        session.out.line()
        session.out.line(description, lines=True)


def _explanation(found: Mapping[str, Any]) -> dict[str, Any] | None:
    from tocsin_cli.commands.report_severity import explanation_of
    from tocsin_schema.errors import SchemaError

    try:
        return explanation_of(found.get("bundle"))
    except SchemaError:
        return None  # what cannot be taken apart here is said with the content


def _facts(found: Mapping[str, Any], explanation: Mapping[str, Any] | None) -> list[tuple[str, object]]:
    from tocsin_cli.commands.report_severity import explanation_lines

    origin = found.get("origin") or {}
    pairs: list[tuple[str, object]] = [
        ("Title", found.get("name")),
        ("Id", f"{found['id']} (version {found.get('ver', '?')})"),
        ("Severity", severity_line(found)),
    ]
    pairs += [("because of", driver) for driver in found.get("drivers") or []]
    pairs += explanation_lines(explanation) if explanation else []
    pairs += [
        ("State", f"{found.get('state')}; {found.get('realization')}"),
        *([("Disputed", DISPUTED)] if found.get("disputed") else []),
        ("From", _brought_by(origin)),
        *_creator(found, origin),
        ("Modified", local_time(found.get("modified"))),
        ("Stored", local_time(found.get("stored_at"))),
    ]
    if origin.get("ours") or origin.get("imported"):
        pairs += _sealed_to(found)
    if circles := names(found.get("circles")):
        pairs.append(("Circle", ", ".join(circles)))
    if origin.get("ours"):
        pairs += redaction_lines(found)
    pairs += [*_passed_on(found), *_recalled(found)]
    entry = found.get("entry")
    if isinstance(entry, Mapping):
        pairs.append(("Log entry", f"{entry.get('index')}, leaf {str(entry.get('leaf_hash', ''))[:16]}…"))
    pairs += [*_trust(found), *_through(found, origin)]
    pairs += [("Reviewed", review_line(each)) for each in found.get("reviews") or []]
    pairs += [("Acknowledged", acknowledgement_line(each)) for each in found.get("acknowledgements") or []]
    pairs += [("Progress", act_line(each)) for each in found.get("progress") or []]
    return [*pairs, *remark_lines(found)]


def _trust(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Whether enough witnesses vouch that everybody is shown the same; nothing for what stands in no log."""
    witnesses = found.get("witnesses")
    if not isinstance(witnesses, Mapping):
        return []
    by = ", ".join(names(witnesses.get("by"))) or "nobody yet"
    known = witnesses.get("known")
    takes = f"it takes {witnesses.get('required')}; {known} witness{'' if known == 1 else 'es'} known here"
    return [("Trust", f"{found.get('trust')}; cosigned by {by} ({takes})")]


def _through(found: Mapping[str, Any], origin: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Who gave it in its author's place; nothing when the author did."""
    giver, author = found.get("through"), origin.get("name")
    if not isinstance(giver, Mapping):
        return []
    why = f"while {author} is away" if giver.get("awaited") else f"since what {author} gave did not open"
    return [("Came through", f"{giver.get('name')}, {why}")]


def _brought_by(origin: Mapping[str, Any]) -> str:
    if origin.get("ours"):
        return "us"
    return "imported here" if origin.get("imported") else f"{origin.get('name')} ({origin.get('node_id')})"


def _passed_on(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Through whom it came, and who has passed it on to whom."""
    lines: list[tuple[str, object]] = []
    if isinstance(through := found.get("passed_by"), Mapping):
        told = f"by {through.get('name')}, with the author's proof; the author is not told what you answer"
        lines.append(("Passed on", told))
    for each in found.get("passed_on") or []:
        to, clients = (
            ", ".join(names(each.get("to"))) or "nobody",
            " (its clients)" if each.get("clients") else "",
        )
        by = "us" if (each.get("by") or {}).get("ours") else (each.get("by") or {}).get("name")
        when = f"version {each.get('ver')}, {local_time(each.get('at'))}"
        lines.append(("Passed on", f"by {by} to {to}{clients}, {when}"))
    return lines


def _recalled(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """From whom it was taken back, and whose copies were marked more strictly: the last of each at each peer."""
    last = {
        (each.get("what"), (each.get("peer") or {}).get("name")): each for each in found.get("recalls") or []
    }
    return [
        (
            "Taken back" if what == "purge" else "Narrowed",
            f"{'from' if what == 'purge' else 'at'} {name} on {local_time(each.get('at'))}: {each.get('stage')}"
            + ("; overdue, call them" if each.get("overdue") else ""),
        )
        for (what, name), each in last.items()
    ]


def _creator(found: Mapping[str, Any], origin: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Who alone makes versions of it; nothing when that is who brought it."""
    by = found.get("created_by")
    if not by or origin.get("ours") or by.get("node_id") == origin.get("node_id"):
        return []
    unsigned = "; so the file says, that was imported: nobody signed it" if origin.get("imported") else ""
    return [("Created by", f"{by.get('name')} ({by.get('node_id') or by.get('id')}){unsigned}")]


def _sealed_to(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Who has this version, and who has but an earlier one."""
    having = [each for each in found.get("to") or [] if each.get("current", True)]
    behind = names([each for each in found.get("to") or [] if not each.get("current", True)])
    share = [f"tocsin report share {found['id']} --to {shlex.quote(name)}" for name in behind]
    return [
        ("Sealed to", ", ".join(names(having)) or "nobody"),
        *(
            ("Left behind", f"{name} has an earlier version: {how}")
            for name, how in zip(behind, share, strict=True)
        ),
    ]


def _content(session: Session, found: Mapping[str, Any]) -> list[tuple[str, object]]:
    from tocsin_schema.errors import SchemaError

    try:
        return content_facts(found.get("bundle"))
    except SchemaError as exc:
        session.out.say(
            f"The rest cannot be taken apart here: {exc} See: tocsin report show {found['id']} --stix"
        )
        return []


def acknowledgement_line(each: Mapping[str, Any]) -> str:
    """Who acknowledged, where and when, on one line."""
    where = f" at {each['node']}" if each.get("node") and each.get("via") != "peer" else ""
    gone = f", taken back {local_time(each['revoked_at'])}" if each.get("revoked_at") else ""
    gone = ", disputed by its author: it does not count" if each.get("disputed") else gone
    note = f": {each['note']}" if each.get("note") else ""
    return f"{each.get('by')}{where} via {each.get('via')}, {local_time(each.get('at'))}{gone}{note}"


def review_line(each: Mapping[str, Any]) -> str:
    """Who took it on that a version leaves, when, and what it seemed to hold."""
    kinds = ", ".join(str(kind) for kind in each.get("kinds") or []) or "nothing suspected"
    return f"by {each.get('reviewed_by')}, {local_time(each.get('at'))}, version {each.get('ver')}: {kinds}"


def _description(found: Mapping[str, Any]) -> str:
    bundle = found.get("bundle")
    objects = bundle.get("objects") if isinstance(bundle, Mapping) else None
    for each in objects if isinstance(objects, list) else []:
        if isinstance(each, Mapping) and each.get("id") == found["id"]:
            return str(each.get("description") or "")
    return ""
