"""Vectors for `verify_request`: replays, redirections, clocks, and every covered part changed."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from tocsin_federation.keys import public_of
from tocsin_federation.request_auth import keyid_of, sign_request
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH, CEDAR, MALLORY, NOW, Player

_LOG: Final = hashlib.sha256(BIRCH.identity.statement.log.origin.encode()).hexdigest()
_PATH: Final = f"/f1/log/{_LOG}/entries"
_PARAMS: Final = ';alg="ed25519";tag="tocsin/1"'


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it reaches Birch."""

    method: str = "GET"
    authority: str = "tocsin.birch.example"
    path: str = _PATH
    query: str = "from=0&max=512"
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def signed(self, by: Player = ALDER, to: Player = BIRCH, at: datetime = NOW) -> "Request":
        """The same, signed."""
        headers = sign_request(
            method=self.method,
            authority=self.authority,
            path=self.path,
            query=self.query,
            body=self.body,
            dest=to.node_id,
            key=by.keys.http,
            keyid=keyid_of(by.node_id, public_of(by.keys.http)),
            now=at,
            rng=Dice("nonce"),
        )
        return replace(self, headers=headers)

    def with_header(self, name: str, before: str, after: str) -> "Request":
        """The same, with one header rewritten."""
        changed = self.headers[name].replace(before, after, 1)
        assert changed != self.headers[name], (name, before)
        return replace(self, headers=self.headers | {name: changed})


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    for name, expect, rule, comment, request, more in (*_valid(), *_headers(), *_moments(), *_parts()):
        given = {
            "me": BIRCH.node_id,
            "now": NOW,
            "keys": {
                keyid_of(p.node_id, public_of(p.keys.http)): public_of(p.keys.http) for p in (ALDER, CEDAR)
            },
            "seen": [],
            "method": request.method,
            "authority": request.authority,
            "path": request.path,
            "query": request.query,
            "body": request.body,
            "headers": request.headers,
        }
        yield Case("request", name, expect, rule, comment, given | more)


Row = tuple[str, str, str, str, Request, dict[str, Any]]


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-50", "A request for entries.", Request().signed(), {}
    post = Request(method="POST", path="/f1/peer/join", query="", body=b'{"invite":"x"}')
    yield "valid-post", "ok", "P-55", "With a body and no query.", post.signed(), {}
    shouted = replace(Request().signed(), authority="TOCSIN.Birch.Example:443")
    yield (
        "valid-authority-spelt-otherwise",
        "ok",
        "P-56",
        "Host names know no case, and 443 goes without saying.",
        (shouted),
        {},
    )
    for seconds, name in ((-120, "valid-oldest"), (120, "valid-newest")):
        yield (
            name,
            "ok",
            "P-52",
            "120 s away is still good.",
            Request().signed(at=NOW + timedelta(seconds=seconds)),
            {},
        )


def _headers() -> Iterator[Row]:
    good = Request().signed()
    for name in good.headers:
        rest = {key: value for key, value in good.headers.items() if key != name}
        yield (
            f"without-{name.lower()}",
            "auth-missing",
            "P-50",
            f"No {name}.",
            replace(good, headers=rest),
            {},
        )
    malformed = "auth-malformed"

    def rewritten(name: str, comment: str, before: str, after: str) -> Row:
        return name, malformed, "P-50", comment, good.with_header("Signature-Input", before, after), {}

    yield rewritten("label-of-another", "Another label.", "tocsin=", "sig1=")
    yield rewritten("body-not-covered", "The digest is not among the signed parts.", ' "content-digest"', "")
    yield rewritten(
        "destination-not-covered", "The receiver is not among the signed parts.", ' "tocsin-dest"', ""
    )
    yield rewritten("algorithm-of-another", "Another algorithm.", "ed25519", "hmac-sha256")
    yield rewritten("tag-of-another", "A signature made for another protocol.", "tocsin/1", "tocsin/2")
    yield rewritten("nonce-short", "A nonce of 15 bytes.", _nonce(good), base64.b64encode(bytes(15)).decode())
    yield rewritten("parameter-added", "One parameter more.", _PARAMS, _PARAMS + ";expires=1")
    yield rewritten("second-signature", "A list of two.", _PARAMS, _PARAMS + ", other=()")
    yield rewritten("key-without-name", "A NodeID alone.", "#", "%23")
    yield (
        "signature-not-base64",
        malformed,
        "P-50",
        "A signature that is no base64.",
        good.with_header("Signature", ":", ":*"),
        {},
    )
    long = replace(good, headers=good.headers | {"Tocsin-Dest": "n" * 513})
    yield "header-oversized", malformed, "P-50", "A header of 513 bytes.", long, {}


def _moments() -> Iterator[Row]:
    yield (
        "sent-to-another-node",
        "wrong-destination",
        "P-51",
        "Cedar passes on to Birch what Alder sent to Cedar.",
        Request().signed(to=CEDAR),
        {},
    )
    for seconds, name in ((-121, "signed-too-long-ago"), (121, "signed-in-the-future")):
        late = Request().signed(at=NOW + timedelta(seconds=seconds))
        yield name, "clock-skew", "P-52", "121 s away.", late, {}
    good = Request().signed()
    seen = [{"keyid": keyid_of(ALDER.node_id, public_of(ALDER.keys.http)), "nonce": _nonce(good)}]
    yield "replayed", "nonce-replayed", "P-53", "The same request a second time.", good, {"seen": seen}
    other = [{"keyid": keyid_of(CEDAR.node_id, public_of(CEDAR.keys.http)), "nonce": _nonce(good)}]
    yield (
        "valid-nonce-of-another-key",
        "ok",
        "P-53",
        "Cedar used that nonce, not Alder.",
        good,
        {"seen": other},
    )
    yield "stranger", "key-unknown", "P-54", "Mallory is nobody's peer.", Request().signed(by=MALLORY), {}


def _parts() -> Iterator[Row]:
    good = Request(body=b"body", method="POST").signed()
    bad = "bad-signature"
    yield "body-changed", "digest-mismatch", "P-55", "Another body.", replace(good, body=b"bodY"), {}
    digest = Request(body=b"bodY", method="POST").signed().headers["Content-Digest"]
    both = replace(good, body=b"bodY", headers=good.headers | {"Content-Digest": digest})
    yield "body-and-digest-changed", bad, "P-56", "Another body with its right digest.", both, {}
    yield "method-changed", bad, "P-56", "POST became GET.", replace(good, method="GET"), {}
    yield "authority-changed", bad, "P-56", "Another host.", replace(good, authority="birch.example"), {}
    yield "path-changed", bad, "P-56", "Another path.", replace(good, path=_PATH.replace("/f1/", "/f2/")), {}
    yield "query-changed", bad, "P-56", "Another query.", replace(good, query="from=1&max=512"), {}
    yield (
        "created-changed",
        bad,
        "P-56",
        "Moved by a second.",
        good.with_header(
            "Signature-Input", f"created={int(NOW.timestamp())}", f"created={int(NOW.timestamp()) + 1}"
        ),
        {},
    )
    name = keyid_of(ALDER.node_id, public_of(ALDER.keys.http))
    cedars = keyid_of(CEDAR.node_id, public_of(CEDAR.keys.http))
    yield (
        "claimed-by-another",
        bad,
        "P-56",
        "Cedar's name on Alder's signature.",
        good.with_header("Signature-Input", name, cedars),
        {},
    )
    scalar = _plus_order(base64.b64decode(good.headers["Signature"].partition(":")[2][:-1]))
    stretched = replace(
        good, headers=good.headers | {"Signature": f"tocsin=:{base64.b64encode(scalar).decode()}:"}
    )
    yield "signature-malleated", bad, "P-56", "The order of the group was added to s.", stretched, {}


def _nonce(request: Request) -> str:
    return request.headers["Signature-Input"].partition('nonce="')[2].partition('"')[0]


def _plus_order(signature: bytes) -> bytes:
    """An Ed25519 signature with s replaced by s + L, which lax verifiers take too."""
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(signature[32:], "little") + order
    return signature[:32] + s.to_bytes(32, "little")
