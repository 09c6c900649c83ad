"""How redactions are told to a person: what a record is shared as, what is stale, and what ends with it."""

from collections.abc import Iterator, Mapping
from typing import Any

from tocsin_cli.filing import names
from tocsin_cli.output import Output

Redaction = Mapping[str, Any]
SAY_AGAIN = "Say again what to leave out: --drop, --replace."


def redactions_in(found: Mapping[str, Any]) -> list[Redaction]:
    """The redactions in an answer about their record."""
    return [each for each in found.get("redactions") or [] if isinstance(each, Mapping)]


def standing_in(found: Mapping[str, Any]) -> list[Redaction]:
    """Those of them that are not withdrawn."""
    return [each for each in redactions_in(found) if each.get("state") == "active"]


def redaction_lines(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    """On a report's page: what it is a redaction of, or what it is shared as."""
    record = found.get("record")
    if isinstance(record, Mapping):
        lines: list[tuple[str, object]] = [
            ("Redaction of", f"{record.get('id')}, version {record.get('record_ver')}")
        ]
        if found.get("state") == "active" and record.get("stale"):
            lines.append(("Stale", _record_moved(str(found["id"]), record)))
        return lines
    return list(_shared_as(found))


def ending_lines(answer: Mapping[str, Any], *, dry_run: bool = False) -> list[tuple[str, object]]:
    """In the answer to a withdrawal: the redactions that are withdrawn with the record, and who is told."""
    what = "Would withdraw too" if dry_run else "Withdrawn with it"
    return [
        (what, f"{each.get('id')}, its redaction; told: {_whom(each)}")
        for each in redactions_in(answer)
        if each.get("state") == "withdrawn"
    ]


def warn_stale(out: Output, answer: Mapping[str, Any]) -> None:
    """After a new version of a record: which of its redactions say what it said before."""
    would = "would be" if answer.get("outcome") == "dry-run" else "is"
    for each in standing_in(answer):
        if each.get("stale"):
            out.warn(
                f"Its redaction {each.get('id')} {would} of version {each.get('record_ver')} still; "
                f"`{again(str(answer['id']), each)}` makes the next version. {SAY_AGAIN}"
            )


def warn_looser(out: Output, answer: Mapping[str, Any], before: str) -> None:
    """After a version that is marked more strictly than the one `before`: which redactions stay below it."""
    raised_to = _rank(str(answer.get("tlp")))
    for each in standing_in(answer) if raised_to > _rank(before) else ():
        if _rank(str(each.get("tlp"))) < raised_to:
            out.warn(
                f"Its redaction {each.get('id')} stays TLP:{str(each.get('tlp')).upper()}; if that is too much now: "
                f"`tocsin report withdraw {each.get('id')}`."
            )


def again(record_id: str, redaction: Redaction) -> str:
    """The command that makes the next version of a redaction."""
    return f"tocsin report redact {record_id} --tlp {redaction.get('clearance')}"


def _rank(tlp: str) -> int:
    from tocsin_schema.marking import Tlp

    try:
        return Tlp(tlp).rank
    except ValueError:
        return -1  # a marking of a later node


def _shared_as(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for each in redactions_in(found):
        marking = f"TLP:{str(each.get('tlp')).upper()}"
        state = "withdrawn" if each.get("state") == "withdrawn" else f"to {_whom(each)}"
        yield "Shared as", f"{each.get('id')} (redacted, version {each.get('ver')}, {marking}) {state}"
        if not each.get("stale"):
            continue
        if found.get("state") == "withdrawn":
            yield "Stale", f"it stands although this is withdrawn: tocsin report withdraw {each.get('id')}"
        else:
            ver = each.get("record_ver")
            yield (
                "Stale",
                f"its redaction is of version {ver}; `{again(found['id'], each)}` again makes the next version",
            )


def _record_moved(report_id: str, record: Mapping[str, Any]) -> str:
    if record.get("state") == "withdrawn":
        return f"the record is withdrawn: tocsin report withdraw {report_id}"
    how = f"`tocsin report redact {record.get('id')}` makes the next version"
    return f"the record is at version {record.get('ver')}; {how}"


def _whom(redaction: Redaction) -> str:
    having = [each for each in redaction.get("to") or [] if each.get("current", True)]
    behind = names([each for each in redaction.get("to") or [] if not each.get("current", True)])
    return (", ".join(names(having)) or "nobody") + (f" (not yet {', '.join(behind)})" if behind else "")
