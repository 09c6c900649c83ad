"""`tocsin report recall`, `erase`, `recalls` and `obey`: take a report back, leave nothing, do what a peer asks."""

from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.filing import member
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

_BY = click.option("--by", metavar="NAME", required=True, help="Who decides so; it is kept.")
_REASON = click.option(
    "--reason",
    metavar="TEXT",
    required=True,
    help="Why; it goes to the peers and is kept, so no word of the report.",
)
_DEADLINE = click.option(
    "--deadline",
    "deadline_h",
    type=click.FloatRange(1, 8760),
    metavar="HOURS",
    default=72,
    show_default=True,
    help="By when the peers are to have done it.",
)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")
_DRY = click.option("--dry-run", is_flag=True, help="Show who would be told; do nothing.")


@click.command("recall", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--from",
    "peers",
    multiple=True,
    metavar="PEER",
    help="From this peer alone; may be repeated. Else from all that were sent it.",
)
@_BY
@_REASON
@_DEADLINE
@_YES
@_DRY
@pass_session
def recall(
    session: Session,
    report_id: str,
    peers: tuple[str, ...],
    by: str,
    reason: str,
    deadline_h: float,
    yes: bool,
    dry_run: bool,
) -> None:
    """Take a report back from peers.

    They may hold it no more, and get no later version. Their nodes erase it by themselves, or when a person there says
    so, and answer with receipts. It stays here. What somebody there has read, copied or passed on outside Tocsin
    cannot be taken back.
    """
    wanted: dict[str, Any] = {"by": by, "reason": reason, "deadline_h": deadline_h}
    if peers:
        wanted["peers"] = list(peers)
    _take_back(session, report_id, "recall", wanted, yes=yes, dry_run=dry_run, ask="Take it back?")


@click.command("erase", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@_BY
@_REASON
@_DEADLINE
@_YES
@_DRY
@pass_session
def erase(
    session: Session, report_id: str, by: str, reason: str, deadline_h: float, yes: bool, dry_run: bool
) -> None:
    """Leave nothing of a report, here and at peers.

    It is for good; one of your own is taken back from all that were sent it, a peer's from those you passed it on to.
    Bytes, keys, alerts, duties, remarks and headers go; the hashes of its entries stay, so that every proof of
    everything else still holds. The bot takes back what it wrote about it in Matrix rooms. It does not come in again
    by any door: `tocsin report blocklist`. Backups, mails and webhooks that went out are yours to see to.
    """
    wanted = {"by": by, "reason": reason, "deadline_h": deadline_h}
    _take_back(session, report_id, "erase", wanted, yes=yes, dry_run=dry_run, ask="Erase it for good?")


@click.command("recalls", cls=Command)
@pass_session
def recalls(session: Session) -> None:
    """List what was taken back, by us and by peers.

    Of what we took back it says how far each peer is, and who has not confirmed it by the deadline; of what peers did,
    what is to be done here. A report that is erased here has no name any more: it is told by a hash and the day.
    """
    found = session.client.json("GET", "/v1/recalls")
    ours, theirs = member(found, "ours"), member(found, "theirs")
    if session.out.as_json:
        session.out.document(found)
        return
    if not ours and not theirs:
        session.out.say("No recalls.")
        return
    titles: Mapping[str, str] = found.get("titles") or {}
    rows = [
        [
            "us",
            one["peer"]["name"],
            one["what"],
            _stage(one),
            local_time(one["deadline"]),
            _which(one, titles),
        ]
        for one in ours
    ]
    rows += [
        [
            one["peer"]["name"],
            "us",
            one["what"],
            _done(one),
            local_time(one["deadline"]),
            _reports(one, titles) if one["reports"] else "not held here",
        ]
        for one in theirs
    ]
    session.out.table(["by", "of", "what", "how far", "until", "report"], rows)
    waiting = [one for one in theirs if not one["done_at"] and not one.get("disputed")]
    for one in waiting:
        reports = _reports(one, titles) or "nothing that is held here"
        session.out.say(f"{one['peer']['name']} takes back {reports}: {one['reason']}")
    if late := sorted({one["peer"]["name"] for one in ours if one["overdue"]}):
        session.out.warn(f"Not confirmed by the deadline: {', '.join(late)}. Ask there by another way.")
    if waiting:
        session.out.next_step(f"tocsin report obey {waiting[0]['entry']} --by NAME")


@click.command("obey", cls=Command)
@click.argument("entry", metavar="ENTRY")
@_BY
@_YES
@pass_session
def obey(session: Session, entry: str, by: str, yes: bool) -> None:
    """Do what a peer's recall asks.

    That is for a node that waits for a person (federation.recall = "ask"). ENTRY is what `tocsin report recalls` names.
    What is taken back is erased here as by `tocsin report erase`.
    """
    if not yes and not Asker(session.out, instead=GIVE_YES).yes("Do what it asks?", default=False):
        session.out.warn("Nothing is done.")
        return
    done = session.client.json("POST", f"/v1/recalls/{segment(entry)}/obey", send={"by": by})
    what = "erased" if done["what"] == "purge" else "marked more strictly"
    session.out.say(f"Done: {done['reports']} reports {what}; the author is told.")
    session.out.next_step("tocsin report recalls")


def _take_back(
    session: Session,
    report_id: str,
    verb: str,
    wanted: Mapping[str, Any],
    *,
    yes: bool,
    dry_run: bool,
    ask: str,
) -> None:
    path = f"/v1/reports/{segment(report_id)}/{verb}"
    tried = session.client.json("POST", path, send={**wanted, "dry_run": True})
    if dry_run:
        _tell(session, tried, verb)
        return
    if not yes:
        _tell(session, tried, verb)
        if not Asker(session.out, instead=GIVE_YES).yes(ask, default=False):
            session.out.warn("Nothing is done.")
            return
    done = session.client.json("POST", path, send=dict(wanted))
    _tell(session, done, verb)
    told = bool(done["peers"])
    session.out.next_step(f"tocsin report receipts {report_id}" if told else "tocsin report blocklist list")


def _tell(session: Session, told: Mapping[str, Any], verb: str) -> None:
    out = session.out
    if out.as_json:
        out.document(told)
        return
    tried = "Would be erased" if verb == "erase" else "Would be taken back"
    heading = {"dry-run": tried, "recalled": "Recalled", "erased": "Erased"}[told["outcome"]]
    names = ", ".join(peer["name"] for peer in told["peers"]) or "nobody: no peer has it from us"
    until = [("Until", local_time(told["deadline"]))] if told["peers"] else []
    out.facts([(heading, told["report_id"]), ("Told", names), *until])
    for made in told["redactions"]:
        out.warn(f"A redaction of it stays: {made} (`tocsin report erase {made}` takes that too).")


def _stage(one: Mapping[str, Any]) -> str:
    return f"{one['stage']} (overdue)" if one["overdue"] else str(one["stage"])


def _which(one: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The report that we took back, as long as anything here says which."""
    report_id = one.get("report_id")
    if report_id is None and not one["tag"]:
        return f"not known yet, since a restore ({local_time(one['at'])})"
    if report_id is None:
        return f"erased here ({str(one['tag'])[:12]}), {local_time(one['at'])}"
    return _named(report_id, titles)


def _reports(one: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    return ", ".join(_named(report_id, titles) for report_id in one["reports"])


def _named(report_id: str, titles: Mapping[str, str]) -> str:
    return f"{report_id} ({titles[report_id]})" if report_id in titles else report_id


def _done(one: Mapping[str, Any]) -> str:
    if one["done_at"]:
        return f"done by {one['done_by']}" if one["done_by"] else "done"
    if one.get("disputed"):
        return "disputed: not obeyed"
    return "waits for a person here"
