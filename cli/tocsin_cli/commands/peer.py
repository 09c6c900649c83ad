"""`tocsin peer`: the group; its commands are imported when they are called."""

import click

from tocsin_cli.command import Late, LazyGroup

_CONNECT, _LOOK = "Connect", "Look after"
_HERE = "tocsin_cli.commands"

COMMANDS = {
    "invite": Late(f"{_HERE}.peer_connect:invite", "Make an invite for another organisation.", _CONNECT),
    "join": Late(f"{_HERE}.peer_connect:join", "Take up an invite.", _CONNECT),
    "approve": Late(f"{_HERE}.peer_connect:approve", "Approve a peer after comparing eight words.", _CONNECT),
    "remove": Late(f"{_HERE}.peer_connect:remove", "End the connection to a peer.", _CONNECT),
    "list": Late(f"{_HERE}.peer_look:list_", "List the peers.", _LOOK),
    "status": Late(f"{_HERE}.peer_look:status", "Show how the connections are.", _LOOK),
    "evidence": Late(f"{_HERE}.peer_look:evidence", "Write the proof that a peer has forked its log.", _LOOK),
    "witness": Late(f"{_HERE}.peer_look:witness", "Say who cosigns for whom.", _LOOK),
    "complaints": Late(
        f"{_HERE}.peer_complaints:complaints", "List what was passed on against its marking.", _LOOK
    ),
    "policy": Late(f"{_HERE}.peer_policy:policy", "Show what a peer may do here, or change it.", _LOOK),
    "verify": Late(f"{_HERE}.peer_verify:verify", "Prove that a peer and we hold the same.", _LOOK),
    "sync": Late(f"{_HERE}.peer_look:sync", "Ask a peer for news now.", _LOOK),
}


@click.group("peer", cls=LazyGroup, late=COMMANDS, no_args_is_help=True)
def peer() -> None:
    """Connect to other organisations' nodes.

    \b
      one side:    tocsin peer invite NAME           hand the invite over on a private way
      other side:  tocsin peer join --name NAME      paste it
      both sides:  tocsin peer approve NAME          compare eight words by voice

    Reports flow when both sides have approved.
    """  # noqa: D301  click fills no lines after it
