"""The seam between alarms and whatever carries them: what a transport does, and what can come of it.

Expected outcomes are values, because the alarm service stores and counts them. A transport never retries by
itself and never sleeps: it says what happened, and the service decides. It keeps no state that a crash could
lose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Sent:
    """The other side has it. `event_id`: the room's name for it, None where there is none or it had an equal one.

    `warning`: it has, but somebody should look.
    """

    event_id: str | None
    warning: "ChannelDown | None" = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Nothing is known to have happened; the same request with the same transaction id may be repeated.

    `after_s`: the server told how long to wait, for the whole bot user and not only for this message.
    """

    code: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class ChannelDown:
    """Nothing will get through until a person mends it; `hint` says how.

    `detail` names users and rooms: for the log, not for a page that everybody may read.
    """

    code: str
    hint: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BadMessage:
    """This message will never be taken as it is; others may be."""

    code: str


Outcome = Sent | Retry | ChannelDown | BadMessage


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """One event of the room. `content` is whatever its sender wrote: trust no type in it.

    `txn`: the transaction id, on our own events as our own device sees them. `redacts`: the event that this
    one takes back. `at`: the homeserver's clock.
    """

    event_id: str
    sender: str
    type: str
    at: datetime
    content: Mapping[str, Any] = field(repr=False)
    state_key: str | None = None
    txn: str | None = None
    redacts: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Somebody has read the room as far as an event, or a thread of it (`thread`: its root; None: all of the room).

    `at`: when, by the homeserver's clock. Who reads is personal: of all receipts, what is kept is who was first.
    """

    user: str
    event_id: str
    at: datetime
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the room said since a position, in its order, and the next position.

    `complete`: nothing in between is missing. `trouble`: the room became unfit (left, upgraded, encrypted).
    `warning`: it can be rung, but somebody should look.
    """

    next: str
    events: tuple[RoomEvent, ...]
    complete: bool
    trouble: ChannelDown | None = None
    receipts: tuple[Receipt, ...] = ()
    warning: ChannelDown | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The room can be rung. `warning`: it can, but somebody should look (code, hint).

    `present`: how many people who may acknowledge are in the room; None where that is not known. `others`: everybody
    who is there but us.
    """

    warning: ChannelDown | None = None
    present: int | None = None
    others: frozenset[str] = field(default=frozenset(), compare=False)


class Sender(Protocol):
    """One place that takes messages. Every method returns within its time limit, whatever the other side does."""

    async def send(self, room: str, kind: str, content: Mapping[str, Any], txn: str) -> Outcome:
        """Deliver one message. Under the same `txn` the other side can know it again."""
        ...

    async def unsay(self, room: str, event_id: str, txn: str) -> Outcome:
        """Take back a message of ours, where that can be done. BadMessage: not this one."""
        ...

    async def preflight(self, room: str) -> Ready | Retry | ChannelDown:
        """Look at all that must hold before a message may go there."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Transport(Sender, Protocol):
    """One room's worth of messaging. Every method returns within its time limit, whatever the server does."""

    async def send(self, room: str, kind: str, content: Mapping[str, Any], txn: str) -> Outcome:
        """Put one event into the room. The same `txn` from the same device never makes a second event."""
        ...

    async def sync(self, room: str, since: str | None, *, wait: bool = True) -> Heard | Retry | ChannelDown:
        """Wait for news of the room since a position; None starts at the present. `wait` False: answer at once.

        Retry `position-lost`: the position means nothing there any more; start at the present.
        """
        ...

    async def relations(self, room: str, event_id: str) -> tuple[RoomEvent, ...] | Retry | ChannelDown:
        """All events that relate to one event and still stand, oldest first."""
        ...

    async def happened_at(self, room: str, event_id: str) -> datetime | Retry | ChannelDown | None:
        """When an event happened, by the homeserver's clock; None: the room shows no such event."""
        ...

    async def preflight(self, room: str) -> Ready | Retry | ChannelDown:
        """Look at all that must hold before the room may be rung; join it if only that lacks."""
        ...

    async def invited(self, room: str) -> bool:
        """Whether somebody outside would be let in now; False too when that cannot be known. Changes nothing."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
