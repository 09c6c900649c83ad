"""`tocsin peer invite|join|approve|remove`: from a stranger to a peer, and back.

An invite is a secret: it is printed once and read from stdin, a file or a hidden prompt, never from the
command line, where the system would show it to others.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import click

from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.errors import CliError, FileUnreadable, NotVerified, Refused, UsageFault
from tocsin_cli.filing import member
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import Tlp

_TTL = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_INVITE_MAX_BYTES = 16 * 1024


class Ttl(click.ParamType[int]):
    """A span of time such as 30m, 24h or 7d, in seconds."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        match = _TTL.fullmatch(str(value))
        if match is None:
            self.fail(f"{value!r} is not a span of time; write it like 30m, 24h or 7d.", param, ctx)
        return int(match[1]) * _SECONDS[match[2]]


@click.command("invite", cls=Command)
@click.argument("name", metavar="NAME")
@click.option(
    "--ttl", type=Ttl(), metavar="SPAN", help="How long it is good for, such as 24h. [default: 48h]"
)
@pass_session
def invite(session: Session, name: str, ttl: int | None) -> None:
    """Make an invite for another organisation.

    NAME is what they will be called here. The invite is good for one use. Hand it over on a private way:
    whoever has it can ask to become your peer, though not more than ask.
    """
    asked: dict[str, Any] = {"name": name} | ({"ttl_s": ttl} if ttl else {})
    made = session.client.json("POST", "/v1/peers/invites", send=asked)
    text = member(made, "invite")
    if session.out.as_json:
        session.out.document(made)
        return
    session.out.line(text)
    session.out.say(
        f"Good for one use until {local_time(made.get('expires_at'))}. Hand it over on a private way."
    )
    session.out.next_step(f"when they have joined: tocsin peer approve {shlex.quote(name)}")


@click.command("join", cls=Command)
@click.option(
    "--name", metavar="NAME", help="What to call them here; otherwise their own name for themselves."
)
@click.option(
    "--file", "file", metavar="FILE", type=click.Path(path_type=Path), help="The file with the invite."
)
@pass_session
def join(session: Session, name: str | None, file: Path | None) -> None:
    """Take up an invite.

    The invite is read from --file, from a pipe, or from a prompt that does not show it.
    """
    text = _invite_text(session, file)
    asked = {"invite": text} | ({"name": name} if name else {})
    joined = session.client.json("POST", "/v1/peers/join", send=asked)
    called = str(member(joined, "name"))
    if session.out.as_json:
        session.out.document(joined)
        return
    session.out.facts(
        [("Joined", called), ("Organisation", joined.get("org")), ("State", joined.get("state"))]
    )
    _say_words(session, joined.get("sas"))
    session.out.next_step(f"tocsin peer approve {shlex.quote(called)}")


@click.command("approve", cls=Command)
@click.argument("name", metavar="NAME")
@click.option("--words", metavar="WORDS", help="The eight words as the other side read them to you.")
@click.option(
    "--unverified", is_flag=True, help="Approve without comparing; nothing above TLP:GREEN will flow."
)
@click.option("--max-tlp-out", type=Tlp(), metavar="TLP", help="The strictest marking that they may get.")
@click.option(
    "--max-tlp-in",
    type=Tlp(),
    metavar="TLP",
    help="The strictest marking that is taken from them.",
)
@pass_session
def approve(
    session: Session,
    name: str,
    words: str | None,
    unverified: bool,
    max_tlp_out: str | None,
    max_tlp_in: str | None,
) -> None:
    """Approve a peer after comparing eight words.

    Both sides see the same eight words. Compare them by voice with somebody whom you know there: if they
    differ, somebody sits between you.
    """
    if words and unverified:
        raise UsageFault("--words and --unverified contradict each other.", hint="Take one of them away.")
    path = f"/v1/peers/{segment(name)}"
    ceilings = (("max_tlp_out", max_tlp_out), ("max_tlp_in", max_tlp_in))
    try:
        asked: dict[str, Any] = {key: value for key, value in ceilings if value}
        if unverified:
            asked["unverified"] = True
        elif words or not (asked and _compared_before(session, path)):
            asked["sas"] = words or _compared(session, path, name)
        found = session.client.json("POST", f"{path}/approve", send=asked)
    except Refused as exc:
        if exc.code == "sas-mismatch":
            raise NotVerified(str(exc), code=exc.code, hint=exc.hint) from exc
        if exc.code == "peer-unknown":
            exc.hint = f"{exc.hint} If you have invited them, they have not joined yet.".strip()
        raise
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.facts(
        [
            ("Approved", member(found, "name")),
            ("State", found.get("state")),
            ("Words compared", "yes" if found.get("sas_verified") else "no"),
            ("They may get up to", f"TLP:{str(found.get('max_tlp_out')).upper()}"),
            ("Taken from them up to", f"TLP:{str(found.get('max_tlp_in')).upper()}"),
        ]
    )
    if found.get("state") == "pending":
        session.out.say("Reports flow as soon as the other side has approved too.")
    session.out.next_step(f"tocsin peer status {shlex.quote(name)}")


@click.command("remove", cls=Command)
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def remove(session: Session, name: str, yes: bool) -> None:
    """End the connection to a peer.

    Nothing is sent to it or taken from it any more; what it has, it has.
    """
    if not yes and not Asker(session.out, instead=GIVE_YES).yes(
        f"End the connection to {name}?", default=False
    ):
        session.out.warn("Nothing is changed.")
        return
    session.client.json("DELETE", f"/v1/peers/{segment(name)}")
    if session.out.as_json:
        session.out.document({"name": name, "removed": True})
    else:
        session.out.line(f"Removed: {name}")


def _invite_text(session: Session, file: Path | None) -> str:
    if file is None:
        text = Asker(session.out).secret("The invite (it is not shown):")
    else:
        try:
            with file.open("rb") as stream:
                text = stream.read(_INVITE_MAX_BYTES + 1).decode("ascii", "replace").strip()
        except OSError as exc:
            raise FileUnreadable(f"{file} cannot be read: {exc.strerror}.", hint="Check the name.") from exc
    if not text or len(text) > _INVITE_MAX_BYTES:
        raise UsageFault(
            "There is no invite in the input.", hint="Paste the one line that `tocsin peer invite` printed."
        )
    return text


def _compared_before(session: Session, path: str) -> bool:
    """Whether the words were compared when this peer was approved: then a ceiling alone asks for nothing more."""
    found = session.client.json("GET", path)
    return isinstance(found, dict) and bool(found.get("ours_approved") and found.get("sas_verified"))


def _compared(session: Session, path: str, name: str) -> str:
    """Show the words, ask whether they were compared, and return them."""
    found = session.client.json("GET", path)
    words = found.get("sas") if isinstance(found, dict) else None
    if not isinstance(words, list) or not words:
        raise CliError(
            f"{name} has not joined yet, so there are no words to compare.",
            code="not-joined",
            hint="Ask the other side to run: tocsin peer join",
        )
    _say_words(session, words)
    ask = Asker(
        session.out, instead='Without a person to ask give --words "THE EIGHT WORDS" as they read them.'
    )
    if not ask.yes(
        "Have you compared them by voice with the other side, and are they the same?", default=False
    ):
        raise NotVerified(
            "Not approved: the words were not compared, or they differ.",
            code="not-compared",
            hint="If they differ, somebody sits between you: remove the peer and start with a new invite.",
        )
    return " ".join(str(word) for word in words)


def _say_words(session: Session, words: object) -> None:
    if isinstance(words, list) and words:
        session.out.warn("Compare these words by voice with somebody whom you know there:")
        session.out.warn("\n    " + "  ".join(str(word) for word in words) + "\n")
