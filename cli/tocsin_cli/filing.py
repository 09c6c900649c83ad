"""Getting one report to the node: written down here first, sent, taken away when the node holds it.

The order is what keeps a report safe: queue (on disk) → node's identity → bundle built and queued again →
sent → answer → out of the queue. A run that ends anywhere in between leaves the report in the queue, and
sending it again is answered with "unchanged" if the node has it already.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from tocsin_cli.client import Client, Query, parsed
from tocsin_cli.errors import (
    AnswerBroken,
    CliError,
    FindingsFound,
    Interrupted,
    Kept,
    MadeForAnotherNode,
    NotVerified,
    Unreachable,
)
from tocsin_cli.handin import Bundle, Form, Source, finding_dicts
from tocsin_cli.plain import utc_text
from tocsin_cli.queue import Queue, Waiting

Answer = dict[str, Any]
REVIEWED_BY = "personal_data_reviewed_by"


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is to get a report: `to` names peers, `circle` a circle; neither: the usual ones; without `share` nobody.

    `reviewed_by`: who has looked for personal data and secrets and takes it on that the report leaves.
    """

    to: tuple[str, ...] | None
    share: bool
    reviewed_by: str | None = None
    circle: str | None = None

    def query(self) -> list[tuple[str, str]]:
        """As the query of the node's API."""
        query = [("to", name) for name in self.to or ()] + ([] if self.share else [("share", "0")])
        query += [("circle", self.circle)] if self.circle is not None else []
        return query + reviewed_query(self.reviewed_by)


def reviewed_query(name: str | None) -> list[tuple[str, str]]:
    """Who takes it on that a report leaves, as the query of the node's API."""
    return [(REVIEWED_BY, name)] if name is not None else []


def new_id() -> str:
    """Return a fresh id for an incident of our own."""
    return f"incident--{uuid.uuid4()}"


def waiting_for(handed: Form | Bundle, audience: Audience, *, url: str, report_id: str | None) -> Waiting:
    """Return the queue's record of what was handed in; a form gets its id and its time here, once for all."""
    to = None if audience.to is None else list(audience.to)
    asked: dict[str, Any] = {"to": to, "share": audience.share, "reviewed_by": audience.reviewed_by}
    asked["circle"] = audience.circle
    filed_at = utc_text(datetime.now(UTC))
    if isinstance(handed, Bundle):
        report = handed.report
        text = handed.raw.decode("utf-8")
        return Waiting(report.id, report.name, filed_at, url, bundle=text, **asked)
    title = str(handed.values.get("title", ""))
    chosen = report_id or handed.id or new_id()
    return Waiting(chosen, title, filed_at, url, form=handed.values, **asked)


def file_report(client: Client, queue: Queue, item: Waiting, text: Source) -> Answer:
    """Send the report and return the node's answer. `text` is what it was made from.

    When the same text waits in the queue already, after a crash or because the node was away, that report is
    sent, under its own id, instead of a second one.

    Raises: Kept (the report is in the queue) when the node cannot be reached, trusted or understood now;
    Interrupted, with the report in the queue; any other refusal as it came, with the text back in its draft.
    """
    item = queue.like(item) or item
    path = queue.keep(item)
    text.release()
    try:
        with queue.sending(item.id, wait=True):
            answer = send(client, queue, item)
            queue.drop(item.id)
            return answer
    except (Unreachable, NotVerified, AnswerBroken) as exc:
        kept = Kept(
            f"{exc} The report is kept here as {item.id} and will not be lost.",
            code=exc.code,
            hint=f"{exc.hint} Send it later with: tocsin report flush".strip(),
            report_id=item.id,
            path=str(path),
        )
        kept.exit = exc.exit
        raise kept from exc
    except KeyboardInterrupt as exc:
        raise Interrupted(
            f"Interrupted while sending. The report is kept here as {item.id}.",
            hint="Send it with: tocsin report flush",
        ) from exc
    except CliError:
        text.restore()
        queue.drop(item.id)
        raise


def send(client: Client, queue: Queue, item: Waiting) -> Answer:
    """Send an item once: build its bundle if that is still to do, keep it, post it."""
    node = client.json("GET", "/v1/node")
    node_id = member(node, "node_id")
    if item.node_id not in {None, node_id}:
        raise MadeForAnotherNode(
            f"{item.id} was made for the node {item.node_id}, not for {node_id} at {client.url}.",
            hint="Name the node it was made for with --node or --dir.",
        )
    if item.bundle is None or item.node_id is None:
        bundle = item.bundle or build_bundle(item, node)
        item = replace(item, bundle=bundle, node_id=node_id)
        queue.keep(item)
    return post(client, "POST", "/v1/reports", (item.bundle or "").encode(), _audience(item).query())


def preview(client: Client, item: Waiting) -> tuple[Answer, bytes]:
    """Ask the node what would happen; nothing is stored, there or here. Returns its answer and what would leave."""
    bundle = (item.bundle or build_bundle(item, client.json("GET", "/v1/node"))).encode()
    query = [("dry_run", "1"), *_audience(item).query()]
    return post(client, "POST", "/v1/reports", bundle, query), bundle


def _audience(item: Waiting) -> Audience:
    return Audience(None if item.to is None else tuple(item.to), item.share, item.reviewed_by, item.circle)


def build_bundle(item: Waiting, node: Mapping[str, Any]) -> str:
    """Return the STIX bundle of a form, made in the name of the node: the same bytes for the same item.

    Raises: FindingsFound when the form cannot become a report.
    """
    from tocsin_schema.errors import FormRefused
    from tocsin_schema.stix import build

    filed_at = datetime.fromisoformat(item.filed_at).astimezone(UTC)
    producer = member(node, "identity")
    try:
        raw = build(item.form or {}, producer=producer, incident_id=item.id, now=filed_at)
    except FormRefused as exc:
        raise FindingsFound(finding_dicts(exc.findings)) from exc
    return str(raw, "utf-8")


def post(client: Client, method: str, path: str, bundle: bytes, query: Query) -> Answer:
    """Send a bundle and return the node's answer about it."""
    answer = parsed(client.raw(method, path, query=query, body=bundle))
    member(answer, "id")
    return dict(answer)


def member(found: object, name: str) -> Any:
    """Return a member of an answer; raise AnswerBroken when it is not there."""
    if not isinstance(found, Mapping) or name not in found:
        raise AnswerBroken(f"The node's answer lacks {name!r}.")
    return found[name]


def names(entries: object) -> list[str]:
    """Return the names in a list of {"name": …}, such as an answer's `to`."""
    if not isinstance(entries, Sequence):
        return []
    return [str(entry.get("name", "?")) for entry in entries if isinstance(entry, Mapping)]
