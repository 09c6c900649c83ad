"""The sections on the ways by which people are told of alerts: Matrix rooms, a webhook, mail."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tocsin_node.settings.kinds import MAIL_ADDRESS, Seconds


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
        str, Meta(pattern=MAIL_ADDRESS, max_length=254, description="Address that the mails are from.")
    ]
    recipients: Annotated[
        tuple[Annotated[str, Meta(pattern=MAIL_ADDRESS, max_length=254)], ...],
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
