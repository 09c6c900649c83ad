"""Kill -9 at random moments: what was acknowledged is there, once, and rings once."""

import random
import threading
import time

import pytest
from tests.journeys.test_main_job import messages_about
from tests.support.neighbour import introduce, start_all, until

REPORTS = 20
ROUNDS = 6
SEED = 20261123


class Writer(threading.Thread):
    """Files reports one after the other; each until the node has acknowledged it, always with the same bytes."""

    def __init__(self, node) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._bundles = [node.bundle(f"Incident {n} of the storm") for n in range(REPORTS)]
        self.acknowledged: list[str] = []
        self.refused: list[object] = []

    def run(self) -> None:
        for raw in self._bundles:
            while True:
                try:
                    answer = self._node.call("POST", "/v1/reports", raw, within_s=10)
                except OSError:
                    time.sleep(0.05)  # the node is down; nothing tells a client when it is back
                    continue
                if answer.status in {200, 201}:
                    self.acknowledged.append(answer.json()["id"])
                    break
                if answer.status != 503:
                    self.refused.append(answer)
                    return
                time.sleep(0.05)


def back(node, pidfile, before) -> bool:
    """Whether the node has a new server and is well, or has ended for want of one."""
    if not node.alive:
        return True
    return (
        pidfile.exists()
        and pidfile.read_text() != before
        and node.health().get("status") in {"ok", "degraded"}
    )


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_or_doubled_and_each_alert_is_seen_once(organisation, homeserver):
    sender, receiver = organisation("sender"), organisation("receiver", rung=True)
    start_all([sender, receiver], homeserver)
    introduce(sender, receiver)
    chance = random.Random(SEED)
    writer = Writer(sender)
    writer.start()
    victims = ["sender", "receiver", "sender's postgres", "receiver's postgres", "homeserver", "sender"]
    chance.shuffle(victims)
    for victim in victims[:ROUNDS]:
        time.sleep(chance.uniform(0.05, 0.6))  # a random moment is the point
        node = sender if victim.startswith("sender") else receiver
        if victim == "homeserver":
            homeserver.kill()
            homeserver.start()
            homeserver.wait_ready()
        elif victim.endswith("postgres"):
            pidfile = node.directory / "postgres/data/postmaster.pid"
            before = pidfile.read_text()
            node.kill_postgres()
            until(lambda n=node, f=pidfile, b=before: back(n, f, b), victim, within_s=60, log=node.log)
            if not node.alive:
                node.restart()
        else:
            node.kill()
            node.restart()
    writer.join(120)
    assert not writer.refused, (SEED, writer.refused)
    assert len(writer.acknowledged) == REPORTS, (SEED, sender.log())

    for report_id in writer.acknowledged:
        assert receiver.await_report(report_id, within_s=60)["ver"] == 1
    outcomes = receiver.settled(sender)["outcomes"]
    assert outcomes == {"stored": REPORTS, "unchanged": 0, "superseded": 0, "refused": {}, "quarantined": {}}
    for node in (sender, receiver):
        node.run("log", "verify")
    for report_id in writer.acknowledged:
        until(
            lambda i=report_id: messages_about(receiver, i),
            f"{report_id} rings",
            within_s=90,
            log=receiver.log,
        )
        assert len(messages_about(receiver, report_id)) == 1, (SEED, report_id)
        assert len(receiver.alerts_about(report_id)) == 1
