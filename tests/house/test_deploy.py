"""The files for deployment agree with the product: what they copy exists, what they set is a setting."""

import configparser
import re
import shutil
import subprocess

import pytest
import yaml
from tests.house.repository import ROOT, WINGS

from tocsin_node.routes import ROUTES
from tocsin_node.secrets import PICKLE_KEY, RECOVERY_KEYS
from tocsin_node.settings.loading import parse

DEPLOY = ROOT / "deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]
UNIT = DEPLOY / "systemd/tocsin.service"


def copied():
    """The paths of the repository that the image is made from."""
    for line in CONTAINERFILE.splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            yield from words[1:-1]


def settings_in(environment):
    """The node's settings as a container with this environment has them."""
    return parse({"node": {"org": "A"}}, ROOT, {name: str(value) for name, value in environment.items()})


def test_what_the_image_copies_exists_and_is_let_through():
    ignore = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    assert set(WINGS) <= set(copied())
    for path in copied():
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignore, path


def test_the_image_installs_only_what_is_locked_and_runs_as_nobody_special():
    for line in CONTAINERFILE.splitlines():
        if "pip install" in line:
            assert "--require-hashes" in line or "--no-index" in line, line
    final = CONTAINERFILE.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER tocsin$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert "/healthz" in final


def test_the_environment_of_the_image_and_of_the_composition_is_understood():
    stated = dict(re.findall(r"(TOCSIN_\w+)=(\S+)", CONTAINERFILE))
    stated.pop("TOCSIN_DIR")
    settings = settings_in(stated | SERVICES["node"]["environment"])
    assert settings.node.host == "0.0.0.0"
    assert not settings.database.embedded
    assert settings.database.migrate_at_start


def test_every_service_is_held_tight():
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
    assert SERVICES["synapse"]["profiles"] == ["matrix"]


def test_only_the_proxy_listens_to_the_world():
    for name, service in SERVICES.items():
        for port in service.get("ports", []):
            assert name == "proxy" or port.startswith("127.0.0.1:"), (name, port)
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == ["inside"]


def test_what_the_services_name_is_defined():
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DEPLOY / source).exists(), volume
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_the_proxy_passes_on_what_peers_need_and_nothing_else():
    text = (DEPLOY / "Caddyfile").read_text("utf-8")
    assert text.count("{") == text.count("}")
    assert re.findall(r"^\s*@peers path (.*)$", text, re.MULTILINE) == ["/f1/* /.well-known/tocsin"]
    assert text.count("reverse_proxy") == 1
    open_paths = {route.path for route in ROUTES if route.path.startswith(("/f1/", "/.well-known/"))}
    signed = {route.path for route in ROUTES if route.scope == "peer"}
    assert signed <= open_paths
    assert open_paths


def test_the_unit_is_well_formed_and_guards_the_service():
    unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    unit.optionxform = str
    unit.read(UNIT)
    service = unit["Service"]
    assert service["ExecStart"].endswith("tocsin node run --dir /var/lib/tocsin")
    assert service["Type"] == "notify"
    for guard in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "MemoryDenyWriteExecute", "PrivateDevices"):
        assert service[guard] == "true", guard
    assert service["ProtectSystem"] == "strict"
    assert service["User"] == "tocsin"
    assert "u tocsin " in (DEPLOY / "systemd/tocsin.sysusers").read_text("utf-8")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
def test_systemd_takes_the_unit_and_rates_it_as_well_guarded(tmp_path):
    trial = tmp_path / "tocsin.service"
    trial.write_text(UNIT.read_text("utf-8").replace("/opt/tocsin/bin/tocsin", "/bin/true"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", trial], capture_output=True, text=True, check=False
    )
    assert verified.returncode == 0, verified.stderr
    assert not verified.stderr.strip()
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", trial],
        capture_output=True,
        text=True,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-400:] + rated.stderr


def test_the_named_credentials_are_names_that_the_node_asks_for():
    named = re.findall(
        r"^LoadCredential=([\w-]+):", (DEPLOY / "systemd/credentials.conf").read_text(), re.MULTILINE
    )
    keys = {"log", "http", "witness", PICKLE_KEY, *RECOVERY_KEYS}
    channels = {"matrix-token", "matrix-second-token", "webhook-secret", "mail-password"}
    assert keys | channels | {"heartbeat-url", "heartbeat-token"} == set(named)
