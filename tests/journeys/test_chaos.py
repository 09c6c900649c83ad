"""Kill -9 at random moments: what was acknowledged is there, once, and rings once."""

import http.client
import random
import threading
import time

import pytest
from tests.journeys.test_main_job import messages_about
from tests.support.neighbour import introduce, start_all, until

A_ROUND = 6
SEED = 20261123


class Writer(threading.Thread):
    """Files reports one after the other; each until the node has acknowledged it, always with the same bytes.

    It files as many as it was allowed, so that every kill finds it at work.
    """

    def __init__(self, node, reports) -> None:
        super().__init__(daemon=True)
        self._node = node
        self._bundles = [node.bundle(f"Incident {n} of the storm") for n in range(reports)]
        self._allowed = threading.Semaphore(0)
        self._moved = threading.Condition()
        self.acknowledged: list[str] = []
        self.refused: list[object] = []

    def run(self) -> None:
        for raw in self._bundles:
            self._allowed.acquire()
            while True:
                try:
                    answer = self._node.call("POST", "/v1/reports", raw, within_s=10)
                except (OSError, http.client.HTTPException):
                    time.sleep(0.05)  # the node is down; nothing tells a client when it is back
                    continue
                if answer.status in {200, 201}:
                    with self._moved:
                        self.acknowledged.append(answer.json()["id"])
                        self._moved.notify_all()
                    break
                if answer.status != 503:
                    self.refused.append(answer)
                    return
                time.sleep(0.05)

    def go_on(self, reports) -> None:
        """File that many more."""
        self._allowed.release(reports)

    def wait_for(self, count) -> None:
        """Return as soon as `count` reports in all are acknowledged."""
        with self._moved:
            there = self._moved.wait_for(lambda: len(self.acknowledged) >= count, timeout=60)
        assert there, (count, len(self.acknowledged), self.refused)


def back(node, pidfile, before) -> bool:
    """Whether the node has a new server and is well, or has ended for want of one."""
    if not node.alive:
        return True
    try:
        if pidfile.read_text() == before:
            return False
    except FileNotFoundError:
        return False
    return node.health().get("status") in {"ok", "degraded"}


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_or_doubled_and_each_alert_is_seen_once(organisation, homeserver):
    sender, receiver = organisation("sender"), organisation("receiver", rung=True)
    start_all([sender, receiver], homeserver)
    introduce(sender, receiver)
    chance = random.Random(SEED)
    victims = ["sender", "receiver", "sender's postgres", "receiver's postgres", "homeserver", "sender"]
    chance.shuffle(victims)
    reports = A_ROUND * len(victims)
    writer = Writer(sender, reports)
    writer.start()
    caught = 0
    for nth, victim in enumerate(victims):
        writer.go_on(A_ROUND)
        writer.wait_for(A_ROUND * nth + chance.randrange(3))
        time.sleep(chance.uniform(0, 0.004))  # a random moment is the point
        caught += len(writer.acknowledged) < A_ROUND * (nth + 1)
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
        writer.wait_for(A_ROUND * (nth + 1))
    writer.join(120)
    assert caught >= len(victims) // 2, "the kills came when nothing was being filed"
    assert not writer.refused, (SEED, writer.refused)
    assert len(writer.acknowledged) == reports, (SEED, sender.log())

    for report_id in writer.acknowledged:
        assert receiver.await_report(report_id, within_s=60)["ver"] == 1
    outcomes = receiver.settled(sender)["outcomes"]
    assert outcomes == {"stored": reports, "unchanged": 0, "superseded": 0, "refused": {}, "quarantined": {}}
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
