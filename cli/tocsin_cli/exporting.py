"""Reports on their way into a file: from the node page by page, or from files; what stays out is counted.

An export leaves what the federation can hold anybody to: a file has no recipients. So a report above
TLP:GREEN, one that names people, or one that seems to hold personal data or a secret stays out unless the command
line says otherwise; for what is only suspected, a person has to be named who has looked. A limit that somebody
named is a choice; one that nobody named makes the run end with code 1, so that no script takes part of the
reports for all of them.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from tocsin_cli.client import STIX, Client, segment
from tocsin_cli.errors import ExportIncomplete, FileUnreadable
from tocsin_cli.filing import member

if TYPE_CHECKING:
    from collections.abc import Generator

    from tocsin_schema.finding import Finding
    from tocsin_schema.imports.record import Record
    from tocsin_schema.marking import Tlp
    from tocsin_schema.report import IncidentReport
    from tocsin_schema.suspicion import Suspicion

PAGE = 500
_SHOWN = 20  # so many reports that stayed out are named; the others are counted
SUSPECTED = "suspected"
REDACTED = "redacted"
SAID = {
    "above-tlp": "marked above {tlp}",
    "personal-data": "with personal data",
    SUSPECTED: "with what seems to be personal data or a secret",
    REDACTED: "kept private behind a redaction",
    "unreadable": "not sound, or not readable here",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What may leave; `named` says which limits the command line named itself.

    `reviewed_by`: who has looked and takes it on that what is suspected leaves.
    """

    max_tlp: "Tlp"
    personal_data: bool
    reviewed_by: str | None
    named: frozenset[str]


@dataclass(slots=True)
class Account:
    """What became of every report that was asked for."""

    exported: int = 0
    taken_on: int = 0  # of those exported, what seems to hold personal data or secrets
    withheld: dict[str, int] = field(default_factory=dict)
    left: list[dict[str, Any]] = field(default_factory=list)

    @property
    def read(self) -> int:
        """How many reports were looked at."""
        return self.exported + sum(self.withheld.values())

    def leave(self, key: str, reason: str, found: "Sequence[Suspicion]" = ()) -> None:
        """Note a report that stays out; of what is suspected in it, the kinds and the places."""
        self.withheld[reason] = self.withheld.get(reason, 0) + 1
        if len(self.left) < _SHOWN:
            told = [{"kind": each.kind, "path": each.path, "place": each.place} for each in found]
            self.left.append({"id": key, "reason": reason, **({"found": told} if told else {})})

    def document(self, form: str, limits: Limits) -> dict[str, Any]:
        """As JSON."""
        return {
            "form": form,
            "read": self.read,
            "exported": self.exported,
            "taken_on": self.taken_on,
            "reviewed_by": limits.reviewed_by,
            "withheld": dict(self.withheld),
            "left_out": self.left,
        }

    def line(self, limits: Limits) -> str:
        """As a sentence."""
        reports = "report" if self.exported == 1 else "reports"
        said = f"Exported {self.exported:,} {reports}"
        if self.taken_on:
            said += f", {self.taken_on:,} of them {SAID[SUSPECTED]}, which {limits.reviewed_by} has taken on"
        if not self.withheld:
            return f"{said}."
        told = [
            f"{count:,} {SAID[reason].format(tlp=limits.max_tlp.label)}"
            for reason, count in self.withheld.items()
        ]
        return f"{said}; left out: {', '.join(told)}."


def admitted(
    reports: Iterable["IncidentReport"], limits: Limits, account: Account, seen: Callable[[int], object]
) -> Iterator["IncidentReport"]:
    """The reports that may leave, each counted as it passes."""
    from tocsin_schema.exports.gate import withheld
    from tocsin_schema.suspicion import suspicions

    for report in reports:
        reason = withheld(report, max_tlp=limits.max_tlp, personal_data=limits.personal_data)
        found = suspicions(report.raw) if reason is None else ()
        if reason is not None:
            account.leave(report.id, reason)
        elif found and limits.reviewed_by is None:
            account.leave(report.id, SUSPECTED, found)
        else:
            account.exported += 1
            account.taken_on += bool(found)
            yield report
        seen(account.read)


def check_complete(account: Account, limits: Limits) -> None:
    """Raise ExportIncomplete when a report stayed out that nobody chose to leave out."""
    unchosen = [reason for reason in account.withheld if reason not in limits.named]
    if not unchosen:
        return
    hints = {
        "above-tlp": "Name the limit with --max-tlp TLP.",
        "personal-data": "Say --include-personal-data or --no-personal-data.",
        SUSPECTED: (
            "Look at each, then say who has looked and takes it on: --reviewed-by NAME; "
            "or leave them out: --no-suspected."
        ),
        REDACTED: "Their redactions go instead: --no-suspected; or name a record by its id, or --reviewed-by NAME.",
        "unreadable": "Look at each with `tocsin report show ID --stix`, or check the file with `tocsin import stix`.",
    }
    count = sum(account.withheld[reason] for reason in unchosen)
    said = f"{count:,} of {account.read:,} reports are not in the export."
    raise ExportIncomplete(said, hint=" ".join(hints[reason] for reason in unchosen))


def from_node(
    client: Client, filters: Sequence[tuple[str, str]], since: str, limits: Limits, account: Account
) -> Iterator["IncidentReport"]:
    """Every report of the node that the filters keep, newest first; what is marked too high is not fetched.

    A record that was redacted for others stays out until somebody is named who takes it on: no program sees what its
    redaction leaves out.
    """
    from tocsin_schema.marking import Tlp

    private = set() if limits.reviewed_by else _redacted(client)
    for item in _listed(client, filters):
        if since and str(item.get("modified", "")) < since:
            continue
        tlp, each = item.get("tlp"), str(item["id"])
        if tlp in list(Tlp) and Tlp(tlp).rank > limits.max_tlp.rank:
            account.leave(each, "above-tlp")
        elif each in private:
            account.leave(each, REDACTED)
        else:
            yield from by_id(client, [each], account)


def _redacted(client: Client) -> set[str]:
    """The records of our own of which there is a redaction."""
    ours = _listed(client, [("origin", "us")])
    return {str(item["redaction_of"]) for item in ours if item.get("redaction_of")}


def _listed(client: Client, filters: Sequence[tuple[str, str]]) -> Iterator[Mapping[str, Any]]:
    cursor: list[tuple[str, str]] = []
    while True:
        found = client.json("GET", "/v1/reports", query=[("limit", str(PAGE)), *filters, *cursor])
        yield from member(found, "items")
        if not found.get("next"):
            return
        cursor = [("cursor", str(found["next"]))]


def by_id(client: Client, ids: Iterable[str], account: Account) -> Iterator["IncidentReport"]:
    """The reports of these ids, as the node stores them."""
    for each in dict.fromkeys(ids):
        yield from _checked(each, client.raw("GET", f"/v1/reports/{segment(each)}", accept=STIX), account)


def _checked(key: str, raw: bytes, account: Account) -> Iterator["IncidentReport"]:
    from tocsin_schema.check import check_bundle

    report = check_bundle(raw).report
    if report is None:
        account.leave(key, "unreadable")
    else:
        yield report


def from_files(paths: Iterable[str], account: Account) -> Iterator["IncidentReport"]:
    """The reports in STIX files, "-" for standard input, as `tocsin import stix` would read them."""
    from tocsin_schema.errors import SchemaError
    from tocsin_schema.imports.stix import read

    for path in paths:
        with _opened(path) as stream:
            records = closing(cast("Generator[Record]", read(stream)))
            try:
                with records as found:
                    for record in found:
                        yield from _of_record(record.key, record.bundle, record.refusal, account)
            except SchemaError as exc:
                raise FileUnreadable(f"{path}: {exc}", code=exc.code, hint=exc.hint) from exc


def _of_record(
    key: str, bundle: bytes | None, refusal: "Finding | None", account: Account
) -> Iterator["IncidentReport"]:
    if bundle is not None:
        yield from _checked(key, bundle, account)
    elif refusal is None or refusal.code != "no-incident":  # an empty file leaves nothing out
        account.leave(key, "unreadable")


def _opened(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except OSError as exc:
        raise FileUnreadable(f"{path} cannot be read: {exc.strerror}.", hint="Check the name.") from exc


def filters_of(options: Mapping[str, str | None]) -> list[tuple[str, str]]:
    """The filters that were given, as the node's list takes them."""
    return [(name, value) for name, value in options.items() if value]
