"""Nodes that break one rule of recalls or of passing on each: the judge has to see every one, as of those in `sabotage`."""

from tests.simulation.node import Node
from tests.simulation.passing import Shared
from tests.simulation.sabotage import THIEF, Row
from tests.simulation.villains import GoBetween

from tocsin_federation.onward import admit_share, read_share
from tocsin_schema.check import check_bundle


class Hoarder(Node):
    """Says that it has purged, and keeps it."""

    def forget(self, report_id, by):
        stored = self.disk.reports[report_id]
        super().forget(report_id, by)
        self.disk.reports[report_id] = stored


class Server(Node):
    """Serves on what it has taken back."""

    def shred(self, report_id, nodes, kinds=frozenset()):
        """Nothing goes."""


class Brief(Node):
    """Names in a recall the newest entry alone."""

    def recipients(self, report_id):
        return {node: refs[-1:] for node, refs in super().recipients(report_id).items()}


class Slow(Node):
    """Gives a report anew, and tells of its recall later."""

    def tell_recalls(self, report_id=None):
        if report_id is None:
            super().tell_recalls()


class Forward(Node):
    """Keeps from those it passed a report on to that it was taken back."""

    def recall_onward(self, report_id, what, tlp, by):
        """Says nothing."""


class Mute(Node):
    """Does what it is asked, and says nothing of it."""

    def _tell_owed(self):
        self.disk.owing.clear()


class Lax(Node):
    """Is told of a stricter marking, and keeps the old."""

    def _mark(self, report_id, stored, tlp):
        """Nothing changes."""


class Idle(Node):
    """Keeps recalls, and never gets to them."""

    def obey(self, peer=None):  # noqa: ARG002  whoever asks
        yield from ()


class Wordless(Node):
    """Begins a new log, and leaves what it said in the old one unsaid."""

    def say_again(self):
        """Nothing is owed anew."""


class Obliging(Node):
    """Takes whatever is passed on."""

    def open_share(self, opened, policy):
        share = read_share(opened.content)
        passed = admit_share(opened.header, share, policy=policy, me=self.node_id, known=self._known)
        mine = passed.author == self.node_id
        return Shared(passed, None if mine else check_bundle(passed.disclosed.content).report)


RECALLS = {
    "24 who keeps it": Row(("its recipient",), Hoarder, "and holds it|which had been taken back"),
    "24 who serves it on": Row(("its author",), Server, "still serves"),
    "24 of an older version": Row(("its author",), Brief, "and holds it|does not leave with it", first=3050),
    "24 behind what is given anew": Row(
        ("its author",), Slow, "does not hold version|which .* does not leave", first=3100
    ),
    "24 passed on": Row(("a messenger",), Forward, "through .* who took it back", first=3110),
    "24 without a word": Row(("its recipient",), Mute, "has not heard what"),
    "24 marked": Row(("its recipient",), Lax, "and marks it"),
    "24 not done": Row(("its recipient",), Idle, "has done nothing"),
    "24 in a log that ended": Row(
        THIEF, Wordless, "has not heard what|does not leave", theft=True, first=3035
    ),
    "11b is believed": Row((GoBetween,), Obliging, "which was not for it"),
}
