"""What can go wrong at the command line, each with its code, its advice and its exit code.

The first line of a class docstring is the message unless one is given. `code` is stable; `hint` says what
to do next. Nothing here ever carries a token or an invite.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin_cli.exits import Exit


class CliError(Exception):
    """The command could not be carried out."""

    code: str = "refused"
    hint: str = ""
    exit: Exit = Exit.REFUSED

    def __init__(self, message: str = "", *, code: str = "", hint: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().partition("\n")[0])
        self.code = code or type(self).code
        self.hint = hint or type(self).hint

    def extra(self) -> dict[str, Any]:
        """More members for the problem document; none for most."""
        return {}


class UsageFault(CliError):
    """The command line does not make sense."""

    code = "usage"
    exit = Exit.USAGE


class NodeUnknown(UsageFault):
    """It is not clear which node this is about."""

    code = "node-unknown"
    hint = "Name it with --dir DIR, or with --node URL and --token-file FILE; see tocsin --help for the rest."


class SettingBroken(UsageFault):
    """A settings file cannot be used."""

    code = "setting-broken"


class TokenMissing(UsageFault):
    """There is no token for this node."""

    code = "token-missing"
    hint = "Give --token-file FILE; `tocsin token create` on the node's machine makes a token."


class TokenExposed(UsageFault):
    """Others on this machine can read the token file, so it is not used."""

    code = "token-exposed"


class ServerPartMissing(UsageFault):
    """This command runs on a node's own machine and needs the server packages, which are missing here."""

    code = "server-part-missing"
    hint = "Install them with: pip install 'tocsin[node,embedded]'"


class InputEnded(UsageFault):
    """The input ended before every question was answered."""

    code = "input-ended"


class FileUnreadable(UsageFault):
    """The file cannot be read."""

    code = "file-unreadable"


class FileExists(UsageFault):
    """The file is there already, and an export overwrites nothing by itself."""

    code = "file-exists"
    hint = "Name another file, or say --force."


class FileUnwritable(UsageFault):
    """The file cannot be written."""

    code = "file-unwritable"
    hint = "Check that its directory is there and yours."


class ExportIncomplete(CliError):
    """Reports that were asked for are not in the export."""

    code = "export-incomplete"


class Unreachable(CliError):
    """The node does not answer."""

    code = "node-unreachable"
    hint = "See whether it runs (`tocsin node run`) and whether the address is right; then try again."
    exit = Exit.UNREACHABLE


class NodeBusy(Unreachable):
    """The node answers, but cannot serve the request now."""

    code = "node-busy"
    hint = "Try again in a moment."

    def __init__(
        self, message: str = "", *, code: str = "", hint: str = "", retry_after_s: float = 0
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class NotVerified(CliError):
    """What the node showed does not hold."""

    code = "not-verified"
    exit = Exit.NOT_VERIFIED


class NotAllowed(CliError):
    """The node does not allow this with the token in use."""

    code = "not-allowed"
    hint = "Use a token with the scope named above; `tocsin token create` on the node's machine makes one."
    exit = Exit.NOT_ALLOWED


class MadeForAnotherNode(CliError):
    """The report was made for another node than the one named now."""

    code = "other-node"


class Refused(CliError):
    """The node refused the request."""

    code = "refused"

    def __init__(self, message: str = "", *, code: str = "", hint: str = "", status: int = 0) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status

    def extra(self) -> dict[str, Any]:
        """The HTTP status, when the node gave one."""
        return {"status": self.status} if self.status else {}


class AudienceEmpty(Refused):
    """TLP:RED goes to nobody who is not named, and nobody is named."""

    code = "audience-empty"
    hint = "Name who may have it: --to NAME, once for each; or keep it at your own node: --no-share."


class AnswerBroken(Refused):
    """The node's answer cannot be understood."""

    code = "answer-broken"
    hint = "Check with `tocsin --version` and the node's /healthz that both sides are of one release."


class WouldBeRefused(CliError):
    """It would be refused: personal data or secrets are suspected, and nobody is named who has looked."""

    code = "review-needed"
    hint = "Take them out, or name who has looked and takes it on: --reviewed-by NAME."
    exit = Exit.FINDINGS


class FindingsFound(CliError):
    """The report has findings that must be mended first."""

    code = "findings"
    exit = Exit.FINDINGS

    def __init__(
        self,
        findings: Sequence[Mapping[str, Any]],
        message: str = "",
        *,
        code: str = "",
        hint: str = "",
        kept: str = "",
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.findings = [dict(finding) for finding in findings]
        self.kept = kept

    def extra(self) -> dict[str, Any]:
        """All findings, and where the text is kept."""
        return {"findings": self.findings} | ({"kept": self.kept} if self.kept else {})


class Kept(CliError):
    """The report is not sent yet; it is kept here and will not be lost."""

    code = "report-kept"
    exit = Exit.UNREACHABLE

    def __init__(
        self, message: str = "", *, code: str = "", hint: str = "", report_id: str, path: str
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.report_id = report_id
        self.path = path

    def extra(self) -> dict[str, Any]:
        """The id the report will have, and the file that holds it."""
        return {"id": self.report_id, "kept": self.path}


class Interrupted(CliError):
    """Interrupted."""

    code = "interrupted"
    exit = Exit.INTERRUPTED
