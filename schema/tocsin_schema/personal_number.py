"""Numbers that belong to a person: telephones, bank accounts, payment cards, national identity numbers.

What a number may look like stands here; whether it is one, two libraries know: `phonenumbers` holds the
numbering plans of all countries, `python-stdnum` the check digits of accounts and identity numbers. Both work
offline and import quickly enough to be loaded with the first text that holds digits enough.

A shape that a plain number could have by chance (nine digits) counts only beside a word that names it.
Candidates are found by patterns of bounded length and judged one by one, at most `MOST` of them a text; a
text with more is suspected as a whole rather than waved through.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec
import phonenumbers
from stdnum import iban, luhn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn as ahv
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.se import personnummer
from stdnum.us import ssn

from tocsin_schema.secret import Spot

MOST: Final = 2000

_BEFORE: Final = r"(?<![\w.,+/-])"
_AFTER: Final = r"(?![\w/-]|[.,]\d)"


class _Number(msgspec.Struct, frozen=True):
    """A shape of digits, what proves it, and the words of which one must stand before it (none: not needed)."""

    kind: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool]
    words: re.Pattern[str] | None = None


def _number(kind: str, shape: str, valid: Callable[[str], bool], words: str = "") -> _Number:
    named = re.compile(rf"\b(?:{words})\b", re.IGNORECASE) if words else None
    return _Number(kind, re.compile(_BEFORE + shape + _AFTER), valid, named)


def _always(_: str) -> bool:
    return True


def _digits_enough(text: str) -> bool:
    return sum(map(str.isdecimal, text)) >= 5


def _iban(text: str) -> bool:
    return bool(iban.is_valid(text))


_ISSUERS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|5\d\d|4[4-9]\d)\d{12}|35\d{14}|62\d{14,17}|3(?:0[0-5]|[68]\d)\d{11}"
).fullmatch


def _card(text: str) -> bool:
    digits = re.sub(r"\D", "", text)
    return _ISSUERS(digits) is not None and bool(luhn.is_valid(digits))


NUMBERS: Final = (
    _number("bank-account", r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?", _iban),
    _number("payment-card", r"\d{4}(?:[ -]?\d{2,6}){2,4}", _card),
    _number("identity-number", r"\d{3}-\d{2}-\d{4}", ssn.is_valid),
    _number(
        "identity-number", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]", _always
    ),  # GB
    _number("identity-number", r"\d{3} ?\d{3} ?\d{4}", nhs.is_valid, "nhs"),
    _number("identity-number", r"\d{8}-?[A-HJ-NP-TV-Z]", dni.is_valid),
    _number("identity-number", r"[XYZ]-?\d{7}-?[A-Z]", nie.is_valid),
    _number("identity-number", r"[A-Z]{6}\d{2}[A-Z]\d{2}[A-Z]\d{3}[A-Z]", codicefiscale.is_valid),
    _number("identity-number", r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}", nir.is_valid),
    _number("identity-number", r"(?:\d{2})?\d{6}[-+]\d{4}", personnummer.is_valid),
    _number("identity-number", r"\d{6}-\d{4}", cpr.is_valid, "cpr"),
    _number("identity-number", r"\d{6}[-+A]\d{3}[0-9A-Z]", hetu.is_valid),
    _number("identity-number", r"\d{6} ?\d{5}", fodselsnummer.is_valid),
    _number("identity-number", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", nn.is_valid),
    _number("identity-number", r"756\.\d{4}\.\d{4}\.\d{2}", ahv.is_valid),
    _number("identity-number", r"\d{17}[\dX]", ric.is_valid),
    _number("identity-number", r"\d{6}-\d{7}", rrn.is_valid),
    _number("identity-number", r"\d{3}\.\d{3}\.\d{3}-\d{2}", cpf.is_valid),
    _number("identity-number", r"\d{4} ?\d{4} ?\d{4}", aadhaar.is_valid, "aadhaar|uid"),
    _number("identity-number", r"\d{11}", pesel.is_valid, "pesel"),
    _number("identity-number", r"\d{4}[ .]?\d{2}[ .]?\d{3}|\d{9}", bsn.is_valid, "bsn|burgerservicenummer"),
    _number(
        "identity-number",
        r"\d{2} ?\d{3} ?\d{3} ?\d{3}",
        idnr.is_valid,
        "steuer-?id|idnr|identifikationsnummer",
    ),
    _number("identity-number", r"\d{3}[ -]\d{3}[ -]\d{3}", sin.is_valid, "sin|social insurance"),
    _number(
        "identity-number", r"(?=[A-Z]{0,3}\d)[A-Z0-9]{6,9}", _digits_enough, "passport|reisepass|passeport"
    ),
)
_WORDS_REACH: Final = 40  # how far before a number the word that names it may stand

_INTERNATIONAL: Final = re.compile(r"(?<![\w+])(?:\+|00)[ (]{0,2}[1-9](?:[\s()./-]{0,3}\d){6,14}(?!\w)")
_AMERICAN: Final = re.compile(r"(?<![\w.-])(?:1[ .-])?\(?[2-9]\d\d\)?[ .-]{1,2}[2-9]\d\d[ .-]\d{4}(?![\w-])")
_TRUNK: Final = re.compile(r"(?<![\w.+,/-])\(?0[1-9]\d{0,4}\)?(?:[\s./-]{0,2}\d){5,10}(?![\w-])")
_NAMED: Final = re.compile(
    r"(?i)\b(?:tele(?:ph|f)on\w{0,3}|tel|phone|mobile|cell|fax|whatsapp|handy|mobil|tél)\b\W{0,3}"
    r"(?:(?:no|nr|number|nummer|is|was|at|ist)\b\W{0,3}){0,2}(\+?\(?\d(?:[\s()./-]{0,2}\d){5,14})(?!\w)"
)

_NAMED_WORDS: Final = ("tel", "phon", "mobil", "cell", "fax", "whatsapp", "handy", "tél")

# Where digits stand close together: shapes of digits are looked for here alone.
_CLUSTER: Final = re.compile(r"(?:[A-Z]{1,6} ?)?[+(]{0,2}\d[A-Z0-9 ()./+-]{4,}+")


def numbers(text: str, regions: Sequence[str]) -> Iterator[Spot]:
    """What in `text` is a number of a person; `regions` are the countries whose telephones are written plainly."""
    low = text.lower()
    if any(word in low for word in _NAMED_WORDS):
        for match in _NAMED.finditer(text):
            if sum(c.isdecimal() for c in match[1]) >= 7:
                yield Spot("telephone", match.start(1), match.end(1))
    clusters = [match.span() for match in _CLUSTER.finditer(text) if sum(map(str.isdecimal, match[0])) >= 6]
    judged = 0
    for kind, pattern, proves in _tests(regions):
        for start, end in clusters:
            for match in pattern.finditer(
                text, start, end + 1
            ):  # one more, so that the pattern sees what follows
                judged += 1
                if judged > MOST:
                    yield Spot("many-numbers", 0, len(text))
                    return
                if proves(text, match):
                    yield Spot(kind, match.start(), match.end())


Proof = Callable[[str, re.Match[str]], bool]


def _tests(regions: Sequence[str]) -> Iterator[tuple[str, re.Pattern[str], Proof]]:
    for each in NUMBERS:
        yield each.kind, each.pattern, partial(_proves, each)
    yield "telephone", _INTERNATIONAL, partial(_rings, (None,))
    yield "telephone", _AMERICAN, partial(_rings, ("US",))
    if regions:
        yield "telephone", _TRUNK, partial(_rings, tuple(regions[:5]))


def _proves(number: _Number, text: str, match: re.Match[str]) -> bool:
    """Whether the check digits fit; an account may have swallowed the short words that follow it."""
    reach = max(0, match.start() - _WORDS_REACH)
    if number.words is not None and not number.words.search(text, reach, match.start()):
        return False
    digits = match[0]
    while not number.valid(digits):
        shorter, _, rest = digits.rpartition(" ")
        if number.kind != "bank-account" or not rest or len(shorter) < 14:
            return False
        digits = shorter
    return True


def _rings(regions: Sequence[str | None], text: str, match: re.Match[str]) -> bool:
    """Whether the numbering plan of one of the regions knows it; None: it is written with a country code."""
    del text  # the other proofs look around the match
    digits = match[0]
    for region in regions:
        whole = "+" + digits[2:] if region is None and digits.startswith("00") else digits
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(whole, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False
