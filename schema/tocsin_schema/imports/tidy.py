"""Texts and lines of foreign files, made fit for a report: what had to be done is named."""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

MAX_LINE: Final = 1024 * 1024
# Control characters but tab and line breaks, and halves of characters.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def tidy_text(value: str, limit: int, name: str, repairs: list[str], *, line: bool = False) -> str:
    """A text of the source without control characters, undecodable bytes noted, cut to `limit` characters.

    `line`: line breaks and runs of spaces become one space.
    """
    clean = _CONTROL.sub("", value.replace("\r\n", "\n").replace("\xa0", " "))
    if line:
        clean = " ".join(clean.split())
    if clean != value and clean.strip() != value.strip():
        repairs.append(f"{name}: stray control characters or spaces removed")
    if "\ufffd" in clean:
        repairs.append(f"{name}: bytes that are not UTF-8 shown as �")
    clean = clean.strip()
    if len(clean) > limit:
        repairs.append(f"{name}: cut to {limit:,} characters")
    return clean[:limit].strip()


def title_and_description(title: str, description: str, repairs: list[str]) -> tuple[str, str]:
    """Both tidied; one that is empty is taken from the other."""
    title = tidy_text(title, 500, "title", repairs, line=True)
    description = tidy_text(description, 49_000, "description", repairs)
    if not title and description:
        title = " ".join(description[:120].split())
        repairs.append("title was empty: the beginning of the description was taken")
    if not description and title:
        description = title
        repairs.append("description was empty: the title was taken")
    return title, description


def byte_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not blank, numbered from 1; None for one of more than 1 MiB, which is passed over."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        if len(line) <= MAX_LINE or line.endswith(b"\n"):
            if line.strip():
                yield number, line
            continue
        yield number, None
        while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            pass
