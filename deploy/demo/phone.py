"""A responder's phone: her own Matrix client, with its own login and nothing of Tocsin in it.

It long-polls the homeserver in a thread and notes for every message the moment at which it arrived, on the
same clock as the nodes' (they run on one machine).
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from synapse import MatrixRefused, Person

POLL_S = 20.0


@dataclass(frozen=True)
class Arrival:
    """One event as it came in. `at` is seconds since 1970."""

    at: float
    event: dict[str, Any]

    @property
    def text(self) -> str:
        """What a client without formatting shows."""
        return str(self.event["content"].get("body", ""))


@dataclass
class Phone:
    """`person` looks at `room`; `with` switches the phone on and off."""

    person: Person
    room: str
    _arrived: "queue.Queue[Arrival | Exception]" = field(default_factory=queue.Queue, repr=False)
    _off: threading.Event = field(default_factory=threading.Event, repr=False)

    def __enter__(self) -> Self:
        self.person.arrivals(self.room)  # marks the place: everything from here on is new
        threading.Thread(target=self._watch, name="phone", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._off.set()

    def wait_for(self, wanted: Callable[[dict[str, Any]], bool], *, within_s: float) -> Arrival:
        """The first message to arrive that is `wanted`; what came before it has been read.

        Raises: TimeoutError; MatrixRefused and OSError when the homeserver went away.
        """
        end = time.monotonic() + within_s
        while True:
            try:
                arrival = self._arrived.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(
                    f"nothing came to {self.person.user_id}'s phone within {within_s:g} s"
                ) from None
            if isinstance(arrival, Exception):
                raise arrival
            if wanted(arrival.event):
                return arrival

    def _watch(self) -> None:
        try:
            while not self._off.is_set():
                for event in self.person.arrivals(self.room, wait_s=POLL_S):
                    self._arrived.put(Arrival(time.time(), event))
        except (MatrixRefused, OSError, ValueError) as exc:
            self._arrived.put(exc)
