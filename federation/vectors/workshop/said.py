"""What one player says to another: headers of entries that were opened, and the refusals that all kinds share."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from tocsin_federation.messages import HEADER, Audience, Encryption, Header
from tocsin_schema.marking import Tlp
from workshop.case import Row
from workshop.cast import CEDAR, NOW, REPORT_ID, Player

MS: Final = int(NOW.timestamp() * 1000)
_ENC: Final = Encryption(suite=1, salt=bytes(24), kc=bytes(32), ct=bytes(32), n=1040)


def header(t: Any, by: Player, to: Player, /, **changes: Any) -> bytes:
    """A leaf; `changes`: fields that are otherwise than in an AMBER entry about version 1 of the report."""
    fields = {
        "v": 1,
        "t": t,
        "by": by.node_id,
        "id": REPORT_ID,
        "ver": 1,
        "ts": MS,
        "aud": Audience(nodes=(to.node_id,)),
        "tlp": Tlp.AMBER,
        "enc": _ENC,
    }
    return HEADER.encode(Header(**{**fields, **changes}))


def refused_at_the_door(
    given: Callable[..., dict[str, Any]],
    leaf: Callable[..., bytes],
    *,
    peer: str,
    other: Any = "ack",
    rule: str = "P-83",
) -> Iterator[Row]:
    """By another than the peer, for another than the reader, of another kind (`other`), from a peer that is stopped."""
    yield (
        "author-forged",
        "wrong-origin",
        "P-80",
        "The header is by Cedar.",
        given(leaf=leaf(by=CEDAR.node_id)),
    )
    elsewhere = leaf(aud=Audience(nodes=(CEDAR.node_id,)))
    yield "not-addressed", "not-addressed", "P-80", "It is for Cedar.", given(leaf=elsewhere)
    kind = leaf(t=other, id=REPORT_ID)
    yield "kind-of-another", "header-invalid", "P-80", f"The header says {other}.", given(leaf=kind)
    yield "not-approved", "peer-inactive", rule, f"{peer} is stopped.", given(active=False)
