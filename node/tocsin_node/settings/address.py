"""Addresses that somebody wrote into the settings: their parts, and which of them are this machine."""

from urllib.parse import SplitResult, urlsplit

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def parts_of(url: str) -> SplitResult:
    """Its parts; all empty when it has none (`urlsplit` raises for `http://[`)."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")
