"""Putting a node's private keys under a passphrase, and taking them out again, in place.

Each file is replaced whole, so a power cut leaves some locked and some not; the node starts with the passphrase either
way, and the same command ends what was begun. Not touched: tokens and passwords of other systems (`matrix-token`,
`webhook-secret`, `mail-password`) and what systemd keeps as credentials.
"""

from pathlib import Path

from tocsin_node.data_keys import NAME as DATA
from tocsin_node.disk import Disk
from tocsin_node.identity_files import OFFLINE_DIRECTORY, ROLES, WAITING, load_identity, read_chain
from tocsin_node.passphrase import Passphrase, decode_key, encode_key, is_locked
from tocsin_node.secrets import KEYS_DIRECTORY, read_secret_file


def encrypt_keys(directory: Path, passphrase: Passphrase, disk: Disk | None = None) -> list[Path]:
    """Lock every private key of the node, and a next root key that lies in DIR/offline; the files that were not locked.

    Raises: NotInitialised, SecretError, PassphraseWeak, PassphraseWrong (some are locked by another one already).
    """
    read_chain(directory)
    files = key_files(directory)
    for file in files:  # all are read before one is changed
        decode_key(_name(file), read_secret_file(file), passphrase)
    return [file for file in files if _rewrite(file, passphrase, disk or Disk(), lock=True)]


def decrypt_keys(directory: Path, passphrase: Passphrase, disk: Disk | None = None) -> list[Path]:
    """Take every private key of the node out of the passphrase's lock; the files that were locked.

    Raises: as `encrypt_keys`.
    """
    load_identity(directory, passphrase)
    files = key_files(directory)
    for file in files:
        decode_key(_name(file), read_secret_file(file), passphrase)
    return [file for file in files if _rewrite(file, passphrase, disk or Disk(), lock=False)]


def locked_at_rest(directory: Path) -> bool:
    """Whether private keys of the node lie locked in its directory."""
    keys = directory / KEYS_DIRECTORY
    return any(file.parent == keys and is_locked(read_secret_file(file)) for file in key_files(directory))


def key_files(directory: Path) -> list[Path]:
    """The files in the node's directory that hold private keys of its own."""
    keys, offline = directory / KEYS_DIRECTORY, directory / OFFLINE_DIRECTORY
    named = [keys / f"{name}{end}" for name in (*ROLES, DATA) for end in ("", WAITING)]
    return [
        file
        for file in [*named, *sorted(keys.glob("enc-*")), *sorted(offline.glob("next-root-*"))]
        if file.is_file()
    ]


def _name(file: Path) -> str:
    return file.name.removesuffix(WAITING)


def _rewrite(file: Path, passphrase: Passphrase, disk: Disk, *, lock: bool) -> bool:
    content = read_secret_file(file)
    if is_locked(content) == lock:
        return False
    private = decode_key(_name(file), content, passphrase)
    disk.write(file, encode_key(_name(file), private, passphrase if lock else None))
    return True
