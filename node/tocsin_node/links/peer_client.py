"""The door to other nodes: signed requests out, bounded bytes in. It knows addresses and HTTP, not what logs mean.

Every answer is bounded in size and time before it is read. Redirects are not followed: a peer's address is what its
statement names. Answers carry no signature of their own; what is in them proves itself (notes, leaves, wraps).
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
import orjson

from tocsin_federation.errors import FederationError
from tocsin_federation.frames import MAX_BODY_BYTES, Frame, FrameReader
from tocsin_federation.gossip import MAX_ANSWER_BYTES
from tocsin_federation.merkle import HASH_BYTES, tile_path
from tocsin_federation.reconciling import MAX_ANSWER_BYTES as COMPARED_BYTES
from tocsin_federation.request_auth import sign_request
from tocsin_node.errors import NodeError
from tocsin_node.links.alert_text import foreign
from tocsin_node.links.unreachable import why_not
from tocsin_node.settings.address import LOOPBACK
from tocsin_node.settings.federation import FederationSettings

NOTE_BYTES = 16 * 1024
CHAIN_BYTES = 1024 * 1024
PAST_BYTES = 64 * HASH_BYTES
TEXT = "text/plain"
TLOG_SIZE = "text/x.tlog.size"
SIZE_LINE = re.compile(rb"(?:0|[1-9][0-9]{0,15})\n")
PROBLEM_BYTES = 64 * 1024
HINT_BYTES = 300
SLOWEST_BYTES_S = 32 * 1024  # an answer that comes slower than this on the whole is given up
CODE = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
SERVER_TIME_HEADER = "Tocsin-Time"
# Bytes that are no UTF-8, and levels beyond what the interpreter bears, are told by errors of their own.
NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class PeerUnreachable(NodeError):
    """The peer could not be reached, or did not answer in time or in form."""

    code = "peer-unreachable"
    hint = "It is tried again by itself; check the address and the network if it stays so."


class PeerRefusal(NodeError):
    """The peer answered no.

    `said`: the code in its answer. It is its word, not ours: shown to people, never acted upon.
    """

    code = "peer-refused"
    hint = "Ask the peer's operator; `tocsin peer status` shows what they said."
    said = "peer-refused"
    clock_skew_s: float | None = None


class InsecureAddress(NodeError):
    """The peer's address is plain HTTP."""

    code = "insecure-address"
    hint = "Use an https:// address, or set federation.allow_http = true if a tunnel protects the way."


@dataclass(frozen=True, slots=True)
class Batch:
    """Frames in order, and the index to ask for next: all before it has been served or is not ours to see."""

    frames: list[Frame]
    next_index: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body, how far the peer's clock stands from ours (positive: theirs is ahead), and the content's type."""

    status: int
    body: bytes
    clock_skew_s: float | None
    kind: str


class PeerClient:
    """Requests to peers, signed with this node's HTTP key and bound to the receiver's NodeID.

    `local`: this node's own address is on the loopback, so peers' may be too.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        keyid: str,
        http_private: bytes,
        now: Callable[[], datetime],
        rng: Callable[[int], bytes],
        settings: FederationSettings,
        local: bool,
    ) -> None:
        self._session = session
        self._keyid = keyid
        self._key = http_private
        self._now = now
        self._rng = rng
        self._settings = settings
        self._local = local

    async def chain(self, url: str) -> list[bytes]:
        """The statement chain that a node publishes at `url`, unverified.

        Raises: PeerUnreachable, PeerRefusal, InsecureAddress.
        """
        answer = await self._send("GET", url, "/.well-known/tocsin", dest=None, limit=CHAIN_BYTES)
        return parse_chain(_json(answer.body))

    async def tell_chain(self, url: str, dest: str, chain: Sequence[bytes]) -> None:
        """Tell a peer our statement chain: it has grown (new keys, a new address)."""
        await self.post(
            url, dest, "/f1/peer/statement", {"chain": [base64.b64encode(s).decode() for s in chain]}
        )

    async def checkpoint(self, url: str, dest: str, log: str, *, since: int, wait_s: float) -> Answer:
        """The peer's newest signed note, at once if it is larger than `since`, else after at most `wait_s`."""
        query = {"since": str(since), "wait": f"{wait_s:g}"}
        return await self._send(
            "GET", url, f"/f1/log/{log}/checkpoint", query, dest=dest, limit=NOTE_BYTES, wait_s=wait_s
        )

    async def tile(self, url: str, dest: str, log: str, index: int, width: int) -> bytes:
        """Level-0 tile `index` with `width` hashes: exactly 32 * `width` bytes (C2SP tlog-tiles)."""
        answer = await self._send(
            "GET", url, f"/f1/log/{log}/{tile_path(index, width)}", dest=dest, limit=32 * width
        )
        if len(answer.body) != 32 * width:
            raise PeerUnreachable("The peer cut a tile short.", code="tile-truncated")
        return answer.body

    async def entries(self, url: str, dest: str, log: str, *, start: int, limit: int) -> Batch:
        """Up to `limit` entries that are ours to see, from `start` on.

        A body that ends early or says nothing of what comes next is an error of the transfer: nothing of it is taken.
        """
        path, query = f"/f1/log/{log}/entries", {"from": str(start), "max": str(limit)}
        answer = await self._send("GET", url, path, query, dest=dest, limit=MAX_BODY_BYTES)
        reader = FrameReader(start=start, max_frames=limit, max_body_bytes=MAX_BODY_BYTES)
        try:
            frames = reader.feed(answer.body)
            next_index = reader.finish()
        except FederationError as exc:
            raise PeerUnreachable("The peer's entries are cut or malformed.", code=exc.code) from exc
        return Batch(frames, next_index)

    async def past(self, url: str, dest: str, log: str, *, old: int, size: int) -> tuple[bytes, ...]:
        """The hashes that show a log's roots at both sizes (`merkle.past_proof`), as the peer holds them."""
        path, query = f"/f1/log/{log}/past", {"from": str(old), "to": str(size)}
        body = (await self._send("GET", url, path, query, dest=dest, limit=PAST_BYTES)).body
        return tuple(body[i : i + HASH_BYTES] for i in range(0, len(body), HASH_BYTES))

    async def heads(self, url: str, dest: str, question: bytes) -> bytes:
        """What the peer answers to a question about heads (`gossip.py`), unread."""
        answer = await self._send(
            "POST", url, "/f1/wit/heads", dest=dest, body=question, limit=MAX_ANSWER_BYTES
        )
        return answer.body

    async def compare(self, url: str, dest: str, log: str, question: bytes) -> bytes:
        """What the peer answers when both compare what they hold of a log (`reconciling.py`), unread."""
        path = f"/f1/log/{log}/compare"
        answer = await self._send("POST", url, path, dest=dest, body=question, limit=COMPARED_BYTES)
        return answer.body

    async def add_checkpoint(self, url: str, body: bytes) -> bytes | int:
        """C2SP tlog-witness `add-checkpoint`: the witness's signature lines, or the size it cosigned last (409).

        Raises: PeerUnreachable, PeerRefusal.
        """
        answer = await self._send(
            *("POST", url, "/f1/wit/add-checkpoint"),
            dest=None,
            body=body,
            limit=NOTE_BYTES,
            kind=TEXT,
            also=409,
        )
        if answer.status == 200:
            return answer.body
        if answer.kind != TLOG_SIZE or SIZE_LINE.fullmatch(answer.body) is None:
            raise PeerUnreachable("The witness's answer has another form.", code="bad-answer")
        return int(answer.body)

    async def post(self, url: str, dest: str, path: str, message: Mapping[str, Any]) -> Any:
        """Send a JSON message of the handshake; returns the JSON answer."""
        answer = await self._send("POST", url, path, dest=dest, body=orjson.dumps(message), limit=CHAIN_BYTES)
        return _json(answer.body)

    async def _send(
        self,
        method: Literal["GET", "POST"],
        url: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        dest: str | None,
        body: bytes = b"",
        limit: int,
        wait_s: float = 0,
        kind: str = "application/json",
        also: int = 200,
    ) -> Answer:
        parts = urlsplit(url)
        self._refuse_insecure(parts.scheme, parts.hostname)
        full_path = parts.path.rstrip("/") + path
        query_text = urlencode(query or {})
        headers = {"Accept-Encoding": "identity"}
        if body:
            headers["Content-Type"] = kind
        if dest is not None:
            headers |= sign_request(
                method=method,
                authority=parts.netloc,
                path=full_path,
                query=query_text,
                body=body,
                dest=dest,
                key=self._key,
                keyid=self._keyid,
                now=self._now(),
                rng=self._rng,
            )
        target = f"{parts.scheme}://{parts.netloc}{full_path}" + (f"?{query_text}" if query_text else "")
        connect_s, silent_s = self._settings.connect_timeout_s, self._settings.read_timeout_s + wait_s
        timeout = aiohttp.ClientTimeout(
            total=connect_s + silent_s + limit / SLOWEST_BYTES_S, sock_connect=connect_s, sock_read=silent_s
        )
        try:
            async with self._session.request(
                method, target, data=body or None, headers=headers, timeout=timeout, allow_redirects=False
            ) as response:
                content = await _read_bounded(response, limit)
                answer = Answer(response.status, content, self._skew(response.headers), response.content_type)
        except TimeoutError as exc:
            raise PeerUnreachable("The peer did not answer in time.", code="peer-timeout") from exc
        except aiohttp.ClientError as exc:
            raise PeerUnreachable(f"The peer could not be reached: {why_not(exc)}.") from exc
        if answer.status not in {200, also}:
            raise _refusal(answer)
        return answer

    def _refuse_insecure(self, scheme: str, host: str | None) -> None:
        # A node that lives on this machine may have neighbours here. One that does not must not be sent to them by a
        # peer that names a loopback address as its own.
        if scheme == "https" or (
            scheme == "http" and (self._settings.allow_http or (self._local and host in LOOPBACK))
        ):
            return
        raise InsecureAddress

    def _skew(self, headers: Mapping[str, str]) -> float | None:
        try:
            if exact := headers.get(SERVER_TIME_HEADER):
                theirs = datetime.fromtimestamp(float(exact), UTC)
            else:
                theirs = parsedate_to_datetime(headers["Date"])
            return (theirs - self._now()).total_seconds()
        except (KeyError, TypeError, ValueError, OverflowError, OSError):  # TypeError: a date without a zone
            return None


def parse_chain(message: Any) -> list[bytes]:
    """The statements of a `{"chain": [base64, …]}` message.

    Raises: PeerUnreachable with code `bad-answer` when it is anything else.
    """
    try:
        return [base64.b64decode(s, validate=True) for s in message["chain"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise PeerUnreachable("The peer's statement chain is malformed.", code="bad-answer") from exc


async def _read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body of the answer; a coded one is not unpacked, since nobody asked for it."""
    well = response.status == 200
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        if well:
            raise PeerUnreachable("The peer's answer is compressed.", code="bad-answer")
        return b""
    limit = limit if well else PROBLEM_BYTES
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise PeerUnreachable(f"The peer's answer is larger than {limit} bytes.", code="answer-too-large")
        chunks.append(chunk)
    return b"".join(chunks)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except NOT_JSON as exc:
        raise PeerUnreachable("The peer's answer is not JSON.", code="bad-answer") from exc


def _refusal(answer: Answer) -> NodeError:
    """A problem+json answer becomes what it says; anything else (a proxy's page) is unreachable."""
    try:
        problem = msgspec.json.decode(answer.body)
        code, hint = str(problem["code"]), foreign(str(problem.get("hint", "")), HINT_BYTES)
    except (*NOT_JSON, KeyError, TypeError, AttributeError):
        code, hint = "", ""
    if answer.status >= 500 or not CODE.fullmatch(code):
        return PeerUnreachable(f"The way to the peer answered {answer.status}.", code=f"http-{answer.status}")
    refusal = PeerRefusal(f"The peer refused: {code}.", hint=hint or None)
    refusal.said = code
    refusal.clock_skew_s = answer.clock_skew_s
    return refusal
