"""`tocsin report`: the group; its commands are imported when they are called."""

import click

from tocsin_cli.command import Late, LazyGroup

_FILE, _READ, _CHANGE, _WAITING = "File", "Read", "Change", "What waits here"
_HERE = "tocsin_cli.commands"

COMMANDS = {
    "new": Late(f"{_HERE}.report_file:new", "File a report, guided, in under a minute.", _FILE),
    "submit": Late(f"{_HERE}.report_file:submit", "File a report from a file, a pipe or your editor.", _FILE),
    "list": Late(f"{_HERE}.report_read:list_", "List the reports that the node holds, newest first.", _READ),
    "show": Late(
        f"{_HERE}.report_read:show", "Show one report: what it says, who has it, who acknowledged it.", _READ
    ),
    "share": Late(
        f"{_HERE}.report_share:share", "Send a report that is filed already to further peers.", _CHANGE
    ),
    "update": Late(f"{_HERE}.report_change:update", "Send a new version of a report.", _CHANGE),
    "withdraw": Late(f"{_HERE}.report_change:withdraw", "Withdraw a report, for good.", _CHANGE),
    "queue": Late(f"{_HERE}.report_queue:queue", "List the reports that wait here for the node.", _WAITING),
    "flush": Late(f"{_HERE}.report_queue:flush", "Send the reports that wait here.", _WAITING),
}


@click.group("report", cls=LazyGroup, late=COMMANDS, no_args_is_help=True)
def report() -> None:
    """File, read, change and withdraw reports.

    A report that cannot reach the node is kept on this machine and sent with `tocsin report flush`; it is
    never lost and never doubled.
    """
