"""The sections on what rings, how it is told together, and emergencies of the network."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tocsin_node.settings.kinds import Patience, Seconds


class AlertSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which incidents ring."""

    grades: Annotated[
        tuple[Literal["I", "II", "III", "IV"], ...], Meta(description="Response grades that ring at once.")
    ] = ("I", "II")
    grade_iii: Annotated[
        Literal["profile", "always", "never"],
        Meta(
            description="Grade III: by the profile (it goes on, it was a serious hazard, other systems are likely "
            "affected, or a legal clock of 72 hours or less runs), always, or never. Imminent risk to life always "
            "rings."
        ),
    ] = "profile"
    grade_rise: Annotated[bool, Meta(description="Ring again when an incident's grade rises.")] = True
    history_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="What was last heard of longer ago than this does not ring, unless it goes on: old cases and "
            "public records may be shared without waking anybody.",
        ),
    ] = 90
    withdrawn: Annotated[bool, Meta(description="Tell the room when a report that rang is withdrawn.")] = True
    received: Annotated[bool, Meta(description="Ring for reports of peers too, not only for our own.")] = True
    cluster: Annotated[
        bool,
        Meta(
            description="Ring when several organisations report the same system or technique: once for a cluster, and "
            "once more for each further organisation."
        ),
    ] = False
    cluster_organisations: Annotated[
        int, Meta(ge=2, le=1000, description="So many organisations make a cluster.")
    ] = 2
    cluster_days: Annotated[
        int, Meta(ge=1, le=365, description="Reports that came within so many days count together.")
    ] = 14
    peer_budget_per_day: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Most alerts a day that one peer may raise here; the last fifth only by what is of grade I or "
            "puts lives at risk.",
        ),
    ] = 50
    reroute_ii_s: Annotated[
        Seconds,
        Meta(
            description="Grade II goes the next way (matrix_second, webhook, mail) when a channel has not taken it for "
            "so long. Grade I goes every way at once."
        ),
    ] = 60.0
    reroute_iii_s: Annotated[Seconds, Meta(description="The same for all milder alerts.")] = 600.0


class EmergencySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Emergencies of the network (tocsin emergency): when we call, and how often a peer may."""

    grade_i: Annotated[
        bool,
        Meta(
            description="Declare an emergency by itself when a report of our own of grade I is filed and goes to "
            "peers. Otherwise a person does, with tocsin emergency declare; the report rings either way."
        ),
    ] = False
    peer_per_day: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="So many emergencies a day of one peer ring as such; further ones ring as any alert of grade "
            "I.",
        ),
    ] = 3
    peer_drills_per_day: Annotated[
        int,
        Meta(
            ge=0, le=1000, description="So many drills a day of one peer ring; further ones are only listed."
        ),
    ] = 3


class GroupingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How alerts are told together, so that many do not bury the one that counts. Grade I never waits."""

    wait_ii_s: Annotated[
        Patience,
        Meta(description="Seconds that a new incident of grade II waits for what belongs to it."),
    ] = 10.0
    wait_iii_s: Annotated[Patience, Meta(description="The same for grade III and milder.")] = 60.0
    interval_s: Annotated[
        Patience,
        Meta(
            description="A message that was told is edited at most so often, and a digest followed by another."
        ),
    ] = 300.0
    repeat_i_s: Annotated[
        Patience,
        Meta(
            description="What nobody acknowledged, and no further people are called for ([oncall]), rings again "
            "after so long: grade I; 0: never."
        ),
    ] = 900.0
    repeat_ii_s: Annotated[Patience, Meta(description="The same for grade II; 0: never.")] = 3600.0
    repeat_iii_s: Annotated[Patience, Meta(description="The same for grade III and milder; 0: never.")] = 0.0
    flood_window_s: Annotated[
        Patience, Meta(description="Window of the two limits below; what is over one is told in a digest.")
    ] = 300.0
    flood_room: Annotated[
        int, Meta(ge=1, le=10_000, description="Most new incidents that ring one by one in a room.")
    ] = 8
    flood_origin: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Most of them from one organisation, so that others are heard."),
    ] = 4
    head_start_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60,
            description="In a room with fellows: how long each bot before ours has to tell an alert; for grade "
            "I all of them together two thirds of it. More where the homeserver is slow, or two tell the same.",
        ),
    ] = 3.0
