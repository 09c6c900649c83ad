"""`tocsin peer list|status|sync`: how the connections to other nodes are."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.commands.compared_told import compared_text
from tocsin_cli.commands.relay_told import relay_lines
from tocsin_cli.filing import member
from tocsin_cli.placing import check_place, put
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

_COUNTED = ("stored", "unchanged", "superseded")
_WHY = ("refused", "quarantined")


@click.command("list", cls=Command)
@pass_session
def list_(session: Session) -> None:
    """List the peers."""
    found = _peers(session)
    if found is None:
        return
    rows = [
        [
            peer.get("name"),
            peer.get("org"),
            peer.get("state"),
            peer.get("max_tlp_out"),
            peer.get("max_tlp_in"),
            "yes" if peer.get("sas_verified") else "no",
            peer.get("url"),
        ]
        for peer in found
    ]
    session.out.table(["name", "organisation", "state", "tlp out", "tlp in", "compared", "address"], rows)


@click.command("status", cls=Command)
@click.argument("name", metavar="[NAME]", required=False)
@pass_session
def status(session: Session, name: str | None) -> None:
    """Show how the connections are.

    All of them, or the one named in full. LAG is how many entries of their log are still to be looked at; TO
    FETCH how many of ours they have not fetched; SAME whether each held what the other sealed to it when they were
    last compared, which is done once a day (tocsin peer verify does it now). A bad state is shown, not an error: the
    exit code is 0 as long as the node answers.
    """
    if name is not None:
        _status_of(session, name)
        return
    found = _peers(session)
    if found is None:
        return
    counts = ["lag", "taken in", "refused", "set aside", "to fetch"]
    columns = ["name", "state", "last contact", *counts, "same"]
    session.out.table(columns, [_row(peer) for peer in found])
    for peer in found:
        if problem := _problem_text(peer):
            session.out.line(f"{peer.get('name')}: {problem}")
        if ending := _ending_text(peer):
            session.out.line(f"{peer.get('name')}: {ending}")
        if _same(peer) == "no":
            session.out.line(f"{peer.get('name')}: {compared_text(peer)}")


@click.command("witness", cls=Command)
@click.argument("name", metavar="NAME")
@click.option(
    "--ask/--no-ask", "ask", default=None, help="Ask it to cosign our checkpoints; its word counts."
)
@click.option("--cosign/--no-cosign", "cosign", default=None, help="Cosign its checkpoints.")
@pass_session
def witness(session: Session, name: str, ask: bool | None, cosign: bool | None) -> None:
    """Say who cosigns for whom.

    A peer is a witness of our log, and our node one of its log, unless said otherwise. Witnesses cosign checkpoints, so
    that nobody can be shown another log than the others; they see its size and hash, nothing else.
    """
    asked = {"witness": ask, "witnessed": cosign}
    found = session.client.json("PUT", f"/v1/peers/{segment(name)}/witness", send=asked)
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.facts(_witness_lines(found))


def _witness_lines(peer: Mapping[str, Any]) -> list[tuple[str, object]]:
    cosigned = peer.get("cosigned_at")
    return [
        ("Witness of ours", "yes" if peer.get("witness") else "no"),
        ("We witness it", "yes" if peer.get("witnessed") else "no"),
        ("Its log cosigned", local_time(cosigned) if cosigned else "never"),
    ]


@click.command("sync", cls=Command)
@click.argument("name", metavar="NAME")
@click.option("--resume", is_flag=True, help="Take a suspect peer back, after you have looked into it.")
@pass_session
def sync(session: Session, name: str, resume: bool) -> None:
    """Ask a peer for news now."""
    asked = {"resume": True} if resume else {}
    found = session.client.json("POST", f"/v1/peers/{segment(name)}/sync", send=asked)
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.line(f"Asked: {name}")
    session.out.next_step(f"tocsin peer status {shlex.quote(name)}")


def _peers(session: Session) -> list[Mapping[str, Any]] | None:
    """Return the peers; None when everything is said already."""
    found = session.client.json("GET", "/v1/peers")
    items: list[Mapping[str, Any]] = list(member(found, "items"))
    if session.out.as_json:
        session.out.document(found)
        return None
    if not items:
        session.out.say("No peers yet.")
        session.out.next_step("tocsin peer invite NAME")
        return None
    return items


def _row(peer: Mapping[str, Any]) -> list[object]:
    outcomes, log, fetched = (peer.get(part) or {} for part in ("outcomes", "log", "fetched"))
    taken = sum(int(outcomes.get(outcome) or 0) for outcome in _COUNTED)
    bad = [sum((outcomes.get(outcome) or {}).values()) for outcome in _WHY]
    state = str(peer.get("state")) + ("!" if peer.get("problem") else "")
    state += ", silent" if peer.get("silent") else ""
    return [
        peer.get("name"),
        state,
        local_time(peer.get("last_contact_at")),
        log.get("lag", "?"),
        taken,
        *bad,
        fetched.get("waiting", "?"),
        _same(peer),
    ]


def _same(peer: Mapping[str, Any]) -> str:
    """Whether both held the same the last time; `-`: not compared yet."""
    same = (peer.get("comparison") or {}).get("same")
    return "-" if same is None else "yes" if same else "no"


def _problem_text(peer: Mapping[str, Any]) -> str:
    problem = peer.get("problem")
    if not isinstance(problem, Mapping):
        return ""
    hint = f" → {problem['hint']}" if problem.get("hint") else ""
    return f"{problem.get('code')} since {local_time(problem.get('at'))}{hint}"


def _ending_text(peer: Mapping[str, Any]) -> str:
    """That its statement ends soon; nothing while there is time."""
    statement = peer.get("statement") or {}
    if not statement.get("expiring"):
        return ""
    days = int(statement["days_left"])
    until = str(statement["expires_at"])[:10]
    if days < 0:
        return f"its statement ended on {until}; nothing goes to it → ask its operator to run `tocsin key rotate`"
    return f"its statement ends in {days} days, on {until} → remind its operator of `tocsin key rotate`"


def _statement_text(peer: Mapping[str, Any]) -> str:
    statement = peer.get("statement") or {}
    number, gen, until = (statement.get(name, "?") for name in ("number", "generation", "expires_at"))
    return _ending_text(peer) or f"number {number}, until {str(until)[:10]}; generation {gen} of its log"


def _status_of(session: Session, name: str) -> None:
    peer = session.client.json("GET", f"/v1/peers/{segment(name)}")
    member(peer, "name")
    if session.out.as_json:
        session.out.document(peer)
        return
    outcomes, log, fetched = (peer.get(part) or {} for part in ("outcomes", "log", "fetched"))
    approved = "yes" if peer.get("ours_approved") else f"no: tocsin peer approve {shlex.quote(name)}"
    pairs: list[tuple[str, object]] = [
        ("Name", peer["name"]),
        ("Organisation", _organisation(peer)),
        ("Node", peer.get("node_id")),
        ("Statement", _statement_text(peer)),
        ("Address", peer.get("url")),
        ("State", peer.get("state")),
    ]
    if problem := _problem_text(peer):
        pairs.append(("Problem", problem))
    pairs += [
        ("Approved by us", approved),
        ("Words compared", "yes" if peer.get("sas_verified") else "no"),
        *_witness_lines(peer),
        ("They may get up to", f"TLP:{str(peer.get('max_tlp_out')).upper()}"),
        ("Taken from them up to", f"TLP:{str(peer.get('max_tlp_in')).upper()}"),
        ("Last contact", local_time(peer.get("last_contact_at"))),
        ("Their clock", _skew(peer.get("clock_skew_s"))),
        ("Compared with it", compared_text(peer)),
        ("Their log", _log_line(log)),
        ("Outcomes", ", ".join(f"{outcomes.get(outcome, 0)} {outcome}" for outcome in _COUNTED)),
    ]
    for outcome in _WHY:
        pairs += [
            (f"  {outcome}", f"{count} {code}") for code, count in (outcomes.get(outcome) or {}).items()
        ]
    if peer.get("complaints"):
        see = f"tocsin peer complaints {shlex.quote(name)}"
        pairs.append(("Complaints", f"{peer['complaints']}: it passed on what the marking forbids → {see}"))
    waiting, size = fetched.get("waiting", "?"), fetched.get("our_size", "?")
    pairs.append(("Our log", f"{_entries(size)}, they have {waiting} still to fetch"))
    session.out.facts([*pairs, *relay_lines(peer)])
    recent = peer.get("recent") or []
    if recent:
        session.out.line()
        session.out.table(
            ["entry", "outcome", "code", "at", "report"], [_recent_row(each) for each in recent]
        )


def _organisation(peer: Mapping[str, Any]) -> str:
    former = ", ".join(peer.get("former_orgs") or [])
    return f"{peer.get('org')} (its own word{f'; before that: {former}' if former else ''})"


def _log_line(log: Mapping[str, Any]) -> str:
    size, seen, lag = (log.get(part, "?") for part in ("size", "next_index", "lag"))
    return f"{_entries(size)}, looked at up to {seen}, lag {lag}"


def _entries(count: object) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _recent_row(each: Mapping[str, Any]) -> list[object]:
    code, report = each.get("code") or "", each.get("report_id") or ""
    return [each.get("index"), each.get("outcome"), code, local_time(each.get("at")), report]


def _skew(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "not known"
    if abs(seconds) < 1:
        return "agrees with ours"
    return f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} ours"


@click.command("evidence", cls=Command)
@click.argument("name", metavar="NAME")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, else on stdout."
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@pass_session
def evidence(session: Session, name: str, out: Path | None, force: bool) -> None:
    """Write the proof that a peer has forked its log.

    Two checkpoints, both signed by the peer, that cannot both be true. Anybody can verify it offline: tocsin proof
    verify FILE.
    """
    check_place(out, force=force)
    raw = session.client.raw("GET", f"/v1/peers/{segment(name)}/evidence")
    put(session.out, out, [raw], force=force)
    if out is None:
        return
    session.out.say(f"{len(raw)} bytes: {out}")
    session.out.next_step(f"tocsin proof verify {out}")
