"""The response steps and the reason of a call: from what people write to what may leave, and to STIX and back. Pure."""

import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tocsin_federation.calls import (
    MAX_REASON,
    MAX_STEP_NAME,
    MAX_STEP_TEXT,
    MAX_STEPS,
    STEP_ID_PATTERN,
    Call,
    Step,
)
from tocsin_node.errors import NodeError
from tocsin_node.services.report_refusals import FindingsRefused
from tocsin_schema import times
from tocsin_schema.check import check_bundle
from tocsin_schema.finding import Finding
from tocsin_schema.ids import node_identity_id
from tocsin_schema.marking import MARKING_IDS, Tlp
from tocsin_schema.suspicion import suspicions_of_form

_CARRIED = re.compile(STEP_ID_PATTERN).search


def _unfit(message: str) -> NodeError:
    return NodeError(message, code="call-unfit", hint="Say it in fewer words; the report can hold the rest.")


def tidy_reason(text: str) -> str:
    """The reason as it is called out: one line. Raises: NodeError `call-unfit`."""
    line = " ".join(_plain(text).split())
    if not 1 <= len(line) <= MAX_REASON:
        raise _unfit(f"The reason must have 1 to {MAX_REASON} characters.")
    return line


def steps_of_bundle(raw: bytes) -> tuple[Step, ...]:
    """The courses of action that a report brings along, each cut to what a call can hold."""
    report = check_bundle(raw).report
    found = [obj for obj in (report.objects if report else ()) if obj.get("type") == "course-of-action"]
    steps = (
        Step(
            id=_id(str(obj["id"])),
            name=_cut(str(obj.get("name", "")), MAX_STEP_NAME) or "Course of action",
            description=_cut(str(obj.get("description", "")), MAX_STEP_TEXT),
        )
        for obj in found
    )
    return tuple(steps)[:MAX_STEPS]


def further_steps(emergency: str, held: Sequence[Step], more: Sequence[tuple[str, str]]) -> tuple[Step, ...]:
    """The steps held and those that come to them; the same step again is no second one.

    Raises: NodeError `call-unfit`.
    """
    steps = {step.id: step for step in held}
    for name, text in more:
        line, further = " ".join(_plain(name).split()), _plain(text)
        if not 1 <= len(line) <= MAX_STEP_NAME or len(further) > MAX_STEP_TEXT:
            raise _unfit(
                f"A step has a name of 1 to {MAX_STEP_NAME} characters and a text of {MAX_STEP_TEXT} at most."
            )
        own = f"course-of-action--{uuid.uuid5(uuid.UUID(emergency), line)}"
        steps[own] = Step(id=own, name=line, description=further)
    if len(steps) > MAX_STEPS:
        raise _unfit(f"A call has {MAX_STEPS} steps at most; there are {len(steps)}.")
    return tuple(steps.values())


def screened(call: Call) -> None:
    """Return when nothing in a call seems to name people or hold a secret: it leaves as it is.

    Raises: FindingsRefused.
    """
    form = {
        "reason": call.reason,
        "steps": [{"name": step.name, "description": step.description} for step in call.steps],
    }
    hint = "Take it out; a call goes to others as it is."
    found = [each.finding() for each in suspicions_of_form(form)]
    if found:
        said = [Finding(each.code, each.path, each.message, hint) for each in found]
        raise FindingsRefused(said, what="call")


def as_stix(step: Step, *, origin: str, tlp: str, created: datetime, modified: datetime) -> Mapping[str, Any]:
    """The step as a STIX 2.1 course of action, by the caller (`origin`: NodeID)."""
    return {
        "type": "course-of-action",
        "spec_version": "2.1",
        "id": step.id,
        "created_by_ref": node_identity_id(origin),
        "created": times.write(created),
        "modified": times.write(max(created, modified)),
        "name": step.name,
        **({"description": step.description} if step.description else {}),
        "object_marking_refs": [MARKING_IDS[Tlp(tlp)]],
    }


def _id(identifier: str) -> str:
    """The identifier; where it is none that a call can carry, one that follows from it."""
    if _CARRIED(identifier):
        return identifier
    return f"course-of-action--{uuid.uuid5(uuid.NAMESPACE_URL, identifier)}"


def _plain(text: str) -> str:
    return "".join(each for each in text if each.isprintable() or each == "\n").strip()


def _cut(text: str, most: int) -> str:
    line = " ".join(_plain(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
