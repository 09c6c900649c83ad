"""The root of the node's errors, and those leaves that belong to the platform.

Every error carries a `code` (stable, kebab-case, part of the interface) and a `hint` (what to do next). The
first line of a class's docstring is the message that a person sees when none is given. Which HTTP status a
code becomes is written in one table: `web/problems.py`.
"""

from collections.abc import Mapping
from typing import Any


class NodeError(Exception):
    """The node could not do this.

    `retryable`: the same request may succeed a moment later; nothing is known to have happened.
    `facts`: values for programs, sent along in the problem document (no secrets).
    """

    code = "node-error"
    hint = "The node's log says more."
    retryable = False

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        hint: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.message = message or first_line(type(self))
        super().__init__(self.message)
        self.code = code or self.code
        self.hint = hint or self.hint
        self.facts: Mapping[str, Any] = facts or {}


def first_line(kind: type) -> str:
    """The first line of a class's docstring: its message to people."""
    return (kind.__doc__ or "").strip().partition("\n")[0]


class SettingsError(NodeError):
    """The settings cannot be used."""

    code = "settings-invalid"
    hint = "Correct node.toml or the environment variable; deploy/node.example.toml explains every setting."


class EncryptionMissing(SettingsError):
    """Encrypted rooms need packages that are not installed."""

    code = "e2ee-missing"
    hint = "Install the extra: pip install 'tocsin[node,e2ee]'. Beyond Python 3.12, python-olm has to be built (cmake)."


class NotInitialised(NodeError):
    """There is no node in this directory."""

    code = "not-initialised"
    hint = "Make one first: `tocsin init DIR --org NAME`, or name the right directory with --dir."


class AlreadyInitialised(NodeError):
    """There is a node in this directory already."""

    code = "already-initialised"
    hint = "Choose another directory. Nothing has been changed."


class SecretError(NodeError):
    """A secret cannot be read."""

    code = "secret-unreadable"
    hint = "Give it as a systemd credential or as a file that only its owner can read (chmod 600)."


class NodeRunning(NodeError):
    """Another process runs this node."""

    code = "node-running"
    hint = "One process may run a node; stop the other one first."


class NodeStopping(NodeError):
    """The node is stopping."""

    code = "stopping"
    hint = "Try again when it is back."
    retryable = True


class PortTaken(NodeError):
    """The address to listen on is taken or not allowed."""

    code = "address-unavailable"
    hint = "Choose another one: node.port in node.toml, or TOCSIN_NODE_PORT=8712."
