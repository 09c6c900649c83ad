"""Falling back: who passed a version on takes it back, and an earlier one that its author gave us itself stands again.

A messenger speaks for what is held through it alone [P-284]. Of its version nothing is left; what its author gave
before it never was the messenger's to take.
"""

from collections.abc import Sequence

from tocsin_node.storage import erasing, fallback, reports
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import NewReport
from tocsin_schema.check import check_bundle


async def fall_back(conn: Connection, report_ids: Sequence[str], through: str) -> set[str]:
    """Which of these reports stand on with what their authors gave, without what `through` (NodeID) passed on.

    Inside the caller's transaction. The others were given by nobody else, or are `through`'s own.
    """
    stay = set()
    for report_id in report_ids:
        former = await fallback.former(conn, report_id, through)
        if former is not None and former.withdrawn:  # that its author says so nobody else can take back
            stay.add(report_id)
            continue
        report = None if former is None else check_bundle(former.bundle).report
        if former is None or report is None:
            continue
        new = NewReport(report, former.origin, former.ver, former.place)
        await reports.replace(conn, new, held_ver=former.held_ver, held_origin=former.origin)
        await erasing.forget_alerts(conn, await fallback.alerts(conn, report_id, former.ver))
        await fallback.forget(conn, former, report_id, through)
        stay.add(report_id)
    return stay
