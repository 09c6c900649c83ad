"""What each section of the watch says: alerts gravest first, newest reports, peers, duties next due.

Values are as the node gave them; the view cleans and cuts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from tocsin_cli.commands.duty import state_words
from tocsin_cli.commands.report_table import whence
from tocsin_cli.deliveries import whereabouts
from tocsin_cli.emergency_told import kind
from tocsin_cli.errors import CliError
from tocsin_cli.plain import local_time
from tocsin_cli.spans import age, left, moment_of
from tocsin_cli.watching import (
    Item,
    Look,
    Part,
    Standing,
    alert_key,
    duty_key,
    emergency_key,
    mapping,
    peer_key,
    report_key,
    standing_acknowledgements,
    taken_key,
)
from tocsin_cli.words import GRADES

TAKEN_SHOWN_FOR = timedelta(hours=1)
_GRADE_STYLES = {"I": "bold red", "II": "red", "III": "yellow"}


@dataclass(frozen=True, slots=True)
class Line:
    """One row. `new`: it is marked."""

    cells: Sequence[object]
    new: bool = False
    style: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its rows, or why there are none. `ratios`: per column its share of the width, 0 for what it needs.

    `more`: the node holds more than it was asked for. `narrow`: the most cells that a column without a share gets.
    `beside`: what else stands in it, uncounted.
    """

    title: str
    lines: Sequence[Line]
    ratios: Sequence[int]
    count: int = 0
    more: bool = False
    fault: CliError | None = None
    nothing: str = "none"
    narrow: int = 27
    beside: str = ""


def sections(standing: Standing, look: Look, now: datetime, *, wide: bool) -> list[Section]:
    """All sections, in the order in which they are shown."""
    parts = look.parts
    called = _emergencies(standing, parts["emergencies"], now, wide)
    return [
        *([called] if called.lines else []),
        _alerts(standing, parts["alerts"], parts["taken"], now, wide),
        _reports(standing, parts["reports"], now, wide),
        _peers(standing, parts["peers"], now, wide),
        _duties(standing, parts["duties"], now, wide),
    ]


ID_CHARS = 46  # whole: nobody can copy a piece of one


def _section(title: str, part: Part, lines: Sequence[Line], ratios: Sequence[int], nothing: str) -> Section:
    more = part.document.get("next") is not None
    return Section(title, lines, ratios, len(part.items), more, part.fault, nothing)


def _emergencies(standing: Standing, part: Part, now: datetime, wide: bool) -> Section:
    """Emergencies and drills that are not over; who says what."""
    lines = [
        Line(
            [
                item.get("id") if wide else str(item.get("id"))[:8],
                kind(item),
                age(item.get("declared_at"), now),
                whence(item.get("caller")),
                ", ".join(f"{count} {word}" for word, count in mapping(item.get("said")).items()),
                item.get("title"),
            ],
            standing.is_new(emergency_key(item), now),
            "bold blue" if item.get("drill") else "bold red",
        )
        for item in part.items
    ]
    return replace(
        _section("Emergencies and drills", part, lines, [0, 0, 0, 0, 3, 3], "none is open"), narrow=36
    )


def _alerts(standing: Standing, part: Part, taken: Part, now: datetime, wide: bool) -> Section:
    """The open ones; after them, dimmed, what was taken up within the hour."""
    lines = [
        Line(
            _alert_cells(item, now, wide),
            standing.is_new(alert_key(item), now),
            _GRADE_STYLES.get(str(item.get("grade")), ""),
        )
        for item in sorted(part.items, key=_gravity)
    ]
    lately = [item for item in taken.items if _taken_lately(item, now)]
    lines += [
        Line(_alert_cells(item, now, wide), standing.is_new(taken_key(item), now), "dim") for item in lately
    ]
    ratios = [0, 0, 0, 4, 2, *([0, 0] if wide else [])]
    section = _section("Open alerts", part, lines, ratios, "none is open")
    return replace(section, beside=f"taken up within the hour: {len(lately)}" if lately else "")


def _gravity(item: Item) -> tuple[int, float]:
    """Gravest first, among equals the one that waits longest."""
    grade, raised = item.get("grade"), moment_of(item.get("raised_at"))
    return (
        GRADES.index(grade) if grade in GRADES else len(GRADES),
        raised.timestamp() if raised else 0,
    )


def _taken_lately(item: Item, now: datetime) -> bool:
    moments = [moment_of(each.get("at")) for each in standing_acknowledgements(item)]
    return item.get("state") != "open" and any(at and now - at < TAKEN_SHOWN_FOR for at in moments)


def _alert_cells(item: Item, now: datetime, wide: bool) -> list[object]:
    people = [
        f"{each.get('by')}{' (peer)' if each.get('node') else ''}" for each in standing_acknowledgements(item)
    ]
    taken_by = ", ".join(dict.fromkeys(people)) or _waiting(item, now)
    if item.get("assigned"):
        taken_by = f"{item['assigned']} works on it"
    cells = [item.get("id"), item.get("grade"), age(item.get("raised_at"), now), item.get("title"), taken_by]
    if not wide:
        return cells
    got_to = whereabouts([mapping(each) for each in item.get("deliveries") or []])
    return [*cells, whence(item.get("from")), got_to or "nowhere"]


def _waiting(item: Item, now: datetime) -> str:
    """Nobody yet; and when the next are called, or that all were."""
    if item.get("unanswered"):
        return "NOBODY, though all were called"
    words = "nobody yet"
    if item.get("muted_until"):
        words += f", muted until {local_time(item['muted_until'])[11:16]}"
    elif item.get("next_escalation_at"):
        words += f", next call {left(item['next_escalation_at'], now)}"
    return words


def _reports(standing: Standing, part: Part, now: datetime, wide: bool) -> Section:
    lines = []
    for item in part.items:
        marking = str(item.get("tlp")) + (" withdrawn" if item.get("state") == "withdrawn" else "")
        marking += " redaction" if item.get("redaction_of") else ""
        cells = [age(item.get("stored_at"), now), item.get("grade"), marking, whence(item.get("origin"))]
        cells += [item.get("name"), *([item.get("id")] if wide else [])]
        style = "dim" if item.get("state") == "withdrawn" else ""
        lines.append(Line(cells, standing.is_new(report_key(item), now), style))
    section = _section("Newest reports", part, lines, [0, 0, 0, 0, 1, *([0] if wide else [])], "none yet")
    return replace(section, narrow=ID_CHARS)


def _peers(standing: Standing, part: Part, now: datetime, wide: bool) -> Section:
    """Those with a problem first."""
    lines = []
    for item in sorted(part.items, key=lambda each: not each.get("problem")):
        problem = mapping(item.get("problem"))
        contact = (
            f"seen {age(item.get('last_contact_at'), now)} ago"
            if item.get("last_contact_at")
            else "never seen"
        )
        contact += ", silent" if item.get("silent") else ""
        waiting = f"{mapping(item.get('fetched')).get('waiting', '?')} to fetch"
        said = str(problem.get("code")) if problem else "-"
        if problem and wide and problem.get("hint"):
            said += f": {problem['hint']}"
        cells = [
            item.get("name"),
            item.get("state"),
            contact,
            waiting,
            f"lag {mapping(item.get('log')).get('lag', '?')}",
        ]
        style = "red" if problem or item.get("state") == "suspect" else ""
        lines.append(Line([*cells, said], standing.is_new(peer_key(item), now), style))
    return _section("Peers", part, lines, [0, 0, 0, 0, 0, 1], "none yet")


def _duties(standing: Standing, part: Part, now: datetime, wide: bool) -> Section:
    """As the node orders them: shortest due first."""
    lines = []
    for item in part.items:
        due = item.get("due_conservative")
        when = (
            local_time(due)
            if due
            else "waits"
            if item.get("clock") == "waiting"
            else str(item.get("wording", ""))
        )
        time = left(due, now) if due else "-"
        cells: list[object] = [item.get("id"), when if wide else when[:16], time, item.get("regime")]
        cells += [item.get("stage_title"), state_words(item)]
        cells += [item.get("recipient"), item.get("report_name")] if wide else []
        moment = moment_of(due)
        late = bool(item.get("missed_at")) or (moment is not None and moment < now)
        lines.append(Line(cells, standing.is_new(duty_key(item), now), "bold red" if late else ""))
    stated = mapping(part.document.get("organisation")).get("stated", True)
    nothing = (
        "none is open" if stated else "none is reckoned: set roles and jurisdictions in [duties] of node.toml"
    )
    return _section("Duties due next", part, lines, [0, 0, 0, 0, 2, 2, *([2, 3] if wide else [])], nothing)
