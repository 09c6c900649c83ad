"""What a person hands in as a report: a form in TOML or JSON, or a STIX bundle; from a file or a pipe.

Whatever is wrong with it becomes findings, all at once; nothing that was handed in by a pipe or written in an
editor is lost: it is kept as a draft and the finding says where.
"""

import json
import re
import secrets
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tocsin_cli.durable import write_durably
from tocsin_cli.errors import FileUnreadable, FindingsFound

if TYPE_CHECKING:
    from tocsin_schema.errors import SchemaError
    from tocsin_schema.finding import Finding
    from tocsin_schema.report import IncidentReport

MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 32
_TABLE = re.compile(rb"""\[\[?[ \t]*[A-Za-z_][\w.-]*[ \t]*\]\]?[ \t]*(#|\r?\n|\Z)""")
_DRAFT_KEYS = {"draft", "id", "form"}


@dataclass(frozen=True, slots=True)
class Form:
    """A form that passed its check, with the warnings that were left; `id` is set for a draft of ours."""

    values: dict[str, Any]
    warnings: tuple[dict[str, Any], ...] = ()
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A STIX bundle of one incident that passed its check: canonical bytes and what they say."""

    raw: bytes
    report: "IncidentReport"
    warnings: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Text that was handed in. `path` is the file that keeps it: the person's own, or a draft of ours.

    The text of a draft is always in one place at least: its file is taken away only when the queue holds the
    report, and put back before the queue lets go of a report that was refused.
    """

    raw: bytes
    path: Path
    origin: Literal["file", "pipe", "editor", "draft"]

    @property
    def draft(self) -> bool:
        """Whether we made the file."""
        return self.origin != "file"

    def release(self) -> None:
        """The queue holds the text now: take the draft away."""
        if self.draft:
            self.path.unlink(missing_ok=True)

    def tried(self) -> str:
        """After a dry run: take away what came by a pipe; return where any other draft is kept."""
        if self.origin in {"editor", "draft"}:
            return str(self.path)
        self.release()
        return ""

    def restore(self) -> None:
        """The queue is about to let go: put the draft back."""
        if self.draft:
            write_durably(self.path, self.raw)


def draft_path(state: Path, name: str, suffix: str) -> Path:
    """Return a fresh path for a draft."""
    return state / "drafts" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}{suffix}"


def read_source(name: str, *, state: Path) -> Source:
    """Read a file, or stdin for "-", which is kept whole as a draft; past the limit nothing is read."""
    if name == "-":
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        path = draft_path(state, "stdin", ".txt")
        write_durably(path, raw)
        if len(raw) > MAX_BYTES:
            with path.open("ab") as stream:
                shutil.copyfileobj(sys.stdin.buffer, stream)
        return Source(raw, path, "pipe")
    path = Path(name)
    try:
        with path.open("rb") as stream:
            kept = path.absolute().parent == (state / "drafts").absolute()
            return Source(stream.read(MAX_BYTES + 1), path, "draft" if kept else "file")
    except OSError as exc:
        raise FileUnreadable(f"{name} cannot be read: {exc.strerror}.", hint="Check the name.") from exc


def understand(source: Source) -> Form | Bundle:
    """Return what the text says.

    Raises: FindingsFound with every finding, and where the text is kept.
    """
    raw = source.raw.removeprefix(b"\xef\xbb\xbf")
    if len(source.raw) > MAX_BYTES:
        said = f"The text has more than {MAX_BYTES:,} bytes."
        raise _broken("too-large", said, "Leave attachments out; evidence travels as a hash.", source)
    found: object
    if _is_json(raw) or source.path.suffix == ".json":
        found = _read_json(raw, source)
        if isinstance(found, dict) and found.get("type") == "bundle":
            return _checked_bundle(raw, source)
        if isinstance(found, dict) and set(found) == _DRAFT_KEYS:
            report_id, form = str(found["id"]), found["form"]
            form = without_blanks(form) if isinstance(form, dict) else form
            return checked_form(form, kept=str(source.path), report_id=report_id)
    else:
        found = _read_toml(raw, source)
    return checked_form(found, kept=str(source.path))


def checked_form(values: object, *, kept: str = "", report_id: str | None = None) -> Form:
    """Return the form when it has no error; raise FindingsFound otherwise."""
    from tocsin_schema.form import check_form

    findings = check_form(values)
    warnings = _sorted_out(findings, kept)
    assert isinstance(values, dict)  # check_form has an error for anything else
    return Form(values, warnings, report_id)


def finding_dicts(findings: "Sequence[Finding]") -> list[dict[str, Any]]:
    """Findings as the node's problem documents carry them."""
    return [
        {"code": f.code, "path": f.path, "message": f.message, "hint": f.hint, "level": f.level}
        for f in findings
    ]


def plain_json(value: object) -> Any:
    """A TOML value as JSON has it: times become text as they were written, with their zone if they have one."""
    match value:
        case datetime() | date() | time():
            return value.isoformat()
        case Mapping():
            return {str(key): plain_json(item) for key, item in value.items()}
        case list():
            return [plain_json(item) for item in value]
    return value


def _checked_bundle(raw: bytes, source: Source) -> Bundle:
    from tocsin_schema.canonical import parse_strict, to_bytes
    from tocsin_schema.check import check_bundle

    checked = check_bundle(raw)
    warnings = _sorted_out(checked.findings, str(source.path))
    assert checked.report is not None  # no error, hence a report
    canonical = to_bytes(parse_strict(raw, max_bytes=MAX_BYTES, max_depth=_MAX_DEPTH))
    return Bundle(canonical, checked.report, warnings)


def _sorted_out(findings: "Sequence[Finding]", kept: str) -> tuple[dict[str, Any], ...]:
    told = finding_dicts(findings)
    if any(each["level"] == "error" for each in told):
        raise FindingsFound(told, hint=kept_hint(kept), kept=kept)
    return tuple(told)


def kept_hint(kept: str) -> str:
    """What to do after findings: the text is kept, mend it and hand it in again."""
    return f"The text is kept in {kept}. Mend it and run: tocsin report submit --file {kept}" if kept else ""


def _is_json(raw: bytes) -> bool:
    """Whether the text is meant as JSON: a text that begins with [ may also be TOML that begins with a table."""
    text = raw.lstrip()
    if text.rstrip() in {b"null", b"true", b"false"} or (text.startswith(b'"') and b"=" not in text):
        return True
    return text.startswith(b"{") or (text.startswith(b"[") and not _TABLE.match(text))


def _read_json(raw: bytes, source: Source) -> object:
    from tocsin_schema.canonical import parse_strict
    from tocsin_schema.errors import SchemaError

    try:
        return parse_strict(raw, max_bytes=MAX_BYTES, max_depth=_MAX_DEPTH)
    except SchemaError as exc:
        raise _all_found(raw, exc, source) from exc


def _all_found(raw: bytes, refusal: "SchemaError", source: Source) -> FindingsFound:
    """Everything wrong with a text that was refused: what is wrong with the text, and with what it says."""
    from tocsin_schema.canonical import parse_lenient
    from tocsin_schema.check import check_bundle
    from tocsin_schema.errors import DuplicateKey, SchemaError
    from tocsin_schema.finding import Finding, join, label
    from tocsin_schema.form import check_form

    try:
        value, doubles, wrong = parse_lenient(raw, max_depth=_MAX_DEPTH)
    except SchemaError as exc:
        return _broken(exc.code, str(exc), exc.hint, source)
    if isinstance(value, dict) and value.get("type") == "bundle":
        found = list(check_bundle(raw).findings)
    else:
        found = [Finding(exc.code, "", str(exc), exc.hint) for exc in wrong]
        found += [
            Finding(DuplicateKey.code, join(path, label(key)), "The key is there twice.", DuplicateKey.hint)
            for path, key in doubles
        ]
        found += check_form(value)
    if all(finding.code != refusal.code for finding in found):
        found.insert(0, Finding(refusal.code, "", str(refusal), refusal.hint))
    kept = str(source.path)
    return FindingsFound(finding_dicts(found), hint=kept_hint(kept), kept=kept)


def _read_toml(raw: bytes, source: Source) -> object:
    try:
        return plain_json(tomllib.loads(raw.decode("utf-8")))
    except UnicodeDecodeError as exc:
        raise _broken("not-utf8", "The text is not UTF-8.", "Save it as UTF-8.", source) from exc
    except tomllib.TOMLDecodeError as exc:
        hint = "Look at that line; texts stand in quotes, lists in square brackets."
        raise _broken("not-toml", f"The text is not TOML: {exc}.", hint, source) from exc
    except (RecursionError, ValueError, OverflowError) as exc:
        raise _broken(
            "too-deep", "The text is nested too deeply or holds a number beyond all bounds.", "", source
        ) from exc


def _broken(code: str, message: str, hint: str, source: Source) -> FindingsFound:
    kept = str(source.path)
    finding = {"code": code, "path": "", "message": message, "hint": hint, "level": "error"}
    return FindingsFound([finding], hint=kept_hint(kept), kept=kept)


def draft_text(report_id: str, form: Mapping[str, Any]) -> bytes:
    """A form on its way as one JSON document, with the id that it will be filed under, once."""
    document = {"draft": 1, "id": report_id, "form": form}
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")


def without_blanks(form: Mapping[str, Any]) -> dict[str, Any]:
    """The form without the fields that were asked for and left empty."""
    return {name: value for name, value in form.items() if value not in ("", [], {})}


def read_draft(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the id and the form of a draft of ours; raise FileUnreadable for anything else."""
    try:
        found = json.loads(path.read_text("utf-8", "surrogatepass"))
    except OSError as exc:
        raise FileUnreadable(f"{path} cannot be read: {exc.strerror}.", hint="Check the name.") from exc
    except ValueError as exc:
        raise FileUnreadable(f"{path} is not a draft of `tocsin report new`.") from exc
    if not isinstance(found, dict) or set(found) != _DRAFT_KEYS or not isinstance(found["form"], dict):
        raise FileUnreadable(f"{path} is not a draft of `tocsin report new`.")
    return str(found["id"]), found["form"]
