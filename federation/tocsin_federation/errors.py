"""What can go wrong between nodes: one root, a class for each thing that is refused, one table of codes each.

A refusal is raised with its code alone; message, hint and fault come from the table, so that every code is
written down once, is documented in PROTOCOL.md (a test compares) and never depends on the data that was
refused. `code` is for our own logs, counters and operators. A peer is told `outward`: one word for a whole
class of refusals, so that a forger learns nothing from trying.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

Fault = Literal["ours", "theirs"]


@dataclass(frozen=True, slots=True)
class Reason:
    """The words for one code. `fault`: whose world broke, ours or the peer's."""

    message: str
    hint: str
    fault: Fault = "theirs"


_CALL = "Nothing more is taken from this peer. Call their operator; then `tocsin peer sync NAME --resume`."

_ASK = "It is asked again by itself. If it stays so, ask their operator: was the node restored from a backup?"


class FederationError(Exception):
    """Something in the traffic between nodes does not hold."""

    reasons: ClassVar[Mapping[str, Reason]] = {}
    outward_code: ClassVar[str] = "refused"

    def __init__(self, code: str) -> None:
        reason = self.reasons[code]
        super().__init__(reason.message)
        self.code = code
        self.hint = reason.hint
        self.fault: Fault = reason.fault

    @property
    def outward(self) -> str:
        """The one code that a peer is told."""
        return self.outward_code


class CanonicalRefused(FederationError):
    """The bytes are not the one canonical form of a JSON value of the strict profile.

    `value`: with `wrong-form`, what the bytes say, for a caller that must tell a later version from nonsense.
    """

    value: object = None

    reasons: ClassVar[Mapping[str, Reason]] = {
        "not-canonical": Reason(
            "The bytes are not the canonical form of what they say.",
            "The sender must emit RFC 8785 bytes: ASCII keys, sorted, each once; no floats; no spare bytes.",
        ),
        "too-large": Reason("The message is larger than its limit.", "The limits stand in PROTOCOL.md."),
        "wrong-form": Reason(
            "A field of the message is missing, unknown or of another kind.", "See PROTOCOL.md."
        ),
        "outside-profile": Reason(
            "The value cannot be written in the strict profile.",
            "Use ASCII keys, integers below 2^53, strings without lone surrogates, and at most 32 levels.",
            "ours",
        ),
    }


class KeyRefused(FederationError):
    """A key or a signature by it is not acceptable."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "key-malformed": Reason(
            "The key has the wrong form.", "Check that the right file or field was read."
        ),
        "node-id-malformed": Reason("That is not a NodeID.", "A NodeID is `n1` and 52 letters and digits."),
        "key-weak": Reason(
            "The public key is not a point of full order.",
            "No honest node makes such a key; tell its operator.",
        ),
        "key-mismatch": Reason(
            "The private key's two halves do not belong together.",
            "The key file is damaged: restore it.",
            "ours",
        ),
        "bad-signature": Reason(
            "The signature does not verify.", "The bytes or the key are not the signer's."
        ),
        "bad-wrap": Reason("The wrapped key does not open.", "It was sealed to another key, or was changed."),
    }


class IdentityRefused(FederationError):
    """A chain of node statements does not prove the identity it claims."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "chain-empty": Reason("There is no statement.", "A node publishes at least its statement 0."),
        "chain-too-long": Reason(
            "The chain has more than 64 statements.", "The node must begin a new identity."
        ),
        "statement-malformed": Reason(
            "A statement does not have the form of this protocol.", "See PROTOCOL.md, 2."
        ),
        "statement-unsupported": Reason(
            "A statement is of a later version of the protocol.", "Update this node, then try again.", "ours"
        ),
        "not-canonical": Reason("A statement is not in canonical form.", "The node's software is at fault."),
        "wrong-node": Reason(
            "The chain belongs to another node than the one asked for.",
            "Whoever answers at that address is not the peer; ask its operator.",
        ),
        "chain-broken": Reason(
            "A statement does not follow from the one before it.", "Fetch the whole chain again."
        ),
        "root-unannounced": Reason(
            "A statement is not signed by enough of the root keys that the one before it announced.",
            "This may be a theft of online keys: ask the operator before doing anything else.",
        ),
        "root-reused": Reason(
            "A root key is announced that was used before; each may be used once.",
            "The node's operator must renew.",
        ),
        "chain-stale": Reason(
            "The chain ends before the statements already held for this node.",
            "The node was restored from an old copy, or somebody serves an old one.",
        ),
        "chain-forked": Reason(
            "The chain contradicts the statements already held for this node.",
            "Two statements with one number exist: stop, and verify the node with its operator in person.",
        ),
        "statement-expired": Reason(
            "The node's newest statement has expired.", "Its operator must run `tocsin key rotate`."
        ),
        "statement-from-future": Reason(
            "The node's newest statement is dated more than a day ahead.", "One of the two clocks is wrong."
        ),
        "key-weak": Reason("A statement names a key that must not be used.", "Tell the node's operator."),
        "no-enc-key": Reason(
            "None of the node's encryption keys is in force now.",
            "Its operator must run `tocsin key rotate`; nothing is sealed to an expired key.",
        ),
        "log-changed": Reason(
            "The log's key or origin changed without a new generation.", "Tell the node's operator."
        ),
        "origin-taken": Reason(
            "Its log has the name of a log of another node that is known here.",
            "Ask both operators, and remove the one that is not who it says: `tocsin peer remove NAME`.",
        ),
        "root-private-mismatch": Reason(
            "The root key given is not the one that the newest statement announced.",
            "Bring the key that was put away at the last `tocsin init` or `tocsin key rotate`.",
            "ours",
        ),
        "fields-invalid": Reason(
            "The organisation, domain or addresses given are not valid.",
            "Domain: letters, digits, dots; 1 to 4 addresses like https://node.example.org, without ? or #.",
            "ours",
        ),
    }


class CircleRefused(FederationError):
    """A chain of manifests does not say who belongs to a circle."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "circle-malformed": Reason(
            "A manifest does not have the form of this protocol.",
            "See PROTOCOL.md, 15; ask for the file again.",
        ),
        "circle-unsupported": Reason(
            "A manifest is of a later version of the protocol.", "Update this node, then try again.", "ours"
        ),
        "circle-too-long": Reason(
            "The circle has more than 256 epochs, or more than 1 MiB of them.",
            "Its admins must found a new circle.",
        ),
        "circle-broken": Reason(
            "A manifest does not follow from the one before it.",
            "Propose the next epoch from the circle's newest file: `tocsin circle propose FILE --from CIRCLE`.",
        ),
        "circle-unsigned": Reason(
            "A manifest is not signed by enough of its admins, and of those of the epoch before.",
            "`tocsin circle sign FILE` adds a signature; both epochs' thresholds must be met.",
        ),
        "key-weak": Reason(
            "An admin key is weak.", "The admin must make another: `tocsin circle key new FILE`."
        ),
        "wrong-circle": Reason("The manifests are of another circle.", "Ask for the file of this circle."),
        "circle-stale": Reason(
            "The manifests are older than what is known here.", "Nothing is to be done: the newer ones stand."
        ),
        "circle-forked": Reason(
            "Two manifests of one epoch of this circle were signed.",
            "Call its admins. The circle is frozen here until `tocsin circle adopt FILE --resolve` says which stands.",
        ),
        "circle-from-future": Reason(
            "The newest manifest is dated more than a day ahead.",
            "Check this machine's clock, and the admins'.",
        ),
        "circle-expired": Reason(
            "The newest manifest has expired.",
            "Its admins must sign the next epoch: `tocsin circle propose`.",
        ),
    }


class CheckpointRefused(FederationError):
    """A checkpoint cannot be taken as the word of its log."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "note-malformed": Reason(
            "The signed note does not have its form (C2SP signed-note).", "Ask the operator."
        ),
        "note-unsigned": Reason(
            "The note carries no signature by the log's key.", "The peer may have new keys."
        ),
        "bad-signature": Reason(
            "The log's signature on the checkpoint does not verify.", "Ask the operator."
        ),
        "checkpoint-malformed": Reason(
            "The note is not a checkpoint (C2SP tlog-checkpoint).", "Ask the operator."
        ),
        "wrong-origin": Reason("The checkpoint is of another log.", "Whoever answers is not that log."),
    }


class ProofRefused(FederationError):
    """A Merkle proof does not prove what it should."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "proof-malformed": Reason(
            "The proof, the sizes or the hashes have the wrong form.", "Fetch it again."
        ),
        "proof-mismatch": Reason(
            "The proof leads to another root.",
            "The log contradicts itself: keep both checkpoints as evidence.",
        ),
        "proof-void": Reason(
            "The node has declared this part of its log void: its key was in other hands.",
            "Ask the node for a proof from its present log.",
        ),
    }


class AuditRefused(FederationError):
    """An audit log, or an export of it, is not the one that was signed."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "audit-head-malformed": Reason(
            "The first line is not the head of an audit log's export.",
            "Export it anew: `tocsin audit export`; or it was written by a newer program.",
        ),
        "audit-line-malformed": Reason(
            "A line of the audit log does not have its form, or was written anew by another program.",
            "Verify the file as it was exported; if it was not touched, keep it as evidence.",
        ),
        "audit-line-missing": Reason(
            "A line of the audit log is missing, doubled or out of its place.",
            "Keep what there is as evidence, and ask who had access to the database.",
        ),
        "audit-object-differs": Reason(
            "What a line of the audit log is said to be about is not what was signed.",
            "Keep what there is as evidence, and ask who had access to the database.",
        ),
        "audit-truncated": Reason(
            "The audit log has fewer lines than were signed.",
            "Its end was cut off: keep what there is as evidence, and ask who had access to the database.",
        ),
        "audit-too-long": Reason(
            "The audit log has more lines than were signed.",
            "Lines were put behind the end that was signed: keep it as evidence.",
        ),
        "audit-root-differs": Reason(
            "The lines of the audit log do not lead to the root that was signed.",
            "A line was changed, or another put in its place: keep it as evidence.",
        ),
        "audit-rewritten": Reason(
            "Lines that an earlier checkpoint of the audit log covers were changed since.",
            "Keep both checkpoints: together they are the proof. Was the node restored from a backup?",
        ),
        "audit-rolled-back": Reason(
            "An earlier checkpoint of the audit log covers more lines than there are now.",
            "Keep both checkpoints: together they are the proof. Was the node restored from a backup?",
        ),
    }


class WitnessRefused(FederationError):
    """A checkpoint is not cosigned (C2SP tlog-witness)."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "submission-malformed": Reason(
            "The request does not have the form of add-checkpoint.", "See c2sp.org/tlog-witness."
        ),
        "origin-unknown": Reason(
            "This node is no witness of that log.", "Its operator decides: `tocsin peer witness NAME`."
        ),
        "not-signed": Reason("The checkpoint is not signed by its log's key.", "The peer may have new keys."),
        "old-size": Reason("The old size is above the checkpoint's.", "The sender's software is at fault."),
        "conflict": Reason(
            "The checkpoint does not go on from the one cosigned last.",
            "Prove it from the size that the answer gives.",
        ),
        "inconsistent": Reason(
            "The consistency proof does not lead from the checkpoint cosigned last to this one.",
            "Keep both checkpoints: the log may contradict itself.",
        ),
    }


class GossipRefused(FederationError):
    """A message about heads does not have its form."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "heads-malformed": Reason(
            "The message about heads does not have its form.", "The sender's software is at fault."
        ),
    }


class CompareRefused(FederationError):
    """A message that compares what two nodes hold does not have its form."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "compare-malformed": Reason(
            "The message that compares logs does not have its form.", "The sender's software is at fault."
        ),
    }


class SealRefused(FederationError):
    """An entry cannot be sealed as asked."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "no-recipient": Reason("There is nobody to seal for.", "Name at least one peer.", "ours"),
        "too-many-recipients": Reason(
            "More than 256 recipients.", "Send a second entry to the others.", "ours"
        ),
        "own-recipient": Reason("A node does not seal to itself.", "Leave your own NodeID out.", "ours"),
        "content-too-large": Reason("The content is larger than 1 MiB.", "Shorten the report.", "ours"),
        "header-invalid": Reason(
            "The header's fields do not have their form.", "See PROTOCOL.md, 6.", "ours"
        ),
    }


class EntryRefused(FederationError):
    """An entry is not taken. It is counted, and never stops the stream."""

    outward_code: ClassVar[str] = "entry-refused"
    reasons: ClassVar[Mapping[str, Reason]] = {
        "hash-mismatch": Reason(
            "The entry is not the one at this place in the log.",
            "Fetch it again; if it stays so, ask the operator.",
        ),
        "too-large": Reason("The entry is larger than its limit.", "The sender's software is at fault."),
        "not-canonical": Reason(
            "The entry's header is not in canonical form.", "The sender's software is at fault."
        ),
        "unsupported": Reason(
            "The entry is of a version, kind or suite that this node does not know yet.",
            "Update this node; the entry is kept and is tried again.",
            "ours",
        ),
        "header-invalid": Reason(
            "The entry's header does not have its form.", "The sender's software is at fault."
        ),
        "wrong-origin": Reason(
            "The entry names another author than the log it stands in.", "Tell the operator."
        ),
        "not-addressed": Reason(
            "The entry is not addressed to this node.", "The sender's software is at fault."
        ),
        "ciphertext-mismatch": Reason(
            "The ciphertext is not the one that the header names.", "Fetch it again."
        ),
        "bad-wrap": Reason(
            "The data key does not open with any of this node's keys.",
            "The sender used a key that is gone or spoilt: check that its copy of our statements is current.",
        ),
        "commitment": Reason(
            "The data key is not the one that the header commits to.",
            "The sender gives different keys to different recipients: keep the entry as evidence.",
        ),
        "bad-ciphertext": Reason("The ciphertext does not open.", "Keep the entry as evidence."),
        "padding": Reason("The padding is not as it must be.", "Keep the entry as evidence."),
        "content-invalid": Reason(
            "The content does not have its form.", "Ask the operator to send it again."
        ),
        "inner-mismatch": Reason(
            "Header and content disagree on the report's id or on its withdrawal.",
            "Keep the entry as evidence.",
        ),
        "tlp-unknown": Reason(
            "The content carries no TLP marking that is known.", "Ask for it to be marked."
        ),
        "tlp-mismatch": Reason(
            "Header and content carry different TLP markings.", "Keep the entry as evidence."
        ),
        "peer-inactive": Reason(
            "The peer is not approved here.", "Approve it first: `tocsin peer approve`.", "ours"
        ),
        "above-ceiling": Reason(
            "The marking is above what is taken from this peer.",
            "Raise its ceiling if that was meant.",
            "ours",
        ),
        "personal-data": Reason(
            "The content says that it holds personal data.", "Ask the sender for a version without it."
        ),
        "not-owner": Reason(
            "The report's id belongs to another node, or to another creator.",
            "Only its first author may change it.",
        ),
        "version-conflict": Reason(
            "Another content stands under the same version.", "The sender says two things under one number."
        ),
        "already-withdrawn": Reason(
            "The report was withdrawn; that is final.", "A new report needs a new id."
        ),
        "circle-awaited": Reason(
            "The entry is addressed to a circle, or an epoch of one, that is not known here yet.",
            "It is kept, and tried again once the circle's manifest is here: `tocsin circle list`.",
            "ours",
        ),
        "circle-frozen": Reason(
            "The entry is addressed to a circle of which two manifests of one epoch are known.",
            "It is kept, and tried again once `tocsin circle adopt FILE --resolve` says which manifest stands.",
            "ours",
        ),
        "not-member": Reason(
            "Its author, or this node, is no member of the circle in that epoch.",
            "Compare the epochs: `tocsin circle show NAME`.",
        ),
        "above-circle": Reason(
            "The marking is above what the circle shares.", "Its author must name the recipients instead."
        ),
        "too-many-circles": Reason(
            "The peer has brought more circles than are kept for one peer and nobody has adopted.",
            "It is kept, and tried again once some were adopted or left: `tocsin circle list`.",
            "ours",
        ),
        "epoch-ended": Reason(
            "The entry was logged under an epoch of its circle that had ended.",
            "It is kept. Ask its author whether the newest manifest has reached it.",
        ),
        "not-ours": Reason(
            "It answers a report, or a call, that is not ours or never went to that peer.",
            "The peer's software is at fault.",
        ),
        "foreign-creator": Reason(
            "It is made in another node's name than that of the peer who sends it.",
            "A peer speaks for itself alone: ask its operator.",
        ),
        "unknown-report": Reason(
            "It is about a report, or a version of it, that is not held here.",
            "Ask the peer for the report, if it may have been lost on the way.",
        ),
        "not-recipient": Reason(
            "The remark comes from a peer that neither made the report nor got it from this node.",
            "Ask the peer where it has the report from.",
        ),
        "marking-looser": Reason(
            "It is marked more mildly than the report that it tells of.",
            "Ask for it to be marked as the report is.",
        ),
        "call-changed": Reason(
            "The call moves the emergency to another report, or makes earnest of a drill, or a drill of earnest.",
            "Ask the peer by telephone what is meant.",
        ),
        "already-stood-down": Reason(
            "The emergency was stood down; that is final.", "A new emergency needs a call of its own."
        ),
        "erased": Reason(
            "The report was recalled or erased here, and does not come in again.",
            "A person here may lift that: `tocsin report blocklist`.",
            "ours",
        ),
        "unproven": Reason(
            "What is passed on, or complained of, is not proven to be its author's.",
            "Keep the entry as evidence.",
        ),
        "onward-forbidden": Reason(
            "The marking does not let the peer pass the report on to this node.",
            "The author is told, if it is a peer: `tocsin peer complaints`.",
        ),
        "onward-off": Reason(
            "Nothing that this peer passes on is taken here.",
            "`tocsin peer policy NAME --onward` changes that.",
            "ours",
        ),
        "complaint-unfounded": Reason(
            "What is complained of was permitted, or did not reach who complains.",
            "Ask the peer's operator what is meant.",
        ),
    }

    _by_policy: ClassVar[frozenset[str]] = frozenset(
        (
            "not-addressed",
            "tlp-unknown",
            "tlp-mismatch",
            "peer-inactive",
            "above-ceiling",
            "personal-data",
            "not-owner",
            "version-conflict",
            "already-withdrawn",
            "not-ours",
            "not-member",
            "above-circle",
            "foreign-creator",
            "unknown-report",
            "not-recipient",
            "marking-looser",
            "call-changed",
            "already-stood-down",
            "erased",
            "onward-forbidden",
            "onward-off",
            "complaint-unfounded",
        )
    )

    @property
    def by_policy(self) -> bool:
        """Whether a rule forbids a well-made entry (outcome `refused`), or it cannot be taken (`quarantined`)."""
        return self.code in self._by_policy


class LogBroken(FederationError):
    """A peer's log contradicts what it showed before.

    `proven`: by its own signatures, so that nobody else can have made it; then nothing more is taken until a person has
    looked. All else may be damage on the way, or a backup, and is asked for again.
    """

    reasons: ClassVar[Mapping[str, Reason]] = {
        "log-rollback": Reason("The peer's log is shorter than what it showed before.", _ASK),
        "log-fork": Reason("The peer has signed two pasts of its log.", _CALL),
        "log-growth": Reason("The peer's log grew beyond all measure.", _CALL),
        "log-root": Reason("The peer's leaves do not yield the root that it signed.", _ASK),
    }

    @property
    def proven(self) -> bool:
        """Whether the peer's own signatures say so."""
        return self.code in {"log-fork", "log-growth"}


class FramesRefused(FederationError):
    """The body of an `entries` answer is cut, too large or malformed. Nothing of it is lost: ask again."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "frames-truncated": Reason(
            "The answer ended before its trailer.", "It is asked for again by itself."
        ),
        "frames-oversized": Reason(
            "The answer is larger than its limit.", "The peer's software is at fault."
        ),
        "frames-malformed": Reason(
            "The answer is not a sequence of frames.", "The peer's software is at fault."
        ),
        "frames-disordered": Reason("The frames are not in order.", "The peer's software is at fault."),
        "frames-trailing": Reason("Bytes follow the trailer.", "The peer's software is at fault."),
    }


class AuthRefused(FederationError):
    """A request does not prove who sent it, to whom, and when."""

    outward_code: ClassVar[str] = "not-authenticated"
    reasons: ClassVar[Mapping[str, Reason]] = {
        "auth-missing": Reason("The request is not signed.", "Peers sign each request (PROTOCOL.md, 5)."),
        "auth-malformed": Reason("The signature headers do not have the fixed form.", "See PROTOCOL.md, 5."),
        "wrong-destination": Reason("The request is meant for another node.", "Check the peer's address."),
        "clock-skew": Reason(
            "The request was signed more than 120 s away from this node's time.",
            "Set the clock (NTP); the answer carries this node's time.",
        ),
        "nonce-replayed": Reason("The request was seen before.", "Sign each request anew."),
        "key-unknown": Reason(
            "The signing key is not one of an approved peer.", "Peer first, or renew the keys."
        ),
        "digest-mismatch": Reason(
            "The body is not the one that was signed.", "Something on the way changed it."
        ),
        "bad-signature": Reason(
            "The request's signature does not verify.", "Something on the way changed it."
        ),
    }
    skew_s: float | None = None

    @property
    def outward(self) -> str:
        """As for all refusals, but an honest peer whose clock is wrong must be able to learn it."""
        return "clock-skew" if self.code == "clock-skew" else self.outward_code


class HandshakeRefused(FederationError):
    """Two nodes could not be introduced to each other."""

    outward_code: ClassVar[str] = "invite-refused"
    reasons: ClassVar[Mapping[str, Reason]] = {
        "invite-malformed": Reason(
            "That is not a whole invite.", "Copy it again, all of it; it begins with `tocsin1.`.", "ours"
        ),
        "invite-expired": Reason(
            "The invite has expired.", "Ask for a new one; each lives for at most 7 days."
        ),
        "invite-ttl": Reason("An invite lives for at most 7 days.", "Choose a shorter time.", "ours"),
        "bad-proof": Reason(
            "The other side does not know the invite's secret.",
            "The invite is not theirs, or somebody sits between you: ask for a new one by another way.",
        ),
        "nonce-changed": Reason(
            "The other side did not use the random value it had fixed in its invite.",
            "Somebody may sit between you: ask for a new invite by another way.",
        ),
        "handshake-malformed": Reason(
            "A message of the handshake does not have its form.", "See PROTOCOL.md, 3."
        ),
    }
