"""Whose reports the alerts are about."""

from collections.abc import Sequence

from tocsin_node.storage.pool import Connection

SOURCES = """
select a.id, a.ours, coalesce(e.origin, r.origin) from alert a left join report r on r.id = a.report_id
left join emergency e on e.id = a.emergency where a.id = any($1::bigint[])
"""


async def sources(conn: Connection, alert_ids: Sequence[int]) -> dict[int, tuple[bool, str | None]]:
    """For each alert whether it is about something of ours, and the NodeID of the report's origin."""
    return {row[0]: (row[1], row[2]) for row in await conn.fetch(SOURCES, list(alert_ids))}
