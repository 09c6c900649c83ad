"""Keys, tokens and passwords in free text: what they look like, from what their issuers publish.

The shapes are facts: the prefix, alphabet and length that each issuer gives its tokens so that scanners can
know them. A shape is only tried where one of its needles stands in the text, so a text without any costs a
few searches for plain words. Every repetition is bounded or possessive and begins where no longer run of its
own alphabet does, so the work grows with the length of the text and not faster (tested).

Not found: secrets without a shape of their own that nobody calls a secret, such as forty bare letters.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec


class Spot(msgspec.Struct, frozen=True):
    """A place in a text: characters `start` to `end`, and what `kind` of thing seems to stand there."""

    kind: str
    start: int
    end: int


class Shape(msgspec.Struct, frozen=True):
    """One kind of secret. `needles` are lower-case words of which one must be there; `test` may still say no.

    `near` is tried on the text in lower case where `pattern` is a slow one: it finds something wherever that does.
    """

    kind: str
    needles: tuple[str, ...]
    pattern: re.Pattern[str]
    test: Callable[[re.Match[str]], bool] = lambda _: True
    near: Callable[[str], object] = lambda _: True


# Words for people, by kind.
SECRETS: Final = {
    "access-key": "an access key of a cloud",
    "api-token": "a key or token of a service",
    "private-key": "a private key",
    "signed-token": "a signed token (JWT)",
    "url-password": "a password inside an address",
    "bearer-token": "a token from a request header",
    "named-secret": "a password or key that is called one",
}

_FREE: Final = r"(?<![A-Za-z0-9_-])"  # nothing of a token's own alphabet stands before


def _token(kind: str, needle: str, rest: str, *more: str) -> Shape:
    """A shape of a fixed beginning and a regular rest."""
    return Shape(kind, (needle.lower(), *more), re.compile(f"{_FREE}{re.escape(needle)}{rest}"))


# Beginning and rest of the tokens of services, as their issuers publish them.
_TOKENS: Final = (
    ("ghp_", "[A-Za-z0-9]{36,255}"),
    ("gho_", "[A-Za-z0-9]{36,255}"),
    ("ghu_", "[A-Za-z0-9]{36,255}"),
    ("ghs_", "[A-Za-z0-9]{36,255}"),
    ("ghr_", "[A-Za-z0-9]{36,255}"),
    ("github_pat_", "[A-Za-z0-9_]{40,255}"),
    ("glpat-", "[A-Za-z0-9_.-]{20,255}"),
    ("xox", "[abeoprs]-[A-Za-z0-9-]{10,255}"),
    ("xapp-", "[0-9]-[A-Za-z0-9-]{10,255}"),
    ("https://hooks.slack.com/services/", "T[A-Z0-9]{6,20}/B[A-Z0-9]{6,20}/[A-Za-z0-9]{16,40}"),
    ("sk-", "(?:[a-z]{2,10}-){0,2}[A-Za-z0-9_-]{0,100}[0-9][A-Za-z0-9_-]{15,200}"),
    ("hf_", "[A-Za-z0-9]{30,60}"),
    ("r8_", "[A-Za-z0-9]{37}"),
    ("gsk_", "[A-Za-z0-9]{40,60}"),
    ("AIza", "[0-9A-Za-z_-]{35}"),
    ("GOCSPX-", "[A-Za-z0-9_-]{28}"),
    ("ya29.", "[0-9A-Za-z_-]{20,255}"),
    ("sk_live_", "[0-9A-Za-z]{16,255}"),
    ("sk_test_", "[0-9A-Za-z]{16,255}"),
    ("rk_live_", "[0-9A-Za-z]{16,255}"),
    ("SG.", "[A-Za-z0-9_-]{16,32}\\.[A-Za-z0-9_-]{32,64}"),
    ("npm_", "[A-Za-z0-9]{36}"),
    ("pypi-", "[A-Za-z0-9_-]{50,255}"),
    ("dop_v1_", "[a-f0-9]{64}"),
    ("dapi", "[a-f0-9]{32}"),
    ("hvs.", "[A-Za-z0-9_-]{24,255}"),
    ("shpat_", "[a-fA-F0-9]{32}"),
    ("syt_", "[A-Za-z0-9]{1,100}_[A-Za-z]{20}_[A-Za-z0-9]{6}"),
    ("lin_api_", "[A-Za-z0-9]{40}"),
    ("tocsin1.", "[A-Za-z0-9_-]{20,255}"),
)
_PLACEHOLDER: Final = re.compile(
    r"[<\[{(*•…].*|\$[{(A-Za-z_].*|%\w+%|your[\W_].*"
    r"|(?:example|changeme|placeholder|redacted|removed|hidden|none|null|true|false)\b.*|pass(?:word|wd)?|secret|token|.*(?:\.\.\.|…|\*\*\*|xxx).*",
    re.IGNORECASE | re.DOTALL,
).fullmatch


def _telling(match: re.Match[str]) -> bool:
    """Whether the last group is a value and not a word of the sentence or a placeholder."""
    value = match[match.lastindex or 0].strip("\"'`.,;:!?()")
    return (
        len(value) >= 6
        and any(not c.isalpha() for c in value.strip("-_/"))
        and not value.isdecimal()
        and _PLACEHOLDER(value) is None
    )


def _password(match: re.Match[str]) -> bool:
    return _PLACEHOLDER(match[1]) is None


SHAPES: Final = (
    *(_token("api-token", needle, rest) for needle, rest in _TOKENS),
    *(_token("access-key", needle, "[A-Z2-7]{16}(?![A-Za-z0-9])") for needle in ("AKIA", "ASIA", "ABIA")),
    Shape(
        "access-key",
        ("accountkey=", "sharedaccesskey="),
        re.compile(r"(?i)\b(?:account|sharedaccess)key=[A-Za-z0-9+/]{40,100}={0,2}"),
    ),
    Shape(
        "api-token", (":aa",), re.compile(r"(?<![A-Za-z0-9])\d{8,10}:AA[A-Za-z0-9_-]{33}")
    ),  # Telegram's bots
    Shape(
        "access-key", ("8q~",), re.compile(r"(?<![\w.~-])[\w.~-]{3}8Q~[\w.~-]{31,34}", re.ASCII)
    ),  # Entra ID
    Shape(
        "private-key",
        ("private key", "age-secret-key-1", "putty-user-key-file"),
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?s:[^-]{0,8000}+)-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----)?"
            r"|AGE-SECRET-KEY-1[A-Z0-9]{50,60}|PuTTY-User-Key-File-\d"
        ),
    ),
    Shape(
        "signed-token",
        ("eyj",),
        re.compile(_FREE + r"eyJ[A-Za-z0-9_-]{8,2000}+\.eyJ[A-Za-z0-9_-]{8,4000}+\.[A-Za-z0-9_-]{8,1000}+"),
    ),
    Shape(
        "url-password",
        ("://",),
        re.compile(
            r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s:/@?#]{0,100}:([^\s/@?#]{1,200})@[\w.-]{1,100}"
        ),
        _password,
    ),
    Shape(
        "bearer-token",
        ("bearer", "basic"),
        re.compile(r"(?i)\b(?:bearer|authorization\s{0,2}:\s{0,2}basic)\s{1,3}([A-Za-z0-9._~+/=-]{16,2000})"),
        _telling,
    ),
    Shape(
        "named-secret",
        ("passwor", "passwd", "pwd", "passphrase", "passwort", "secret", "key", "token"),
        re.compile(
            r"(?i)(?<![a-z])(?:password|passwd|pwd|passphrase|passwort|(?:client|api|app|shared|secret|access|auth)"
            r"[ _-]?(?:secret|key|token)|secret)[\"'`]?(?:\s{0,2}[:=]\s{0,2}|\s(?:is|was|ist|war)\s)(\S{6,200})"
        ),
        _telling,
        re.compile(
            r"(?:word|wd|wort|phrase|secret|key|token)[\"'`]?(?:\s{0,2}[:=]|\s(?:is|was|ist|war)\s)"
        ).search,
    ),
)


# Needles with the character in them that is rarest in prose: where it is not, they need not be looked for.
_RARE: Final = "_.-:="
_NEEDLES: Final = tuple(
    (next((sign for sign in _RARE if sign in needle), ""), needle, shape)
    for shape in SHAPES
    for needle in shape.needles
)
_SHORTEST: Final = 8  # characters; nothing that is shorter is taken for a secret
# Without any of these there is no secret: most texts of a report are a word or two.
_SIGNS: Final = re.compile(r"[0-9:=]|pass|pwd|secret|private key|putty").search


def without_secrets(text: str) -> str:
    """`text` with a space in the place of whatever looks like a secret: what an index may hold."""
    spots = sorted((spot.start, spot.end) for spot in secrets(text))
    if not spots:
        return text
    kept, at = [], 0
    for start, end in spots:
        kept.append(text[at:start])
        at = max(at, end)
    return " ".join((*kept, text[at:]))


def secrets(text: str) -> Iterator[Spot]:
    """What in `text` looks like a secret; places may overlap, and never an error whatever the text."""
    low = text.lower()
    if len(low) < _SHORTEST or not _SIGNS(low):
        return
    there = {"", *(sign for sign in _RARE if sign in low)}
    tried: set[int] = set()
    for sign, needle, shape in _NEEDLES:
        if sign not in there or needle not in low or id(shape) in tried:
            continue
        tried.add(id(shape))
        if not shape.near(low):
            continue
        for match in shape.pattern.finditer(text):
            if shape.test(match):
                yield Spot(shape.kind, match.start(), match.end())
