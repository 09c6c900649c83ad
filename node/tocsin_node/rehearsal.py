"""The whole ceremony on a copy, so that nobody holds it for the first time on the day that it counts.

The copy stands in a directory of its own that is gone afterwards; the node, its keys and the root key stay as they are.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tocsin_federation.identity import verify_chain
from tocsin_node.health import utc_now
from tocsin_node.identity_files import (
    IDENTITY_DIRECTORY,
    OFFLINE_DIRECTORY,
    load_identity,
    next_root_name,
    read_chain,
)
from tocsin_node.passphrase import Passphrase
from tocsin_node.rotation import Change, NextRoot, RootKey, Rotated, rotate
from tocsin_node.secrets import KEYS_DIRECTORY
from tocsin_node.settings.loading import FILE_NAME


def rehearse(
    directory: Path,
    *,
    root: RootKey | None = None,
    change: Change | None = None,
    passphrase: Passphrase | None = None,
    now: Callable[[], datetime] = utc_now,
    rng: Callable[[int], bytes] = os.urandom,
) -> Rotated:
    """Hold the ceremony on a copy and look at the outcome as a peer and as the node itself would; what came of it.

    That it returns says that the root key is the right one. Raises: as `rotate`.
    """
    chain = read_chain(directory)
    held = verify_chain(chain, expected=None, now=None)
    root = root or RootKey.at(directory / OFFLINE_DIRECTORY / next_root_name(len(chain)))
    copy = Path(tempfile.mkdtemp(prefix="tocsin-rehearsal-"))  # mode 0700
    try:
        shutil.copy2(directory / FILE_NAME, copy / FILE_NAME)
        for name in (KEYS_DIRECTORY, IDENTITY_DIRECTORY):
            shutil.copytree(directory / name, copy / name)
        (copy / OFFLINE_DIRECTORY).mkdir(mode=0o700)
        made = rotate(
            copy,
            root=replace(root, file=None),
            change=change,
            to=NextRoot(copy / OFFLINE_DIRECTORY / next_root_name(len(chain) + 1)),
            passphrase=passphrase,
            now=now,
            rng=rng,
        )
        verify_chain(made.identity.chain, expected=held.node_id, now=now(), known=held)
        load_identity(copy, passphrase)
        assert made.next_root is not None
        RootKey.at(made.next_root).private(len(chain) + 1, passphrase)
        return replace(made, next_root=None)
    finally:
        shutil.rmtree(copy)
