"""`tocsin proof verify`: look at a proof offline; no node and no network are needed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.log import refuse_malformed
from tocsin_cli.durable import write_durably
from tocsin_cli.errors import FileUnreadable, NotVerified, UsageFault
from tocsin_cli.plain import local_time, utc_text
from tocsin_cli.session import Session, pass_session

if TYPE_CHECKING:
    from tocsin_federation.errors import FederationError
    from tocsin_federation.messages import Audience
    from tocsin_federation.proof import Proven

_ITS_OWN_HINT = {"proof-void", "statement-unsupported"}
_OTHER_NODE = (
    "Compare --node-id with what the organisation says of itself; else it is another organisation's proof."
)
_BELIEVE_NOTHING = "Believe nothing that this file says; ask who gave it to you for another."
_LATEST = 253_402_300_799  # the year 9999
_KINDS = {
    "publish": "a report",
    "revoke": "the withdrawal of a report",
    "ack": "an acknowledgement",
    "remark": "a remark",
    "call": "a call about an emergency",
    "answer": "an answer to a call",
    "receipt": "a receipt",
    "recall": "a recall",
    "circle": "who belongs to a circle",
    "share": "a report of another's that it passes on",
    "complain": "a complaint",
}


@click.group("proof", cls=LazyGroup, no_args_is_help=True)
def proof() -> None:
    """Verify proofs of reports; no node is needed."""


@proof.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@click.option(
    "--node-id", metavar="NODEID", help="The NodeID that it must be by, as you know it from elsewhere."
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="FILE", help="Write the disclosed report there."
)
@click.option(
    "--witness",
    "witnesses",
    metavar="VKEY",
    multiple=True,
    help="The key of a witness that you trust; may be repeated.",
)
@click.option(
    "--peers", is_flag=True, help="Trust your own node's peers as witnesses; it is asked for their keys."
)
@click.option(
    "--require", metavar="N", type=click.IntRange(min=1), help="So many of them must have cosigned."
)
@pass_session
def verify(
    session: Session,
    file: Path,
    node_id: str | None,
    report: Path | None,
    witnesses: tuple[str, ...],
    peers: bool,
    require: int | None,
) -> None:
    """Verify a proof on this machine, without a node: of a report, or that a node has forked its log.

    Nothing in the file is believed: signatures, tree and content are checked. What it cannot show is who is behind a
    NodeID: compare it with what the organisation says, or give --node-id. Cosignatures of witnesses that you name show
    that others were shown the same log. Exit code 4 when the proof does not hold, or too few have cosigned.
    """
    if node_id is not None:
        refuse_malformed(node_id)
    raw = _bytes(file)
    if raw.startswith(b"{"):
        _tell_fork(session, raw, node_id)
        return
    keys = [*witnesses, *(_peers_keys(session) if peers else ())]
    proven = _proven(raw, node_id, keys)
    if require is not None and len(proven.cosigned) < require:
        raise NotVerified(
            f"{len(proven.cosigned)} of the witnesses named have cosigned, not {require}.",
            code="too-few-witnesses",
            hint="Name more witnesses with --witness, or ask for a proof made later: cosignatures come afterwards.",
        )
    if report is not None:
        _write_report(session, proven, report)
    if session.out.as_json:
        session.out.document(_document(proven))
        return
    session.out.facts(_facts(proven))
    if proven.content is not None and report is None:
        session.out.next_step(f"tocsin proof verify {file} --report REPORT.json")


def _bytes(file: Path) -> bytes:
    from tocsin_federation.proof import MAX_PROOF_BYTES

    try:
        with file.open("rb") as stream:
            return stream.read(MAX_PROOF_BYTES + 1)
    except OSError as exc:
        raise FileUnreadable(f"{file} cannot be read: {exc.strerror}.") from exc


def _peers_keys(session: Session) -> list[str]:
    found = session.client.json("GET", "/v1/peers")
    return [str(peer["witness_key"]) for peer in found.get("items") or [] if peer.get("witness")]


def _proven(raw: bytes, node_id: str | None, witnesses: list[str]) -> "Proven":
    from tocsin_federation.errors import FederationError, KeyRefused
    from tocsin_federation.keys import VKEY_COSIGNATURE, decode_vkey
    from tocsin_federation.proof import read_proof, verify_proof

    try:
        for key in witnesses:
            decode_vkey(key, VKEY_COSIGNATURE)
    except KeyRefused as exc:
        raise UsageFault(
            "A --witness is no key of a witness.",
            hint="It looks like NAME+8 letters+BASE64: `tocsin peer status NAME --json` has it as witness_key.",
        ) from exc
    try:
        return verify_proof(read_proof(raw), expected=node_id, witnesses=witnesses)
    except FederationError as exc:
        raise _not_held(exc) from exc


def _not_held(exc: "FederationError") -> NotVerified:
    hint = _OTHER_NODE if exc.code == "wrong-node" else _BELIEVE_NOTHING
    if exc.code in _ITS_OWN_HINT:
        hint = exc.hint
    return NotVerified(f"The proof does not hold: {exc}", code=exc.code, hint=hint)


def _tell_fork(session: Session, raw: bytes, node_id: str | None) -> None:
    from tocsin_federation.errors import FederationError
    from tocsin_federation.evidence import read_evidence, verify_evidence

    try:
        found = verify_evidence(read_evidence(raw), expected=node_id)
    except FederationError as exc:
        raise _not_held(exc) from exc
    first, second, who = found.first, found.second, found.identity
    if session.out.as_json:
        heads = [{"size": head.size, "root": head.root.hex()} for head in (first, second)]
        told = {"verified": True, "kind": "fork", "node_id": who.node_id, "org": who.statement.org.name}
        session.out.document(told | {"origin": first.origin, "heads": heads})
        return
    session.out.facts(
        [
            ("Proven", "it has signed two pasts of its log"),
            ("By", f"{who.node_id} (calls itself {who.statement.org.name})"),
            ("Log", first.origin),
            ("One", f"{first.size} entries, root {first.root.hex()}"),
            ("Other", f"{second.size} entries, root {second.root.hex()}"),
        ]
    )


def _write_report(session: Session, proven: "Proven", report: Path) -> None:
    if proven.content is None:
        raise NotVerified(
            "The proof does not disclose the report.",
            code="not-disclosed",
            hint="Ask for one made with: tocsin report prove ID --disclose",
        )
    write_durably(report, proven.content)
    session.out.say(f"{len(proven.content)} bytes: {report}")


def _facts(proven: "Proven") -> list[tuple[str, object]]:
    header, checkpoint = proven.header, proven.checkpoint
    title = _title(proven)
    facts: list[tuple[str, object]] = [
        ("Proven", f"{_KINDS[header.t]}, entry {proven.index} of a log of {checkpoint.size}"),
        ("By", f"{proven.identity.node_id} (calls itself {proven.identity.statement.org.name})"),
        ("Log", checkpoint.origin),
        ("Report", f"{header.id} (version {header.ver})"),
        ("Marking", header.tlp.label),
        ("Sealed", f"{local_time(_sealed(proven))} by its author's clock"),
        ("To", _audience(header.aud)),
        ("Cosigned", _cosigned(proven)),
        ("Says", "not disclosed" if proven.content is None else f"{title} ({len(proven.content)} bytes)"),
    ]
    if header.t == "share":
        facts[-1] = ("Passes on", _passes_on(proven))
    return facts


def _passes_on(proven: "Proven") -> str:
    """Whose entry a share holds, if that is shown, and proven in turn."""
    from tocsin_federation.errors import FederationError
    from tocsin_federation.onward import read_share
    from tocsin_federation.proof import verify_proof

    if proven.content is None:
        return "not disclosed"
    try:
        share = read_share(proven.content)
        inner = verify_proof(share.proof)
    except FederationError as exc:
        return f"nothing that is proven: {exc}"
    who = f"{inner.identity.node_id} (calls itself {inner.identity.statement.org.name})"
    clients = "said to be for clients" if share.client else "not said to be for clients"
    given = _audience(inner.header.aud)
    return f"entry {inner.index} of {who}, {inner.header.tlp.label}, which gave it to {given}; {clients}"


def _cosigned(proven: "Proven") -> str:
    """Who was verified, and who merely stands there."""
    verified = [f"{c.vkey.split('+')[0]} ({local_time(_moment(c.at))})" for c in proven.cosigned]
    known = {c.vkey.split("+")[0] for c in proven.cosigned}
    others = [f"{name} (not verified: its key was not named)" for name in proven.signers if name not in known]
    return ", ".join([*verified, *others]) or "by nobody"


def _moment(seconds: int) -> str:
    return utc_text(datetime.fromtimestamp(min(seconds, _LATEST), UTC))


def _document(proven: "Proven") -> dict[str, Any]:
    header, checkpoint = proven.header, proven.checkpoint
    return {
        "verified": True,
        "node_id": proven.identity.node_id,
        "org": proven.identity.statement.org.name,
        "log": {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()},
        "index": proven.index,
        "leaf_hash": proven.leaf_hash.hex(),
        "kind": header.t,
        "report_id": header.id,
        "ver": header.ver,
        "tlp": header.tlp.value,
        "sealed_at": _sealed(proven),
        "to": list(header.aud.nodes),
        "circle": _circle(header.aud),
        "signers": list(proven.signers),
        "cosigned": [
            {"witness": c.vkey.split("+")[0], "vkey": c.vkey, "at": _moment(c.at)} for c in proven.cosigned
        ],
        "disclosed": proven.content is not None,
        "title": _title(proven),
    }


def _sealed(proven: "Proven") -> str:
    return utc_text(datetime.fromtimestamp(proven.header.ts / 1000, UTC))


def _title(proven: "Proven") -> str | None:
    """What the disclosed report is called; None where there is none, or it is no report."""
    from tocsin_schema.check import check_bundle

    if proven.content is None or proven.header.t not in {"publish", "revoke"}:
        return None
    report = check_bundle(proven.content).report
    return None if report is None else report.name


def _audience(aud: "Audience") -> str:
    if aud.circle is not None:
        return f"the members of the circle {aud.circle.hex()} in epoch {aud.epoch} (entry {aud.cseq} to it)"
    if aud.unnamed:
        return "nodes that are not named"
    return f"{len(aud.nodes)} nodes: {', '.join(aud.nodes)}"


def _circle(aud: "Audience") -> dict[str, Any] | None:
    return None if aud.circle is None else {"id": aud.circle.hex(), "epoch": aud.epoch, "cseq": aud.cseq}
