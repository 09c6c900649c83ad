"""The sections on who is told that the node itself is unwell."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tocsin_node.settings.kinds import Seconds


class OpsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the operators are told what is wrong with the node itself, and when it is over; never of incidents."""

    room: Annotated[
        str,
        Meta(
            pattern="^([!#].+)?$",
            description="Room for them, where the bot of [matrix] writes; an id or an alias. Empty: none.",
        ),
    ] = ""
    channels: Annotated[
        tuple[Literal["matrix", "matrix-2", "webhook", "mail"], ...],
        Meta(
            description="Channels of the alerts that tell them too: a dead homeserver cannot say that it is."
        ),
    ] = ()


class HeartbeatSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A watchman outside who notices when this node cannot alert any more. Leave the section out for none."""

    url_file: Annotated[
        str,
        Meta(
            min_length=1,
            description="File (owner-only) with the address to call, a secret, such as one of healthchecks.io; "
            "relative to the directory. A systemd credential named heartbeat-url is taken first.",
        ),
    ]
    token_file: Annotated[
        str, Meta(description="File (owner-only) with a bearer token for it. Empty: the address is enough.")
    ] = ""
    every_s: Annotated[
        float, Meta(ge=1, le=86_400, description="How often; only while the node is able to alert.")
    ] = 60.0
    method: Annotated[Literal["GET", "POST", "HEAD"], Meta(description="How it is called.")] = "POST"
    request_timeout_s: Annotated[Seconds, Meta(description="How long it may take to answer.")] = 10.0
