"""Vectors for remarks: what Birch is told about a report of hers, or of Alder's, and by whom.

`held` is what Birch holds: `origin`, `audience` (her own reports), the version's `tlp`; null when nothing is held.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.remarks import exposure, opinion, retract, sighting
from tocsin_schema.report import IncidentReport
from tocsin_schema.stix import build, node_identity
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, NOW, REPORT_ID, Player
from workshop.said import header, refused_at_the_door

_REF = Dice("remarked on")(32)


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("remark", _valid(), _refused_by_header(), _refused_by_what_is_held())


@cache
def report(tlp: Tlp = Tlp.AMBER, incident_id: str = REPORT_ID) -> IncidentReport:
    """The report that is spoken of."""
    form = {"title": "A title", "description": "What happened.", "tlp": tlp.value, "realization": "near-miss"}
    made = check_bundle(build(form, producer=_identity(BIRCH), incident_id=incident_id, now=NOW)).report
    assert made is not None
    return made


def _identity(player: Player) -> dict[str, Any]:
    return node_identity(player.identity.statement.org.name, player.node_id)


def _header(**changes: Any) -> bytes:
    return header("remark", ALDER, BIRCH, **{"ref": _REF, **changes})


def _affected(about: IncidentReport | None = None, by: Player = ALDER) -> bytes:
    return exposure(about or report(), "affected", producer=_identity(by), now=NOW)


OURS: Mapping[str, Any] = {"origin": BIRCH.node_id, "audience": [ALDER.node_id], "tlp": "amber"}
THEIRS: Mapping[str, Any] = {"origin": ALDER.node_id, "audience": [], "tlp": "amber"}


def _given(
    content: bytes | None = None, *, held: Mapping[str, Any] | None = OURS, **changes: Any
) -> dict[str, Any]:
    facts = {"peer": ALDER.node_id, "active": True, "max_tlp_in": "amber", "me": BIRCH.node_id}
    leaf = changes.pop("leaf", None) or _header()
    return {
        "leaf": leaf,
        "content": _affected() if content is None else content,
        **facts,
        **changes,
        "held": None if held is None else dict(held),
    }


def _valid() -> Iterator[Row]:
    maker = _identity(ALDER)
    yield "valid", "ok", "P-86", "Alder is affected by what Birch reported.", _given(_affected())
    seen = sighting(report(), producer=maker, now=NOW, count=3, text="On two wards.")
    yield "valid-sighting", "ok", "P-86", "Alder sees it too, three times.", _given(seen)
    agrees = opinion(report(), "agree", producer=maker, now=NOW)
    yield "valid-opinion", "ok", "P-86", "Alder agrees.", _given(agrees)
    gone = retract(_affected(), now=NOW.replace(minute=1))
    yield "valid-retracted", "ok", "P-86", "Alder takes it back.", _given(gone)
    yield (
        "valid-by-the-origin",
        "ok",
        "P-88",
        "Alder on a report of its own.",
        _given(_affected(), held=THEIRS),
    )
    later = retract(_affected(), now=NOW.replace(minute=2))
    yield (
        "valid-after-another",
        "ok",
        "P-89",
        "The later one stands.",
        _given(later, standing=gone, outcome="stored"),
    )
    yield (
        "valid-before-another",
        "ok",
        "P-89",
        "The earlier one comes late.",
        _given(gone, standing=later, outcome="superseded"),
    )
    yield "valid-again", "ok", "P-89", "The very bytes.", _given(gone, standing=gone, outcome="unchanged")
    milder = dict(OURS) | {"tlp": "green"}
    yield (
        "valid-stricter",
        "ok",
        "P-87",
        "Marked more strictly than the report.",
        _given(_affected(), held=milder),
    )


def _refused_by_header() -> Iterator[Row]:
    content = _affected()
    yield from refused_at_the_door(_given, _header, peer="Alder")
    other = _affected(report(incident_id=REPORT_ID.replace("5ee", "6ee")))
    yield "of-another-report", "inner-mismatch", "P-81", "The content is about another report.", _given(other)
    leaf = _header(tlp=Tlp.GREEN)
    yield (
        "header-milder",
        "tlp-mismatch",
        "P-82",
        "The header is milder than the content.",
        _given(content, leaf=leaf),
    )
    foreign = _affected(by=CEDAR)
    yield "in-the-name-of-another", "foreign-creator", "P-87", "Alder speaks as Cedar.", _given(foreign)
    in_our_name = _affected(by=BIRCH)
    yield "in-our-name", "foreign-creator", "P-87", "Alder speaks as Birch, to Birch.", _given(in_our_name)
    yield (
        "above-the-ceiling",
        "above-ceiling",
        "P-83",
        "AMBER from a GREEN peer.",
        _given(content, max_tlp_in="green"),
    )


def _refused_by_what_is_held() -> Iterator[Row]:
    content = _affected()
    yield (
        "of-nothing",
        "unknown-report",
        "P-88",
        "Birch does not hold the report.",
        _given(content, held=None),
    )
    unheard = dict(OURS) | {"tlp": None}
    yield (
        "of-no-version",
        "unknown-report",
        "P-88",
        "Birch never held that version.",
        _given(content, held=unheard),
    )
    untold = dict(OURS) | {"audience": [CEDAR.node_id]}
    yield "never-told", "not-recipient", "P-88", "Birch told Cedar, not Alder.", _given(content, held=untold)
    third = dict(THEIRS) | {"origin": CEDAR.node_id, "audience": [ALDER.node_id]}
    yield "of-a-third-node", "not-recipient", "P-88", "The report is Cedar's.", _given(content, held=third)
    stricter = dict(OURS) | {"tlp": "amber+strict"}
    yield (
        "marked-more-mildly",
        "marking-looser",
        "P-87",
        "AMBER on AMBER+STRICT.",
        _given(content, held=stricter),
    )
