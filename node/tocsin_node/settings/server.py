"""The sections on the node as a server: who it is, where its reports are kept, what a request may cost."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tocsin_node.settings.kinds import Bytes, Seconds


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
