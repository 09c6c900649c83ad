"""What a peer without manners does to a real node: each way of `real_plan.WAYS`, with real keys and a seat in the federation."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import aiohttp
from aiohttp import web
from tests.simulation.real_house import House
from tests.support.reports import report_by
from tests.support.villain import GRAVE, Villain

from tocsin_federation.errors import FederationError
from tocsin_federation.frames import Frame, FrameReader
from tocsin_federation.merkle import leaf_hash
from tocsin_schema.marking import Tlp

FLOOD = 60


@dataclass
class Mischief:
    """`got`: every frame that it was ever served, with whom by. `fooled`: whom it shows another log."""

    villain: Villain
    dice: Random
    got: list[tuple[str, Frame]] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    fooled: str = ""

    async def do(self, way: str, house: House, victim: tuple[str, bytes] | None) -> None:
        """Do it to that node; `victim`: id and bytes of an honest report. What does not get through is tried no more."""
        ways: dict[str, Callable[..., Any]] = {
            "impostor": self._impostor,
            "squat": self._squat,
            "spoilt": self._spoilt,
            "mislabelled": self._mislabelled,
            "junk": self._junk,
            "honest": self._honest,
        }
        if way in ways:
            ways[way](house, victim)
            await self.villain.ring()
            return
        try:
            await {"flood": self._flood, "wrong-clock": self._late, "leech": self._leech}[way](house)
        except (aiohttp.ClientError, OSError, FederationError):
            return

    def _impostor(self, house: House, _victim: Any) -> None:
        """A report in the name of the node that reads it."""
        self.villain.publish(house, report_by(house.node.producer, "Never said", tlp="clear", **GRAVE))

    def _squat(self, house: House, victim: tuple[str, bytes] | None) -> None:
        """Its own words under the identifier of somebody else's report, as a much later version."""
        if victim is not None:
            lie = self.villain.bundle("A lie", incident_id=victim[0], tlp="clear", **GRAVE)
            self.villain.publish(house, lie, ver=99, tlp=Tlp.CLEAR)

    def _spoilt(self, house: House, _victim: Any) -> None:
        sealed = self.villain.sealed(house, self.villain.bundle("Spoilt"))
        wrap = self.dice.choice([self.dice.randbytes(1168), b"", self.dice.randbytes(9)])
        self.villain.append(house, sealed, wrap=wrap)

    def _mislabelled(self, house: House, _victim: Any) -> None:
        self.villain.publish(house, self.villain.bundle("Marked otherwise", tlp="red"), tlp=Tlp.CLEAR)

    def _junk(self, _house: House, _victim: Any) -> None:
        leaf = self.dice.choice([b"{}", b"", self.dice.randbytes(40), b'{"v":9}'])
        self.villain.entries.append(
            Frame(len(self.villain.leaf_hashes), leaf, self.dice.randbytes(1168), self.dice.randbytes(900))
        )
        self.villain.leaf_hashes.append(leaf_hash(leaf))

    def _honest(self, house: House, _victim: Any) -> None:
        self.villain.publish(house, self.villain.bundle("True for once", tlp="clear", **GRAVE))

    async def _flood(self, house: House) -> None:
        path = self.villain.log_path(house, "checkpoint?since=0&wait=0")
        self.answered += [(await self.villain.ask(house, path))[0] for _ in range(FLOOD)]

    async def _late(self, house: House) -> None:
        """With a clock that is an hour wrong it is told so, and gets nothing."""
        path = self.villain.log_path(house, "entries?from=0&max=100")
        headers = self.villain.signed(house, "GET", path, now=datetime.now(UTC) + timedelta(hours=1))
        status, _, _ = await self.villain.ask(house, path, headers=headers)
        assert status in {401, 403, 429, 503}, status

    async def _leech(self, house: House) -> None:
        """Everything from the beginning, whosever it is."""
        path = self.villain.log_path(house, "entries?from=0&max=500")
        status, body, _ = await self.villain.ask(house, path)
        if status == 200:
            self.got += [(house.name, frame) for frame in FrameReader(start=0).feed(body)]

    async def fork(self, house: House) -> None:
        """From now on that node, which has everything of the log, is shown another root for it."""
        if not self.villain.leaf_hashes:
            return
        self.fooled = house.name
        root = self.dice.randbytes(32)

        async def other(request: web.Request) -> web.StreamResponse | None:
            asker = request.headers.get("Signature-Input", "")
            return web.Response(body=self.villain.note(root=root)) if house.node_id in asker else None

        self.villain.hooks["checkpoint"] = other
        await self.villain.ring()
