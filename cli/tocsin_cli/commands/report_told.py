"""How the node's answer about a report is told: to a person, or as one JSON document."""

import shlex
from collections.abc import Collection, Mapping
from typing import Any

from tocsin_cli.commands.redaction_told import ending_lines, redactions_in, warn_stale
from tocsin_cli.commands.report_content import content_facts
from tocsin_cli.errors import WouldBeRefused
from tocsin_cli.filing import Answer, names
from tocsin_cli.output import Output, findings_text
from tocsin_cli.plain import local_time

_HEADINGS = {
    "stored": "Filed",
    "unchanged": "Already there, unchanged",
    "dry-run": "Not sent, only tried",
    "refused": "Not shared",
}
_HAS_IT = "has-it"
_BY_VOICE = {"peer-removed", "personal-data"}


def tell_answer(out: Output, answer: Answer, *, dry_run: bool = False, heading: str = "") -> None:
    """Print what became of a report, or with `dry_run` what would become of it."""
    if out.as_json:
        out.document(answer)
        return
    outcome = "dry-run" if dry_run else str(answer.get("outcome"))
    first = heading if heading and outcome == "stored" else _HEADINGS.get(outcome, outcome)
    pairs: list[tuple[str, object]] = [(first, answer["id"])]
    pairs.append(("Severity", severity_line(answer)))
    pairs += [("because of", driver) for driver in answer.get("drivers") or []]
    pairs += audience_lines(answer, dry_run=dry_run)
    pairs += ending_lines(answer, dry_run=dry_run)
    if isinstance(entry := answer.get("entry"), Mapping):
        pairs.append(("Log entry", entry.get("index")))
    if answer.get("alert") is not None:
        pairs.append(("Alert", answer["alert"]))
    out.facts(pairs)
    if dry_run:
        _tell_sends(out, answer.get("sends"), shared=bool(answer.get("to")))
    tell_warnings(out, answer)


def tell_warnings(out: Output, answer: Mapping[str, Any]) -> None:
    """Print the warnings in an answer, if there are any."""
    found = answer.get("findings")
    found = found if isinstance(found, list) else []
    suspected = [each for each in found if str(each.get("code", "")).endswith("-suspected")]
    if others := [each for each in found if each not in suspected]:
        out.say("Worth a look, but no hindrance:\n" + findings_text(others))
    if suspected:
        needed = answer.get("review_needed")
        much = "; it would be REFUSED until somebody has looked (--reviewed-by NAME)" if needed else ""
        out.warn(f"Personal data or secrets are suspected{much}:\n{findings_text(suspected)}")


def refuse_as_tried(answer: Answer) -> None:
    """After a try: end as the real thing would. Raises: WouldBeRefused."""
    if answer.get("review_needed"):
        raise WouldBeRefused


def warn_not_sent(out: Output, answer: Answer, *, to: Collection[str] = ()) -> None:
    """Warn, whatever -q and --json say, of each peer that was meant to get the report and does not get it.

    And of each redaction of it that says what an earlier version said. Meant were the names in `to` and, with an update
    or a withdrawal, everybody who has an earlier version.
    """
    dry_run = answer.get("outcome") == "dry-run"
    behind = _warn_left_behind(out, answer)
    for each in redactions_in(answer):
        _warn_left_behind(out, {**answer, **each})
    warn_stale(out, answer)
    for each in answer.get("to") or []:
        if isinstance(problem := each.get("problem"), Mapping):
            known = f"{problem.get('code')} since {local_time(problem.get('at'))}"
            out.warn(f"WARNING: {each.get('name')} may not fetch it: {problem.get('hint')} [{known}]")
    for each in answer.get("withheld") or []:
        name, code = each.get("name"), each.get("code")
        if name in to and name not in behind and code != _HAS_IT:
            sent = "would NOT be sent" if dry_run else "NOT sent"
            out.warn(f"WARNING: {sent} to {name}: {each.get('reason')}.")
            _remedy(out, each, answer)


def _warn_left_behind(out: Output, answer: Answer) -> set[object]:
    """Warn of each who has an earlier version and does not get this one; returns their names."""
    told = "would NOT be told" if answer.get("outcome") == "dry-run" else "was NOT told"
    left = [each for each in answer.get("left_behind") or [] if isinstance(each, Mapping)]
    for each in left:
        out.warn(f"WARNING: {each.get('name')} has an earlier version and {told}: {each.get('reason')}.")
        _remedy(out, each, answer)
    return {each.get("name") for each in left}


def _remedy(out: Output, missed: Mapping[str, Any], answer: Answer) -> None:
    """Name the commands by which somebody who did not get it gets it after all."""
    peer, tlp, code = shlex.quote(str(missed.get("name"))), answer.get("tlp"), missed.get("code")
    share = f"tocsin report share {answer.get('id')} --to {peer}"
    if code == "above-ceiling":
        out.warn(
            f"  To send it, both sides raise the ceiling: tocsin peer approve {peer} --max-tlp-out {tlp}\n"
            f"  (they, with the name that you have there: tocsin peer approve NAME --max-tlp-in {tlp}); "
            f"then: {share}"
        )
    elif code in _BY_VOICE:
        out.warn("  Tell them by another way, such as the telephone.")
    elif code == "not-client":
        out.warn(f"  If it is a client of yours: tocsin peer policy {peer} --client; then: {share}")
    elif code == "onward-off":
        out.warn(f"  To change that: tocsin peer policy {peer} --onward; then: {share}")
    elif code == "unnamed":
        out.warn(f"  If its author may know of it: tocsin peer policy {peer} --named; then: {share}")
    elif code == "onward-forbidden":
        out.warn("  Only the author can give it to them: ask the author.")
    elif code != "its-own":
        out.warn(f"  When that is put right: {share}")


def severity_line(answer: Mapping[str, Any]) -> str:
    """Grade, level, score and TLP on one line."""
    grade, level, score = (answer.get(name, "?") for name in ("grade", "level", "score"))
    tlp = str(answer.get("tlp", "?")).upper()
    return f"grade {grade}, level {level} of 5, score {score} of 100; TLP:{tlp}"


def audience_lines(answer: Mapping[str, Any], *, dry_run: bool = False) -> list[tuple[str, object]]:
    """Who gets it, and who does not and why."""
    to = names(answer.get("to"))
    has = any(each.get("code") == _HAS_IT for each in answer.get("withheld") or [])
    shared = ", ".join(to) or ("nobody else" if has else "nobody: it stays at your node")
    lines: list[tuple[str, object]] = [("Would go to" if dry_run else "Goes to", shared)]
    lines += [
        ("Withheld from", f"{each.get('name')}: {each.get('reason')} [{each.get('code')}]")
        for each in answer.get("withheld") or []
        if each.get("code") != _HAS_IT
    ]
    having = [w for w in answer.get("withheld") or [] if w.get("code") == _HAS_IT]
    return [*lines, ("Have it already", ", ".join(names(having)))] if having else lines


def tell_tried(out: Output, answer: Answer, bundle: bytes, *, full: bool, heading: str = "") -> None:
    """Print what would become of a report and exactly what would leave; with `full` the bytes as well."""
    if out.as_json:
        more = {"bundle": bundle.decode("utf-8")} if full else {}
        out.document({**answer, **more})
        return
    tell_answer(out, answer, dry_run=True, heading=heading)
    tell_leaving(out, bundle)
    if full:
        out.line()
        out.raw(bundle + b"\n")


def tell_leaving(out: Output, bundle: bytes) -> None:
    """Print what a bundle says, all of it that people read: what leaves is this, and nothing else."""
    from tocsin_schema.canonical import parse_strict
    from tocsin_schema.errors import SchemaError

    try:
        said = parse_strict(bundle)
        pairs = content_facts(said)
    except SchemaError as exc:
        out.say(f"What leaves cannot be taken apart here: {exc} See it with --full.")
        return
    incident = next(each for each in said["objects"] if each["type"] == "incident")
    out.line()
    out.facts([("Title", incident["name"]), *pairs])
    out.line()
    out.line(incident["description"], lines=True)


def _tell_sends(out: Output, sends: object, *, shared: bool) -> None:
    if not isinstance(sends, Mapping):
        return
    what = "Sealed to each of them" if shared else "Stored at your node"
    out.line(f"{what}: {sends.get('bytes', '?')} bytes, these objects:")
    rows = [
        [each.get("type", ""), each.get("name", ""), each.get("id", "")]
        for each in sends.get("objects") or []
    ]
    out.table(["type", "name", "id"], rows)
