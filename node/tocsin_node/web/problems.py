"""Errors become answers here, and nowhere else: RFC 9457 problem documents with our `code` and `hint`.

One table says which HTTP status a code has. What we did not foresee becomes 500 with a reference into the log
and no word of what it was. Refusals of the federation say one thing outward for a whole class of causes.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import orjson
from aiohttp import web

from tocsin_federation.errors import FederationError
from tocsin_node.errors import NodeError
from tocsin_node.web.auth import CALLER
from tocsin_schema.errors import SchemaError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROBLEM = "application/problem+json"
TYPE = "urn:tocsin:problem:"
RETRY_AFTER_S = "2"

# Code → status. What is missing here is decided by the class of the error (`status_of`).
STATUS: Mapping[str, HTTPStatus] = {
    # the request
    "bad-request": HTTPStatus.BAD_REQUEST,
    "name-unfit": HTTPStatus.UNPROCESSABLE_ENTITY,
    "bad-parameter": HTTPStatus.BAD_REQUEST,
    "bad-json": HTTPStatus.BAD_REQUEST,
    "too-many": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "body-too-slow": HTTPStatus.REQUEST_TIMEOUT,
    "body-incomplete": HTTPStatus.BAD_REQUEST,
    "content-type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "content-encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "findings": HTTPStatus.UNPROCESSABLE_ENTITY,
    "review-needed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "reviewer-unnamed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "person-unnamed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "no-such-lines": HTTPStatus.NOT_FOUND,
    # who asks
    "token-missing": HTTPStatus.UNAUTHORIZED,
    "token-unknown": HTTPStatus.UNAUTHORIZED,
    "scope-missing": HTTPStatus.FORBIDDEN,
    "peer-unauthenticated": HTTPStatus.UNAUTHORIZED,
    "invite-refused": HTTPStatus.FORBIDDEN,
    "not-approved": HTTPStatus.FORBIDDEN,
    "join-refused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "id-mismatch": HTTPStatus.UNPROCESSABLE_ENTITY,
    "report-itself": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not-a-redaction": HTTPStatus.UNPROCESSABLE_ENTITY,
    "names-unshared": HTTPStatus.UNPROCESSABLE_ENTITY,
    "decision-unknown": HTTPStatus.NOT_FOUND,
    "record-changed": HTTPStatus.CONFLICT,
    "erased": HTTPStatus.CONFLICT,
    "not-erased": HTTPStatus.NOT_FOUND,
    "recall-disputed": HTTPStatus.CONFLICT,
    "recall-unknown": HTTPStatus.NOT_FOUND,
    "nobody-has-it": HTTPStatus.CONFLICT,
    "recalled": HTTPStatus.CONFLICT,
    "reason-tells": HTTPStatus.UNPROCESSABLE_ENTITY,
    "not-revoked": HTTPStatus.UNPROCESSABLE_ENTITY,
    "foreign-creator": HTTPStatus.UNPROCESSABLE_ENTITY,
    "marking-looser": HTTPStatus.UNPROCESSABLE_ENTITY,
    "peer-frozen": HTTPStatus.FORBIDDEN,
    "not-authenticated": HTTPStatus.UNAUTHORIZED,
    "clock-skew": HTTPStatus.UNAUTHORIZED,
    "not-ours": HTTPStatus.FORBIDDEN,
    # what is asked for
    "token-name-taken": HTTPStatus.CONFLICT,
    "report-unknown": HTTPStatus.NOT_FOUND,
    "complaint-unknown": HTTPStatus.NOT_FOUND,
    "not-from-author": HTTPStatus.CONFLICT,
    "disputed": HTTPStatus.CONFLICT,
    "too-large-to-pass-on": HTTPStatus.CONFLICT,
    "peer-unknown": HTTPStatus.NOT_FOUND,
    "not-in-log": HTTPStatus.CONFLICT,
    "proof-not-kept": HTTPStatus.CONFLICT,
    "evidence-gone": HTTPStatus.GONE,
    "data-key-lost": HTTPStatus.CONFLICT,
    "tlp-forbids": HTTPStatus.FORBIDDEN,
    "evidence-unknown": HTTPStatus.NOT_FOUND,
    "cluster-unknown": HTTPStatus.NOT_FOUND,
    "emergency-unknown": HTTPStatus.NOT_FOUND,
    "not-caller": HTTPStatus.FORBIDDEN,
    "not-author": HTTPStatus.FORBIDDEN,
    "already-stood-down": HTTPStatus.CONFLICT,
    "call-disputed": HTTPStatus.CONFLICT,
    "already-declared": HTTPStatus.CONFLICT,
    "nobody-to-call": HTTPStatus.UNPROCESSABLE_ENTITY,
    "call-unfit": HTTPStatus.UNPROCESSABLE_ENTITY,
    "alert-unknown": HTTPStatus.NOT_FOUND,
    "silence-unknown": HTTPStatus.NOT_FOUND,
    "silence-over": HTTPStatus.CONFLICT,
    "silence-too-wide": HTTPStatus.UNPROCESSABLE_ENTITY,
    "silence-span": HTTPStatus.UNPROCESSABLE_ENTITY,
    "log-unknown": HTTPStatus.NOT_FOUND,
    "mute-too-long": HTTPStatus.UNPROCESSABLE_ENTITY,
    "mute-without-length": HTTPStatus.UNPROCESSABLE_ENTITY,
    "rota-unknown": HTTPStatus.NOT_FOUND,
    "person-unknown": HTTPStatus.UNPROCESSABLE_ENTITY,
    "override-invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "override-unknown": HTTPStatus.NOT_FOUND,
    "subscription-invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "subscription-unknown": HTTPStatus.NOT_FOUND,
    "duty-unknown": HTTPStatus.NOT_FOUND,
    "duty-closed": HTTPStatus.CONFLICT,
    "organisation-unstated": HTTPStatus.CONFLICT,
    "not-yet": HTTPStatus.UNPROCESSABLE_ENTITY,
    "report-exists": HTTPStatus.CONFLICT,
    "version-conflict": HTTPStatus.CONFLICT,
    "already-withdrawn": HTTPStatus.CONFLICT,
    "already-retracted": HTTPStatus.CONFLICT,
    "peer-exists": HTTPStatus.CONFLICT,
    "sas-mismatch": HTTPStatus.CONFLICT,
    "audience-empty": HTTPStatus.UNPROCESSABLE_ENTITY,
    "circle-unknown": HTTPStatus.NOT_FOUND,
    "circle-closed": HTTPStatus.CONFLICT,
    "circle-not-member": HTTPStatus.CONFLICT,
    "circle-and-names": HTTPStatus.UNPROCESSABLE_ENTITY,
    "recipients-missing": HTTPStatus.UNPROCESSABLE_ENTITY,
    # the world
    "peer-unreachable": HTTPStatus.BAD_GATEWAY,
    "peer-refused": HTTPStatus.BAD_GATEWAY,
    "insecure-address": HTTPStatus.UNPROCESSABLE_ENTITY,
    "too-busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "too-fast": HTTPStatus.TOO_MANY_REQUESTS,
}


def status_of(error: Exception) -> HTTPStatus:
    """The HTTP status of one of our errors, as it is told outward."""
    code = error.outward if isinstance(error, FederationError) else getattr(error, "code", "")
    if code in STATUS:
        return STATUS[code]
    if isinstance(error, NodeError):
        return HTTPStatus.SERVICE_UNAVAILABLE if error.retryable else _inherited(error)
    if isinstance(error, FederationError):
        return HTTPStatus.BAD_REQUEST if error.fault == "theirs" else HTTPStatus.INTERNAL_SERVER_ERROR
    return HTTPStatus.UNPROCESSABLE_ENTITY


def _inherited(error: NodeError) -> HTTPStatus:
    # An instance may carry a finer code than its class; the class still says what kind of error it is.
    for kind in type(error).__mro__:
        code = kind.__dict__.get("code")
        if isinstance(code, str) and code in STATUS:
            return STATUS[code]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def json_response(value: Any, *, status: int = 200) -> web.Response:
    """`value` as JSON: dataclasses, records, datetimes (UTC, `Z`) and UUIDs included."""
    return web.Response(body=to_json(value), status=status, content_type="application/json")


def to_json(value: Any) -> bytes:
    """JSON bytes of `value`; see `json_response`."""
    return orjson.dumps(value, default=msgspec.to_builtins, option=orjson.OPT_UTC_Z)


def problem(
    status: int,
    code: str,
    detail: str,
    hint: str,
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> web.Response:
    """A problem document. `title` is the same for every problem of one code."""
    body = {
        "type": TYPE + code,
        "title": code.replace("-", " ").capitalize(),
        "status": int(status),
        "detail": detail,
        "code": code,
        "hint": hint,
        **more,
    }
    return web.Response(body=to_json(body), status=int(status), content_type=PROBLEM, headers=headers)


def from_error(error: NodeError | FederationError | SchemaError, *, to_us: bool = False) -> web.Response:
    """The answer to an error of ours. `to_us`: who asks holds a token and may know why a peer was refused."""
    if isinstance(error, FederationError) and to_us:
        return problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error), error.hint)
    status = status_of(error)
    if isinstance(error, FederationError):
        return problem(
            status,
            error.outward,
            "The message was refused.",
            "PROTOCOL.md says what is accepted.",
            headers=_headers(status, "Signature"),
        )
    more = dict(error.facts) if isinstance(error, NodeError) else {}
    findings = getattr(error, "findings", None)
    if findings:
        more["findings"] = findings
    return problem(status, error.code, str(error), error.hint, headers=_headers(status), **more)


def from_http(error: web.HTTPException) -> web.Response:
    """The answer to what aiohttp itself refuses: no such path, no such method, a body over its bounds."""
    if isinstance(error, web.HTTPNotFound):
        return problem(
            404, "not-found", "There is nothing at this address.", "openapi.yaml lists what there is."
        )
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted(error.allowed_methods))
        return problem(
            405,
            "method-not-allowed",
            f"{error.method} is not possible here.",
            f"Possible: {allow}.",
            headers={"Allow": allow},
        )
    code = "-".join(HTTPStatus(error.status).phrase.lower().split())
    return problem(error.status, code, error.reason, "Mend the request; openapi.yaml says what is expected.")


@web.middleware
async def problems_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns every exception into an answer."""
    try:
        return await handler(request)
    except (NodeError, FederationError, SchemaError) as error:
        answer = from_error(error, to_us=CALLER in request)
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return _unforeseen(request, error)
        return answer
    except web.HTTPException as error:
        return from_http(error)
    except ConnectionResetError:
        raise  # the caller is gone: there is nobody to answer
    except Exception as error:  # noqa: BLE001  the last net; logged with all it knows
        return _unforeseen(request, error)


def _unforeseen(request: web.Request, error: Exception) -> web.Response:
    reference = secrets.token_hex(4)
    logging.getLogger(__name__).error(
        "%s %s failed [%s]", request.method, request.path, reference, exc_info=error
    )
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal-error",
        "The node failed at this request. It is our fault, not yours.",
        f"Look for [{reference}] in the node's log, or tell its operator this reference.",
        reference=reference,
    )


def _headers(status: HTTPStatus, scheme: str = "Bearer") -> dict[str, str]:
    if status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        return {"Retry-After": RETRY_AFTER_S}
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": f'{scheme} realm="tocsin"'}
    return {}
