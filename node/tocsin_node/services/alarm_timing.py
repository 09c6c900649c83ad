"""When alerts are told: how long a new incident waits, how often one is repeated, who of several nodes goes first.

Pure. Nothing here keeps a timer: the times are written into the outbox.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from tocsin_node.settings.alerting import GroupingSettings
from tocsin_node.settings.channels import MatrixSettings

URGENT_PART = 2 / 3  # of one head start, for all of them together
BEHIND_FELLOW_S = 30.0  # whoever told an alert calls first; the others look so much later whether it did


@dataclass(frozen=True, slots=True)
class Bots:
    """The bots that share a room: ours, and those of other nodes."""

    me: str
    fellows: tuple[str, ...] = ()

    def order(self, key: str) -> list[str]:
        """All of them in the order in which they go; the same at each of them, and another for each `key`."""

        def draw(bot: str) -> bytes:
            return hashlib.sha256(f"{key}\n{bot}".encode()).digest()

        return sorted({self.me, *self.fellows}, key=draw)


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one node. `rooms`: by channel, who shares the room; a channel that is missing is ours alone."""

    grouping: GroupingSettings
    rooms: Mapping[str, Bots] = field(default_factory=dict)

    @classmethod
    def from_settings(
        cls, grouping: GroupingSettings, rooms: Mapping[str, MatrixSettings | None]
    ) -> "Timing":
        """The times that the settings describe; `rooms` by channel."""
        shared = {name: Bots(room.user_id, room.fellows) for name, room in rooms.items() if room is not None}
        return cls(grouping, {name: bots for name, bots in shared.items() if bots.fellows})

    def fellows(self, channel: str) -> tuple[str, ...]:
        """The bots of other nodes in a channel's room."""
        bots = self.rooms.get(channel)
        return () if bots is None else bots.fellows

    def wait_s(self, kind: str, grade: str, *, urgent: bool) -> float:
        """How long an alert waits for what belongs to it: only a new incident does, and none that is urgent."""
        if urgent or grade == "I" or kind not in {"raise", "cluster"}:
            return 0.0
        return self.grouping.wait_ii_s if grade == "II" else self.grouping.wait_iii_s

    def repeat_s(self, grade: str) -> float:
        """After how long an alert that nobody took up rings again; 0: never."""
        every = {"I": self.grouping.repeat_i_s, "II": self.grouping.repeat_ii_s}
        return every.get(grade, self.grouping.repeat_iii_s)

    def head_start_s(self, channel: str, key: str | None, *, urgent: bool) -> float:
        """How long the fellows that go before us in that room have to tell it. `key`: the id of what it is about."""
        bots = self.rooms.get(channel)
        if key is None or bots is None:
            return 0.0
        place = bots.order(key).index(bots.me)
        if urgent:
            return place * self.grouping.head_start_s * URGENT_PART / len(bots.fellows)
        return place * self.grouping.head_start_s

    @property
    def window(self) -> timedelta:
        """The window of the flood caps."""
        return timedelta(seconds=self.grouping.flood_window_s)
