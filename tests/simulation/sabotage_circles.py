"""Nodes that break one rule of circles each: the judge has to see every one, as of those in `sabotage`."""

from tests.simulation.node import Node
from tests.simulation.sabotage import Row
from tests.simulation.villains import Forger, GoBetween, Leech

from tocsin_federation.circle import Circle, read_file, restore_circle
from tocsin_federation.circle_rules import next_count
from tocsin_federation.messages import Audience


class Openhanded(Node):
    """Seals to all its peers what is for the members."""

    def members(self, way, tlp):  # noqa: ARG002  all the same
        return set(self.policies)

    def place(self, way, report, chosen, back):  # noqa: ARG002  nor here
        return Audience(circle=way.id, epoch=way.epoch, **self._counts(way.id))

    def _counts(self, circle):
        cseq, cprev = self.next_count(circle)
        return {"cseq": cseq, "cprev": cprev}


class Generous(Openhanded):
    """Takes a circle without members for everybody."""

    def way(self, circle):
        known = self.disk.circles.get(circle)
        empty = known is not None and known.state == "adopted" and not known.circle.newest.members
        return known.circle if empty else super().way(circle)

    def members(self, way, tlp):
        return Node.members(self, way, tlp) if way.newest.members else set(self.policies)

    def place(self, way, report, chosen, back):
        place = Node.place if way.newest.members else Openhanded.place
        return place(self, way, report, chosen, back)


class Loose(Openhanded):
    """Shares whatever the marking."""

    def members(self, way, tlp):  # noqa: ARG002  all the same
        return set(way.newest.members) - {self.node_id}


class Nostalgic(Node):
    """Goes on under the epoch before."""

    def way(self, circle):
        found = super().way(circle)
        if found is None or found.epoch == 0 or self.node_id not in found.manifests[-2].members:
            return found
        return Circle(found.chain[:-1], found.manifests[:-1], found.digests[:-1])


class Attached(Node):
    """Sends later versions to those who were taken out, too."""

    def by_circle(self, way, report, chosen, former, back):  # noqa: ARG002  to all of them
        return chosen | (self.members(way, report.tlp) - back)


class Eager(Node):
    """Shares into a circle as soon as it is named."""

    def way(self, circle):
        known = self.disk.circles.get(circle)
        state, wanted = (None, None) if known is None else (known.state, "adopted")
        try:
            if known is not None:
                known.state = wanted
            return super().way(circle)
        finally:
            if known is not None:
                known.state = state


class Thawed(Node):
    """Goes on sharing into a circle that contradicts itself."""

    def way(self, circle):
        known = self.disk.circles.get(circle)
        if known is None:
            return None
        rival, known.rival = known.rival, None
        try:
            return super().way(circle)
        finally:
            known.rival = rival


class Stubborn(Node):
    """Stays with the manifest that it saw first, and says nothing of another."""

    def _freeze(self, known, rival):
        """Nothing is frozen."""


class Trusting(Node):
    """Looks at no signature of an admin."""

    def verified(self, raw):
        return restore_circle(read_file(raw))


class Lenient(Node):
    """Takes whatever is addressed to a circle."""

    def barred(self, _header):
        return None


class Loud(Node):
    """Hands on to anybody what was written to a circle."""

    def may_hand_on(self, header, policy):
        return header.aud.circle is not None or super().may_hand_on(header, policy)


class Secretive(Node):
    """Tells nobody of a new epoch."""

    def untold(self, _known):
        return set()


class Impatient(Node):
    """Sets aside what came before its manifest, and never looks at it again."""

    def try_again(self):
        """Nothing is looked at."""


class Stingy(Node):
    """Gives a new member nothing of what came before."""

    def lacking(self, _way, _report_id, _stored):
        return set()


class Lavish(Node):
    """Gives what came before to all its peers."""

    def lacking(self, _way, _report_id, _stored):
        return set(self.policies)


class Unnumbered(Node):
    """Gives every entry the same number."""

    def next_count(self, _circle):
        return 1, None


class Amnesiac(Node):
    """Has lost entries of its log, and counts on from the last that it knows."""

    def next_count(self, circle):
        mine = [p for p in self.disk.placed if p.circle == circle]
        last = max(mine, key=lambda p: p.cseq, default=None)
        return (1, None) if last is None else next_count(last.cseq, last.leaf_hash, 0)


class Unaware(Node):
    """Looks at no number."""

    def count(self, _circle, _author):
        return 0, 0


class Prosecutor(Node):
    """Takes a number that is missing for a crime."""

    def take_addressed(self, peer, came):
        ended = super().take_addressed(peer, came)
        if self.count(came.header.aud.circle, peer)[0]:
            self.disk.stopped.setdefault(peer, "count")
        return ended


AUTHOR = ("a member of a circle",)
CIRCLES = {
    "18 to whom it shares": Row(AUTHOR, Openhanded, "beyond its members"),
    "18 into an empty circle": Row((Leech,), Generous, "beyond its members", first=3065),
    "18 what it shares": Row(AUTHOR, Loose, "above its circle"),
    "18 under an old epoch": Row(AUTHOR, Nostalgic, "an epoch that was over"),
    "18 with who was taken out": Row(AUTHOR, Attached, "told who was taken out"),
    "18 unasked": Row(AUTHOR, Eager, "nobody there has adopted"),
    "18 into a frozen circle": Row((Forger,), Thawed, "that contradicts itself"),
    "18 one of two manifests": Row((Forger,), Stubborn, "has not learnt the epoch"),
    "18 by himself": Row((Leech,), Trusting, "too few signed"),
    "18 from a stranger": Row((Forger,), Lenient, "not of its members|is above it"),
    "18 passed around": Row((GoBetween,), Loud, "has read what|handed on to"),
    "18 without a word": Row(AUTHOR, Secretive, "has not learnt the epoch"),
    "18 before its manifest": Row(AUTHOR, Impatient, "waits for a manifest", first=3050),
    "18 who joined": Row(AUTHOR, Stingy, "did not give members what they lack"),
    "18 who never joined": Row(AUTHOR, Lavish, "or gave more"),
    "5 uncounted": Row(AUTHOR, Unnumbered, "does not count|given twice"),
    "5 restored": Row(AUTHOR, Amnesiac, "a number of its circle twice", first=3215),
    "5 unseen": Row(AUTHOR, Unaware, "misses 0 where"),
    "5 accused": Row(AUTHOR, Prosecutor, "who is honest|without evidence"),
}
