"""Every exit code of `tocsin`, on one page.

A script may rely on these numbers: they are documented, tested and never given a second meaning.
"""

from enum import IntEnum


class Exit(IntEnum):
    """How a run of `tocsin` ended."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_VERIFIED = 4
    NOT_ALLOWED = 5
    FINDINGS = 6
    ATTENTION = 7
    BUG = 70
    INTERRUPTED = 130


MEANING = {
    Exit.DONE: "done",
    Exit.REFUSED: "the node refused; its code is printed",
    Exit.USAGE: "the command line, a setting or a file here is wrong",
    Exit.UNREACHABLE: "the node cannot be reached now; try again",
    Exit.NOT_VERIFIED: "a signature, a proof or a certificate does not hold",
    Exit.NOT_ALLOWED: "the token is missing, unknown or lacks the scope, or the report is not ours",
    Exit.FINDINGS: "there are findings in the report",
    Exit.ATTENTION: "nothing failed, but something needs a person; it is printed",
    Exit.BUG: "a fault of ours",
    Exit.INTERRUPTED: "interrupted",
}
