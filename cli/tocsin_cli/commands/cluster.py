"""`tocsin cluster`: what several organisations report within days."""

from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.client import segment
from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.report_table import whence
from tocsin_cli.filing import member
from tocsin_cli.listing import listed
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session


@click.group("cluster", cls=LazyGroup, no_args_is_help=True)
def cluster() -> None:
    """See what several organisations report within days.

    A cluster is a system or a technique that at least two organisations reported within a fortnight; the node's
    settings say how many and how long. Old cases do not count.
    """


@cluster.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the clusters there are now, the most organisations first."""
    found = session.client.json("GET", "/v1/clusters")
    items = listed(session, found, nothing="No clusters.")
    if not items:
        return
    columns = ["id", "kind", "what", "organisations", "reports", "level", "tlp", "last"]
    session.out.table(columns, [_row(item) for item in items])
    session.out.next_step("tocsin cluster show ID")


@cluster.command("show")
@click.argument("cluster_id", metavar="ID")
@pass_session
def show(session: Session, cluster_id: str) -> None:
    """Show one cluster with its reports and why it is one."""
    found = session.client.json("GET", f"/v1/clusters/{segment(cluster_id)}")
    members = member(found, "members")
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.facts(
        [
            ("What", f"{found.get('kind')}: {found.get('name')}"),
            *(("because of", reason) for reason in found.get("reasons") or []),
            ("Gravest level", f"{found.get('level')} of 5"),
            ("Marking", found.get("tlp")),
            ("First", local_time(found.get("first_at"))),
            ("Last", local_time(found.get("last_at"))),
        ]
    )
    session.out.line()
    rows = [
        [each.get("id"), _origin(each), each.get("level"), local_time(each.get("first_at"))]
        for each in members
    ]
    session.out.table(["report", "from", "level", "came"], rows)
    session.out.next_step("tocsin report show ID")


def _row(item: Mapping[str, Any]) -> list[object]:
    names = ("id", "kind", "name", "organisations", "reports", "level", "tlp")
    return [*(item.get(name) for name in names), local_time(item.get("last_at"))]


def _origin(each: Mapping[str, Any]) -> object:
    return whence(each.get("origin"))
