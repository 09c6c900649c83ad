"""`tocsin report export`: the group; each form is a command, imported when it is called."""

import click

from tocsin_cli.command import Late, LazyGroup

_FORMS = "tocsin_cli.commands.report_export_forms"

COMMANDS = {
    "stix": Late(f"{_FORMS}:stix", "One strict STIX 2.1 bundle, or each report as it was signed."),
    "misp": Late(f"{_FORMS}:misp", "Events in MISP's own JSON, with the bundle attached."),
    "opencti": Late(f"{_FORMS}:opencti", "The bundle in the form that OpenCTI reads; not strict STIX."),
    "csv": Late(f"{_FORMS}:csv", "A table for spreadsheets: one row a report."),
    "jsonl": Late(f"{_FORMS}:jsonl", "JSON Lines: one flat, readable object a report and line."),
    "html": Late(f"{_FORMS}:html", "A page to read or print, without scripts."),
    "authority": Late(
        "tocsin_cli.commands.report_export_authority:authority", "Fill an authority's form from a report."
    ),
}


@click.group("export", cls=LazyGroup, late=COMMANDS, no_args_is_help=True)
def export() -> None:
    """Write reports into a file for other tools and people.

    Without ids, filters and --file all reports of the node are taken. A file knows no recipients: reports
    above TLP:GREEN and reports that name people stay out unless you say otherwise, and are counted on
    stderr. If any stayed out by a limit that you did not name, the exit code is 1. `--losses` says what a
    form has no place for.
    """
