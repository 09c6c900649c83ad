"""Why an emergency is not declared, updated or answered; each with what to do next."""

from tocsin_node.errors import NodeError


class EmergencyUnknown(NodeError):
    """There is no such emergency."""

    code = "emergency-unknown"
    hint = "`tocsin emergency list` shows those there are."


class NotCaller(NodeError):
    """Only who called the network may update the emergency or stand it down."""

    code = "not-caller"
    hint = "Ask them: `tocsin emergency show ID` says who. You can answer: `tocsin emergency answer ID`."


class NotAuthor(NodeError):
    """Only the author of a report may call the network about it."""

    code = "not-author"
    hint = (
        "Ring your own people alone with --local; tell the author with `tocsin report opinion ID --affected`."
    )


class AlreadyStoodDown(NodeError):
    """The emergency was stood down; that is final."""

    code = "already-stood-down"
    hint = "Declare a new one: `tocsin emergency declare REPORT`."


class CallDisputed(NodeError):
    """The node that is said to have called has ended the log that the call stands in, before it."""

    code = "call-disputed"
    hint = "Ask them; if it is so they call again. `tocsin report opinion REPORT` says it without a call."


class AlreadyDeclared(NodeError):
    """An emergency about this report is open."""

    code = "already-declared"
    hint = "`tocsin emergency update ID` tells more; `tocsin emergency list --open` shows it."


class PersonUnnamed(NodeError):
    """Who says so must be a name of 1 to 200 characters."""

    code = "person-unnamed"
    hint = "Give the name of the person who answers for it: --by 'NAME'."


class NobodyToCall(NodeError):
    """Nobody has the report who could be called about it."""

    code = "nobody-to-call"
    hint = "Share it first: `tocsin report share ID`; or ring your own people alone with --local."
