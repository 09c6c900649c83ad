"""What must be true of a run over real HTTP and PostgreSQL at its end, read from the databases, the pagers and the doors."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.simulation.real_house import House
from tests.simulation.real_play import Run

from tocsin_federation.checkpoint import open_checkpoint
from tocsin_federation.errors import FederationError
from tocsin_federation.evidence import read_evidence, verify_evidence
from tocsin_federation.merkle import leaf_hash, root_of
from tocsin_federation.messages import Header, read_header
from tocsin_node.storage.pool import Connection, connect
from tocsin_schema.marking import Tlp

REPORTS = {"publish", "revoke"}
THERE = {"stored", "unchanged", "superseded"}
RINGS = ("raise", "escalate", "withdrawn")
TAKEN = """
select p.node, p.ref, p.idx, c.purged_at from recall r join recall_peer p on p.recall = r.id
left join receipt c on c.node = p.node and c.gen = p.gen and c.idx = p.idx where r.what = 'purge'
"""
Rang = tuple[str | None, int | None, str]


@dataclass
class Books:
    """A node's database as it is now. `headers`: of its own entries, by index; `followed`: by origin.

    `taken`: what it took back, of whom, by which entry, and when that one did so.
    """

    leaves: list[bytes | None]  # None: what spoke of a report that was taken back from this node
    hashes: list[bytes]
    note: bytes
    reports: dict[str, Any]
    versions: dict[tuple[str, int], bytes]
    followed: dict[str, Any]
    outcomes: dict[str, dict[int, Any]]
    alerts: list[Any]
    waiting: int
    states: dict[str, str]
    evidence: list[Any]
    told: set[tuple[str, int, str]]
    own_acks: set[tuple[str, int]]
    taken: list[Any]

    @property
    def headers(self) -> list[Header | None]:
        return [None if leaf is None else read_header(leaf) for leaf in self.leaves]


async def books_of(house: House) -> Books:
    """Read it, past the slow wire."""
    conn = await connect(house.database)
    try:
        async with conn.transaction(isolation="repeatable_read", readonly=True):
            return await read(conn)
    finally:
        await conn.close()


async def read(conn: Connection) -> Books:
    """The books, as they are in this transaction."""
    entries = await conn.fetch("select leaf, leaf_hash from log_entry where gen = 1 order by idx")
    earlier = await conn.fetch("select report_id, ver, bundle from report_version")
    outcomes: dict[str, dict[int, Any]] = {}
    for row in await conn.fetch("select origin, idx, outcome, code from remote_entry"):
        outcomes.setdefault(row["origin"], {})[row["idx"]] = row
    acts = await conn.fetch("select report_id, ver, node from act where kind = 'ack' and via = 'peer'")
    seen = await conn.fetch(
        "select a.report_id, a.ver from act c join alert a on a.id = c.alert_id where c.kind = 'ack'"
    )
    newest = "select note from log_checkpoint order by gen desc, size desc limit 1"
    waiting = "select count(*) from delivery where state in ('pending', 'sending')"
    return Books(
        leaves=[row["leaf"] for row in entries],
        hashes=[row["leaf_hash"] for row in entries],
        note=await conn.fetchval(newest),
        reports={row["id"]: row for row in await conn.fetch("select * from report")},
        versions={(row["report_id"], row["ver"]): row["bundle"] for row in earlier},
        followed={row["origin"]: row for row in await conn.fetch("select * from remote_log")},
        outcomes=outcomes,
        alerts=await conn.fetch("select report_id, ver, kind, origin from alert"),
        waiting=await conn.fetchval(waiting),
        states={r["node_id"]: r["state"] for r in await conn.fetch("select node_id, state from peer")},
        evidence=await conn.fetch("select origin, code from evidence"),
        told={(row["report_id"], row["ver"], row["node"]) for row in acts},
        own_acks={(row["report_id"], row["ver"]) for row in seen},
        taken=await conn.fetch(TAKEN),
    )


async def judge(run: Run, spoilt: Mapping[str, Books] | None = None) -> list[str]:
    """What is wrong; nothing, if the nodes keep their promises. `spoilt`: books to look at instead of theirs."""
    books = {name: await books_of(house) for name, house in run.houses.items()} | dict(spoilt or {})
    wrong: list[str] = []
    for name, own in books.items():
        wrong += _whole(run.houses[name], own) + _kept(run, name, own) + _rung(run, name, own)
        for other, theirs in books.items():
            if other != name:
                wrong += _lost(run, name, own, other, theirs) + _leaked(run, name, own, other, theirs)
                if own.states.get(run.houses[other].node_id) != "active":
                    wrong.append(f"{name} stopped {other}, who is honest")
                if any(row["origin"] == run.houses[other].node_id for row in own.evidence):
                    wrong.append(f"{name} holds evidence against {other}, who is honest")
        wrong += _forged(run, name, own)
    for name, frame in run.mischief.got:
        if run.mischief.villain.node_id not in read_header(frame.leaf).aud.nodes:
            wrong.append(f"{name} served mallory an entry that was not for it")
    return wrong + await _convicted(run, books)


def _whole(house: House, own: Books) -> list[str]:
    """Its log is what it has signed."""
    head = open_checkpoint(own.note, house.node.identity.statement.log.vkey)
    whole = len(own.hashes) == head.size and root_of(own.hashes) == head.root
    same = all(
        leaf is None or leaf_hash(leaf) == kept for leaf, kept in zip(own.leaves, own.hashes, strict=True)
    )
    return [] if whole and same else [f"the log of {house.name} is not what it signed"]


def _kept(run: Run, name: str, own: Books) -> list[str]:
    """What was acknowledged to its people is there, byte for byte."""
    wrong = []
    for one in run.filed:
        for ver, raw in one.held.items() if one.by == name else ():
            standing = own.reports.get(one.id)
            kept = own.versions.get((one.id, ver))
            if standing is not None and standing["ver"] == ver:
                kept = standing["bundle"]
            if kept != raw:
                wrong.append(f"{name} lost version {ver} of {one.id}, which it had acknowledged")
    return wrong


def _lost(run: Run, origin: str, theirs: Books, reader: str, own: Books) -> list[str]:
    """Whatever was sealed to a reader that may have it has an outcome there, and the newest stands."""
    wrong, newest = [], dict[str, int]()
    node = run.houses[origin].node_id
    log, size = own.followed.get(node), len(theirs.hashes)
    if log is None or log["next_index"] != size or (size and log["root"] != root_of(theirs.hashes)):
        at = None if log is None else log["next_index"]
        return [f"{reader} is at {at} of {size} of {origin}"]
    ids, back = (
        {h: header.id for h, header in zip(theirs.hashes, theirs.headers, strict=True) if header},
        dict[str, int](),
    )
    for row in theirs.taken:
        if row["node"] == run.houses[reader].node_id:
            back[ids[row["ref"]]] = max(back.get(ids[row["ref"]], 0), row["idx"] or size)
            if row["purged_at"] is None:
                wrong.append(f"{origin} has not heard that {reader} did what it recalled")
    for idx, header in enumerate(theirs.headers):
        if (
            header is None
            or run.houses[reader].node_id not in header.aud.nodes
            or idx < back.get(header.id, 0)
        ):
            continue
        row = own.outcomes.get(node, {}).get(idx)
        if row is None:
            if header.t not in REPORTS or header.tlp.rank <= run.lowest[origin, reader].rank:
                wrong.append(f"entry {idx} of {origin} has no outcome at {reader}")
        elif row["outcome"] == "quarantined":
            wrong.append(f"{reader} quarantined entry {idx} of {origin}: {row['code']}")
        elif header.t in REPORTS and row["outcome"] in THERE:
            newest[header.id] = max(newest.get(header.id, 0), header.ver)
    wrong += [
        f"{reader} holds {i}, which {origin} took back" for i in back if i in own.reports and i not in newest
    ]
    for report_id, ver in newest.items():
        held = own.reports.get(report_id)
        if held is None or held["ver"] != ver:
            wrong.append(f"{reader} does not hold version {ver} of {report_id}")
    for report_id, ver, by in theirs.told:
        if (
            by == run.houses[reader].node_id
            and (report_id, ver) not in own.own_acks
            and report_id not in back
        ):
            wrong.append(f"{origin} believes that {reader} acknowledged what nobody there has seen")
    return wrong


def _leaked(run: Run, origin: str, theirs: Books, reader: str, own: Books) -> list[str]:
    """Nobody holds what was not sealed to it, or is marked above what it takes."""
    me, node = run.houses[reader].node_id, run.houses[origin].node_id
    sealed = {(h.id, h.ver): h.tlp for h in theirs.headers if h and h.t in REPORTS and me in h.aud.nodes}
    wrong = []
    for report in own.reports.values():
        if report["origin"] != node:
            continue
        given = sealed.get((report["id"], report["ver"]))
        if given is None:
            wrong.append(f"{reader} holds {report['id']} of {origin}, which was not for it")
            continue
        marked = Tlp(report["tlp"])  # stricter than it was given, if its author has narrowed it since
        if given.rank > run.plan.limits[reader, origin][1].rank:
            wrong.append(f"{reader} holds {report['id']} above its ceiling")
        if marked.rank < given.rank:
            wrong.append(f"{reader} holds {report['id']} more mildly than it was given")
    return wrong


def _forged(run: Run, reader: str, own: Books) -> list[str]:
    """What stands in an honest node's name was said by it, and by nobody else."""
    said = {one.id: one for one in run.filed}
    nodes = {house.node_id: name for name, house in run.houses.items()}
    wrong = []
    for report in own.reports.values():
        one, author = said.get(report["id"]), nodes.get(report["origin"])
        if one is not None and (author != one.by or report["bundle"] not in one.said):
            wrong.append(f"{reader} holds words under {report['id']} that {one.by} never said")
        if one is None and author is not None:
            wrong.append(f"{reader} holds a report of {author} that it never made")
    return wrong


def _rung(run: Run, name: str, own: Books) -> list[str]:
    """Each thing rings once, and what should ring does."""
    wrong = []
    rows = Counter((r["report_id"], r["ver"], r["kind"]) for r in own.alerts if r["kind"] in RINGS)
    heard = Counter(
        (a.get("report_id"), a.get("ver"), a["kind"])
        for a in run.houses[name].pager.alerts
        if a["kind"] in RINGS
    )
    wrong += [f"the pager of {name} rang {n} times for {key}" for key, n in heard.items() if n > 1]
    raised = Counter(key[0] for key in rows if key[2] == "raise")
    wrong += [f"{name} raised {report_id} {n} times" for report_id, n in raised.items() if n > 1]
    gone = {one.id for one in run.filed} - set(own.reports)  # with what was taken back goes what rang for it
    if own.waiting:
        wrong.append(f"{own.waiting} messages of {name} have not gone out")
    else:
        wrong += [
            f"the pager of {name} rang for {key}, which is no alert"
            for key in set(heard) - set(rows)
            if key[0] not in gone
        ]
        wrong += [
            f"the pager of {name} was not rung for {key}" for key in _untold(own, set(rows), set(heard))
        ]
    for one in run.filed:
        if one.id in own.reports and one.grave and all(one.grave) and raised[one.id] != 1:
            wrong.append(f"{name} was not rung for {one.id}")
    return wrong


def _untold(own: Books, rows: set[Rang], heard: set[Rang]) -> list[Rang]:
    """What should have been told; what was over before anybody was told of it need not be."""
    told = {report_id for report_id, _, kind in heard if kind != "withdrawn"}
    over = {report["id"] for report in own.reports.values() if report["state"] == "withdrawn"}
    return [
        key for key in rows - heard if (key[0] in told and key[2] == "withdrawn") or key[0] not in told | over
    ]


async def _convicted(run: Run, books: dict[str, Books]) -> list[str]:
    """Whoever was shown two roots for one size has stopped the liar, and can prove it to a stranger."""
    wrong, mallory = [], run.mischief.villain
    shown = len(mallory.leaf_hashes)
    for name, own in books.items():
        state, proven = own.states.get(mallory.node_id), False
        if any(r["origin"] == mallory.node_id and r["code"] == "log-fork" for r in own.evidence):
            async with run.houses[name].client.get("/v1/peers/mallory/evidence") as answer:
                raw = await answer.read()
            try:
                proven = verify_evidence(read_evidence(raw)).identity.node_id == mallory.node_id
            except FederationError:
                wrong.append(f"the evidence of {name} proves nothing")
        log = own.followed.get(mallory.node_id)
        if state == "active" and log is not None and log["next_index"] != shown:
            wrong.append(f"{name} is at {log['next_index']} of {shown} of mallory")
        if name == run.mischief.fooled and (state != "suspect" or not proven):
            wrong.append(f"{name} was shown two logs by mallory and has not noticed")
        if name != run.mischief.fooled and state == "suspect" and not proven:
            wrong.append(f"{name} stopped mallory without evidence")
    return wrong
