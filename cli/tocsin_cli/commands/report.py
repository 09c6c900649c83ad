"""`tocsin report`: the group; its commands are imported when they are called."""

import click

from tocsin_cli.command import Late, LazyGroup

_FILE, _READ, _CHANGE, _WAITING = "File", "Read", "Change", "What waits here"
_SAY = "Say something about a report"
_TAKE = "Take back"
_HERE = "tocsin_cli.commands"

COMMANDS = {
    "new": Late(f"{_HERE}.report_file:new", "File a report, guided, in under a minute.", _FILE),
    "submit": Late(f"{_HERE}.report_file:submit", "File a report from a file, a pipe or your editor.", _FILE),
    "list": Late(f"{_HERE}.report_read:list_", "List the reports that the node holds, newest first.", _READ),
    "search": Late(f"{_HERE}.report_search:search", "Find reports by words and facets.", _READ),
    "show": Late(
        f"{_HERE}.report_read:show", "Show one report: what it says, who has it, who acknowledged it.", _READ
    ),
    "export": Late(
        f"{_HERE}.report_export:export", "Write reports into a file for other tools and people.", _READ
    ),
    "prove": Late(
        f"{_HERE}.report_prove:prove", "Write a proof of a report that anybody can verify offline.", _READ
    ),
    "receipts": Late(
        f"{_HERE}.report_receipts:receipts",
        "Show how far a report got at each peer that it was sent to.",
        _READ,
    ),
    "remarks": Late(
        f"{_HERE}.report_remark:remarks_", "List what everybody says about a report, oldest first.", _READ
    ),
    "duplicates": Late(
        f"{_HERE}.report_duplicates:duplicates",
        "Show reports that may tell of the same event, and why.",
        _READ,
    ),
    "duplicate-of": Late(
        f"{_HERE}.report_duplicates:duplicate_of",
        "Say that two reports are the same event, or are not.",
        _CHANGE,
    ),
    "share": Late(
        f"{_HERE}.report_share:share", "Send a report to further peers, or pass on a peer's.", _CHANGE
    ),
    "update": Late(f"{_HERE}.report_change:update", "Send a new version of a report.", _CHANGE),
    "override": Late(
        f"{_HERE}.report_severity:override",
        "Set the severity level of a report by a person's decision.",
        _CHANGE,
    ),
    "redact": Late(
        f"{_HERE}.report_redact:redact", "Share a version of a report without what may not leave.", _CHANGE
    ),
    "withdraw": Late(f"{_HERE}.report_change:withdraw", "Withdraw a report, for good.", _CHANGE),
    "recall": Late(f"{_HERE}.report_recall:recall", "Take a report back from peers.", _TAKE),
    "erase": Late(f"{_HERE}.report_recall:erase", "Leave nothing of a report, here and at peers.", _TAKE),
    "recalls": Late(f"{_HERE}.report_recall:recalls", "List what was taken back, by us and by peers.", _TAKE),
    "obey": Late(f"{_HERE}.report_recall:obey", "Do what a peer's recall asks.", _TAKE),
    "blocklist": Late(
        f"{_HERE}.report_blocklist:blocklist",
        "See what was erased and does not come in again, and lift that.",
        _TAKE,
    ),
    "sight": Late(f"{_HERE}.report_remark:sight", "Say that you see this too, how often and when.", _SAY),
    "opinion": Late(
        f"{_HERE}.report_remark:opinion", "Say whether you are affected, or how far you agree.", _SAY
    ),
    "retract": Late(f"{_HERE}.report_remark:retract", "Take back what you said about a report.", _SAY),
    "queue": Late(f"{_HERE}.report_queue:queue", "List the reports that wait here for the node.", _WAITING),
    "drafts": Late(
        f"{_HERE}.report_drafts:drafts", "List the texts that are kept here and were not filed.", _WAITING
    ),
    "flush": Late(f"{_HERE}.report_queue:flush", "Send the reports that wait here.", _WAITING),
}


@click.group("report", cls=LazyGroup, late=COMMANDS, no_args_is_help=True)
def report() -> None:
    """File, read, change and withdraw reports.

    A report that cannot reach the node is kept on this machine and sent with `tocsin report flush`; it is
    never lost and never doubled.
    """
