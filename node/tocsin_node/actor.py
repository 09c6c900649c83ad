"""Who acts, and through which door, for the audit log: known at the door, asked for where the act is written.

The doors say it for the task that serves a request; without a word it is the node itself. An act that is handed to
another task takes its actor along (`storage.audit.Act` asks when it is made).
"""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

WHO_MAX = 200  # characters of a name


@dataclass(frozen=True, slots=True)
class Actor:
    """Who, and through which door.

    `who`: `node`, or a kind and a name, as `token:alice`, `person:Ann Lee`, `matrix:@ann:example.org`, `peer:n1…`,
    `user:root` (of the machine), `stranger`. `via`: `clock`, `token:NAME`, `matrix`, `peer`, `open`, `shell`.

    A person's name is what the holder of the token said; that the token was used is what is known.
    """

    who: str
    via: str


NODE = Actor("node", "clock")
STRANGER = Actor("stranger", "open")
_ACTING: ContextVar[Actor] = ContextVar("acting", default=NODE)


def acting() -> Actor:
    """Who acts in this task."""
    return _ACTING.get()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """Within the block `actor` acts."""
    before = _ACTING.set(actor)
    try:
        yield
    finally:
        _ACTING.reset(before)


def of_token(name: str) -> Actor:
    """Whoever holds an access token."""
    return Actor(f"token:{name}", f"token:{name}")


def of_peer(node_id: str) -> Actor:
    """Another organisation's node."""
    return Actor(f"peer:{node_id}", "peer")


def of_room(mxid: str) -> Actor:
    """Somebody in a Matrix room."""
    return Actor(f"matrix:{mxid[:WHO_MAX]}", "matrix")


def of_shell() -> Actor:
    """Who runs a command on the node's own files."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name
        name = "unknown"
    return Actor(f"user:{name[:WHO_MAX]}", "shell")


def person(name: str | None) -> Actor:
    """Whoever is named as the one who acts, at the door it came through; who acts anyway when nobody else is named.

    A request names a person; what was read in a room names a Matrix identifier.
    """
    actor = acting()
    if not name or actor.via == f"token:{name}":
        return actor
    if actor == NODE:
        return of_room(name) if name.startswith("@") else NODE
    return Actor(f"person:{name[:WHO_MAX]}", actor.via)
