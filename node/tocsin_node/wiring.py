"""How the services of a node hang together: who is woken by what, what `/healthz` looks at, what works all the time."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tocsin_node.actor import NODE as NODE_ITSELF
from tocsin_node.actor import acting_as
from tocsin_node.node import Node


def wire(node: Node) -> None:
    """Say who is woken by what."""
    node.intake.on_circles = _both(node.exchange.sweep, node.circles.wake)
    node.intake.on_passed = node.complaints.wake
    node.intake.on_outcomes = node.recalling.on_done = node.receipting.wake
    node.intake.on_called = node.emergencies.on_answered = node.answering.wake
    node.intake.on_stored = _both(node.clusters.wake, node.passing_on.wake)
    node.intake.obey = node.recalling.obey_all
    node.circles.on_learned = node.intake.learn
    node.recalling.on_erased = node.alarms.wake
    node.reporting.on_filed = _filed(
        node.recalling.wake,
        node.duties.filed,
        node.emergencies.filed if node.settings.emergency.grade_i else None,
    )
    node.alarms.on_acknowledged = _both(node.acknowledging.wake, node.answering.wake)
    node.alarms.on_room_answer = node.emergencies.answer_in_room
    node.alarms.on_sent = _both(node.answering.wake, node.receipting.wake)
    node.answering.before = node.emergencies.catch_up
    node.ledger.on_stored = node.clusters.wake
    node.witnessing.ready = node.ledger.signable
    node.witnessing.on_kept = node.trusting.forget
    node.witnessing.on_cosigned = node.ledger.stir
    node.self_check.on_longer = node.witnessing.wake
    node.self_check.on_lost = node.regaining.wake
    node.circles.ready = node.regaining.settled
    node.intake.unsure = lambda: node.ledger.held
    node.self_check.on_sure = node.regaining.on_back = node.intake.learn


def watch(node: Node) -> None:
    """Say what `/healthz` looks at, beside what is watched since the start."""
    node.health.add("judging", node.faults.health)
    node.health.add("log", node.self_check.health)
    node.health.add("log-back", node.self_check.health_back)
    node.health.add("ended-log", node.republishing.health)
    node.health.add("circles", node.circles.health)
    node.health.add("alerts", node.alarms.health)
    node.health.add("emergencies", node.emergencies.health)
    node.health.add("duties", node.duties.health)
    node.health.add("search", node.finding.health)
    node.health.add("peers", node.peer_watch.health)
    node.health.add("comparing", node.comparing.health)
    node.health.add("witnesses", node.trusting.health)
    node.health.add("recalls", node.recalling.health)
    node.health.add("recalls-back", node.recalling.back)
    node.health.add("recalls-of-peers", node.recalling.asked)
    node.health.add("erasing", node.erasing.health)
    node.health.add("passing-on", node.passing_on.health)
    node.health.add("complaints", node.complaints.health)
    if node.heartbeat is not None:
        node.health.add("heartbeat", node.heartbeat.check)


def tasks(node: Node) -> list[Coroutine[Any, Any, None]]:
    """What works for as long as the node is open."""
    beating = [] if node.heartbeat is None else [node.heartbeat.run()]
    return [
        node.auditing.run(),
        node.exchange.run(),
        node.self_check.run(),
        node.regaining.run(),
        node.comparing.run(),
        node.witnessing.run(),
        node.acknowledging.run(),
        node.circles.run(),
        node.receipting.run(),
        node.recalling.run(),
        node.answering.run(),
        node.passing_on.run(),
        node.complaints.run(),
        node.alarms.run(),
        node.clusters.run(),
        node.finding.run(),
        *beating,
    ]


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def wake() -> None:
        first()
        second()

    return wake


def _filed(
    wake: Callable[[], None],
    duties: Callable[[str], Awaitable[None]],
    call: Callable[[str], Awaitable[None]] | None,
) -> Callable[[str], Awaitable[None]]:
    """What follows on a report of ours that was filed."""

    async def filed(report_id: str) -> None:
        wake()
        if call is not None:
            with acting_as(NODE_ITSELF):  # by rule, not by whoever filed
                await call(report_id)
        await duties(report_id)

    return filed
