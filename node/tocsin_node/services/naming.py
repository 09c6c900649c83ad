"""Who may read in a report of ours that it tells of the same event as another: only who was sent that other one.

An identifier tells that there is a report. Whoever was never sent the other learns of it from nowhere else, so a report
that names it goes to nobody of whom that is so.
"""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence

from tocsin_federation.sharing import Release
from tocsin_node.errors import NodeError
from tocsin_node.storage import reports
from tocsin_node.storage.pool import Connection
from tocsin_schema.check import check_bundle
from tocsin_schema.facets import duplicates_named
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport


class NamesUnshared(NodeError):
    """It names a report as its duplicate that some of its readers were never sent."""

    code = "names-unshared"
    hint = "Take that out: `tocsin report duplicate-of ID OTHER --undo`; or share the other first."


async def never_sent(
    conn: Connection, node_id: str, other_ids: Collection[str], readers: Collection[str]
) -> Mapping[str, list[str]]:
    """For each report that is held here, which of the NodeIDs `readers` are not known to know of it.

    Who was sent a version of ours knows of it, and the origin of a peer's report; of TLP:CLEAR anybody may know.
    """
    unknown: dict[str, list[str]] = {}
    for other, held in (await reports.held(conn, list(other_ids))).items():
        if held.tlp == Tlp.CLEAR.value:
            continue
        knowing = set(held.audience) if held.origin == node_id else {held.origin}
        unknown[other] = [reader for reader in readers if reader not in knowing]
    return {other: left for other, left in unknown.items() if left}


async def refuse_unshared(
    conn: Connection,
    node_id: str,
    report: IncidentReport,
    release: Release,
    standing: reports.StoredReport | None,
    name_of: Callable[[str], str],
) -> None:
    """Return when everybody who gets the report may read whose duplicate it says to be.

    What the `standing` version told its audience is told already. A withdrawal must reach everybody.
    Raises: NamesUnshared.
    """
    named = set(duplicates_named(report))
    if report.revoked or not named or not release.to:
        return
    readers = {p.node_id for p in release.to}
    if standing is not None:
        before = check_bundle(standing.bundle).report
        told = named & set(duplicates_named(before)) if before else set()
        again = await never_sent(conn, node_id, told, readers - set(standing.audience))
        named -= told
    else:
        again = {}
    unknown = {**again, **await never_sent(conn, node_id, named, readers)}
    for other, left in unknown.items():
        raise NamesUnshared(
            f"It names {other} as its duplicate, which {_names(left, name_of)} was never sent.",
            hint=f"Take that out: `tocsin report duplicate-of {report.id} {other} --undo`; or share the other first: "
            f"`tocsin report share {other} {' '.join(f'--to {shlex.quote(name_of(each))}' for each in left)}`.",
        )


def _names(node_ids: Sequence[str], name_of: Callable[[str], str]) -> str:
    return ", ".join(map(name_of, node_ids))
