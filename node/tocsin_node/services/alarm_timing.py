"""When alerts are told: how long a new incident waits, how often one is repeated, who of several nodes goes first.

Pure. Nothing here keeps a timer: the times are written into the outbox.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from tocsin_node.settings import GroupingSettings, MatrixSettings

HEAD_START_S = (
    3.0  # for each node before us; our own stream shows a message of another after a tenth of a second
)
URGENT_HEAD_START_S = 2.0  # for all of them together


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one node. `me`, `fellows`: the bots that share the room."""

    grouping: GroupingSettings
    me: str = ""
    fellows: tuple[str, ...] = ()

    @classmethod
    def from_settings(cls, grouping: GroupingSettings, matrix: MatrixSettings | None) -> "Timing":
        """The times that the settings describe."""
        return cls(grouping) if matrix is None else cls(grouping, matrix.user_id, matrix.fellows)

    def wait_s(self, kind: str, grade: str, *, urgent: bool) -> float:
        """How long an alert waits for what belongs to it: only a new incident does, and none that is urgent."""
        if urgent or grade == "I" or kind not in {"raise", "cluster"}:
            return 0.0
        return self.grouping.wait_ii_s if grade == "II" else self.grouping.wait_iii_s

    def repeat_s(self, grade: str) -> float:
        """After how long an alert that nobody took up rings again; 0: never."""
        every = {"I": self.grouping.repeat_i_s, "II": self.grouping.repeat_ii_s}
        return every.get(grade, self.grouping.repeat_iii_s)

    def head_start_s(self, report_id: str | None, *, urgent: bool) -> float:
        """How long the fellows that go before us with this report have to tell it; each report has another order."""
        if report_id is None or not self.fellows:
            return 0.0
        place = self.order(report_id).index(self.me)
        if urgent:
            return place * URGENT_HEAD_START_S / len(self.fellows)
        return place * HEAD_START_S

    def order(self, report_id: str) -> list[str]:
        """All bots of the room in the order in which they go; the same at each of them."""

        def draw(bot: str) -> bytes:
            return hashlib.sha256(f"{report_id}\n{bot}".encode()).digest()

        return sorted({self.me, *self.fellows}, key=draw)

    @property
    def window(self) -> timedelta:
        """The window of the flood caps."""
        return timedelta(seconds=self.grouping.flood_window_s)
