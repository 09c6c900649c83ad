"""`tocsin db`: where the node's database stands, and bringing it up to date."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.command import LazyGroup
from tocsin_cli.errors import FileExists, FileUnreadable
from tocsin_cli.local_node import carry_out, directory_of
from tocsin_cli.session import Session, pass_session
from tocsin_node.actor import acting_as, of_shell
from tocsin_node.settings.loading import load
from tocsin_node.storage.catalog import describe, golden
from tocsin_node.storage.database import open_database
from tocsin_node.storage.dumping import dump, restore
from tocsin_node.storage.migrations import Migration, migrate, standing
from tocsin_node.storage.pool import connect


@dataclass(frozen=True, slots=True)
class _Status:
    where: str
    server: str
    applied: tuple[Migration, ...]
    pending: tuple[Migration, ...]
    as_expected: bool


@click.group("db", cls=LazyGroup, no_args_is_help=True)
def db() -> None:
    """Look after the node's database."""


@db.command("status")
@pass_session
def status(session: Session) -> None:
    """Show where the database stands: its migrations, and whether its shape is the expected one."""
    found = carry_out(_status(session))
    shape = (
        "not complete yet"
        if found.pending
        else "as expected"
        if found.as_expected
        else "differs from this program's"
    )
    if session.out.as_json:
        session.out.document(
            {
                "database": found.where,
                "server": found.server,
                "applied": [str(step) for step in found.applied],
                "pending": [str(step) for step in found.pending],
                "as_expected": found.as_expected,
            }
        )
        return
    session.out.facts(
        [
            ("Database", found.where),
            ("PostgreSQL", found.server),
            ("Applied", ", ".join(map(str, found.applied)) or "nothing"),
            ("Pending", ", ".join(map(str, found.pending)) or "nothing"),
            ("Shape", shape),
        ]
    )
    if found.pending:
        session.out.next_step("make a backup, then: tocsin db migrate")


@db.command("migrate")
@pass_session
def migrate_(session: Session) -> None:
    """Bring the database up to date. Make a backup first: there is no way back."""
    taken = carry_out(_migrate(session))
    if session.out.as_json:
        session.out.document({"taken": [str(step) for step in taken]})
    elif taken:
        session.out.say(f"Taken: {', '.join(map(str, taken))}. The database is up to date.")
    else:
        session.out.say("The database was up to date already.")


@db.command("dump")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@pass_session
def dump_(session: Session, file: Path) -> None:
    """Write a dump of the node's own PostgreSQL to FILE, for you alone (0600). The node may run.

    It holds the reports in the clear; keys and settings are not in it: copy `keys/`, `identity/` and `node.toml` too.
    """
    settings = load(directory_of(session, os.environ))
    with _files(file):
        size = carry_out(dump(settings, file))
    if session.out.as_json:
        session.out.document({"file": str(file), "bytes": size})
        return
    session.out.say(f"{size} bytes: {file}")


@db.command("restore")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def restore_(session: Session, file: Path, yes: bool) -> None:
    """Put the dump in FILE in the place of the node's own database. Stop the node first.

    What is in the database now is gone then. It is put back whole or not at all. At its next start the node asks its
    peers what it has signed since the dump, and takes that back from them.
    """
    settings = load(directory_of(session, os.environ))
    ask = Asker(session.out, instead=GIVE_YES)
    if not yes and not ask.yes("What is in the database now is replaced. Go on?", default=False):
        session.out.say("Nothing was changed.")
        return
    with _files(file):
        carry_out(restore(settings, file))
    if session.out.as_json:
        session.out.document({"restored": str(file)})
        return
    session.out.say(f"Restored from {file}.")
    session.out.next_step(
        "start the node while its peers can be reached, then: tocsin node confirm --by NAME"
    )


@contextmanager
def _files(file: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as exc:
        raise FileExists(f"{file} is there already.", hint="Name another file.") from exc
    except FileNotFoundError as exc:
        raise FileUnreadable(f"{file} is not there.") from exc
    except OSError as exc:
        raise FileUnreadable(f"{file}: {exc.strerror}.") from exc


async def _status(session: Session) -> _Status:
    settings = load(directory_of(session, os.environ))
    async with open_database(settings, own=False) as database:
        conn = await connect(database.address)
        try:
            stands = await standing(conn)
            as_expected = not stands.pending and await describe(conn) == golden()
            server = await conn.fetchval("select current_setting('server_version')")
        finally:
            await conn.close()
        return _Status(str(database.address), server, stands.applied, stands.pending, as_expected)


async def _migrate(session: Session) -> tuple[Migration, ...]:
    settings = load(directory_of(session, os.environ))
    async with open_database(settings, own=False) as database:
        with acting_as(of_shell()):
            return await migrate(database.address)
