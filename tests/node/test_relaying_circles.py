"""Store and forward of what goes to a circle, and of what was passed on, while its author is away."""

import pytest
from tests.node.test_circles import adopt, file_into, headers_of, ids, known
from tests.node.test_passing_on import changed, policy, share
from tests.node.test_recalls import gone
from tests.node.test_relaying import Neighbourhood, alerts_of, log_of, outcomes_of
from tests.node.test_share import file
from tests.support.circle import filed, introduce, seen
from tests.support.manifests import Founders
from tests.support.villain import GRAVE, get, post, until

from tocsin_schema.marking import Tlp

NAMES = ("alder", "birch", "cedar")


@pytest.fixture
async def town(cluster, tmp_path):
    async with Neighbourhood(cluster, tmp_path) as nodes:
        yield nodes


async def status_of(node, report_id):
    async with node.client.get(f"/v1/reports/{report_id}") as answer:
        return answer.status


async def counts(node):
    return (await get(node, "/v1/circles/Vigil"))["entries"]


async def test_what_goes_to_a_circle_reaches_a_member_through_another_and_is_counted_when_its_author_is_back(
    town,
):
    """What any peer may have is handed on; what the marking keeps among those whom its author chose waits for it."""
    alder, birch, cedar = await town.met(*NAMES)
    await adopt(alder, Founders().next(ids(town.nodes, *NAMES)))
    for node in (birch, cedar):
        await known(node)
    await town.close("cedar")
    amber = await file_into(alder, "For those whom Alder chose", tlp="amber")
    green = await file_into(alder, "For the community", tlp="green", **GRAVE)
    await seen(birch, green["id"])
    author = alder.node.identity.node_id
    await town.close("alder")
    (cedar,) = await town.open("cedar")
    report = await seen(cedar, green["id"])
    assert report["through"]["name"] == "birch"
    assert await alerts_of(cedar) == [green["id"]]
    assert await status_of(cedar, amber["id"]) == 404
    size, cursor = await log_of(cedar, author)
    assert cursor < size
    assert await counts(cedar) == [], "what others hand on says nothing of gaps: its author was not asked"

    (alder,) = await town.open("alder")
    await seen(cedar, amber["id"])
    (counted,) = await until(lambda: counts(cedar))
    assert (counted["last"], counted["missing"], counted["doubled"]) == (2, 0, 0)
    assert await alerts_of(cedar) == [green["id"]], "nothing rang twice"
    assert (await seen(cedar, green["id"]))["through"] is None


async def test_who_was_taken_out_of_a_circle_gets_nothing_of_it_from_others(town):
    founders = Founders()
    alder, birch, cedar = await town.met(*NAMES)
    await adopt(alder, founders.next(ids(town.nodes, *NAMES)))
    for node in (birch, cedar):
        await known(node)
    await town.close("cedar")
    before = await file_into(alder, "Before it was taken out", tlp="green")
    await seen(birch, before["id"])
    await adopt(alder, founders.next(ids(town.nodes, "alder", "birch")))
    await known(birch, epoch=1)
    after = await file_into(alder, "After it was taken out", tlp="green")
    named = await filed(alder, "For all by name")
    for report in (after, named):
        await seen(birch, report["id"])
    await town.close("alder")
    (cedar,) = await town.open("cedar")
    await seen(cedar, named["id"])
    for report in (before, after):
        assert await status_of(cedar, report["id"]) == 404


@pytest.mark.parametrize("tlp", ["green", "amber"])
async def test_what_was_passed_on_is_handed_on_to_whom_the_messenger_named(town, tlp):
    """Elm writes, fir passes it on to oak and yew; yew was away, and fir is when yew comes back."""
    elm, fir, oak, yew = await town.open("elm", "fir", "oak", "yew")
    for one, other in (("elm", "fir"), ("fir", "oak"), ("fir", "yew"), ("oak", "yew")):
        await introduce(one, town.nodes[one], other, town.nodes[other])
    for name in ("oak", "yew"):
        await policy(fir, name, client=tlp == "amber")
    said = await file(elm, elm.bundle("Told to fir", tlp=Tlp(tlp), **GRAVE))
    await seen(fir, said["id"])
    await town.close("yew")
    await share(fir, said["id"], "oak", "yew")
    other = await file(elm, elm.bundle("Not for yew", tlp=Tlp(tlp)))
    await seen(fir, other["id"])
    await share(fir, other["id"], "oak")
    for report in (said, other):
        await seen(oak, report["id"])
    messenger = fir.node.identity.node_id
    await town.close("fir")
    (yew,) = await town.open("yew")
    held = await seen(yew, said["id"])
    assert held["passed_by"]["name"] == "fir"
    assert held["origin"]["node_id"] == elm.node.identity.node_id
    assert held["bundle"] == (await get(elm, f"/v1/reports/{said['id']}"))["bundle"]
    assert await status_of(yew, other["id"]) == 404
    assert (await log_of(yew, messenger))[1] == 0, "the messenger is asked for it anew"
    rang = await alerts_of(yew)
    (fir,) = await town.open("fir")

    async def read_from_fir():
        return (await log_of(yew, messenger))[1] > 0

    await until(read_from_fir)
    assert ("unchanged") in [outcome for _, outcome in await outcomes_of(yew, "fir")]
    assert await alerts_of(yew) == rang == [said["id"]]


async def test_who_was_taken_a_report_back_from_is_left_out_by_name_and_not_by_the_circle(town):
    """Else another member could hand on to it the next version, which is addressed to all."""
    alder, birch, cedar = await town.met(*NAMES)
    await adopt(alder, Founders().next(ids(town.nodes, *NAMES)))
    for node in (birch, cedar):
        await known(node)
    report = await file_into(alder, "Taken back from cedar", tlp="green")
    for node in (birch, cedar):
        await seen(node, report["id"])
    await post(
        alder,
        f"/v1/reports/{report['id']}/recall",
        {"by": "Kim", "reason": "Not for them.", "peers": ["cedar"]},
    )
    await gone(cedar, report["id"])
    await changed(alder, report["id"], "The next version")
    await seen(birch, report["id"], ver=2)
    versions = [h.aud for h in await headers_of(alder) if h.t == "publish"]
    assert versions[0].circle is not None
    assert versions[1].nodes == (birch.node.identity.node_id,)
    next_one = await file_into(alder, "Another", tlp="green")
    await seen(cedar, next_one["id"])
    (counted,) = await counts(cedar)
    assert (counted["last"], counted["missing"]) == (2, 0), "what went by name took no number"
