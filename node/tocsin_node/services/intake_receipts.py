"""The intake's desk for receipts: what a peer says of our entries, and what its readers said of what it passed on.

What a peer says of something that we passed on to it is told to the author, in the transaction that hears it.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime

from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.receipt import Item, Receipt, onward, ours
from tocsin_node.storage import onward_readers, receipts, remote
from tocsin_node.storage.onward_readers import Passed
from tocsin_node.storage.pool import Connection

Heard = list[tuple[Item, datetime]]


class ReceiptDesk:
    """The receipts of one peer in one batch. `kept_out`: its entries that passed on what was erased here."""

    def __init__(
        self,
        peer: str,
        us: str,
        moment: Callable[[int], datetime],
        sealed: AbstractSet[bytes],
        passed: dict[tuple[bytes, str], Passed],
        kept_out: AbstractSet[bytes],
    ) -> None:
        self._peer = peer
        self._us = us
        self._moment = moment
        self._sealed = sealed
        self._passed = passed
        self._kept_out = kept_out
        self._own: Heard = []
        self._onward: Heard = []

    @classmethod
    async def open(
        cls,
        conn: Connection,
        peer: str,
        us: str,
        moment: Callable[[int], datetime],
        came: Sequence[Receipt],
        kept_out: AbstractSet[bytes],
    ) -> "ReceiptDesk":
        """Read what of ours these receipts may speak of. `peer`, `us`: NodeIDs; `kept_out`: of the batch."""
        own = [item.entry for receipt in came if receipt.v == 1 for item in receipt.items]
        beyond = [item.entry for receipt in came if receipt.v != 1 for item in receipt.items]
        sealed = await receipts.sealed(conn, peer, own) if own else set()
        passed = await onward_readers.passed(conn, peer, us, beyond) if beyond else {}
        before = await remote.kept_out(conn, peer, beyond) if beyond else set()
        return cls(peer, us, moment, sealed, passed, kept_out | before)

    def judge(self, receipt: Receipt, noted: AbstractSet[tuple[bytes, str]]) -> tuple[Outcome, str | None]:
        """Note what counts of it. `noted`: what entries of the batch before it pass on of ours.

        Refused as `not-ours` when there is nothing; as `erased` when all that there is was kept out here as that.
        """
        own = receipt.v == 1
        try:
            items = ours(receipt, self._sealed) if own else onward(receipt, self._passed.keys() | noted)
        except EntryRefused as exc:
            erased = not own and not self._kept_out.isdisjoint(item.entry for item in receipt.items)
            return Outcome.REFUSED, "erased" if erased else exc.code
        heard = self._own if own else self._onward
        heard += [(item, self._moment(item.at)) for item in items]
        return Outcome.STORED, None

    async def write(self, conn: Connection, tag: Callable[[str], bytes]) -> bool:
        """Store it all, after what the batch passes on; whether authors are owed something now.

        `tag`: the keyed hash of a report's id.
        """
        owing = await onward_readers.owe(conn, self._peer, self._us, self._own)
        if self._own:
            await receipts.hear(conn, self._peer, self._own)
        if self._onward:
            entries = [item.entry for item, _ in self._onward]
            found = await onward_readers.passed(conn, self._peer, self._us, entries)
            known = {
                key: (passed.tag or tag(passed.report_id or ""), passed) for key, passed in found.items()
            }
            heard = [(item, at) for item, at in self._onward if (item.entry, item.by) in known]
            await onward_readers.hear(conn, self._peer, heard, known)
        return owing
