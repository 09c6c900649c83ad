"""One run over real HTTP and PostgreSQL: three nodes as processes, a liar among their peers, a storm, then calm."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import orjson
from tests.simulation.real_house import STIX, House, house
from tests.simulation.real_plan import NAMES, Act, Plan
from tests.simulation.real_villain import Mischief
from tests.support.postgres import Cluster
from tests.support.reports import report_by
from tests.support.villain import GRAVE, Villain, get, incident_id_of, post, villain

from tocsin_schema.marking import Tlp
from tocsin_schema.stix import revise, withdraw

REPEATED = 60


@dataclass
class Filed:
    """A report by an honest node. `said`: every text that was ever handed in; `held`: those that were acknowledged."""

    by: str
    id: str
    said: list[bytes] = field(default_factory=list)
    held: dict[int, bytes] = field(default_factory=dict)
    grave: list[bool] = field(default_factory=list)
    ended: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class Run:
    """`lowest`: (of, for) → the strictest ceiling that ever held on the way out."""

    plan: Plan
    houses: dict[str, House]
    mischief: Mischief
    filed: list[Filed] = field(default_factory=list)
    lowest: dict[tuple[str, str], Tlp] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)

    async def storm(self) -> None:
        """Everything that people, machines and chance do."""
        began = asyncio.get_running_loop().time()

        async def act(what: Act) -> None:
            await asyncio.sleep(began + what.at_s - asyncio.get_running_loop().time())
            await getattr(self, f"_{what.kind}")(self.houses.get(what.who), what)
            self.did[what.kind] += 1

        async with asyncio.TaskGroup() as all_acts:
            for what in self.plan.acts:
                all_acts.create_task(act(what))

    async def calm(self) -> None:
        """Everything is up and passes again."""
        for one in self.houses.values():
            one.weather.clear()
            one.slow.delay_s, one.slow.lose, one.pager.always = 0.0, b"", None
            await one.start()

    # Its people ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _own(self, house: House, what: Act) -> AsyncIterator[Filed | None]:
        """A report of that node to go on with, when its turn has come; None: there is none, or it was withdrawn."""
        own = [report for report in self.filed if report.by == house.name and report.held]
        if not own:
            yield None
            return
        one = own[what.nth % len(own)]
        async with one.turn:
            yield None if one.ended else one

    async def _file(self, house: House, what: Act) -> None:
        raw = report_by(house.node.producer, f"Report {len(self.filed)}", tlp=what.tlp, **_harm(what))
        one = Filed(house.name, incident_id_of(raw))
        self.filed.append(one)
        async with one.turn:
            await self._say(house, one, raw, "POST", "/v1/reports", what)

    async def _revise(self, house: House, what: Act) -> None:
        async with self._own(house, what) as one:
            if one is not None:
                changes = {"tlp": what.tlp, "title": f"Version {len(one.said) + 1}"}
                raw = revise(one.held[max(one.held)], changes, now=_later(one))
                await self._say(house, one, raw, "PUT", f"/v1/reports/{one.id}", what)

    async def _withdraw(self, house: House, what: Act) -> None:
        async with self._own(house, what) as one:
            if one is not None:
                one.ended = True
                raw = withdraw(one.held[max(one.held)], reason="It was a test.", now=_later(one))
                await self._say(house, one, raw, "POST", f"/v1/reports/{one.id}/withdraw", what)

    async def _recall(self, house: House, what: Act) -> None:
        """A person takes a report back from everybody."""
        async with self._own(house, what) as one:
            if one is not None:
                why = b'{"by":"Somebody","reason":"It has to go."}'
                status, said = await house.insist("POST", f"/v1/reports/{one.id}/recall", why, headers=JSON)
                self.did["recalled" if status < 300 else f"refused {said['code']}"] += 1

    async def _say(self, house: House, one: Filed, raw: bytes, method: str, path: str, what: Act) -> None:
        """Hand a version in until it is acknowledged or refused."""
        query = ""
        if path == "/v1/reports" and what.to is not None:
            query = "?" + ("&".join(f"to={name}" for name in what.to) or "share=0")
        one.said.append(raw)
        status, said = await house.insist(method, path + query, raw, headers=STIX)
        if status in {200, 201}:
            one.held[said["ver"]] = raw
            one.grave.append(said["grade"] in {"I", "II"})
        else:
            one.said.remove(raw)
            self.did[f"refused {said['code']}"] += 1

    async def _acknowledge(self, house: House, what: Act) -> None:
        """Somebody has seen whatever rang last."""
        status, said = await house.insist("GET", "/v1/alerts?open=1&limit=50", None)
        if status == 200 and said["items"]:
            alert = said["items"][what.nth % len(said["items"])]["id"]
            await house.insist("POST", f"/v1/alerts/{alert}/ack", b'{"by":"Somebody"}', headers=JSON)

    async def _lower(self, house: House, what: Act) -> None:
        out, in_ = self.plan.limits[house.name, what.other]
        now = Tlp.GREEN if what.nth % 2 else out
        self.lowest[house.name, what.other] = min(out, now, key=lambda tlp: tlp.rank)
        words = {"unverified": True, "max_tlp_out": now.value, "max_tlp_in": in_.value}
        await house.insist("POST", f"/v1/peers/{what.other}/approve", orjson.dumps(words), headers=JSON)

    # Machines ------------------------------------------------------------------------------------------------

    async def _kill(self, house: House, what: Act) -> None:
        await house.kill()
        await asyncio.sleep(what.for_s)
        await house.start()

    async def _part(self, house: House, what: Act) -> None:
        other = self.houses.get(what.other)
        pair = [(house, other), (other, house)] if other is not None else []
        for one, another in pair:
            one.weather.parted.add(another.node_id)
            one.wire.cut_open()
        await asyncio.sleep(what.for_s)
        for one, another in pair:
            one.weather.parted.discard(another.node_id)

    async def _spoil(self, house: House, what: Act) -> None:
        house.weather.cut, house.weather.flipped, house.wire.delay_s = 0.1, 0.05, 0.02
        await asyncio.sleep(what.for_s)
        house.weather.cut = house.weather.flipped = house.wire.delay_s = 0.0

    async def _slow(self, house: House, what: Act) -> None:
        house.slow.delay_s = 0.05
        await asyncio.sleep(what.for_s)
        house.slow.delay_s = 0.0

    async def _lose(self, house: House, what: Act) -> None:
        """Once, the database does it and its answer is lost."""
        house.slow.lose = b"COMMIT"
        await asyncio.sleep(min(what.for_s, 0.3))
        house.slow.lose = b""

    async def _deaf(self, house: House, what: Act) -> None:
        """The pager takes an alert and its answer is lost, then it takes nothing for a while."""
        house.pager.forget_answer = True
        house.pager.always = 503 if what.nth % 2 else None
        await asyncio.sleep(what.for_s)
        house.pager.always = None

    async def _repeat(self, house: House, _what: Act) -> None:
        """What crossed the wire crosses it once more."""
        if house.alive:
            await asyncio.to_thread(_repeat, house)

    async def _mischief(self, _house: House | None, what: Act) -> None:
        house = self.houses.get(what.other) or self.houses[NAMES[what.nth % len(NAMES)]]
        victims = [r for r in self.filed if r.held and r.by != house.name]
        victim = None
        if victims:
            one = victims[what.nth % len(victims)]
            status, _ = await house.insist("GET", f"/v1/reports/{one.id}", None)
            victim = (
                (one.id, one.said[0]) if status == 200 else None
            )  # before that it could only have guessed
        await self.mischief.do(what.way, house, victim)


JSON = {"Content-Type": "application/json"}


def _harm(what: Act) -> dict[str, object]:
    return dict(GRAVE) if what.grave else {}


def _later(one: Filed) -> datetime:
    return datetime.now(UTC) + timedelta(milliseconds=len(one.said))


def _repeat(house: House) -> None:
    from tests.support.wire import split_requests, status_of

    requests = [one for stream in house.wire.streams("request") for one in split_requests(stream)]
    for request in requests[-REPEATED:]:
        try:
            status_of(house.settings.node.port, request)
        except (OSError, ValueError, IndexError):
            continue  # it is being killed, or the piece was spoilt


async def say_all_again(run: Run) -> None:
    """Repeat to every node what crossed its wire of late; nothing may come of it."""
    for one in run.houses.values():
        await asyncio.to_thread(_repeat, one)


@asynccontextmanager
async def run_of(plan: Plan, cluster: Cluster) -> AsyncIterator[Run]:
    """The federation of that plan, met and at peace, for the block."""
    dice = Random(f"machine {plan.seed}")
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tr-")))
        houses = {}
        for name in NAMES:
            database = await stack.enter_async_context(cluster.database())
            one = house(name, home, database, Random(dice.random()), plan.skews[name])
            houses[name] = await stack.enter_async_context(one)
        mallory = await stack.enter_async_context(villain())
        await asyncio.gather(*(one.start() for one in houses.values()))
        run = Run(plan, houses, Mischief(mallory, dice))
        run.lowest = {pair: out for pair, (out, _) in plan.limits.items()}
        await _meet(run, mallory)
        yield run


async def _meet(run: Run, mallory: Villain) -> None:
    for n, one in enumerate(NAMES):
        for other in NAMES[n + 1 :]:
            inviter, guest = run.houses[one], run.houses[other]
            invite = await post(inviter, "/v1/peers/invites", {"name": other})
            words = (await post(guest, "/v1/peers/join", {"invite": invite["invite"], "name": one}))["sas"]
            for node, name in ((inviter, other), (guest, one)):
                await _approve(run, node, name, words)
        await mallory.join(run.houses[one], approve=False)
        await _approve(
            run, run.houses[one], "mallory", (await get(run.houses[one], "/v1/peers/mallory"))["sas"]
        )


async def _approve(run: Run, node: House, name: str, words: list[str]) -> None:
    out, in_ = run.plan.limits[node.name, name]
    limits = {"max_tlp_out": out.value, "max_tlp_in": in_.value}
    await post(node, f"/v1/peers/{name}/approve", {"sas": " ".join(words), **limits})
