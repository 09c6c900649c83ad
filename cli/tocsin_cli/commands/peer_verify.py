"""`tocsin peer verify`: whether a peer and we hold the same of each other's entries."""

import shlex
from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.errors import NotVerified
from tocsin_cli.filing import member
from tocsin_cli.session import Session, pass_session

_HEADS = {
    "same": "the same at both, proven by the signed checkpoint",
    "we-are-behind": "they know a longer one",
    "they-are-behind": "we know a longer one",
    "contradicted": "what they show contradicts what we hold",
    "unknown": "they showed none",
}
_REMEDIES = {
    "fetch": "fetch it again: --repair",
    "offer": "make its key anew for them: --repair",
    "give-back": "they hold what we lost",
    "theirs": "their operator: tocsin peer verify, --repair",
    "kept-out": "it was erased, and stays away: tocsin report blocklist list",
    "none": "a rule forbids it",
}
_TROUBLES = {
    "cannot-compare": "their node does not know how to compare yet; it has to be updated",
    "compare-malformed": "their answer does not have its form",
}


@click.command("verify", cls=Command)
@click.argument("name", metavar="NAME")
@click.option(
    "--repair", is_flag=True, help="Fetch what is missing here, and offer anew what they could not open."
)
@pass_session
def verify(session: Session, name: str, repair: bool) -> None:
    """Prove that a peer and we hold the same.

    Of both logs: what the author sealed to the other, and what became of it there. When all is the same it costs a
    question or two, however long the logs are; what differs is listed with its reason. What the peer says of itself is
    its word. What people erased and keep out is told apart: it is no difference. Ends with 4 when the two do not hold
    the same.
    """
    path = f"/v1/peers/{segment(name)}/verify"
    found = session.client.json("POST", path, send={}) if repair else session.client.json("GET", path)
    same = member(found, "same") is True
    if session.out.as_json:
        session.out.document(found)
    else:
        _side(session, f"Their log, of what is for us ({name} wrote it)", found.get("their_log") or {})
        session.out.line()
        _side(session, "Our log, of what is for them (their word)", found.get("our_log") or {})
    if not same:
        quoted = shlex.quote(name)
        hint = (
            f"tocsin peer verify {quoted} --repair" if not repair else f"tocsin peer verify {quoted}, later"
        )
        if _all_by_rule(found):
            hint = "Nothing is lost and nothing can be repaired: the last column says why each is not held."
        raise NotVerified(f"{name} and this node do not hold the same.", code="not-the-same", hint=hint)
    if not session.out.as_json:
        apart = sum(len((found.get(side) or {}).get("kept_out") or []) for side in ("their_log", "our_log"))
        but = f", but for {_many(apart, 'entry', 'entries')} that people erased and keep out" if apart else ""
        session.out.say(f"Both hold the same{but}.")


def _many(count: object, one: str, more: str = "") -> str:
    return f"{count} {one if count == 1 else more or one + 's'}"


def _side(session: Session, title: str, side: Mapping[str, Any]) -> None:
    count, waiting = side.get("held"), side.get("waiting")
    compared = [
        _many(side.get("compared"), "place"),
        f"{_many(count, 'entry', 'entries')} held here",
        _many(side.get("asked"), "question"),
    ]
    pairs: list[tuple[str, object]] = [
        ("Log", title),
        ("Head", _HEADS.get(str(side.get("head")), side.get("head"))),
        ("Compared", ", ".join(compared)),
    ]
    if waiting:
        pairs.append(("Not yet worked through", f"{waiting} places"))
    if trouble := side.get("trouble"):
        pairs.append(("Not compared", _TROUBLES.get(str(trouble), trouble)))
    pairs.append(("The same", "yes" if side.get("same") else "no"))
    session.out.facts(pairs)
    kept_out = side.get("kept_out") or []
    rows = [_row(each) for each in [*(side.get("differences") or []), *kept_out]]
    if rows:
        session.out.line()
        session.out.table(["entry", "here", "there", "report", "what to do"], rows)
    if side.get("complete") is False:
        session.out.say("There are more differences than can be listed; mend these first.")


def _row(each: Mapping[str, Any]) -> list[object]:
    if each.get("repaired"):
        done = f"mended: {each.get('note')}"
    elif each.get("note"):
        done = str(each["note"])
    elif each.get("remedy") == "kept-out" and each.get("there") == "refused":
        done = "they erased it, and keep it out"
    else:
        done = _REMEDIES.get(str(each.get("remedy")), str(each.get("remedy")))
    here, there = (_state(each, part) for part in ("here", "there"))
    return [each.get("index"), here, there, each.get("report_id") or "not known", done]


def _state(each: Mapping[str, Any], part: str) -> str:
    """How the entry stands on that side. The code is of the side that does not hold it as it was sealed."""
    state = each.get(part) or "nothing"
    return f"{state} ({each['code']})" if each.get("code") and state != "sealed" else str(state)


def _all_by_rule(found: Mapping[str, Any]) -> bool:
    """Whether all that differs was refused by a rule, so that nothing is to be repaired from here or later."""
    sides = [found.get(side) or {} for side in ("their_log", "our_log")]
    rest = [each for side in sides for each in side.get("differences") or [] if not each.get("repaired")]
    if any(
        side.get("head") != "same" or side.get("waiting") or side.get("trouble") or not side.get("complete")
        for side in sides
    ):
        return False
    return bool(rest) and all(each.get("remedy") == "none" for each in rest)
