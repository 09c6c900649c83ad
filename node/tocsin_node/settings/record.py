"""All settings of one node as one frozen record, and the sections that a file may have."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tocsin_node.settings.address import parts_of
from tocsin_node.settings.alerting import AlertSettings, EmergencySettings, GroupingSettings
from tocsin_node.settings.channels import MailSettings, MatrixSettings, SecondMatrixSettings, WebhookSettings
from tocsin_node.settings.duties import DutySettings
from tocsin_node.settings.federation import FederationSettings
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.settings.operators import HeartbeatSettings, OpsSettings
from tocsin_node.settings.server import DatabaseSettings, LimitSettings, NodeSettings


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
        return self.node.domain or (parts_of(self.public_url).hostname or "localhost").replace(":", "-")

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
