"""An emergency on one screen: who was called, how far it got there, who says what; and the report of times. Pure.

A peer's times are by its own clock, within what is possible: not before the emergency was declared, and not after we
heard of it. Ours are by ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any

from tocsin_federation.calls import STAGES
from tocsin_node.links.emergency_words import title
from tocsin_node.services.emergency_ring import steps_of
from tocsin_node.services.emergency_steps import as_stix
from tocsin_node.storage.emergencies import StoredCall, StoredEmergency
from tocsin_node.storage.emergency_answers import StoredAnswer

WORDS = ("affected", "investigating", "not-affected")
Here = Mapping[str, tuple[datetime, str | None]]


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of an emergency here.

    `here`: how far it got at our own house. `says`: NodeID → (word, in its own words) as it stands now, of remarks.
    """

    emergency: StoredEmergency
    calls: Sequence[StoredCall]
    answers: Sequence[StoredAnswer]
    here: Here
    says: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class House:
    """Who we are and what we call others."""

    node_id: str
    name_of: Callable[[str], str]

    def node(self, node_id: str) -> dict[str, Any]:
        """A node as the API names one."""
        return {"name": self.name_of(node_id), "node_id": node_id, "ours": node_id == self.node_id}


def summary(each: StoredEmergency, house: House) -> dict[str, Any]:
    """An emergency in a list."""
    return {
        "id": each.id,
        "drill": each.drill,
        "title": title(each.name, drill=each.drill),
        "state": each.state,
        "open": each.open,
        "disputed": each.disputed,
        "caller": house.node(each.origin),
        "local": each.local,
        "report_id": each.report_id,
        "ver": each.ver,
        "report_state": each.report_state,
        "tlp": each.tlp,
        "reason": each.reason,
        "seq": each.seq,
        "declared_at": each.since,
        "said_at": each.said_at,
        "stored_at": each.stored_at,
        "rang": each.rang,
        "called": len(each.audience),
        "said": {word: each.said.count(word) for word in WORDS},
        "alert_id": each.alert_id,
    }


def screen(seen: Seen, house: House) -> dict[str, Any]:
    """An emergency whole."""
    each = seen.emergency
    nodes = [_row(seen, house, node) for node in _nodes(seen, house)]
    words = [row["says"] for row in nodes]
    silent = sum(row["says"] is None and not row["caller"] for row in nodes)  # who calls is asked nothing
    return {
        **summary(each, house),
        "by": each.by,
        "steps": [
            as_stix(step, origin=each.origin, tlp=each.tlp, created=each.since, modified=each.said_at)
            for step in steps_of(each)
        ],
        "nodes": nodes,
        "counts": {**{word: words.count(word) for word in WORDS}, "silent": silent},
        "calls": [
            {
                "seq": call.seq,
                "ver": call.ver,
                "state": call.state,
                "reason": call.reason,
                "at": call.at,
                "by": call.by,
                "told": call.told,
                "disputed": call.disputed,
                "stored_at": call.heard_at,
            }
            for call in seen.calls
        ],
    }


def times(seen: Seen, house: House) -> dict[str, Any]:
    """The report of times: from the declaration on, in seconds, of each node called and of our own people."""
    each = seen.emergency
    rows = [_row(seen, house, node) for node in _nodes(seen, house)]
    spans = [_spans(row, each) for row in rows]
    called = [span for span in spans if not span["node"]["ours"]]
    return {
        "id": each.id,
        "drill": each.drill,
        "title": title(each.name, drill=each.drill),
        "report_id": each.report_id,
        "caller": house.node(each.origin),
        "state": each.state,
        "declared_at": each.since,
        "stood_down_at": each.said_at if each.state == "stood-down" and not each.disputed else None,
        "stages": {stage: _stage(stage, called) for stage in STAGES},
        "nodes": spans,
    }


def _nodes(seen: Seen, house: House) -> list[str]:
    """Ourselves, then who called, then all that were called."""
    return list(dict.fromkeys([house.node_id, seen.emergency.origin, *seen.emergency.audience]))


def _row(seen: Seen, house: House, node: str) -> dict[str, Any]:
    reached = {a.stage: a for a in seen.answers if a.node == node and not a.revoked}
    at: dict[str, datetime | None] = dict.fromkeys(STAGES)
    at |= {stage: answer.first_at for stage, answer in reached.items()}
    if node == house.node_id:
        at |= {stage: moment for stage, (moment, _) in seen.here.items()}
    word, text = _word(seen, node, reached.get("answered"))
    return {
        "node": house.node(node),
        "caller": node == seen.emergency.origin,
        "says": word,
        "text": text or None,
        **{f"{stage}_at": moment for stage, moment in at.items()},
    }


def _word(seen: Seen, node: str, answered: StoredAnswer | None) -> tuple[str | None, str]:
    """In a drill what was answered; in earnest the remark that stands, by whatever way it was made."""
    if seen.emergency.drill:
        return (None, "") if answered is None else (answered.said, "")
    return seen.says.get(node, (None, ""))


def _spans(row: Mapping[str, Any], each: StoredEmergency) -> dict[str, Any]:
    def span(at: datetime | None) -> float | None:
        return None if at is None else round(max((at - each.since).total_seconds(), 0.0), 3)

    return {
        "node": row["node"],
        "says": row["says"],
        **{f"{stage}_s": span(row[f"{stage}_at"]) for stage in STAGES},
    }


def _stage(stage: str, called: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    reached = [span[f"{stage}_s"] for span in called if span[f"{stage}_s"] is not None]
    return {
        "of": len(called),
        "reached": len(reached),
        "p50_s": round(median(reached), 3) if reached else None,
        "max_s": max(reached) if reached else None,
        "missing": [span["node"]["name"] for span in called if span[f"{stage}_s"] is None],
    }
