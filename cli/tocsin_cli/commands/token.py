"""`tocsin token`: make, list and revoke access tokens, on the node's own machine."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.local_node import carry_out, directory_of
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session
from tocsin_node.actor import acting_as, of_shell
from tocsin_node.services.tokens import SCOPES, Tokens
from tocsin_node.settings.loading import load
from tocsin_node.storage.database import bring_up_to_date, open_database
from tocsin_node.storage.pool import open_pool
from tocsin_node.storage.tokens import TokenRow

_SCOPES_HELP = "What it allows; once for each: " + ", ".join(SCOPES) + "."


@click.group("token", cls=LazyGroup, no_args_is_help=True)
def token() -> None:
    """Make, list and revoke tokens.

    These commands work on the node's directory and database, whether the node runs or not.
    """


@token.command("create")
@click.argument("name", metavar="NAME")
@click.option("--scope", "scopes", multiple=True, required=True, metavar="SCOPE", help=_SCOPES_HELP)
@pass_session
def create(session: Session, name: str, scopes: Sequence[str]) -> None:
    """Make a token and print it, once: only its hash is kept."""

    async def work() -> tuple[TokenRow, str]:
        async with _tokens(session) as tokens:
            return await tokens.create(name, scopes)

    row, text = carry_out(work())
    if session.out.as_json:
        session.out.document({**_document(row), "token": text})
        return
    session.out.line(text)
    session.out.say(
        f"{row.name} may: {', '.join(row.scopes)}. Keep it in a file that only its user can read (0600)."
    )


@token.command("list")
@pass_session
def list_(session: Session) -> None:
    """List the tokens, revoked ones too."""

    async def work() -> list[TokenRow]:
        async with _tokens(session) as tokens:
            return await tokens.list()

    rows = carry_out(work())
    if session.out.as_json:
        session.out.document({"items": [_document(row) for row in rows]})
        return
    columns = ["name", "scopes", "made", "revoked"]
    session.out.table(columns, [_row(row) for row in rows])


@token.command("revoke")
@click.argument("name", metavar="NAME")
@pass_session
def revoke(session: Session, name: str) -> None:
    """Make a token worthless; a running node notices within a few seconds."""

    async def work() -> None:
        async with _tokens(session) as tokens:
            await tokens.revoke(name)

    carry_out(work())
    if session.out.as_json:
        session.out.document({"name": name, "revoked": True})
    else:
        session.out.say(f"{name} is revoked.")


@asynccontextmanager
async def _tokens(session: Session) -> AsyncIterator[Tokens]:
    settings = load(directory_of(session, os.environ))
    async with open_database(settings, own=False) as database:
        if database.postgres is None or database.postgres.owned:
            await bring_up_to_date(settings, database)
        async with open_pool(settings, database.address) as pool:
            with acting_as(of_shell()):
                yield Tokens(pool, rng=os.urandom)


def _row(row: TokenRow) -> list[str]:
    revoked = local_time(row.revoked_at.isoformat()) if row.revoked_at else ""
    return [row.name, " ".join(row.scopes), local_time(row.created_at.isoformat()), revoked]


def _document(row: TokenRow) -> dict[str, object]:
    return {
        "name": row.name,
        "scopes": row.scopes,
        "created_at": row.created_at.isoformat(),
        "revoked_at": row.revoked_at.isoformat() if row.revoked_at else None,
    }
