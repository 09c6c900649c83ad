"""Sealing: what this node writes is locked to those that may read it."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from tocsin_federation.envelope import Sealed, seal
from tocsin_federation.messages import Audience, Kind
from tocsin_node.services.peering import Peering
from tocsin_schema.marking import Tlp

THREAD_FROM = 8  # seal to this many recipients off the event loop


class Sealing:
    """Seals entries in this node's name. `now`: the clock (aware UTC); `rng`: n random bytes."""

    def __init__(
        self,
        peering: Peering,
        *,
        node_id: str,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
    ) -> None:
        self._peering = peering
        self._node_id = node_id
        self._now = now
        self._rng = rng

    def fresh_id(self, t: Kind) -> str:
        """An id for an entry that is about no report of its own, such as `recall--UUID`."""
        return f"{t}--{uuid.UUID(bytes=self._rng(16), version=4)}"

    async def seal(
        self,
        t: Kind,
        id: str,  # noqa: A002  the wire's word
        ver: int,
        *,
        to: Sequence[str],
        tlp: Tlp,
        content: bytes,
        prev: bytes | None = None,
        ref: bytes | None = None,
        aud: Audience | None = None,
    ) -> Sealed:
        """The entry, each of `to` (NodeIDs) being able to read it; the header's fields are those of PROTOCOL.md.

        Raises: FederationError when no key of one of them is in force.
        """
        recipients = self._peering.enc_keys(to)

        def sealing() -> Sealed:
            return seal(
                t=t,
                by=self._node_id,
                id=id,
                ver=ver,
                prev=prev,
                tlp=tlp,
                content=content,
                recipients=recipients,
                now=self._now(),
                rng=self._rng,
                ref=ref,
                aud=aud,
            )

        return await asyncio.to_thread(sealing) if len(recipients) >= THREAD_FROM else sealing()
