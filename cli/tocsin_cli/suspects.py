"""The look for personal data and secrets on this machine: where nobody else can look yet.

The node decides what may leave. Here it is said early: in the editor, before an import is sent, when the node is
away. Nothing here prints what was found; see tocsin_schema.suspicion.
"""

from typing import TYPE_CHECKING, Any

from tocsin_cli.handin import Bundle, Form, finding_dicts

if TYPE_CHECKING:
    from tocsin_cli.output import Output

NAMES_ARE_NOT_FOUND = (
    "Names of persons in running text are mostly not found by a program: read what leaves, you answer for it."
)


def suspected(handed: Form | Bundle) -> list[dict[str, Any]]:
    """What was handed in and seems to be personal data or a secret, as findings; their paths are those of the text."""
    from tocsin_schema.suspicion import findings_of, suspicions, suspicions_of_form

    found = suspicions(handed.raw) if isinstance(handed, Bundle) else suspicions_of_form(handed.values)
    return finding_dicts(findings_of(found))


def warn_suspected(out: "Output", handed: Form | Bundle) -> bool:
    """Say what is suspected, whatever -q says; whether there was anything."""
    from tocsin_cli.output import findings_text

    found = suspected(handed)
    if found:
        out.warn(f"Personal data or secrets are suspected:\n{findings_text(found)}")
    return bool(found)
