"""The data keys of entries, kept so that the node can show what it said and what it was told.

A data key opens one entry. It stands in the database locked by a key that is a file (DIR/keys/data, or a systemd
credential) and no row: a dump of the database alone shows nothing, and where the locked key is deleted nothing is
left that could open the entry.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.secret import Aead

from tocsin_node.errors import NodeError, SecretError
from tocsin_node.passphrase import Passphrase, decode_key, encode_key
from tocsin_node.secrets import KEYS_DIRECTORY, read_secret, write_secret_file

NAME = "data"
KEY_BYTES = 32
_NAME_BYTES = 8
_TAG_PERSON = b"tocsin/erased"


class DataKeyLost(NodeError):
    """The data key of an entry cannot be unlocked any more."""

    code = "data-key-lost"
    hint = "Restore keys/data from the backup that belongs to this database; a proof without --disclose needs none."


class DataKeys:
    """Locks and unlocks. `key`: 32 bytes.

    A locked key is the first 8 bytes of SHA-256(key), then nonce (24) and XChaCha20-Poly1305 of the data key, bound
    to the entry's leaf hash: 80 bytes.
    """

    def __init__(self, key: bytes, rng: Callable[[int], bytes]) -> None:
        self._box = Aead(key)
        self._name = hashlib.sha256(key).digest()[:_NAME_BYTES]
        self._rng = rng
        self._tag_key = hashlib.blake2b(key=key, person=_TAG_PERSON).digest()

    def tag(self, what: bytes) -> bytes:
        """A name (32 bytes) of what is gone, such as an erased report: only who has this node's key can try it out."""
        return hashlib.blake2b(what, digest_size=32, key=self._tag_key).digest()

    def lock(self, leaf_hash: bytes, data_key: bytes) -> bytes:
        """The data key of the entry as it may stand in the database."""
        return self._name + bytes(self._box.encrypt(data_key, leaf_hash, self._rng(Aead.NONCE_SIZE)))

    def unlock(self, leaf_hash: bytes, locked: bytes) -> bytes:
        """The data key of the entry.

        Raises: DataKeyLost when another key locked it, or it was altered.
        """
        try:
            if locked[:_NAME_BYTES] == self._name:
                return self._box.decrypt(locked[_NAME_BYTES:], leaf_hash)
        except CryptoError:
            pass
        raise DataKeyLost("The key that opens this entry is locked by another key than keys/data.")


def load_data_keys(
    directory: Path, rng: Callable[[int], bytes], passphrase: Passphrase | None = None
) -> DataKeys:
    """The lock of the node in `directory`; made when there is none yet.

    Raises: SecretError.
    """
    try:
        key = decode_key(NAME, read_secret(directory, NAME), passphrase)
    except SecretError:
        if (directory / KEYS_DIRECTORY / NAME).exists():
            raise
        key = rng(KEY_BYTES)
        write_secret_file(directory / KEYS_DIRECTORY / NAME, encode_key(NAME, key, passphrase).decode())
    if len(key) != KEY_BYTES:
        raise SecretError(f"The key keys/{NAME} is damaged: it has to be {KEY_BYTES} bytes.")
    return DataKeys(key, rng)
