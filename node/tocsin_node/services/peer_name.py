"""What a peer may be called here. A name stands in addresses, in commands and under FROM, so it must mislead nobody.

The name that a peer claims for itself is a stranger's word: it becomes our name for it only if it is fit, and
otherwise the operator has to choose one.
"""

import re
import unicodedata

from tocsin_node.errors import NodeError

NAME_MAX = 60
RESERVED = frozenset({"us", "me", "ours", "self", "all", "nobody", "none", "invites", "join"})
SHORT = 4  # in names below this length letters that look like others would make a reserved word
_NODE_ID = re.compile(r"n1[a-z2-7]{52}")
_SLUG_MAX = 40


class NameUnfit(NodeError):
    """A peer cannot be called that."""

    code = "name-unfit"
    hint = "Choose another name: letters, digits and hyphens, such as alder-hospital."


def check_name(name: str) -> None:
    """Return when a peer may be called `name`.

    All of this must hold, in this order:

    1. it has 1 to 60 characters, all printable, and no space at its ends;
    2. it does not start with a hyphen, which commands take for an option;
    3. it has no slash or backslash and is not `.` or `..`, which are ways through addresses;
    4. it is no reserved word such as `us`, however it is written, and a short one has no look-alike letters;
    5. it is not in the form of a NodeID, which names a node already.

    Raises: NameUnfit with the first that fails.
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    if not name or len(name) > NAME_MAX or not name.isprintable() or name.strip() != name:
        raise NameUnfit(f"A peer's name has 1 to {NAME_MAX} printable characters and no space at its ends.")
    if plain.startswith("-"):
        raise NameUnfit("A peer's name does not start with a hyphen.")
    if set(plain) & {"/", "\\"} or plain in {".", ".."}:
        raise NameUnfit("A peer's name has no slash and is not made of dots.")
    if plain in RESERVED or (len(plain) < SHORT and any(_cased_foreign(c) for c in plain)):
        raise NameUnfit(f"{name!r} could be taken for a word that has a meaning of its own.")
    if _NODE_ID.fullmatch(plain):
        raise NameUnfit("A peer's name is not in the form of a NodeID.")


def suggested(claim: str, node_id: str) -> str:
    """A fit name like `claim`, what a peer calls itself; one from its NodeID when there is none."""
    ascii_only = unicodedata.normalize("NFKD", claim).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_only)[:_SLUG_MAX].strip("-")
    try:
        check_name(slug)
    except NameUnfit:
        return f"peer-{node_id[2:10]}"
    return slug


def _cased_foreign(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character) in {"Ll", "Lu", "Lt", "Lm"}
