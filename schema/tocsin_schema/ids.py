"""Identifiers: which are random, which are derived, and from what.

An incident filed by a person has a random UUIDv4. Everything that two nodes must be able to name without
talking to each other is a UUIDv5: in `NAMESPACE` for STIX domain objects and relationships, in the
namespace that STIX 2.1 fixes for cyber-observable objects (section 3.4 there). Both are frozen: changing
one gives every object of the network a new name.
"""

import re
import unicodedata
import uuid
from typing import Final

from tocsin_schema.errors import BadId

NAMESPACE: Final = uuid.UUID("4cac07ad-23e0-4b59-a1fc-4f67c75acc0a")
SCO_NAMESPACE: Final = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")  # STIX 2.1, 3.4

INCIDENT_EXTENSION: Final = "extension-definition--da9f04c0-b1bd-4fd7-8caf-298eb1ebd2fb"
SYSTEM_EXTENSION: Final = "extension-definition--e589826c-3479-4f16-b8e7-b7187440e2c9"
FOREIGN_TYPE_EXTENSION: Final = "extension-definition--db2e6086-7bef-418a-b5c0-f84be0c7bd53"
CORE_EXTENSION: Final = "extension-definition--ef765651-680c-498d-9894-99799f2fa126"  # OASIS incident core
TLP_EXTENSION: Final = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d"  # OASIS TLP 2.0

NODE_SOURCE: Final = "tocsin"  # under which a node's identity names its NodeID among its external references

NICKNAMES: Final = {
    INCIDENT_EXTENSION: "ai-incident",
    SYSTEM_EXTENSION: "ai-system",
    CORE_EXTENSION: "incident-core",
    TLP_EXTENSION: "tlp",
}

NODE_ID_FORM: Final = "n1[a-z2-7]{51}[aq]"  # 32 bytes in base32: the last letter carries one bit
UUID_PATTERN: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
ID_PATTERN: Final = f"[a-z][a-z0-9]*(?:-[a-z0-9]+)*--{UUID_PATTERN}"
_ID = re.compile(ID_PATTERN).fullmatch
_NODE_ID = re.compile(NODE_ID_FORM).fullmatch


def is_id(text: object) -> bool:
    """Whether `text` is a STIX identifier in lower case, of any type."""
    return type(text) is str and _ID(text) is not None


def type_of(identifier: str) -> str:
    """The type in front of an identifier's double dash.

    Raises: `BadId` when the text is not an identifier.
    """
    if not is_id(identifier):
        raise BadId
    return identifier.partition("--")[0]


def derive(object_type: str, name: str) -> str:
    """The identifier of `object_type` that belongs to `name`, the same at every node."""
    return f"{object_type}--{uuid.uuid5(NAMESPACE, name)}"


def new_incident_id() -> str:
    """A fresh random identifier for an incident that a person files."""
    return f"incident--{uuid.uuid4()}"


def imported_incident_id(source: str, key: str) -> str:
    """The identifier of record `key` of the public source `source` ("aiid", "23")."""
    return derive("incident", f"incident:{source}:{key}")


def projected_incident_id(incident_id: str, clearance: str, nth: int = 1) -> str:
    """The identifier of the version of an incident that is shared at `clearance` ("amber"), one for each.

    `nth`: a version that was withdrawn has no further one; what is shared after it is the second at its clearance.

    The private identifier cannot be had back from it: it holds 122 random bits, which nobody can try out. (That
    of an imported record is derived from public words, and so is no secret to begin with.)
    """
    again = f":{nth}" if nth > 1 else ""
    return derive("incident", f"projection:{incident_id}:{clearance}{again}")


def wrapper_id(incident_id: str) -> str:
    """The identifier of the `report` object that carries an incident."""
    return derive("report", f"report:{incident_id}")


def bundle_id(incident_id: str, modified: str) -> str:
    """The identifier of the bundle that holds the version `modified` of an incident."""
    return derive("bundle", f"bundle:{incident_id}:{modified}")


def relationship_id(source_ref: str, verb: str, target_ref: str, role: str) -> str:
    """The identifier of a relationship: one for each source, verb, target and role."""
    return derive("relationship", f"relationship:{source_ref}:{verb}:{target_ref}:{role}")


def party_id(identity_class: str, name: str) -> str:
    """The identifier of an organisation or a group by its name, blind to case, width and spacing."""
    return derive("identity", f"identity:{identity_class}:{fold(name)}")


def is_node_id(text: object) -> bool:
    """Whether `text` has the form of a NodeID."""
    return type(text) is str and _NODE_ID(text) is not None


def node_identity_id(node_id: str) -> str:
    """The identifier of the identity object of a node."""
    return derive("identity", f"node:{node_id}")


def fold(name: str) -> str:
    """A name as it is compared: NFKC, case folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
