"""The organisation that runs this node, as the settings describe it, and the legal clocks that bind it."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

from tocsin_node.settings.record import Settings
from tocsin_schema.duty import duties_of, facts_of
from tocsin_schema.organisation import Organisation
from tocsin_schema.report import IncidentReport

Clock = Callable[[IncidentReport, datetime], timedelta | None]


def organisation_of(settings: Settings, name: str) -> Organisation:
    """The organisation that the settings describe."""
    stated = settings.duties
    return Organisation(
        name,
        frozenset(stated.roles),
        frozenset(stated.jurisdictions),
        frozenset(map(date.fromisoformat, stated.holidays)),
        stated.zone,
    )


def shortest_clock(organisation: Organisation) -> Clock:
    """How long the shortest legal clock is that an incident starts for the organisation.

    Of rules that apply and are in force; what is only possible does not count: half of all incidents would have one.
    """

    def clock(report: IncidentReport, now: datetime) -> timedelta | None:
        if not (organisation.roles or organisation.jurisdictions):
            return None
        spans = [
            deadline.due_conservative - deadline.start_at
            for duty in duties_of(facts_of(report), organisation, now)
            if duty.standing == "applies" and duty.in_force
            for deadline in duty.deadlines
            if deadline.due_conservative is not None and deadline.start_at is not None
        ]
        return min(spans, default=None)

    return clock
