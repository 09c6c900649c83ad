"""Erasing: leave nothing of a report here, and do not let it in again.

One transaction of the ledger's, so that nothing about the report is written into our log beside it. Messages in rooms
are taken back by the outbox, and a notice says that something was, and nothing of what.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import orjson

from tocsin_node.actor import person
from tocsin_node.data_keys import DataKeys
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.alarm_notice import Notice, Notices
from tocsin_node.storage import audit, deliveries, erasing, erasures, onward_readers
from tocsin_node.storage.audit import Act
from tocsin_node.storage.erasures import Erasure
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.ids import node_identity_id

_TELLING_WORDS = 4


class Erased(NodeError):
    """The report was recalled or erased here, and does not come in again."""

    code = "erased"
    hint = "If it may after all: `tocsin report blocklist lift ID --by NAME --reason WHY`."


class NotErased(NodeError):
    """Nothing stands in the way of that report."""

    code = "not-erased"
    hint = "`tocsin report blocklist list` shows what was erased, by number."


class ReasonTells(NodeError):
    """The reason repeats words of the report."""

    code = "reason-tells"
    hint = "It is kept when the report is gone: say why, and nothing of what the report said."


class Erasing:
    """Erases, and keeps the list of what does not come in again."""

    def __init__(self, pool: Pool, data_keys: DataKeys, notices: Notices, *, node_id: str) -> None:
        self._pool = pool
        self._node_id = node_id
        self._data_keys = data_keys
        self._notices = notices

    def tag(self, report_id: str) -> bytes:
        """How a report that is gone is known again."""
        return self._data_keys.tag(report_id.encode())

    def erasing(
        self,
        report_ids: Sequence[str],
        *,
        origin: str | None,
        by: str | None,
        reason: str | None,
        told: str,
        key: str,
    ) -> Callable[[Connection], Awaitable[None]]:
        """What erases these, in a transaction of the ledger. `told`: who did so, for rooms; `key`: of that notice."""
        return partial(self._erase, tuple(report_ids), origin, by, reason, told, key)

    async def refuse_erased(self, report_id: str, sha256: bytes) -> None:
        """Return when a report may come in. Raises: Erased."""
        if await self.among([report_id.encode(), sha256]):
            raise Erased

    async def among(
        self, names: Sequence[bytes], conn: Connection | None = None, giver: str | None = None
    ) -> set[bytes]:
        """Which of these ids (as bytes) and SHA-256 of contents may not come in; `giver`: from that peer (NodeID).

        What a peer took back it may give anew; what we erased comes in from nobody.
        """
        tags = {self._data_keys.tag(name): name for name in names}
        if not tags:
            return set()
        if conn is not None:
            return {tags[tag] for tag in await erasures.standing(conn, list(tags), giver)}
        async with self._pool.acquire() as fresh:
            return {tags[tag] for tag in await erasures.standing(fresh, list(tags), giver)}

    async def listing(self, *, lifted: bool) -> list[Erasure]:
        """What was erased, newest first; with those that were lifted, too."""
        async with self._pool.acquire() as conn:
            return await erasures.listing(conn, lifted=lifted)

    async def lift(
        self, erasure_id: int | None, report_id: str | None, *, by: str, reason: str
    ) -> list[Erasure]:
        """Let it come in again. Raises: NotErased."""
        tag = None if report_id is None else self.tag(report_id)
        async with self._pool.transaction() as conn:
            lifted = await erasures.lift(conn, erasure_id, tag, by=by, reason=reason)
            await audit.note(
                conn, *[Act("report.unblock", None, {"erasure": one.id}, person(by)) for one in lifted]
            )
        if not lifted:
            raise NotErased
        return lifted

    async def health(self) -> Check:
        """Whether every message that was to be taken back was."""
        async with self._pool.acquire() as conn:
            refused = await deliveries.not_unsaid(conn)
        if not refused:
            return Check("erasing")
        hint = (
            f"The homeserver refuses to take back {refused} of our messages about reports that were erased: "
            "somebody with power over the room has to remove what the bot wrote."
        )
        return Check("erasing", "degraded", "message-stays", hint, count=refused)

    async def _erase(
        self,
        report_ids: tuple[str, ...],
        origin: str | None,
        by: str | None,
        reason: str | None,
        told: str,
        key: str,
        conn: Connection,
    ) -> None:
        if not report_ids:
            return
        owners = await erasing.owners(conn, report_ids)
        # Who passed it on, or published what nobody's node created, takes back what it gave, and keeps nobody else from
        # giving it.
        its_own = None if origin is None else (origin, node_identity_id(origin))
        barred = [one for one in report_ids if its_own is None or owners.get(one) == its_own]
        for report_id in report_ids:
            await onward_readers.keep(conn, report_id, self.tag(report_id), self._node_id)
        contents = [self._data_keys.tag(sha256) for sha256 in await erasing.contents(conn, barred)]
        channels = await erasing.told_in(conn, report_ids)
        await erasing.erase(conn, report_ids, origin)
        for report_id in barred:
            await erasures.add(conn, self.tag(report_id), contents, origin=origin, by=by, reason=reason)
        if channels:
            notice = Notice(
                "recalled", "an alert was taken back", f"{told} What was said of it here is removed."
            )
            await self._notices.enqueue(conn, channels, notice, key)


def refuse_telling(reason: str, report_id: str, bundle: bytes) -> None:
    """Return when a reason may be kept after the report: it has no four words in a row of it. Raises: ReasonTells."""
    said = _words(reason)
    runs = {tuple(said[n : n + _TELLING_WORDS]) for n in range(len(said) - _TELLING_WORDS + 1)}
    uuid = report_id.removeprefix("incident--")
    if uuid in reason.lower():
        raise ReasonTells
    for text in _texts(orjson.loads(bundle)["objects"]):
        words = _words(text)
        if any(tuple(words[n : n + _TELLING_WORDS]) in runs for n in range(len(words) - _TELLING_WORDS + 1)):
            raise ReasonTells


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return []
