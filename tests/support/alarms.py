"""Alarms on a real database and a real room, and reports to ring with."""

import asyncio
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.homeserver import Room

from tocsin_node.health import utc_now
from tocsin_node.links.matrix import MatrixTransport
from tocsin_node.links.transport import Sender
from tocsin_node.secrets import PICKLE_KEY, RECOVERY_KEYS, read_secret
from tocsin_node.services.alarm_carriers import Carriers, other_senders
from tocsin_node.services.alarm_line import ops_settings
from tocsin_node.services.alarm_way import MATRIX, MATRIX_2, OPS
from tocsin_node.services.alarms import Alarms
from tocsin_node.settings.alerting import AlertSettings, GroupingSettings
from tocsin_node.settings.channels import MailSettings, MatrixSettings, SecondMatrixSettings, WebhookSettings
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.settings.operators import OpsSettings
from tocsin_node.settings.record import Settings
from tocsin_node.settings.server import NodeSettings
from tocsin_node.storage.pool import Pool
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport
from tocsin_schema.severity import Severity

# What belongs together is a matter for its own tests: elsewhere every alert rings, at once and by itself.
AT_ONCE = {"wait_ii_s": 0, "wait_iii_s": 0, "flood_room": 10_000, "flood_origin": 10_000}
LEVELS = {"I": 5, "II": 4, "III": 3, "IV": 2, "none": 0}
TITLE = "Shuttle did not see a cyclist"
SUMMARY = "At a roundabout the shuttle drove on."
DRIVER = "physical-health: level 4 (deaths=1)"
SYSTEM = "Navya Autonom Shuttle 2.1"
ORIGIN = "City Transport"


def incident(
    grade: str = "II",
    *,
    tlp: Tlp = Tlp.GREEN,
    flags: tuple[str, ...] = (),
    revoked: bool = False,
    report_id: str | None = None,
    title: str = TITLE,
) -> IncidentReport:
    """A report of that grade, as it is after all checks."""
    now = datetime.now(UTC)
    level = LEVELS[grade]
    return IncidentReport(
        id=report_id or f"incident--{uuid.uuid4()}",
        wrapper_id=f"report--{uuid.uuid4()}",
        created_by_ref=f"identity--{uuid.uuid4()}",
        created=now,
        modified=now,
        name=title,
        description=SUMMARY,
        tlp=tlp,
        realization="harm-event",
        revoked=revoked,
        extension={"flags": list(flags)},
        severity=Severity(level, level * 19, grade, "incident", (DRIVER,), level, "computed"),
        claimed={},
        systems=(SYSTEM,),
        personal_data="none",
        source=None,
        raw=secrets.token_bytes(8),
        sha256=secrets.token_bytes(32),
    )


@dataclass
class Bell:
    """One node's alarms. `token`: what its token file holds; `acknowledged`: how often the hook was called."""

    pool: Pool
    settings: Settings
    transport: MatrixTransport | None
    others: dict[str, Sender] = field(default_factory=dict)
    now: Callable[[], datetime] = utc_now
    more_rooms: dict[str, MatrixTransport] = field(default_factory=dict)
    alarms: Alarms = field(init=False)
    token: str = ""
    acknowledged: int = 0

    def __post_init__(self) -> None:
        rooms = dict(self.more_rooms)
        if self.transport is not None:
            rooms[MATRIX] = self.transport
        self.alarms = Alarms(self.settings, self.pool, Carriers(rooms, self.others), now=self.now)
        self.alarms.on_acknowledged = self._count

    def _count(self) -> None:
        self.acknowledged += 1

    async def store(
        self, report: IncidentReport, *, ver: int = 1, before: str | None = None, ours: bool = False
    ) -> int | None:
        """What the ledger and the intake do: plan, record in a transaction, commit, wake."""
        plan = self.alarms.plan(report, origin=ORIGIN, ours=ours, previous_grade=before)
        if plan is None:
            return None
        async with self.pool.transaction() as conn:
            alert_id = await self.alarms.record(conn, plan, report_ver=ver)
        self.alarms.wake()
        return alert_id

    async def states(self) -> list[str]:
        """The state of every message, oldest first."""
        async with self.pool.acquire() as conn:
            return [row[0] for row in await conn.fetch("select state from delivery order by id")]

    async def until(self, wanted: Callable[[], Any], *, within_s: float = 60) -> Any:
        """What `wanted` (a coroutine function) gives as soon as it gives something true."""
        async with asyncio.timeout(within_s):
            while not (found := await wanted()):
                await asyncio.sleep(0.02)
            return found

    async def all_taken(self, count: int, channel: str, *, within_s: float = 60) -> None:
        """Wait until the other side of a channel has taken `count` messages or more."""

        async def done() -> bool:
            async with self.pool.acquire() as conn:
                found = await conn.fetchval(
                    "select count(*) from delivery where channel = $1 and state = 'accepted'", channel
                )
            return bool(found >= count)

        await self.until(done, within_s=within_s)

    async def all_echoed(self, count: int, *, within_s: float = 60) -> None:
        """Wait until `count` messages or more were seen in the room by the bot itself."""

        async def done() -> bool:
            return (await self.states()).count("echoed") >= count

        await self.until(done, within_s=within_s)

    async def all_said(self, count: int, *, within_s: float = 60) -> None:
        """The same for messages other than edits, of which there may be any number."""

        async def done() -> bool:
            async with self.pool.acquire() as conn:
                found = await conn.fetchval(
                    "select count(*) from delivery where kind <> 'update' and state = 'echoed'"
                )
            return bool(found >= count)

        await self.until(done, within_s=within_s)

    async def deliveries(self, alert_id: int) -> dict[str, dict[str, Any]]:
        """The newest message of an alert on each channel."""
        return {d["channel"]: d for d in (await self.alarms.get(alert_id))["deliveries"]}

    async def reaches(
        self, alert_id: int, channel: str, *states: str, within_s: float = 60
    ) -> dict[str, Any]:
        """The message of an alert on a channel as soon as it is in one of these states."""

        async def found() -> dict[str, Any] | None:
            message = (await self.deliveries(alert_id)).get(channel)
            return message if message is not None and message["state"] in states else None

        message: dict[str, Any] = await self.until(found, within_s=within_s)
        return message

    async def acks(self, alert_id: int) -> list[dict[str, Any]]:
        """What was said about an alert, oldest first."""
        return list((await self.alarms.get(alert_id))["acknowledgements"])

    async def standing_acks(self, alert_id: int, count: int) -> list[dict[str, Any]]:
        """The acknowledgements of an alert as soon as exactly `count` of them stand."""

        async def found() -> list[dict[str, Any]] | None:
            acks = [a for a in await self.acks(alert_id) if a["revoked_at"] is None]
            return acks or [{}] if len(acks) == count else None

        return [a for a in await self.until(found, within_s=60) if a]

    async def check(self, name: str, code: str | None, *, within_s: float = 60) -> Any:
        """The health check of that name as soon as it says `code`."""

        async def found() -> Any:
            return next((c for c in await self.alarms.health() if (c.name, c.code) == (name, code)), None)

        return await self.until(found, within_s=within_s)


def transport_of(
    matrix: MatrixSettings, pool: Pool, directory: Path, read_token: Callable[[], str], *, poll_s: float = 5
) -> MatrixTransport:
    """The transport for a room, as the node makes it but for where it reads the token."""
    if not matrix.encrypted:
        return MatrixTransport(matrix, read_token, poll_s=poll_s)
    from tocsin_node.links.matrix_e2ee import EncryptedTransport
    from tocsin_node.storage.matrix_crypto import KeyStore

    return EncryptedTransport(
        matrix,
        read_token,
        lambda: KeyStore(pool, matrix.user_id, read_secret(directory, PICKLE_KEY).decode()),
        lambda: read_secret(directory, RECOVERY_KEYS[isinstance(matrix, SecondMatrixSettings)]).decode(),
        poll_s=poll_s,
    )


@asynccontextmanager
async def bell(
    pool: Pool,
    directory: Path,
    room: Room | None,
    *,
    run: bool = True,
    alerts: dict[str, Any] | None = None,
    grouping: dict[str, Any] | None = None,
    webhook: dict[str, Any] | None = None,
    mail: dict[str, Any] | None = None,
    oncall: OncallSettings | None = None,
    now: Callable[[], datetime] = utc_now,
    ops: dict[str, Any] | None = None,
    second: Room | None = None,
    second_fields: dict[str, Any] | None = None,
    wrap: Callable[[MatrixTransport], Any] = lambda transport: transport,
    **matrix: Any,
) -> AsyncIterator[Bell]:
    """A node's alarms for the block; `run=False` only records. Without a room: Matrix is not configured.

    `grouping`: what differs from `AT_ONCE`.
    """
    chosen = None if room is None else MatrixSettings(**(_fields(room) | matrix))
    reserve = None if second is None else SecondMatrixSettings(**(_fields(second) | (second_fields or {})))
    settings = Settings(
        dir=directory,
        node=NodeSettings(org="Test"),
        alerts=AlertSettings(**(alerts or {})),
        oncall=oncall or OncallSettings(),
        grouping=GroupingSettings(**{**AT_ONCE, **(grouping or {})}),
        matrix=chosen,
        matrix_second=reserve,
        ops=OpsSettings(**(ops or {})),
        webhook=None if webhook is None else WebhookSettings(**webhook),
        mail=None if mail is None else MailSettings(**mail),
    )
    opened: list[Bell] = []
    transport = None if chosen is None else transport_of(chosen, pool, directory, lambda: opened[0].token)
    more_rooms = {}
    if reserve is not None and second is not None:
        more_rooms[MATRIX_2] = transport_of(reserve, pool, directory, partial(_token_of, second))
    operators = ops_settings(settings)
    if operators is not None:
        more_rooms[OPS] = MatrixTransport(operators, lambda: opened[0].token, rings=False)
    ringing = Bell(
        pool,
        settings,
        None if transport is None else wrap(transport),
        other_senders(settings),
        now,
        more_rooms,
    )
    opened.append(ringing)
    ringing.token = "" if room is None else room.bot.access_token
    try:
        if run:
            async with running(ringing):
                yield ringing
        else:
            yield ringing
    finally:
        if transport is not None:
            await transport.close()
        for more in ringing.more_rooms.values():
            await more.close()
        for sender in ringing.others.values():
            await sender.close()


def room_section(room: Room, token_file: Path) -> dict[str, Any]:
    """A whole node's section of settings for a room; the bot's token is written into `token_file`."""
    token_file.touch(mode=0o600)
    token_file.write_text(f"{room.bot.access_token}\n")
    fields = _fields(room)
    return fields | {"responders": list(fields["responders"]), "access_token_file": str(token_file)}


def _fields(room: Room) -> dict[str, Any]:
    return {
        "homeserver": room.bot.url,
        "user_id": room.bot.user_id,
        "room": room.id,
        "responders": (room.responder.user_id,),
        "request_timeout_s": 2.0,
        "sends_per_s": 1000,
        "send_burst": 1000,
    }


def _token_of(room: Room) -> str:
    return room.bot.access_token


@asynccontextmanager
async def running(ringing: Bell) -> AsyncIterator[None]:
    """The alarms' tasks for the block; cut off at its end, wherever they are."""
    task = asyncio.create_task(ringing.alarms.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()
