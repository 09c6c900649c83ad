"""What the commands on a node's own files and database share: which directory, and how errors end."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tocsin_cli.config import config_home
from tocsin_cli.errors import CliError, NodeUnknown
from tocsin_cli.exits import Exit
from tocsin_cli.session import Session
from tocsin_node.errors import NodeError, NotInitialised, SecretError, SettingsError
from tocsin_node.storage.errors import StorageUnavailable

T = TypeVar("T")


def directory_of(session: Session, environment: Mapping[str, str]) -> Path:
    """The node's directory: --dir, TOCSIN_DIR, or the working directory when it holds a node.toml.

    Raises: NodeUnknown.
    """
    if session.dir is not None:
        return session.dir
    if environment.get("TOCSIN_DIR"):
        return Path(environment["TOCSIN_DIR"]).expanduser()
    here = Path.cwd()
    if (here / "node.toml").exists():
        return here
    raise NodeUnknown(
        "It is not clear which node this is about.",
        hint=f"Name its directory with --dir DIR or TOCSIN_DIR ({config_home(environment)} is not looked at).",
    )


@contextmanager
def told() -> Iterator[None]:
    """Errors of the node's own files and database end with the exit codes of the command line."""
    try:
        yield
    except (SettingsError, NotInitialised, SecretError) as exc:
        raise _as(exc, Exit.USAGE) from exc
    except StorageUnavailable as exc:
        raise _as(exc, Exit.UNREACHABLE) from exc
    except NodeError as exc:
        raise _as(exc, Exit.REFUSED) from exc


def carry_out(work: Coroutine[Any, Any, T]) -> T:
    """Run one piece of work on a node's database to its end; errors as in `told`."""
    with told():
        return asyncio.run(work)


def _as(exc: NodeError, ending: Exit) -> CliError:
    error = CliError(exc.message, code=exc.code, hint=exc.hint)
    error.exit = ending
    return error
