"""The table of everything that takes bytes from outside: its name, what is done with them, and what may be refused."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fuzz import house, seeds, wire

from tocsin_federation.errors import FederationError
from tocsin_node.errors import NodeError
from tocsin_schema.errors import SchemaError

CRASHES = Path(__file__).parent / "crashes"


@dataclass(frozen=True)
class Target:
    """`act`: takes any bytes, and either returns or raises one of `refuses`. `runs`: executions of one bounded run."""

    name: str
    act: Callable[[bytes], None]
    refuses: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]]
    runs: int = 10_000

    def once(self, data: bytes) -> None:
        """One execution. Raises: whatever is a bug."""
        try:
            self.act(data)
        except self.refuses:
            pass

    def corpus(self) -> list[bytes]:
        """The seeds, each once, and what broke it before."""
        kept = [path.read_bytes() for path in self.crashes()]
        return [one for one in dict.fromkeys([*self.seeds(), *kept]) if len(one) <= seeds.MOST_BYTES]

    def crashes(self) -> list[Path]:
        """The inputs that broke it at some time."""
        return sorted(path for path in (CRASHES / self.name).glob("*") if path.is_file())


_FEDERATION = (FederationError,)
_SCHEMA = (SchemaError,)
_NODE = (NodeError,)
_NOTHING: tuple[type[Exception], ...] = ()

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("canonical", wire.canonical, _FEDERATION, partial(seeds.field, "canonical", "bytes")),
        Target("chain", wire.chain, _FEDERATION, lambda: map(b"\n".join, seeds.chains()), 3_000),
        Target("statement", wire.statement, _FEDERATION, wire.statements, 5_000),
        Target("note", wire.note, _FEDERATION, partial(seeds.field, "checkpoint", "note")),
        Target(
            "vkey", wire.vkey, _FEDERATION, lambda: (v["vkey"].encode() for v in seeds.given("checkpoint"))
        ),
        Target("cosigned", wire.cosigned, _FEDERATION, wire.cosigned_notes, 5_000),
        Target("cosignature-lines", wire.cosignature_lines, _FEDERATION, wire.witness_lines),
        Target(
            "add-checkpoint", wire.submission, _FEDERATION, partial(seeds.field, "witness", "body"), 5_000
        ),
        Target("circle", wire.circle_file, _FEDERATION, wire.circle_files, 3_000),
        Target("manifest", wire.manifest, _FEDERATION, wire.manifests, 5_000),
        Target(
            "heads-question",
            wire.heads_question,
            _FEDERATION,
            lambda: (one["question"] for one in seeds.given("heads") if "question" in one),
        ),
        Target("heads-answer", wire.heads_answer, _FEDERATION, wire.answers, 3_000),
        Target(
            "compare-question",
            wire.compare_question,
            _FEDERATION,
            partial(seeds.field, "compare", "question"),
        ),
        Target("compare-answer", wire.compare_answer, _FEDERATION, wire.comparisons, 5_000),
        Target("frames", wire.frames, _FEDERATION, partial(seeds.field, "frames", "body"), 5_000),
        Target("header", wire.header, _FEDERATION, partial(seeds.field, "entry", "leaf")),
        Target(
            "entry",
            wire.entry,
            _FEDERATION,
            lambda: (e["wrap"] + e["ct"] for e in seeds.given("entry")),
            3_000,
        ),
        Target("acknowledgement", wire.acknowledgement, _FEDERATION, lambda: wire.ACKNOWLEDGEMENTS),
        Target("recall", wire.recall, _FEDERATION, partial(seeds.field, "recall", "content"), 5_000),
        Target("receipt", wire.receipt, _FEDERATION, partial(seeds.field, "receipt", "content"), 5_000),
        Target(
            "padding", wire.padding, _FEDERATION, lambda: (b"\0\0\0\0\1x" + bytes(1018), b"\1" + bytes(1023))
        ),
        Target("remark", wire.remark, _NOTHING, partial(seeds.field, "remark", "content"), 4_000),
        Target("invite", wire.invite, _FEDERATION, partial(seeds.field, "invite", "invite")),
        Target("request", wire.request, _FEDERATION, wire.requests),
        Target("audit-export", wire.audit_export, _FEDERATION, wire.audit_exports, 3_000),
        Target("proof", wire.proof, _FEDERATION, partial(seeds.field, "proof", "proof"), 3_000),
        Target("proof-extra", wire.proof_extra, _FEDERATION, wire.extras, 3_000),
        Target("share", wire.share, _FEDERATION, partial(seeds.field, "share", "content"), 3_000),
        Target("complaint", wire.complaint, _FEDERATION, partial(seeds.field, "complaint", "content"), 3_000),
        Target("evidence", wire.evidence, _FEDERATION, wire.evidences, 3_000),
        Target(
            "tile",
            wire.tile,
            _FEDERATION,
            lambda: (b"tile/0/x001/x234/067.p/5", b"tile/0/000", b"tile/0/255.p/255"),
        ),
        Target("bundle", house.bundle, _NOTHING, seeds.examples, 3_000),
        Target("form", house.form, _NOTHING, house.forms, 2_000),
        Target("form-value", house.form_value, _NOTHING, house.form_values, 3_000),
        Target("import-stix", house.stix_file, _SCHEMA, seeds.whole_examples, 800),
        Target("import-aiid", house.aiid_file, _SCHEMA, seeds.aiid, 1_500),
        Target("import-aiid-classes", house.aiid_classes_file, _SCHEMA, seeds.aiid_classes, 4_000),
        Target("import-avid", house.avid_file, _SCHEMA, seeds.avid, 1_500),
        Target("import-atlas", house.atlas_file, _SCHEMA, seeds.atlas, 1_500),
        Target("import-atlas-stix", house.atlas_stix_file, _SCHEMA, seeds.atlas_stix, 4_000),
        Target("settings", house.settings, _NODE, house.node_toml, 1_500),
        Target("settings-table", house.settings_table, _NODE, house.tables, 5_000),
        Target("matrix", house.matrix, _NOTHING, house.room, 8_000),
        Target("peer-answer", house.peer_answer, _NODE, lambda: house.PROBLEMS),
        Target("request-body", house.request_body, _NODE, seeds.whole_examples, 4_000),
        Target(
            "webhook-answer", house.webhook_answer, _NOTHING, lambda: (b"5", b"Fri, 31 Dec 1999 23:59:59 GMT")
        ),
    )
}
