"""Private keys at rest under a passphrase: Argon2id makes a key of it, XChaCha20-Poly1305 locks each private key.

A locked key is one line of JSON; binary values are base64:

    {"v":1,"name":"http","kdf":"argon2id","ops":3,"mem":268435456,"salt":"16 bytes","box":"nonce (24), locked key"}

The key's name is authenticated, so a locked key cannot be put in another's place. Keys of one directory share a salt:
the passphrase is stretched once (about a second, 256 MiB), not once for each.
"""

import base64
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from nacl import pwhash
from nacl.exceptions import CryptoError
from nacl.secret import Aead

from tocsin_node.errors import SecretError
from tocsin_node.secrets import CREDENTIALS, SECRET_MAX_BYTES, read_secret_file

CREDENTIAL = "key-passphrase"
LEAST_CHARACTERS = 12
OPS, MEM_BYTES = pwhash.argon2id.OPSLIMIT_MODERATE, pwhash.argon2id.MEMLIMIT_MODERATE
MOST_OPS, MOST_MEM_BYTES = 64, 2 * 1024**3  # what a file may ask of whoever opens it


class KeyLocked(SecretError):
    """The private keys are locked by a passphrase."""

    code = "key-locked"
    hint = "Give the passphrase: --passphrase-file FILE, --passphrase-fd N, or the systemd credential key-passphrase."


class PassphraseWrong(SecretError):
    """The passphrase does not open this key."""

    code = "passphrase-wrong"
    hint = "Give the passphrase that this key was locked with; an offline key may be older than the node's passphrase."


class PassphraseWeak(SecretError):
    """The passphrase is too short."""

    code = "passphrase-weak"
    hint = f"Take at least {LEAST_CHARACTERS} characters, such as five or six random words."


class LockedKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A private key as it lies on the disk."""

    v: Literal[1]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    kdf: Literal["argon2id"]
    ops: Annotated[int, Meta(ge=1, le=MOST_OPS)]
    mem: Annotated[int, Meta(ge=8192, le=MOST_MEM_BYTES)]
    salt: Annotated[bytes, Meta(min_length=pwhash.argon2id.SALTBYTES, max_length=pwhash.argon2id.SALTBYTES)]
    box: Annotated[bytes, Meta(min_length=Aead.NONCE_SIZE + Aead.MACBYTES + 1, max_length=1024)]


class Passphrase:
    """Locks and unlocks private keys. `ops`, `mem_bytes`: Argon2id's cost of what is locked from now on."""

    def __init__(
        self,
        text: str,
        *,
        rng: Callable[[int], bytes] = os.urandom,
        ops: int = OPS,
        mem_bytes: int = MEM_BYTES,
    ) -> None:
        if not text:
            raise SecretError("The passphrase is empty.")
        self._secret = text.encode()
        self._rng = rng
        self._cost = (ops, mem_bytes)
        self._boxes: dict[tuple[bytes, int, int], Aead] = {}
        self._strong = len(text) >= LEAST_CHARACTERS

    def __repr__(self) -> str:
        return "Passphrase(…)"

    def lock(self, name: str, private: bytes) -> bytes:
        """The file of the key called `name`. Raises: PassphraseWeak."""
        if not self._strong:
            raise PassphraseWeak
        known = next((of for of in self._boxes if of[1:] == self._cost), None)
        of = known or (self._rng(pwhash.argon2id.SALTBYTES), *self._cost)
        box = bytes(self._box(of).encrypt(private, name.encode(), self._rng(Aead.NONCE_SIZE)))
        salt, ops, mem = of
        return msgspec.json.encode(LockedKey(1, name, "argon2id", ops, mem, salt, box)) + b"\n"

    def unlock(self, locked: LockedKey) -> bytes:
        """The private key. Raises: PassphraseWrong."""
        box = self._box((locked.salt, locked.ops, locked.mem))
        try:
            return box.decrypt(locked.box, locked.name.encode())
        except CryptoError as exc:
            raise PassphraseWrong(f"The passphrase does not open the key {locked.name}.") from exc

    def _box(self, of: tuple[bytes, int, int]) -> Aead:
        if of not in self._boxes:
            salt, ops, mem = of
            self._boxes[of] = Aead(pwhash.argon2id.kdf(Aead.KEY_SIZE, self._secret, salt, ops, mem))
        return self._boxes[of]


def is_locked(content: bytes) -> bool:
    """Whether a key file's content is locked by a passphrase."""
    return content.lstrip().startswith(b"{")


def encode_key(name: str, private: bytes, passphrase: Passphrase | None = None) -> bytes:
    """The content of the key file `name`: one line of base64, or locked where there is a passphrase."""
    return passphrase.lock(name, private) if passphrase else base64.b64encode(private) + b"\n"


def decode_key(name: str, content: bytes, passphrase: Passphrase | None = None) -> bytes:
    """The private key in a key file.

    Raises: SecretError; KeyLocked without a passphrase, PassphraseWrong.
    """
    if not is_locked(content):
        try:
            return base64.b64decode(content.strip(), validate=True)
        except ValueError as exc:
            raise SecretError(f"The key {name} is damaged: it is not base64.") from exc
    try:
        locked = msgspec.json.decode(content, type=LockedKey)
    except msgspec.DecodeError as exc:
        raise SecretError(f"The key {name} is damaged, or locked in a way that is not known here.") from exc
    if locked.name != name:
        raise SecretError(f"Where the key {name} should be lies the key {locked.name}.")
    if passphrase is None:
        raise KeyLocked(f"The key {name} is locked by a passphrase.")
    return passphrase.unlock(locked)


def read_passphrase(
    *, file: Path | None = None, descriptor: int | None = None, environment: Mapping[str, str] | None = None
) -> Passphrase | None:
    """The passphrase from an open descriptor, else an owner-only file, else the systemd credential, or None.

    Never from an argument or the environment, which others can see. White space at its ends is no part of it.

    Raises: SecretError.
    """
    credentials = (os.environ if environment is None else environment).get(CREDENTIALS)
    if descriptor is not None:
        raw = _drain(descriptor)
    elif file is not None:
        raw = read_secret_file(file)
    elif credentials and (Path(credentials) / CREDENTIAL).is_file():
        raw = (Path(credentials) / CREDENTIAL).read_bytes()
    else:
        return None
    try:
        return Passphrase(raw.decode().strip())
    except UnicodeDecodeError as exc:
        raise SecretError("The passphrase is not UTF-8.") from exc


def _drain(descriptor: int) -> bytes:
    try:
        with os.fdopen(descriptor, "rb") as stream:
            return stream.read(SECRET_MAX_BYTES)
    except OSError as exc:
        raise SecretError(f"The passphrase cannot be read from descriptor {descriptor}.") from exc
