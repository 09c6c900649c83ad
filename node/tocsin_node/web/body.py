"""Reading request bodies: bounded in size, time, type and depth, before anything looks inside."""

import asyncio
from collections.abc import Collection
from typing import Any, TypeVar

import msgspec
from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError

from tocsin_node.settings.server import LimitSettings
from tocsin_node.web.errors import (
    BadJson,
    BodyIncomplete,
    BodyTooLarge,
    BodyTooSlow,
    ContentEncodingRefused,
    ContentTypeRefused,
)
from tocsin_schema.canonical import parse_strict
from tocsin_schema.errors import SchemaError, TooLarge

LIMITS = web.AppKey("limits", LimitSettings)
JSON = "application/json"
T = TypeVar("T")


async def read_body(request: web.Request, *, limit: int, content_types: Collection[str]) -> bytes:
    """The body, at most `limit` bytes, of one of `content_types`; compressed bodies are refused.

    An announced length over the limit is refused before a byte is read.

    Raises: ContentEncodingRefused, ContentTypeRefused, BodyTooLarge, BodyTooSlow, BodyIncomplete.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ContentEncodingRefused
    if request.content_type not in content_types:
        expected = " or ".join(sorted(content_types))
        raise ContentTypeRefused(f"The body is {request.content_type}.", hint=f"Send {expected}.")
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    whole = request.content.is_eof() and request.content.exception() is None
    if whole and request.content_length is not None:  # a small body comes with its head: nothing to wait for
        return await request.content.read()
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(request.app[LIMITS].body_timeout_s):
            while chunk := await request.content.readany():
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError as exc:
        raise BodyTooSlow from exc
    except ClientPayloadError as exc:
        raise BodyIncomplete from exc
    return b"".join(chunks)


async def read_json(request: web.Request, kind: type[T], *, limit: int | None = None) -> T:
    """The JSON body as `kind`. No body at all is the same as `{}`.

    Strict: unknown and repeated fields, wrong types, deep nesting and lone surrogates are refused.

    Raises: BadJson, and what `read_body` raises.
    """
    limits = request.app[LIMITS]
    if not request.body_exists:
        return _converted({}, kind)
    raw = await read_body(request, limit=limit or limits.max_json_bytes, content_types=(JSON,))
    return _converted(parse_json(raw, limits) if raw else {}, kind)


def parse_json(raw: bytes, limits: LimitSettings) -> Any:
    """Any JSON value of `raw`, strictly read.

    Raises: BadJson, BodyTooLarge.
    """
    try:
        return parse_strict(raw, max_bytes=limits.max_import_bytes, max_depth=limits.max_json_depth)
    except TooLarge as exc:
        raise BodyTooLarge(str(exc)) from exc
    except SchemaError as exc:
        raise BadJson(str(exc), hint=exc.hint) from exc


def _converted(value: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise BadJson(f"The body does not fit: {exc}.") from exc


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {limit:,} bytes.")
