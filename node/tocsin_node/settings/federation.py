"""The section on how reports travel."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tocsin_node.settings.kinds import Bytes, Seconds


class FederationSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How reports travel between this node and its peers."""

    sweep_s: Annotated[
        Seconds,
        Meta(description="All peers are asked for news this often, whatever the long polls say."),
    ] = 900.0
    long_poll_s: Annotated[
        float, Meta(ge=0, le=55, description="How long a peer's answer may wait for news; 0 asks and goes.")
    ] = 30.0
    batch_entries: Annotated[int, Meta(ge=1, le=512, description="Most entries fetched at once.")] = 512
    batch_bytes: Annotated[Bytes, Meta(description="Most bytes fetched at once.")] = 4 * 1024 * 1024
    backoff_max_s: Annotated[Seconds, Meta(description="Longest pause between tries at an absent peer.")] = (
        300.0
    )
    connect_timeout_s: Annotated[Seconds, Meta(description="How long a connection to a peer may take.")] = 5.0
    read_timeout_s: Annotated[
        Seconds, Meta(description="How long a peer may be silent within an answer, beyond the long poll.")
    ] = 15.0
    witnesses_faulty: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="So many witnesses may lie without two contradicting entries both being shown as witnessed: of "
            "n witnesses, (n + this) / 2, rounded down, and one more must have cosigned.",
        ),
    ] = 1
    witnesses_required: Annotated[
        int,
        Meta(ge=0, le=64, description="So many witnesses make an entry witnessed; 0: by the rule for that."),
    ] = 0
    restore_check_s: Annotated[
        float,
        Meta(
            ge=0,
            le=600,
            description="After a reboot nothing is signed before all peers have said how long our log is, or for "
            "so long; 0 does not wait.",
        ),
    ] = 20.0
    recall: Annotated[
        Literal["obey", "ask"],
        Meta(
            description="What a peer takes back is erased here by itself (obey), or when a person says so: it is told "
            "until then, with its deadline (ask)."
        ),
    ] = "obey"
    relay_after_s: Annotated[
        float,
        Meta(
            ge=1,
            le=86_400,
            description="When a peer has not answered for so long, other peers that it told the same are asked for it.",
        ),
    ] = 60.0
    allow_http: Annotated[
        bool,
        Meta(description="Let peers elsewhere be reached by plain http:// (only inside a tunnel)."),
    ] = False
    peer_silent_s: Annotated[
        float,
        Meta(
            ge=60,
            le=30 * 86_400,
            description="A peer that was not heard of for so long is said to be silent.",
        ),
    ] = 3600.0
