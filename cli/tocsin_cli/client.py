"""HTTP to one node: bearer token, timeouts, bounded answers, problem documents turned into our errors.

The connection is kept open between the requests of one run. Redirects are never followed, since the token
would go along. Plain http is used on this machine only, unless TOCSIN_ALLOW_HTTP=1 says that the way is
private. Answers are read up to a limit and never decompressed. A failed request is not repeated here:
whoever calls knows whether it may be.
"""

import json
import os
import time
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from tocsin_cli.config import Target, is_loopback
from tocsin_cli.errors import (
    AnswerBroken,
    CliError,
    FindingsFound,
    NodeBusy,
    NotAllowed,
    NotVerified,
    Refused,
    TokenMissing,
    Unreachable,
    UsageFault,
)

STIX = "application/stix+json"
NDJSON = "application/x-ndjson"
_CONNECT_S = 5.0
_READ_S = 60.0
_MAX_ANSWER_BYTES = 32 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_MAX_PROBLEM_BYTES = 4 * 1024 * 1024

_FINAL_CODES = {"peer-refused"}  # 502, but asking again changes nothing

Query = Iterable[tuple[str, str]]


class Client:
    """A connection to one node."""

    def __init__(
        self, target: Target, *, note: Callable[[str], None] = lambda _: None, read_s: float = _READ_S
    ) -> None:
        plain = target.url.startswith("http:") and not is_loopback(target.url)
        if plain and os.environ.get("TOCSIN_ALLOW_HTTP") != "1":
            raise UsageFault(
                f"{target.url} is plain http to another machine: token and reports could be read on the way.",
                code="plain-http",
                hint="Use https; on a private network set TOCSIN_ALLOW_HTTP=1.",
            )
        if target.token is None:
            raise TokenMissing(f"There is no token for {target.url}.")
        self._target = target
        self._note = note
        self._headers = {"User-Agent": "tocsin-cli", "Accept-Encoding": "identity"}
        timeout = urllib3.Timeout(connect=_CONNECT_S, read=read_s)
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False, timeout=timeout)

    @property
    def url(self) -> str:
        """The node's address."""
        return self._target.url

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def json(
        self, method: str, path: str, *, query: Query = (), send: object = None, takes: Container[int] = ()
    ) -> Any:
        """Send an object (or nothing) and return the answer's JSON; None for an answer without content."""
        body = None if send is None else json.dumps(send).encode()
        return parsed(
            self.raw(method, path, query=query, body=body, content_type="application/json", takes=takes)
        )

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: bytes | None = None,
        content_type: str = STIX,
        accept: str = "application/json",
        max_bytes: int = _MAX_ANSWER_BYTES,
        takes: Container[int] = (),
    ) -> bytes:
        """Send bytes and return the answer's bytes.

        `takes`: statuses of failure whose JSON is the answer itself and no problem document, as 503 of /healthz.

        Raises: Unreachable, NodeBusy, NotVerified (TLS), NotAllowed, FindingsFound, Refused, AnswerBroken.
        """
        headers = {
            **self._headers,
            "Authorization": f"Bearer {self._target.token}",
            "Accept": f"{accept}, application/problem+json",
        }
        if body is not None:
            headers["Content-Type"] = content_type
        text = urlencode(list(query))
        began = time.monotonic()
        try:
            answer = self._pool.request(
                method,
                f"{self.url}{path}" + (f"?{text}" if text else ""),
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            limit = max_bytes if answer.status < 400 else _MAX_PROBLEM_BYTES
            raw = _bounded(answer, limit)
        except (HTTPError, OSError) as exc:
            raise _connection_failure(exc, self.url) from exc
        took_ms = (time.monotonic() - began) * 1000
        self._note(f"{method} {path} → {answer.status}, {len(raw)} bytes, {took_ms:.0f} ms")
        if answer.status in takes and _is_plain_json(answer.headers):
            return raw
        if answer.status >= 400:
            raise problem_of(answer.status, raw, answer.headers)
        if answer.status >= 300:
            raise AnswerBroken(
                f"{self.url} redirects elsewhere; redirects are not followed, so that the token stays here.",
                code="redirected",
                hint="Give the node's own address.",
            )
        if len(raw) > limit:
            raise AnswerBroken(f"{self.url} answered with more than {limit} bytes.", code="answer-too-large")
        return raw


def segment(text: str) -> str:
    """`text` as one segment of a path: it never leads to another one, and is never nothing."""
    if not text:
        raise UsageFault("An empty name names nothing.", hint="Give the name as it is listed.")
    quoted = quote(text, safe="")
    return quoted.replace(".", "%2E") if quoted in {".", ".."} else quoted


def parsed(raw: bytes) -> Any:
    """Return the JSON in an answer, None for an empty one; raise AnswerBroken for anything else."""
    try:
        return json.loads(raw) if raw else None
    except (ValueError, RecursionError) as exc:
        raise AnswerBroken("The node's answer is not JSON.") from exc


def _bounded(answer: urllib3.BaseHTTPResponse, limit: int) -> bytes:
    """Read little more than `limit` at most; an answer that was cut short raises, a whole one frees the line."""
    raw = bytearray()
    try:
        while len(raw) <= limit and (piece := answer.read(_PIECE_BYTES, decode_content=False)):
            raw += piece
    except BaseException:
        answer.close()
        raise
    if len(raw) > limit:
        answer.close()
    answer.release_conn()
    return bytes(raw)


def _connection_failure(exc: Exception, url: str) -> CliError:
    cause: BaseException = exc
    while isinstance(reason := getattr(cause, "reason", None), Exception):
        cause = reason
    if "WRONG_VERSION_NUMBER" in str(cause):
        plain = url.replace("https://", "http://", 1)
        return Unreachable(
            f"Something answers at {url}, but it does not speak TLS there.",
            code="no-tls",
            hint=f"Try {plain}, or give the address at which the node speaks https.",
        )
    if isinstance(cause, SSLError) or "CERTIFICATE_VERIFY" in str(cause):
        return NotVerified(
            f"The certificate of {url} does not hold.",
            code="certificate-not-verified",
            hint="For a private certificate authority set SSL_CERT_FILE to its certificate.",
        )
    if isinstance(cause, LocationParseError):
        return UsageFault(f"{url} is not the address of a node.")
    if isinstance(cause, NameResolutionError):
        return Unreachable(f"The name in {url} is not known.")
    if isinstance(cause, NewConnectionError | ConnectionRefusedError):  # before its base, the timeout
        return Unreachable(f"Nothing answers at {url}.")
    if isinstance(cause, ConnectTimeoutError | ReadTimeoutError | TimeoutError):
        return Unreachable(f"{url} does not answer in time.", code="node-timeout")
    return Unreachable(f"The connection to {url} broke off.", code="connection-lost")


def problem_of(status: int, raw: bytes, headers: Mapping[str, str]) -> CliError:
    """Return the error that a problem answer stands for; any other text in it is not shown."""
    problem = _problem_document(raw)
    title = str(problem.get("title") or f"The node answered {status}")
    message = str(problem.get("detail") or "") or title.rstrip(".") + "."
    code, hint = str(problem.get("code") or f"http-{status}"), str(problem.get("hint") or "")
    findings = problem.get("findings")
    if status in {401, 403}:
        return NotAllowed(message, code=code, hint=hint)
    if status == 422 and isinstance(findings, list) and findings:
        told = [each for each in findings if isinstance(each, dict)]
        return FindingsFound(told, message, code=code, hint=hint)
    if (status in {408, 425, 429} or status >= 500) and code not in _FINAL_CODES:
        wait = str(headers.get("Retry-After") or "")
        hint = hint or ("The node's own log says why." if status == 500 else "")
        return NodeBusy(message, code=code, hint=hint, retry_after_s=float(wait) if wait.isdecimal() else 0)
    return Refused(message, code=code, hint=hint, status=status)


def _is_plain_json(headers: Mapping[str, str]) -> bool:
    return str(headers.get("Content-Type") or "").partition(";")[0].strip().lower() == "application/json"


def _problem_document(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
