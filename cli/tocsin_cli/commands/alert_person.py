"""Who sits here, for commands that a named person gives."""

import getpass


def name_here() -> str:
    """Your name on this machine; empty where there is none, as in some containers: the node takes the token's."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
