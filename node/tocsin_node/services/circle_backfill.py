"""Giving members of a circle what it had before them.

A person asks for it; each report goes to those members that have not got it and may have it, as it stands today, in a
further entry of its own. Nobody's cursor goes back, and whoever asks twice sends nothing twice.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tocsin_node.errors import NodeError
from tocsin_node.services.circles import Circles
from tocsin_node.services.peering import Peering
from tocsin_node.services.releasing import Releasing
from tocsin_node.services.reporting import Reporting
from tocsin_node.services.submission import Submission
from tocsin_schema.marking import Tlp

MOST = 500  # reports of one call; the next one goes on where nothing is left to do for the first


@dataclass(frozen=True, slots=True)
class Filled:
    """What became of one report. `left` says that nobody lacked it who may have it."""

    report_id: str
    outcome: Literal["stored", "dry-run", "left", "refused"]
    to: tuple[str, ...] = ()
    code: str | None = None
    hint: str | None = None


async def backfill(
    circles: Circles,
    reporting: Reporting,
    releasing: Releasing,
    peering: Peering,
    name: str,
    *,
    since: datetime | None,
    dry_run: bool,
    reviewed_by: str | None,
) -> tuple[list[Filled], bool]:
    """Send our reports of a circle, changed at `since` or later, to the members that lack them; and whether more wait.

    What seems to hold personal data or a secret goes out only under `reviewed_by`. Raises: CircleUnknown, CircleClosed,
    StorageError.
    """
    async with circles.way(name) as way:
        standing = way.standing
    ids = await circles.shared_since(standing, since)
    filled: list[Filled] = []
    sent = 0
    for report_id in ids:
        if sent == MOST:
            return filled, True
        stored = await reporting.get(report_id)
        lacking = way.release(Tlp(stored.tlp), peering.policies()).to
        having = await releasing.having(stored) | await releasing.taken_back(report_id)
        to = [p.node_id for p in lacking if p.node_id not in having]
        if not to:
            filled.append(Filled(report_id, "left"))
            continue
        try:
            done = await reporting.share(report_id, to=to, dry_run=dry_run, reviewed_by=reviewed_by)
        except NodeError as exc:
            if exc.retryable:
                raise
            filled.append(Filled(report_id, "refused", code=exc.code, hint=exc.hint))
            continue
        filled.append(_told(report_id, done))
        sent += 1
    return filled, False


def _told(report_id: str, done: Submission) -> Filled:
    if done.review_needed:
        hint = "Look at it, and say who has: --reviewed-by NAME."
        return Filled(report_id, "refused", code="review-needed", hint=hint)
    outcome: Literal["stored", "dry-run", "left"] = "left"
    if done.outcome in {"stored", "dry-run"} and done.release.to:
        outcome = "stored" if done.outcome == "stored" else "dry-run"
    return Filled(report_id, outcome, tuple(p.node_id for p in done.release.to))
