"""The book of duties: what the rules say about a report is compared with what is kept, and written down.

Everything happens inside the caller's transaction, with the report's row of `duty_subject` held. What a rule asks for
anew is proposed; what changed is noted with what it was; what it no longer asks for stays, marked. A person's decision
about a regime holds for everything the regime asks later about the same report.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from tocsin_node.storage import duties
from tocsin_node.storage.duties import Event, Reckoned, StoredDuty
from tocsin_node.storage.pool import Connection
from tocsin_schema.duty import Deadline, Duty, Key, duties_of, facts_of
from tocsin_schema.organisation import Organisation
from tocsin_schema.report import IncidentReport

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
OPEN = ("proposed", "confirmed")


class DutyFacts(msgspec.Struct, frozen=True):
    """What the rule said, as it is kept and shown; dates as text."""

    title: str
    stage_title: str
    recipient: str
    wording: str
    clock: str
    start_from: str
    assumed: str
    waits_for: str
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    doubts: tuple[str, ...]
    verified: bool
    effective_from: str | None


async def reckon(conn: Connection, report: IncidentReport, organisation: Organisation, now: datetime) -> None:
    """Bring the kept duties of a report up to what the rules say; the caller holds the report's subject row."""
    kept = await duties.of_report(conn, report.id)
    found = () if report.revoked else _found(report, organisation, kept, now)
    regimes = {key[0] for key, _ in found}
    before = {(one.regime, one.stage, one.nth): one for one in kept}
    for key, new in found:
        if key in before:
            await _update(conn, before[key], new, now)
        else:
            await _propose(conn, report.id, new, kept, now)
    asked = {key for key, _ in found}
    for key, one in before.items():
        if key not in asked and one.standing != "no-longer" and one.state != "done":
            await _drop(conn, one, now, whole=one.regime not in regimes)


def _found(
    report: IncidentReport, organisation: Organisation, kept: Sequence[StoredDuty], now: datetime
) -> Sequence[tuple[Key, Reckoned]]:
    done = {_key(one): one.done_at for one in kept if one.done_at is not None}
    stated = {_key(one): one.start_at for one in kept if one.start_stated and one.start_at is not None}
    reckoned = duties_of(facts_of(report), organisation, now, done=done, stated=stated)
    return [
        ((duty.regime, deadline.stage, deadline.nth), _reckoned(duty, deadline))
        for duty in reckoned
        for deadline in duty.deadlines
    ]


def _key(one: StoredDuty) -> Key:
    return one.regime, one.stage, one.nth


def _reckoned(duty: Duty, deadline: Deadline) -> Reckoned:
    facts = DutyFacts(
        title=duty.title,
        stage_title=deadline.title if deadline.nth == 1 else f"{deadline.title} {deadline.nth}",
        recipient=deadline.recipient,
        wording=deadline.wording,
        clock=deadline.standing,
        start_from=deadline.start_from,
        assumed=deadline.assumed,
        waits_for=deadline.waits_for,
        reasons=duty.reasons,
        missing=duty.missing,
        doubts=duty.doubts,
        verified=duty.verified,
        effective_from=duty.effective_from.isoformat() if duty.effective_from else None,
    )
    asked_at_once = deadline.start_at if deadline.standing == "unclocked" else None
    return Reckoned(
        regime=duty.regime,
        stage=deadline.stage,
        nth=deadline.nth,
        standing=duty.standing,
        in_force=duty.in_force,
        start_at=deadline.start_at,
        due_conservative=deadline.due_conservative,
        due_legal=deadline.due_legal,
        sort_at=deadline.due_conservative or asked_at_once or NEVER,
        facts=msgspec.json.encode(facts).decode(),
    )


async def _propose(
    conn: Connection, report_id: str, new: Reckoned, kept: Sequence[StoredDuty], now: datetime
) -> None:
    like = next((one for one in kept if one.regime == new.regime), None)
    duty_id = await duties.insert(conn, report_id, new, like, now)
    due = f"due {_text(new.due_conservative)}" if new.due_conservative else "no date yet"
    await duties.note(conn, duty_id, Event(now, "proposed", None, None, f"{new.standing}; {due}"))


async def _update(conn: Connection, old: StoredDuty, new: Reckoned, now: datetime) -> None:
    if old.state == "done":
        return  # what was settled keeps the dates under which it was
    changes = list(_changes(old, new))
    if changes or msgspec.json.decode(old.facts) != msgspec.json.decode(new.facts):
        await duties.reckon(conn, old.id, new)
    if changes:
        await duties.note(conn, old.id, Event(now, "reckoned", None, None, "; ".join(changes)))


def _changes(old: StoredDuty, new: Reckoned) -> Iterable[str]:
    pairs: tuple[tuple[str, Any, Any], ...] = (
        ("standing", old.standing, new.standing),
        ("in force", old.in_force, new.in_force),
        ("start", old.start_at, new.start_at),
        ("due", old.due_conservative, new.due_conservative),
        ("legal due", old.due_legal, new.due_legal),
    )
    for name, was, now in pairs:
        if was != now:
            yield f"{name}: {_change(was, now)}"


async def _drop(conn: Connection, one: StoredDuty, now: datetime, *, whole: bool) -> None:
    """The rule does not ask for this any more. What a person confirmed stays, when the whole rule fell away."""
    if whole and one.state == "confirmed":
        said = "the facts no longer ask for it; it stays, because a person confirmed it"
        if all(event.said != said for event in await duties.history(conn, one.id)):
            await duties.note(conn, one.id, Event(now, "reckoned", None, None, said))
        return
    await duties.no_longer(conn, one.id)
    await duties.note(conn, one.id, Event(now, "reckoned", None, None, "the facts no longer ask for it"))


_SAID = {True: "yes", False: "no"}


def _change(was: object, now: object) -> str:
    if was is None:
        return f"{_text(now)} (was not set)"
    return f"not set any more (was {_text(was)})" if now is None else f"{_text(was)} → {_text(now)}"


def _text(value: object) -> str:
    return (
        f"{value:%Y-%m-%d %H:%M} UTC"
        if isinstance(value, datetime)
        else _SAID[value]
        if isinstance(value, bool)
        else str(value)
    )
