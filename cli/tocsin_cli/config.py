"""Which node a command talks to, and with which token.

In order of weight: the options --node, --dir and --token-file; TOCSIN_URL, TOCSIN_DIR and
TOCSIN_TOKEN_FILE; `$XDG_CONFIG_HOME/tocsin/config.toml`; a `node.toml` in the working directory. The
first that names a node decides. A token is always read from a file that only its owner can read and is
never an argument; a token that the settings file names goes to the address beside it and to no other.
"""

import os
import shlex
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tocsin_cli.errors import (
    FileUnreadable,
    NodeUnknown,
    SettingBroken,
    TokenExposed,
    TokenMissing,
    UsageFault,
)

_TOKEN_MAX_BYTES = 4096
_SETTINGS = {"url", "token_file", "dir"}
_USUAL_PORT = 8711  # of a node whose settings name none


@dataclass(frozen=True, slots=True)
class Target:
    """The node that was named: its address, who named it, and the token (kept out of repr)."""

    url: str
    named_by: str
    token: str | None = field(repr=False)
    token_from: str
    dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """What one source says; None where it is silent."""

    source: str
    url: str | None = None
    dir: Path | None = None
    token_file: Path | None = None

    @property
    def names_a_node(self) -> bool:
        """Whether it says enough to decide."""
        return bool(self.url or self.dir)


def find_target(
    *, url: str | None, directory: Path | None, token_file: Path | None, env: Mapping[str, str], here: Path
) -> Target:
    """Return the node to talk to.

    Raises: NodeUnknown when no source names one; SettingBroken, TokenExposed or FileUnreadable for files that
    cannot be used; UsageFault for an address that is none.
    """
    options = Named("the command line", url, directory, token_file)
    paths = _paths(env, "TOCSIN_DIR", "TOCSIN_TOKEN_FILE")
    environment = Named("the environment", env.get("TOCSIN_URL") or None, *paths)
    token_here = options.token_file or environment.token_file
    for said in (options, environment):
        if said.names_a_node:
            return _target(said, token_here)
    for later in (_from_settings(config_home(env) / "config.toml"), _from_working_directory(here)):
        if later is not None and later.names_a_node:
            return _target(later, token_here or later.token_file)
    raise NodeUnknown


def config_home(env: Mapping[str, str]) -> Path:
    """Where the settings of this person's `tocsin` live."""
    return Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "tocsin"


def state_home(env: Mapping[str, str]) -> Path:
    """Where this person's `tocsin` keeps the queue, drafts and what it has verified."""
    return Path(env.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "tocsin"


def read_private(path: Path) -> str:
    """Return the one line in a file that nobody but its owner may read.

    Raises: TokenMissing when there is no such file; TokenExposed when others can read it; FileUnreadable.
    """
    try:
        with path.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if mode & 0o077:
                run = f"Run: chmod 600 {shlex.quote(str(path))}"
                mend = f"{run} — and make a new token if anybody may have read this one."
                raise TokenExposed(
                    f"Others here can read {path} (mode {stat.S_IMODE(mode):04o}), so it is not used.",
                    hint=mend if stat.S_ISREG(mode) else "Name a file of your own that holds the token.",
                )
            raw = stream.read(_TOKEN_MAX_BYTES + 1)
    except FileNotFoundError as exc:
        raise TokenMissing(f"There is no token file {path}.") from exc
    except OSError as exc:
        raise FileUnreadable(
            f"{path} cannot be read: {exc.strerror}.", hint="Run as the user it belongs to."
        ) from exc
    text = raw.decode("ascii", "replace").strip()
    if not text or len(raw) > _TOKEN_MAX_BYTES or not text.isprintable() or " " in text or "\ufffd" in text:
        raise TokenMissing(f"{path} does not hold a token: one line of printable characters is expected.")
    return text


def _target(said: Named, token_file: Path | None) -> Target:
    url = said.url or _url_of_directory(said.dir, said.source)
    if token_file is None and said.dir is not None:
        token_file = said.dir / "token"
    token = read_private(token_file) if token_file is not None else None
    return Target(check_url(url), said.source, token, str(token_file or ""), said.dir)


def check_url(url: str) -> str:
    """Return the address without a trailing slash; raise UsageFault when no node can be there."""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:  # brackets around no address, a port beyond all ports
        parts, port_is_fine = urlsplit(""), False
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or not port_is_fine
        or parts.query
        or parts.fragment
    ):
        raise UsageFault(
            f"{url!r} is not the address of a node.", hint="Write it like https://tocsin.example.org."
        )
    if parts.username or parts.password:
        raise UsageFault(
            "The address of the node holds a password.",
            hint="Take it out; the token belongs in a --token-file.",
        )
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether requests to `url` stay on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _url_of_directory(directory: Path | None, source: str) -> str:
    if directory is None:
        raise NodeUnknown
    settings = _read_toml(
        directory / "node.toml", missing=f"{directory} (named by {source}) holds no node.toml."
    )
    node = settings.get("node")
    node = node if isinstance(node, dict) else {}
    port = node.get("port", _USUAL_PORT)
    if isinstance(port, int) and port > 0:
        return _listening(str(node.get("host") or "127.0.0.1"), port)
    if isinstance(node.get("url"), str) and node["url"]:
        return str(node["url"])
    raise SettingBroken(
        f"{directory / 'node.toml'} names neither a fixed port nor a url.", hint="Give --node URL."
    )


def _listening(host: str, port: int) -> str:
    host = host.strip("[]")
    if host in {"0.0.0.0", "::", "*", ""}:  # noqa: S104  what the node listens on, not what we bind
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _from_settings(path: Path) -> Named | None:
    if not path.exists():
        return None
    found = _read_toml(path, missing=f"{path} is gone.")
    unknown = sorted(set(found) - _SETTINGS)
    if unknown or not all(isinstance(value, str) for value in found.values()):
        raise SettingBroken(
            f"{path} may hold url, token_file and dir, each a string"
            + (f"; found {unknown[0]!r}." if unknown else "."),
            hint="Mend that line.",
        )
    base = path.parent
    return Named(
        str(path), found.get("url"), *(_beside(base, found.get(key)) for key in ("dir", "token_file"))
    )


def _from_working_directory(here: Path) -> Named | None:
    return Named("the working directory", dir=here) if (here / "node.toml").exists() else None


def _paths(env: Mapping[str, str], *names: str) -> list[Path | None]:
    return [Path(env[name]).expanduser() if env.get(name) else None for name in names]


def _beside(base: Path, text: str | None) -> Path | None:
    return base / Path(text).expanduser() if text else None


def _read_toml(path: Path, *, missing: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as exc:
        raise SettingBroken(missing, hint="Give the directory that `tocsin init` made.") from exc
    except OSError as exc:
        raise FileUnreadable(f"{path} cannot be read: {exc.strerror}.") from exc
    except (
        ValueError,
        RecursionError,
    ) as exc:  # not UTF-8, not TOML, a number of 5,000 digits, lists without end
        raise SettingBroken(f"{path} is not TOML: {exc}.", hint="Mend that line.") from exc
