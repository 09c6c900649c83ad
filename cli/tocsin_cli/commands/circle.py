"""`tocsin circle`: the group; its commands are imported when they are called."""

import click

from tocsin_cli.command import Late, LazyGroup

_ADMINS, _LOOK = "For its admins", "For its members"
_HERE = "tocsin_cli.commands"

COMMANDS = {
    "key": Late(f"{_HERE}.circle_ceremony:key", "Make the keys that admins sign with.", _ADMINS),
    "propose": Late(
        f"{_HERE}.circle_ceremony:propose", "Write a manifest: a new circle, or its next epoch.", _ADMINS
    ),
    "sign": Late(f"{_HERE}.circle_ceremony:sign", "Sign the newest manifest in a circle's file.", _ADMINS),
    "adopt": Late(f"{_HERE}.circle_act:adopt", "Join a circle, or take its next epoch.", _LOOK),
    "list": Late(f"{_HERE}.circle_look:list_", "List the circles that are known here.", _LOOK),
    "show": Late(f"{_HERE}.circle_look:show", "Show how a circle stands, and what did not come.", _LOOK),
    "members": Late(
        f"{_HERE}.circle_look:members", "List a circle's members and what they know of it.", _LOOK
    ),
    "export": Late(f"{_HERE}.circle_look:export", "Write a circle's file, for its admins.", _LOOK),
    "backfill": Late(
        f"{_HERE}.circle_act:backfill", "Give new members what was shared before they came.", _LOOK
    ),
    "leave": Late(f"{_HERE}.circle_act:leave", "Leave a circle.", _LOOK),
}


@click.group("circle", cls=LazyGroup, late=COMMANDS, no_args_is_help=True)
def circle() -> None:
    """Share with a circle of organisations that its admins have named together.

    \b
      each admin:   tocsin circle key new FILE               keep the file, give the public key
      one admin:    tocsin circle propose FILE --name NAME   members, admins, how many must sign
      enough admins: tocsin circle sign FILE --key-file FILE
      a member:     tocsin circle adopt FILE                 its node tells the other members
      each member:  tocsin circle adopt NAME                 to be named is not to agree
      then:         tocsin report submit --circle NAME
    """  # noqa: D301  click fills no lines after it
