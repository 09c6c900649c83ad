"""What is wrong with what was asked about a peer; each with what to do next."""

from tocsin_node.errors import NodeError


class PeerUnknown(NodeError):
    """There is no peer of that name."""

    code = "peer-unknown"
    hint = "`tocsin peer list` shows the names."


class PeerExists(NodeError):
    """That node or that name is a peer already."""

    code = "peer-exists"
    hint = "Choose another name, or remove the old peer first: `tocsin peer remove NAME`."


class InviteRefused(NodeError):
    """The invite is not valid here: unknown, expired or used."""

    code = "invite-refused"
    hint = "Ask for a new invite; each works once and for at most 7 days."


class JoinRefused(NodeError):
    """The invite or whoever answers at its address is not in order."""

    code = "join-refused"
    hint = "Ask for a new invite."


class SasMismatch(NodeError):
    """The eight words do not match."""

    code = "sas-mismatch"
    hint = "Compare by voice again. If they truly differ, somebody sits between you: remove the peer and tell them."


class BadRequest(NodeError):
    """The request does not fit."""

    code = "bad-request"
    hint = "See PROTOCOL.md for the form of this message."
