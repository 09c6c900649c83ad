"""The settings: one frozen record from DIR/node.toml and the environment.

Every field is a limit, an address, a choice or the path of a secret; never a secret itself. Its type,
bounds and meaning stand here once: the loader checks against them, and `node_toml` writes the commented file
from them. An environment variable TOCSIN_<SECTION>_<FIELD> wins over the file. What is unknown is refused,
with the nearest name that is known. All faults are told at once.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Meta, Struct

from tocsin_node.errors import NotInitialised, SettingsError

FILE_NAME = "node.toml"
ENVIRONMENT_PREFIX = "TOCSIN_"

Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Patience = Annotated[float, Meta(ge=0, le=604_800)]
Bytes = Annotated[int, Meta(ge=1024, le=64 * 1024 * 1024)]
ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\Z"
ROOM_TLPS = ("clear", "green")
ENCRYPTED_ROOM_TLPS = ("amber", "amber+strict")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class NodeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who this node is and where it listens."""

    org: Annotated[str, Meta(min_length=1, max_length=128, description="The organisation's name for peers.")]
    domain: Annotated[
        str,
        Meta(max_length=253, description="The organisation's domain: a claim, no proof. Empty: url's host."),
    ] = ""
    url: Annotated[
        str,
        Meta(
            description="The address under which peers reach this node, such as https://tocsin.example.org. "
            "Empty: http://HOST:PORT below, which only serves peers on this machine."
        ),
    ] = ""
    host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address to listen on; give others a TLS proxy.",
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8711
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="How much goes to standard error.")
    ] = "info"
    drain_s: Annotated[
        Seconds,
        Meta(description="How long requests in flight may take to end at a stop."),
    ] = 10.0


class DatabaseSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Where reports are kept. Without an address the node runs its own PostgreSQL in its directory."""

    url: Annotated[
        str,
        Meta(
            description="An outside PostgreSQL 15 or newer: postgresql://user@host:5432/tocsin. No password "
            "here: use url_file. Must be a direct connection, not a transaction pool."
        ),
    ] = ""
    url_file: Annotated[
        str,
        Meta(description="A file (owner-only) with such an address and its password, relative to DIR."),
    ] = ""
    connections: Annotated[int, Meta(ge=2, le=200, description="Largest number of pooled connections.")] = 10
    migrate_at_start: Annotated[
        bool,
        Meta(
            description="Bring an outside database up to date at start. Off: run `tocsin db migrate` after a "
            "backup. The embedded one is always brought up to date."
        ),
    ] = False
    binaries: Annotated[
        str,
        Meta(description="Directory of postgres and initdb for the embedded server. Empty: found."),
    ] = ""
    user: Annotated[
        str,
        Meta(
            description="Operating system user of the embedded server when the node is started by root. "
            "Empty: the owner of the data, else tocsin, postgres or nobody."
        ),
    ] = ""

    @property
    def embedded(self) -> bool:
        """Whether the node runs its own PostgreSQL."""
        return not (self.url or self.url_file)


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


class DutySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the organisation is before the law: from this follow the duties to authorities (tocsin duty list)."""

    roles: Annotated[
        tuple[
            Literal[
                "provider",
                "deployer",
                "gpai-systemic-provider",
                "gpai-code-signatory",
                "frontier-developer",
                "controller",
                "nis2-entity",
                "financial-entity",
                "product-manufacturer",
                "device-manufacturer",
                "device-user-facility",
                "vehicle-operator",
                "critical-infrastructure-operator",
                "network-operator",
                "state-organ",
                "genai-provider",
            ],
            ...,
        ],
        Meta(
            description="The organisation's roles (schema/README.md says what each means). Empty: no duties."
        ),
    ] = ()
    jurisdictions: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(EU|[A-Z]{2}(-[A-Z0-9]{1,3})?)$")], ...],
        Meta(
            description="Every country, the EU, or part of a country whose law binds it, such as DE, CN, US-CA. "
            "Empty: no duties."
        ),
    ] = ()
    zone: Annotated[
        str, Meta(min_length=1, max_length=64, description="Time zone of the national authority.")
    ] = "Europe/Brussels"
    holidays: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")], ...],
        Meta(
            max_length=1000,
            description="Public holidays there, such as 2027-01-01. Saturdays and Sundays are known.",
        ),
    ] = ()


Person = Annotated[str, Meta(pattern=r"^@[^:\s]+:\S+\Z|" + ADDRESS, max_length=254)]
Waits = tuple[Annotated[int, Meta(ge=1, le=1440)], ...]


class RotaSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """People who are on call in turn: one [[oncall.rota]]."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
    members: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=100)]
    first: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]
    at: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d\Z")] = "09:00"
    length: Annotated[str, Meta(pattern=r"^[1-9]\d{0,2}[dh]\Z")] = "7d"
    level: Annotated[int, Meta(ge=0, le=9)] = 0
    zone: Annotated[str, Meta(max_length=64)] = ""


class OncallSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is on call, and when the next are called because nobody has answered."""

    zone: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="Time zone of the rotations, such as Europe/Berlin."),
    ] = "UTC"
    grade_i_waits_min: Annotated[
        Waits,
        Meta(
            max_length=10,
            description="Minutes that an alert of grade I waits for an answer at each level. Level 0 is who is on "
            "call; at the last level everybody is called, on every channel, and again after its minutes until "
            "somebody answers. Empty: only the first call.",
        ),
    ] = (5, 10, 15)
    grade_ii_waits_min: Annotated[Waits, Meta(max_length=10, description="The same for grade II.")] = (
        30,
        60,
        120,
    )
    grade_iii_waits_min: Annotated[
        Waits, Meta(max_length=10, description="The same for whatever else rings.")
    ] = ()
    rota: Annotated[
        tuple[RotaSettings, ...],
        Meta(
            max_length=20,
            description="The rotations, each under a heading [[oncall.rota]] of its own: name; members (Matrix "
            "users or mail addresses, in turn); first and at (day and time at which the first member began); length "
            "(such as 7d or 12h); level (0 is called first, the next when nobody has answered); zone (another "
            "than above). Without any, all responders are called at once.",
        ),
    ] = ()


class MatrixSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The Matrix room that is rung. Leave the section out for no Matrix."""

    homeserver: Annotated[
        str, Meta(min_length=1, description="Address of the homeserver, such as https://matrix.example.org.")
    ]
    user_id: Annotated[
        str, Meta(pattern=r"^@[^:]+:.+$", description="The bot's user, such as @tocsin:example.org.")
    ]
    room: Annotated[
        str,
        Meta(pattern="^[!#].+$", description="Room id or alias; the bot must be able to join."),
    ]
    device_id: Annotated[str, Meta(description="The token's device. Empty: asked of the homeserver.")] = ""
    access_token_file: Annotated[
        str,
        Meta(
            description="File (owner-only) with the bot's access token; relative to the directory. "
            "A systemd credential named matrix-token is taken first."
        ),
    ] = "keys/matrix-token"  # noqa: S105  a path
    responders: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^@[^:]+:.+$")], ...],
        Meta(description="Matrix users who are mentioned and may acknowledge. Empty: all in the room."),
    ] = ()
    fellows: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^@[^:]+:.+$")], ...],
        Meta(
            description="Bots of other Tocsin nodes in the same room: what one of them told, this one does not tell "
            "again. Each node names the others."
        ),
    ] = ()
    encrypted: Annotated[
        bool,
        Meta(
            description="The room is end-to-end encrypted (needs the extra e2ee). A room that is what this does not "
            "say is refused, so that nothing goes out in the clear by mistake."
        ),
    ] = False
    only_verified: Annotated[
        bool,
        Meta(
            description="In an encrypted room: only devices that their owner has verified can read alerts. "
            "Otherwise all devices of those in the room can."
        ),
    ] = False
    room_max_tlp: Annotated[
        str,
        Meta(
            description="Up to which TLP marking the room may read details; above it: id and grade only. Empty: "
            "amber in an encrypted room, green in any other. An encrypted room may have amber+strict, another at "
            "most green; none may have red. One of: clear, green, amber, amber+strict."
        ),
    ] = ""
    request_timeout_s: Annotated[Seconds, Meta(description="How long the homeserver may take to answer.")] = (
        10.0
    )
    sends_per_s: Annotated[
        float, Meta(gt=0, le=1000, description="Own brake on messages; homeservers ship with one in 5 s.")
    ] = 0.18
    send_burst: Annotated[int, Meta(ge=1, le=1000, description="Messages that may go out at once.")] = 8
    canary_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="After so long without an alert the way through the room is tried with an event that no client "
            "shows; 0: never.",
        ),
    ] = 300.0
    canary_back_s: Annotated[
        Seconds, Meta(description="It is lost when the bot has not heard it itself within so long.")
    ] = 60.0

    @property
    def max_tlp(self) -> str:
        """Up to which marking the room may read details, as `Tlp` spells it."""
        return self.room_max_tlp or ("amber" if self.encrypted else "green")


class SecondMatrixSettings(MatrixSettings, frozen=True, forbid_unknown_fields=True):
    """A room on another homeserver, for when the first is away. Leave the section out for none.

    Grade I goes to both at once; the rest comes here when the first does not take it. Acknowledgements count here too.
    """

    access_token_file: Annotated[
        str,
        Meta(
            description="File (owner-only) with the access token of this bot; relative to the directory. "
            "A systemd credential named matrix-second-token is taken first."
        ),
    ] = "keys/matrix-second-token"  # noqa: S105  a path


class WebhookSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """A program that is told of alerts by signed HTTP requests (Standard Webhooks). Leave the section out for none."""

    url: Annotated[
        str, Meta(min_length=1, description="Where to send, such as https://pager.example.org/tocsin.")
    ]
    secret_file: Annotated[
        str,
        Meta(
            description="File (owner-only) with the signing secret, whsec_ and base64; relative to the directory. "
            "A systemd credential named webhook-secret is taken first."
        ),
    ] = "keys/webhook-secret"  # noqa: S105  a path
    ca_file: Annotated[
        str,
        Meta(description="Certificates to trust there instead of the system's; relative to the directory."),
    ] = ""
    max_tlp: Annotated[
        Literal["clear", "green", "amber", "amber+strict", "red"],
        Meta(description="Up to which TLP marking details are sent; above it: id and grade only."),
    ] = "green"
    min_grade: Annotated[
        Literal["I", "II", "III", "IV"],
        Meta(description="Of what rings, the mildest grade that is sent here; IV: all that rings."),
    ] = "IV"
    allow_http: Annotated[
        bool, Meta(description="Let it be reached by plain http:// elsewhere too (only inside a tunnel).")
    ] = False
    request_timeout_s: Annotated[Seconds, Meta(description="How long it may take to answer.")] = 10.0
    sends_per_s: Annotated[float, Meta(gt=0, le=1000, description="Own brake on messages.")] = 2.0
    send_burst: Annotated[int, Meta(ge=1, le=1000, description="Messages that may go out at once.")] = 20


class MailSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """People who are told of alerts by e-mail. Leave the section out for none."""

    server: Annotated[
        str, Meta(min_length=1, max_length=253, description="The SMTP server, such as smtp.example.org.")
    ]
    sender: Annotated[
        str, Meta(pattern=ADDRESS, max_length=254, description="Address that the mails are from.")
    ]
    recipients: Annotated[
        tuple[Annotated[str, Meta(pattern=ADDRESS, max_length=254)], ...],
        Meta(
            min_length=1, max_length=50, description="Addresses of those who are told; each sees the others."
        ),
    ]
    port: Annotated[int, Meta(ge=1, le=65535, description="Its port; 465 goes with tls.")] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="How the connection is protected; none only to this machine itself."),
    ] = "starttls"
    user: Annotated[str, Meta(max_length=254, description="Name to log in with. Empty: no login.")] = ""
    password_file: Annotated[
        str,
        Meta(
            description="File (owner-only) with the password; relative to the directory. A systemd credential named "
            "mail-password is taken first."
        ),
    ] = "keys/mail-password"  # noqa: S105  a path
    ca_file: Annotated[
        str,
        Meta(description="Certificates to trust there instead of the system's; relative to the directory."),
    ] = ""
    max_tlp: Annotated[
        Literal["clear", "green", "amber", "amber+strict", "red"],
        Meta(description="Up to which TLP marking details are sent; above it: id and grade only."),
    ] = "green"
    min_grade: Annotated[
        Literal["I", "II", "III", "IV"],
        Meta(description="Of what rings, the mildest grade that is sent here; IV: all that rings."),
    ] = "IV"
    request_timeout_s: Annotated[Seconds, Meta(description="How long handing over one mail may take.")] = 30.0
    sends_per_s: Annotated[float, Meta(gt=0, le=1000, description="Own brake on mails.")] = 0.2
    send_burst: Annotated[int, Meta(ge=1, le=1000, description="Mails that may go out at once.")] = 10


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


class LimitSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What one request may cost."""

    max_report_bytes: Annotated[
        int, Meta(ge=1024, le=1024 * 1024, description="Largest report; the protocol allows 1 MiB.")
    ] = 1024 * 1024
    max_json_bytes: Annotated[Bytes, Meta(description="Largest JSON body of any other request.")] = 256 * 1024
    max_import_bytes: Annotated[Bytes, Meta(description="Largest body of an import.")] = 8 * 1024 * 1024
    max_import_lines: Annotated[int, Meta(ge=1, le=5000, description="Most reports in one import.")] = 500
    max_json_depth: Annotated[int, Meta(ge=4, le=64, description="Deepest nesting of JSON.")] = 32
    requests_in_flight: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Requests worked on at once; more get 503."),
    ] = 512
    body_timeout_s: Annotated[Seconds, Meta(description="How long a request body may take to arrive.")] = 30.0


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of one node. `dir` is the node's directory; it is not written in the file."""

    dir: Path
    node: NodeSettings
    database: DatabaseSettings = DatabaseSettings()
    federation: FederationSettings = FederationSettings()
    alerts: AlertSettings = AlertSettings()
    grouping: GroupingSettings = GroupingSettings()
    limits: LimitSettings = LimitSettings()
    emergency: EmergencySettings = EmergencySettings()
    duties: DutySettings = DutySettings()
    oncall: OncallSettings = OncallSettings()
    matrix: MatrixSettings | None = None
    matrix_second: SecondMatrixSettings | None = None
    webhook: WebhookSettings | None = None
    mail: MailSettings | None = None
    ops: OpsSettings = OpsSettings()
    heartbeat: HeartbeatSettings | None = None

    @property
    def public_url(self) -> str:
        """The address that peers are told."""
        host = f"[{self.node.host}]" if ":" in self.node.host else self.node.host
        return self.node.url.rstrip("/") or f"http://{host}:{self.node.port}"

    @property
    def public_domain(self) -> str:
        """The domain that peers are told: the one set, else the host of the address."""
        return self.node.domain or (_address(self.public_url).hostname or "localhost").replace(":", "-")

    def path(self, relative: str) -> Path:
        """A path written in the settings; relative ones start at the node's directory."""
        return self.dir / relative


SECTIONS: Mapping[str, type[Struct]] = {
    "node": NodeSettings,
    "database": DatabaseSettings,
    "federation": FederationSettings,
    "alerts": AlertSettings,
    "grouping": GroupingSettings,
    "limits": LimitSettings,
    "emergency": EmergencySettings,
    "duties": DutySettings,
    "oncall": OncallSettings,
    "matrix": MatrixSettings,
    "matrix_second": SecondMatrixSettings,
    "webhook": WebhookSettings,
    "mail": MailSettings,
    "ops": OpsSettings,
    "heartbeat": HeartbeatSettings,
}


def load(directory: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the node in `directory`.

    Raises: NotInitialised when there is no node.toml; SettingsError that names every fault.
    """
    file = directory / FILE_NAME
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise NotInitialised(f"There is no {FILE_NAME} in {directory}.") from exc
    except OSError as exc:
        raise SettingsError(f"{file} cannot be read: {exc.strerror}.") from exc
    except (
        ValueError,
        RecursionError,
    ) as exc:  # not UTF-8, not TOML, a number of 5,000 digits, lists without end
        raise SettingsError(f"{file} is not valid TOML: {exc}") from exc
    return parse(table, directory, os.environ if environment is None else environment)


def parse(table: Mapping[str, Any], directory: Path, environment: Mapping[str, str]) -> Settings:
    """Settings from a TOML table and the environment.

    Raises: SettingsError that names every fault.
    """
    merged = {name: dict(part) if isinstance(part, dict) else part for name, part in table.items()}
    faults = [*_unknown_names(merged), *_overlay(merged, environment)]
    sections: dict[str, Struct] = {}
    for name, kind in SECTIONS.items():
        if (name not in merged and name != "node") or not isinstance(merged.get(name, {}), dict):
            continue
        try:
            sections[name] = msgspec.convert(_known(merged.get(name, {}), kind), kind)
        except msgspec.ValidationError as exc:
            faults.append(_in_words(name, str(exc)))
    settings: Settings | None = None
    if not faults:
        settings = Settings(dir=directory, **sections)  # type: ignore[arg-type]  # each was converted to its class
        faults.extend(_contradictions(settings))
    if settings is None or faults:
        raise SettingsError("\n".join(faults), facts={"faults": faults})
    return settings


def _unknown_names(table: Mapping[str, Any]) -> Iterator[str]:
    for name, part in table.items():
        if name not in SECTIONS:
            yield f"[{name}] is not a section{_nearest(name, SECTIONS)}"
        elif not isinstance(part, dict):
            yield f"{name} must be a section: [{name}]"
        else:
            fields = SECTIONS[name].__struct_fields__
            for key in part:
                if key not in fields:
                    yield f"{name}.{key} is not a setting{_nearest(key, fields)}"


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}."


def _known(part: Mapping[str, Any], kind: type[Struct]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key in kind.__struct_fields__}


def _overlay(table: dict[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    for variable, text in sorted(environment.items()):
        name, key = _section_and_key(variable)
        if not variable.startswith(ENVIRONMENT_PREFIX) or not key:
            continue  # TOCSIN_DIR, TOCSIN_URL and the like are the command line's
        kind = SECTIONS[name]
        if key not in kind.__struct_fields__:
            yield f"{variable} is not a setting{_nearest(key, kind.__struct_fields__)}"
            continue
        section = table.setdefault(name, {})
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python shows bytes that are no UTF-8
            yield f"{variable} is not UTF-8."
        elif isinstance(section, dict):
            try:
                section[key] = _from_text(text, get_type_hints(kind, include_extras=True)[key])
            except msgspec.ValidationError as exc:
                yield f"{variable}: {_sentence(str(exc))}"


def _section_and_key(variable: str) -> tuple[str, str]:
    """The longest section that a variable's name begins with, and the rest; two empty texts: it names none."""
    rest = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
    name = max((s for s in SECTIONS if rest.startswith(f"{s}_")), key=len, default="")
    return name, rest[len(name) + 1 :] if name else ""


def _from_text(text: str, annotation: Any) -> Any:
    """An environment variable's text as the setting's type; lists are separated by commas."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if getattr(annotation, "__origin__", None) is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return msgspec.convert(parts, list[int], strict=False) if annotation is Waits else parts
    if getattr(annotation, "__origin__", None) is Literal or annotation is str:
        return text
    return msgspec.convert(text, annotation, strict=False)


def _in_words(section: str, message: str) -> str:
    """Msgspec's message with the setting's name in front."""
    what, _, where = message.partition(" - at `$.")
    if where:
        return f"{section}.{where.rstrip('`')}: {_sentence(what)}"
    if "missing required field" in what:
        field = what.split("`")[1]
        return f"{section}.{field} is missing."
    return f"{section}: {_sentence(what)}"


def _sentence(text: str) -> str:
    plain = text.replace("`", "").replace("Expected", "expected")
    return plain if plain.endswith(".") else f"{plain}."


def _contradictions(settings: Settings) -> Iterator[str]:
    """What each field allows by itself but not together."""
    if settings.database.url and settings.database.url_file:
        yield "database.url and database.url_file exclude each other."
    if settings.database.url and _address(settings.database.url).password:
        yield "database.url holds a password; put the address into a file and name it in database.url_file."
    yield from _unknown_to_the_calendar(settings.duties)
    homeserver = settings.matrix.homeserver if settings.matrix else ""
    second = settings.matrix_second.homeserver if settings.matrix_second else ""
    for name, url in (
        ("node.url", settings.node.url),
        ("matrix.homeserver", homeserver),
        ("matrix_second.homeserver", second),
    ):
        if url and (_address(url).scheme not in {"http", "https"} or not _address(url).hostname):
            yield f"{name} must be an address such as https://tocsin.example.org."
        elif name == "node.url" and _address(settings.node.url).path.strip("/"):
            yield "node.url must not have a path: peers reach the node at the root of its host."
    yield from _unfit_channels(settings)
    yield from _unfit_rotas(settings)
    yield from _unfit_reserve(settings)


def _address(url: str) -> SplitResult:
    """Its parts; all empty when it has none (`urlsplit` raises for `http://[`)."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _unfit_channels(settings: Settings) -> Iterator[str]:
    """Ways on which an alert could be read by others."""
    webhook, mail = settings.webhook, settings.mail
    if settings.matrix is not None:
        yield from _unfit_room("matrix", settings.matrix)
    if settings.matrix_second is not None:
        yield from _unfit_room("matrix_second", settings.matrix_second)
    if webhook is not None:
        address = _address(webhook.url)
        plain = address.scheme == "http" and (webhook.allow_http or address.hostname in LOOPBACK)
        if not address.hostname or not (address.scheme == "https" or plain):
            yield "webhook.url must be an address such as https://pager.example.org/tocsin."
        elif address.username or address.password:
            yield "webhook.url must not hold a name or password: requests are signed."
    if mail is not None and mail.security == "none" and mail.server not in LOOPBACK:
        yield "mail.security must be starttls or tls: the mail would cross the network readable."


def _unfit_reserve(settings: Settings) -> Iterator[str]:
    """What stands beside the first room, and needs it or another."""
    if settings.matrix_second is not None and settings.matrix is None:
        yield "matrix_second stands beside [matrix]; with one room only, call the section [matrix]."
    if settings.ops.room and settings.matrix is None:
        yield "ops.room needs the bot of [matrix]; without one, name other channels in ops.channels."
    there = {
        "matrix": settings.matrix,
        "matrix-2": settings.matrix_second,
        "webhook": settings.webhook,
        "mail": settings.mail,
    }
    for name in settings.ops.channels:
        if there[name] is None:
            yield f"ops.channels names {name}, but there is no section for it."


def _unfit_room(name: str, matrix: MatrixSettings) -> Iterator[str]:
    """A room that would be told more than rooms of its kind may be."""
    tlp = matrix.room_max_tlp
    if tlp == "red":
        yield (
            f"{name}.room_max_tlp cannot be red: TLP:RED is for named people, and whoever is let into a room reads "
            "there. Set amber+strict or less for an encrypted room, green or clear for any other."
        )
    elif tlp in ENCRYPTED_ROOM_TLPS and not matrix.encrypted:
        yield (
            f"{name}.room_max_tlp = {tlp} needs an encrypted room: what is marked above green never goes into a "
            "room in the clear. Leave the setting out (it is then green), or encrypt the room and set "
            f"{name}.encrypted = true."
        )
    elif tlp not in {"", *ROOM_TLPS, *ENCRYPTED_ROOM_TLPS}:
        yield f"{name}.room_max_tlp: {tlp} is none of {', '.join((*ROOM_TLPS, *ENCRYPTED_ROOM_TLPS))}."


def _unfit_rotas(settings: Settings) -> Iterator[str]:
    """Rotations that no calendar knows, or whose people nothing reaches."""
    oncall, seen = settings.oncall, set[str]()
    yield from _unknown_zone("oncall.zone", oncall.zone)
    for rota in oncall.rota:
        where = f"oncall.rota {rota.name}"
        if rota.name in seen:
            yield f"{where} stands there twice; give each a name of its own."
        seen.add(rota.name)
        if rota.zone:
            yield from _unknown_zone(f"{where}: zone", rota.zone)
        try:
            date.fromisoformat(rota.first)
        except ValueError:
            yield f"{where}: first: {rota.first} is not a day."
        for section, part in (("matrix", settings.matrix), ("mail", settings.mail)):
            if part is None and any(p.startswith("@") == (section == "matrix") for p in rota.members):
                yield f"{where} has members that only [{section}] reaches, and there is no such section."


def _unknown_zone(where: str, zone: str) -> Iterator[str]:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"{where}: {zone} is not a time zone such as Europe/Berlin."


def _unknown_to_the_calendar(duties: DutySettings) -> Iterator[str]:
    yield from _unknown_zone("duties.zone", duties.zone)
    for day in duties.holidays:
        try:
            date.fromisoformat(day)
        except ValueError:
            yield f"duties.holidays: {day} is not a day."
