"""A withdrawal goes to those who had the report, also where it was shared through a circle that others have joined since."""

from tests.simulation import play as playing
from tests.simulation.cast import START
from tests.simulation.node import Node
from tests.simulation.test_simulation import scene
from tests.simulation.villains import new_id
from tests.support.manifests import Founders

from tocsin_federation.keys import generate


def test_who_joined_a_circle_gets_no_withdrawal_of_what_came_before_from_others():
    run, (author, had, joined) = scene(Node, Node, Node)
    founders = Founders(admins=[generate(run.world.dice.randbytes) for _ in range(3)])
    report_id = new_id(b"\5" * 16)
    first = founders.next([author.node_id, had.node_id], now=START)
    author.post(lambda: author.adopt(first))
    run.world.run(run.world.now_s + 20.0)
    playing._publish(run, author, report_id, "green", into=founders.circle.id)
    second = founders.next([author.node_id, had.node_id, joined.node_id], now=START)
    author.post(lambda: author.adopt(second))
    run.world.run(run.world.now_s + 60.0)
    run.world.parted.add(frozenset((author.node_id, joined.node_id)))
    playing._publish(run, author, report_id, "green", revoked=True)
    run.world.run(run.world.now_s + 200.0)
    assert had.disk.reports[report_id].held.final
    run.world.parted.clear()
    run.world.run(run.world.now_s + 60.0)
    assert report_id not in joined.disk.reports
    assert joined.count(founders.circle.id, author.node_id) == (0, 0)
