"""Vectors for the introduction: Alder's invite, Birch's proof that she holds it, Alder's that he made it, the words.

Without `answer` Alder judges `nonce` and `mac` of Birch; with it Birch judges the answer, and then reads `words`.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from tocsin_federation.peering import answer_mac, join_mac, mint_invite, parse_invite, sas_words
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, NOW

_TEXT, _RECORD = mint_invite(
    ALDER.node_id, ALDER.identity.statement.urls[0], now=NOW, ttl=timedelta(days=1), rng=Dice("invite")
)
_KEY: Final = _RECORD.mac_key
_THEIRS: Final = Dice("the joiner's nonce")(32)
_MAC: Final = join_mac(_KEY, ALDER.node_id, BIRCH.node_id, _THEIRS)
assert parse_invite(_TEXT, now=NOW).mac_key == _KEY


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("handshake", _joined(), _answered())


def _given(**changes: Any) -> dict[str, Any]:
    return {
        "now": NOW,
        "invite": _TEXT,
        "id": _RECORD.id,
        "joiner": BIRCH.node_id,
        "nonce": _THEIRS,
        "mac": _MAC,
        **changes,
    }


def _with_answer(nonce: bytes = _RECORD.nonce, mac: bytes | None = None, **changes: Any) -> dict[str, Any]:
    shown = answer_mac(_KEY, ALDER.node_id, BIRCH.node_id, _THEIRS, nonce) if mac is None else mac
    words = list(sas_words(ALDER.node_id, BIRCH.node_id, _RECORD.nonce, _THEIRS))
    return _given(answer={"nonce": nonce, "mac": shown}, words=words, **changes)


def _joined() -> Iterator[Row]:
    bad, malformed = "bad-proof", "handshake-malformed"
    yield "valid", "ok", "P-32", "Birch holds Alder's invite.", _given()
    yield "joined-by-another", bad, "P-32", "Cedar shows Birch's proof.", _given(joiner=CEDAR.node_id)
    yield "joined-with-another-nonce", bad, "P-32", "The nonce was changed.", _given(nonce=bytes(32))
    turned = join_mac(_KEY, BIRCH.node_id, ALDER.node_id, _THEIRS)
    yield "joined-the-other-way-round", bad, "P-32", "Both names, changed about.", _given(mac=turned)
    ours = answer_mac(_KEY, ALDER.node_id, BIRCH.node_id, _THEIRS, b"")
    yield "joined-with-an-answer", bad, "P-34", "A proof of the other direction.", _given(mac=ours)
    stranger = join_mac(bytes(32), ALDER.node_id, BIRCH.node_id, _THEIRS)
    yield "joined-without-the-secret", bad, "P-32", "Another key.", _given(mac=stranger)
    yield "joined-with-a-short-nonce", malformed, "P-34", "31 bytes.", _given(nonce=bytes(31))
    yield "joined-with-a-short-mac", malformed, "P-34", "16 bytes.", _given(mac=_MAC[:16])


def _answered() -> Iterator[Row]:
    yield "valid-answer", "ok", "P-36", "Alder made the invite; both read the same words.", _with_answer()
    changed = _with_answer(bytes(32))
    yield "answered-with-another-nonce", "nonce-changed", "P-35", "Chosen after Birch's was known.", changed
    echoed = _with_answer(mac=_MAC)
    yield "answered-with-the-question", "bad-proof", "P-34", "Birch's own proof comes back.", echoed
    forged = answer_mac(bytes(32), ALDER.node_id, BIRCH.node_id, _THEIRS, _RECORD.nonce)
    yield "answered-by-another", "bad-proof", "P-34", "Somebody else answers.", _with_answer(mac=forged)
    yield "answered-short", "handshake-malformed", "P-34", "16 bytes.", _with_answer(mac=_MAC[:16])
