"""Personal data in free text: what can be told from its form, offline and without a model.

Found: e-mail addresses of persons, telephone and account numbers, identity numbers, medical record numbers,
dates of birth, street addresses, and names where something says that a person is meant: a form of address
before it ("Mrs"), a word for a person ("patient"), an age after it, or a given name that is common somewhere.

Not found, and said so wherever the detector speaks: other names in prose. Telling "Mara Ilves" from "Vigil
Sepsis" takes a language model. The person who files looks at what leaves and answers for it.

Every repetition is bounded and begins where no longer run of its own alphabet does, so the work grows with the
length of the text and not faster (tested).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from tocsin_schema.imports.party import BRANDS, GIVEN_NAMES, ORGANISATIONS, THINGS
from tocsin_schema.secret import Spot

# Words for people, by kind.
PERSONAL: Final = {
    "email-address": "a person's e-mail address",
    "telephone": "a telephone number",
    "bank-account": "a bank account",
    "payment-card": "the number of a payment card",
    "identity-number": "a national identity number",
    "medical-record": "the number of a medical or customer record",
    "date-of-birth": "a date of birth",
    "address": "a street address",
    "person-name": "the name of a person",
    "person-party": "a private person among the parties",
    "many-numbers": "more numbers than can be looked at one by one",
}

_EMAIL: Final = re.compile(
    r"(?<![\w.+%-])([\w.+%-]{1,64})@(?:[A-Za-z0-9-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![\w-])"
)
_ROLES_WORDS: Final = """\
abuse admin alerts careers compliance contact datenschutz dpo git hello help helpdesk hostmaster
incident incidents info jobs kontakt legal mail marketing media news newsletter no-reply noreply office
postmaster presse press privacy psirt recall reports safety sales security service soc support team
webmaster
"""
_ROLES: Final = frozenset(_ROLES_WORDS.split())

_NAME: Final = r"[^\W\d_](?:[^\W\d_]|['\u2019-](?=[^\W\d_])){1,29}"
_FULL_NAME: Final = (
    rf"{_NAME}(?: [^\W\d_]\.)?(?: (?:van|von|de|der|den|da|dos|del|di|la|le|bin|al|el|O)){{0,2}} {_NAME}"
)
_FORMS_OF_ADDRESS: Final = (
    "Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Herr|Herrn|Frau|Mme|Mlle|Monsieur|Madame|Señora?|Sra?|Signora?|Nurse"
)
_CALLED: Final = rf"((?:(?:Dr|Prof|med)\. {{0,1}}){{0,2}}(?:[^\W\d_]\. ?){{0,2}}{_NAME}(?: {_NAME}){{0,2}})"
_TITLED: Final = re.compile(rf"\b(?:{_FORMS_OF_ADDRESS})\.? {{1,2}}{_CALLED}")
# Offices and callings are words of headlines, too ("Judge Rules Against Chatbot"): only within sentences.
_OFFICES_WORDS: Final = """\
Sir Dame Lady Lord Rev Reverend Pastor Rabbi Imam Sister Brother Father Mother Padre Judge Justice Magistrate Attorney
Officer Constable Sergeant Sgt Detective Inspector Captain Capt Lieutenant Lt Colonel Col Corporal Deputy Sheriff
Senator Councillor Matron Midwife Doctor Coach Principal Schwester Pfleger Pfarrer Richter Richterin Polizist
Docteur Doctora
"""
_OFFICE: Final = re.compile(rf"\b(?:{'|'.join(_OFFICES_WORDS.split())})\.? {{1,2}}{_CALLED}")
_LONG_WORD: Final = re.compile(r"[^\W\d_]{4,30}")
_PEOPLE: Final = (
    "patient|victim|resident|employee|student|pupil|customer|nurse|teacher|inmate|claimant|plaintiff|defendant|tenant"
    "|worker|pedestrian|cyclist|passenger|caller|applicant|mother|father|husband|wife|son|daughter|widow|man|woman|boy"
    "|girl|teenager|toddler|child|doctor|physician|driver|user|engineer|colleague|Patient|Patientin|Kundin|Kunde"
)
_PEOPLE_NAMED: Final = re.compile(
    rf"\b(?:{_PEOPLE})(?:,? (?:named|called|identified as|is|was))? ({_FULL_NAME})", re.UNICODE
)
_GIVEN: Final = re.compile(  # ahead, so that a word in front ("Sister Maria Alvarez") hides no name
    r"(?<![^\W_])(?=([A-Z][a-z]{1,14})(?:-[A-Z][a-z]{1,14})? (?:[A-Z]\. )?"
    r"((?:van |von |de |der |al-|O'|Mc|Mac)?[A-Z][^\W\d_]{2,24})(?: ([A-Z][^\W\d_]{1,24}))?)"
)
_AGE: Final = re.compile(r"(?<=\w),? (?:\(|aged? )?\d{1,3}\)?(?:,| of | from | years| and | was | who )")
_NAME_AT_END: Final = re.compile(rf"(?<!\w){_FULL_NAME}\Z").search
_LONGEST_NAME: Final = 90
_AGE_FIRST: Final = re.compile(rf"\b\d{{1,3}}-year-old (?:[a-z]{{2,15}} ){{0,3}}({_FULL_NAME})")

# No names of persons, however they are written.
_NO_NAMES_WORDS: Final = """\
january february march april may june july august september october november december monday tuesday
wednesday thursday friday saturday sunday the a an and or in on at of to for from by with after before
when where while its his her their this that these those it he she they new north south east west san
los las united states kingdom street road model version level grade act article section chapter died
claims misused general attorney officer department
"""
_NO_NAMES: Final = BRANDS | ORGANISATIONS | THINGS | frozenset(_NO_NAMES_WORDS.split())

_DAY: Final = (
    r"(?:\d{1,4}[./-]\d{1,2}[./-]\d{1,4}|\d{1,2}(?:st|nd|rd|th)?\.? [^\W\d_]{3,10},? \d{4}"
    r"|[^\W\d_]{3,10} \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_BORN: Final = re.compile(
    rf"(?i)\b(?:born(?: on)?|date of birth|birth ?dates?|birthday|d\.?o\.?b\.?|geboren(?: am)?|geburtsdatum|née? le"
    rf"|nacid[oa] el)(?:\W{{0,3}}(?:is|was|ist)\b)?\W{{0,4}}({_DAY})"
)
_WORD: Final = r"[^\W\d_][\w'\u2019.-]{0,24}"
_STREETS: Final = (
    re.compile(
        rf"(?<![\w.,-])\d{{1,5}}[A-Za-z]?,? (?:{_WORD} ){{1,3}}(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive"
        r"|Boulevard|Blvd|Court|Crescent|Terrace|Close|Way|Square|Place)\b"
    ),
    re.compile(
        r"(?<![\w-])[^\W\d_][\w-]{2,30}?(?:straße|strasse|str\.|gasse|weg|allee|platz) \d{1,4}[a-z]?(?![\w.,]?\d)"
    ),
    re.compile(
        r"(?<!\w)\d{1,4}(?: bis| ter)?,? (?:rue|avenue|boulevard|chemin|allée|impasse) "
        r"(?:de la |du |des |de |d['\u2019])?[^\W\d_]{2,25}"
    ),
    re.compile(
        r"(?<!\w)(?:Calle|Via|Viale|Piazza|Rua) (?:[^\W\d_]{2,20} ){0,3}[^\W\d_]{2,20},? \d{1,4}(?!\w)"
    ),
)
_STREET_WORDS: Final = (
    *(
        " street",
        " st",
        " road",
        " rd",
        " ave",
        " lane",
        " ln",
        " drive",
        " boul",
        " blvd",
        " court",
        " cres",
        " terr",
    ),
    *(
        " close",
        " way",
        " square",
        " place",
        "straße",
        "strasse",
        "str.",
        "gasse",
        "weg ",
        "allee",
        "platz",
        "rue ",
    ),
    *("chemin", "impasse", "calle ", "via", "piazza", "rua "),
)
_RECORD: Final = re.compile(
    r"(?i)\b(?:mrn|(?:medical|health|hospital|patient|insurance|member|customer|employee|student|prisoner|inmate)"
    r" (?:record )?(?:id|no|nr|number|file|#)|medical record|patientennummer|versichertennummer|krankenakte)"
    r"(?:\W{0,3}(?:no|nr|number|id|is|was)\b){0,2}\W{0,4}([A-Z0-9][A-Z0-9/-]{3,24})"
)
# What looks like numbers and belongs to no person: addresses, hashes, identifiers, times, CVEs, versions.
_HARMLESS: Final = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://[^\s<>\"]{1,2000}+|\bwww\.[^\s<>\"]{1,500}+|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"
    r"|\b[0-9a-f]{24,128}\b|\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.]{0,12}Z?"
    r"|\b(?:CVE|CWE|AVID|ISO|IEC|DOI|arXiv)[- :]{1,2}[\w./-]{1,40}",
)
_DIGIT: Final = re.compile(r"\d").search
_BORN_WORDS: Final = ("born", "birth", "dob", "d.o.b", "gebor", "geburt", "né", "nacid")
_RECORD_WORDS: Final = (
    "mrn",
    "medical",
    "record",
    " id",
    " no",
    " nr",
    " number",
    " file",
    " #",
    "nummer",
    "akte",
)


def personal(text: str, regions: Sequence[str] = ()) -> Iterator[Spot]:
    """What in `text` looks like personal data; places may overlap, and never an error whatever the text.

    `regions`: ISO 3166 codes of the countries the text is about, for telephone numbers without a country code.
    """
    numbered = _DIGIT(text) is not None
    plain = _HARMLESS.sub(_blank, text) if numbered or "/" in text else text
    low = plain.lower()
    if "@" in plain:
        for match in _EMAIL.finditer(plain):
            if match[1].lower() not in _ROLES:
                yield Spot("email-address", match.start(), match.end())
    yield from _names(plain, numbered=numbered)
    if not numbered:
        return
    for kind, pattern, words in (
        ("date-of-birth", _BORN, _BORN_WORDS),
        ("medical-record", _RECORD, _RECORD_WORDS),
    ):
        for match in pattern.finditer(plain) if _any(words, low) else ():
            if sum(c.isdigit() for c in match[1]) >= 3:
                yield Spot(kind, match.start(1), match.end(1))
    for pattern in _STREETS if _any(_STREET_WORDS, low) else ():
        for match in pattern.finditer(plain):
            if any(word[:1].isupper() for word in re.findall(r"[^\W\d_]+", match[0])):
                yield Spot("address", match.start(), match.end())
    if sum(map(plain.count, "0123456789")) >= 6:
        from tocsin_schema.personal_number import numbers  # noqa: PLC0415 (a tenth of a second; most texts need none)

        yield from numbers(plain, regions)


def _any(words: Sequence[str], low: str) -> bool:
    return any(word in low for word in words)


def _names(text: str, *, numbered: bool) -> Iterator[Spot]:
    for match in _TITLED.finditer(text):
        if _is_name(match[1], least=1):
            yield Spot("person-name", match.start(1), match.end(1))
    for match in _OFFICE.finditer(text):
        called = _capitals(match[1])
        if _is_name(called, least=1) and not _is_headline(text, match):
            yield Spot("person-name", match.start(1), match.start(1) + len(called))
    end = 0
    for match in _GIVEN.finditer(text):
        first, last, more = match[1].lower(), match[2].lower(), (match[3] or "").lower()
        if match.start() < end or first not in GIVEN_NAMES:
            continue
        if last not in _NO_NAMES and more not in ORGANISATIONS:
            end = match.end(2)
            yield Spot("person-name", match.start(), end)
    for match in _PEOPLE_NAMED.finditer(text):
        if _is_name(match[1], least=2):
            yield Spot("person-name", match.start(1), match.end(1))
    if not numbered:
        return
    for match in _AGE_FIRST.finditer(text) if "-year-old" in text else ():
        if _is_name(match[1], least=2):
            yield Spot("person-name", match.start(1), match.end(1))
    for age in _AGE.finditer(text):
        start = max(0, age.start() - _LONGEST_NAME)
        name = _NAME_AT_END(text[start : age.start()])
        if name and _is_name(name[0], least=2):
            yield Spot("person-name", start + name.start(), age.start())


def _is_name(text: str, *, least: int) -> bool:
    """Whether words are written as a name is and none of them is known to be something else."""
    words = [word for word in re.split(r"[ .]+", text) if word]
    if not words:
        return False
    capitals = [word for word in words if word[0].isupper() and (len(word) == 1 or not word.isupper())]
    if len(capitals) < least or not words[0][0].isupper() or (least > 1 and not words[-1][0].isupper()):
        return False
    low = [word.lower() for word in words]
    judged = low[:1] if least == 1 else low
    return not (any(word in _NO_NAMES for word in judged) or any(word in ORGANISATIONS for word in low))


def _capitals(text: str) -> str:
    """The words in front that are written as names are."""
    words = text.split(" ")
    last = next((nth for nth, word in enumerate(words) if not word[:1].isupper()), len(words))
    return " ".join(words[:last])


def _is_headline(text: str, match: re.Match[str]) -> bool:
    """Whether the words around are written with capitals too, so that a capital says nothing."""
    start = max(text.rfind("\n", 0, match.start()) + 1, match.start() - _LONGEST_NAME)
    end = text.find("\n", match.end())
    stop = min(end if end >= 0 else len(text), match.end() + _LONGEST_NAME)
    around = _LONG_WORD.findall(text[start : match.start()]) + _LONG_WORD.findall(text[match.end() : stop])
    return len(around) > 1 and sum(word[0].isupper() for word in around) > len(around) / 2


def _blank(match: re.Match[str]) -> str:
    """As long as what it replaces, so that places stay where they are; an address keeps none of its digits."""
    return " " * len(match[0])
