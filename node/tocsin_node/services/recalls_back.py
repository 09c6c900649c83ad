"""Own recalls that came back after a restore: whom a report was taken back from is sent no more of it [P-248].

In whatever order recall and report come back. What a marking took back is treated as if a person had: the entry does
not say which it was. Nor does it say whether the report was erased here, so people are told, and decide that again.
"""

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta

from tocsin_federation.calls import moment
from tocsin_federation.envelope import Opened
from tocsin_federation.recall import read_recall
from tocsin_node.data_keys import DataKeys
from tocsin_node.health import Check
from tocsin_node.storage import regained_recalls
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.regained_recalls import Back
from tocsin_node.storage.reports import Place

BY = "this node, restored"  # who it was the entry does not say
TOLD_FOR = timedelta(days=14)
ABOUT_REPORTS = frozenset({"publish", "revoke", "remark", "share", "call"})


async def take_again(
    conn: Connection, data_keys: DataKeys, opened: Opened, place: Place, readers: Collection[str]
) -> None:
    """Do again what follows from an entry of ours that came back for `readers` (NodeIDs), in the caller's transaction.

    Raises: EntryRefused when it is a recall that cannot be read.
    """
    header = opened.header
    if header.t == "recall":
        said = read_recall(opened.content)
        report_id = await regained_recalls.named(conn, said.entries)
        tag = None if report_id is None else data_keys.tag(report_id.encode())
        back = Back(
            id=str(uuid.UUID(header.id.removeprefix("recall--"))),
            tag=tag,
            what=said.what,
            tlp=header.tlp.value,
            entries=said.entries,
            reason=said.reason,
            by=BY,
            at=moment(said.at),
            deadline=moment(said.deadline),
            place=place,
        )
        await regained_recalls.add(conn, back, readers)
        if report_id is not None and tag is not None:
            await regained_recalls.do(conn, tag, report_id)
    elif header.t in ABOUT_REPORTS:
        tag = data_keys.tag(header.id.encode())
        await regained_recalls.found(conn, tag, place.leaf_hash)
        await regained_recalls.do(conn, tag, header.id)


async def health(pool: Pool, now: datetime) -> Check:
    """Whether a restore brought back reports that had been taken back, or erased, since the backup."""
    async with pool.acquire() as conn:
        count = await regained_recalls.here(conn, now - TOLD_FOR)
    if not count:
        return Check("recalls-back")
    hint = (
        f"{count} reports are here of which recalls of ours came back after a restore: `tocsin report recalls`. "
        "What had been erased here, too: `tocsin report erase ID` again."
    )
    return Check("recalls-back", "degraded", "recall-came-back", hint, mark=count)
