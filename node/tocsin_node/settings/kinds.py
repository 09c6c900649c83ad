"""Kinds of value that several sections of the settings have, with their bounds."""

from typing import Annotated

from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Patience = Annotated[float, Meta(ge=0, le=604_800)]
Bytes = Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)]
MAIL_ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z"
Person = Annotated[str, Meta(pattern=r"^@[^:\s]+:\S+\Z|" + MAIL_ADDRESS, max_length=254)]
Waits = tuple[Annotated[int, Meta(ge=1, le=1440)], ...]
