"""The look for personal data and secrets on this machine: where nobody else can look yet.

The node decides what may leave. Here it is said early: in the editor, before an import is sent, when the node is
away. Nothing here prints what was found; see tocsin_schema.suspicion.
"""

from typing import TYPE_CHECKING, Any

from tocsin_cli.errors import UsageFault
from tocsin_cli.handin import Bundle, Form, finding_dicts

if TYPE_CHECKING:
    from tocsin_cli.output import Output

STAYS = "; it stays at your node, so nothing is refused. `tocsin report redact ID` makes a version without it"
_MOST_NAME = 200
NAMES_ARE_NOT_FOUND = (
    "Names of persons in running text are mostly not found by a program: read what leaves, you answer for it."
)


Handed = Form | Bundle | bytes


def suspected(handed: Handed) -> list[dict[str, Any]]:
    """What was handed in (a bundle may be its bytes) and seems to be personal data or a secret, as findings.

    Their paths are those of the text.
    """
    from tocsin_schema.suspicion import findings_of, suspicions, suspicions_of_form

    if isinstance(handed, Form):
        found = suspicions_of_form(handed.values)
    else:
        found = suspicions(handed.raw if isinstance(handed, Bundle) else handed)
    return finding_dicts(findings_of(found))


def warn_suspected(out: "Output", handed: Handed, *, much: str = "") -> bool:
    """Say what is suspected, whatever -q says; whether there was anything.

    `much`: what that means here, in place of the advice for what is about to leave.
    """
    from tocsin_cli.output import findings_text

    found = suspected(handed)
    if much:
        found = [{**each, "hint": ""} for each in found]
    if found:
        out.warn(f"Personal data or secrets are suspected{much}:\n{findings_text(found)}")
    return bool(found)


def reviewer_named(name: str | None) -> str | None:
    """Who has looked, as a node would keep it. Raises: UsageFault for what is no name."""
    if name is None:
        return None
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > _MOST_NAME or not tidy.isprintable():
        raise UsageFault(
            f"Who has looked must be a name of 1 to {_MOST_NAME} characters.",
            code="reviewer-unnamed",
            hint="Give the name of the person who has looked and answers for it: --reviewed-by 'NAME'.",
        )
    return tidy
