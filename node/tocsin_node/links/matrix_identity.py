"""The bot's cross-signing identity: what tells people that a device is the bot's own.

Three keys, made once, kept by the homeserver in a form that only the recovery key opens (secret storage). The
recovery key is a file of the node's. Whoever holds it can sign devices in the bot's name; nothing else needs it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mautrix.crypto.cross_signing_key import CrossSigningSeeds
from mautrix.crypto.signature import sign_olm
from mautrix.crypto.ssss import Machine as SecretStorage
from mautrix.errors import MNotFound
from mautrix.types import CrossSigningKeys, CrossSigningUsage, EventType, KeyID, TrustState

from tocsin_node.errors import SecretError
from tocsin_node.links import matrix_answers as answers
from tocsin_node.links.matrix_answers import mapping
from tocsin_node.links.matrix_crypto import Ask, Machine, Refused, client_of
from tocsin_node.links.transport import ChannelDown

UNSIGNED = ChannelDown(
    "device-not-verified",
    "The bot's device is not signed by the bot's own identity, so that clients warn of it, or show nothing. "
    "`tocsin matrix login` mends that; where the bot was set up with another client, put its recovery key into "
    "keys/matrix-recovery-key.",
)


async def sign_device(machine: Machine, read_recovery_key: Callable[[], str]) -> ChannelDown | None:
    """See to it that the machine's device is signed; returns UNSIGNED where it cannot be.

    Raises: Refused.
    """
    await machine.look_up([machine.client.mxid])
    trust = await machine.resolve_trust(machine.own_identity, allow_fetch=False)
    if trust >= TrustState.CROSS_SIGNED_UNTRUSTED:
        return None
    try:
        await machine.verify_with_recovery_key(read_recovery_key())
    except (SecretError, MNotFound, ValueError):  # none, none there, or not the one that belongs to it
        return UNSIGNED
    return None


class Identity:
    """The identity as the command line makes it: it has the password, and no device's keys."""

    def __init__(self, ask: Ask, user_id: str) -> None:
        self._client = client_of(ask, user_id)
        self._storage = SecretStorage(self._client)

    async def exists(self) -> bool:
        """Whether the homeserver has one.

        Raises: Refused.
        """
        me = self._client.mxid
        found = await self._client.query_keys([me])
        return me in found.master_keys

    async def opens(self, recovery_key: str) -> bool:
        """Whether the identity there is opened by this key.

        Raises: Refused.
        """
        storage = self._storage
        try:
            key_id, data = await storage.get_default_key_data()
            key = data.verify_recovery_key(key_id, recovery_key)
            await storage.get_decrypted_account_data(EventType.CROSS_SIGNING_SELF_SIGNING, key)
        except (MNotFound, ValueError):
            return False
        return True

    async def make(self, password: str, keep: Callable[[str], None]) -> None:
        """Make one, in the place of any other. `keep` is given the recovery key before anything depends on it.

        Raises: Refused.
        """
        storage = self._storage
        seeds = CrossSigningSeeds.generate()
        key = await storage.generate_and_upload_key()
        keep(key.recovery_key)
        for event_type, seed in zip(
            (
                EventType.CROSS_SIGNING_MASTER,
                EventType.CROSS_SIGNING_SELF_SIGNING,
                EventType.CROSS_SIGNING_USER_SIGNING,
            ),
            seeds,
            strict=True,
        ):
            await storage.set_encrypted_account_data(event_type, seed, key)
        await self._publish(_public(self._client.mxid, seeds), password)
        await storage.set_default_key_id(key.id)

    async def _publish(self, keys: dict[CrossSigningUsage, CrossSigningKeys], password: str) -> None:
        try:
            await self._client.upload_cross_signing_keys(keys=keys)
        except Refused as exc:
            session = _session(exc)
            if session is None:
                raise
            await self._client.upload_cross_signing_keys(
                keys=keys,
                auth={
                    "type": "m.login.password",
                    "identifier": {"type": "m.id.user", "user": self._client.mxid},
                    "password": password,
                    "session": session,
                },
            )


def _session(refused: Refused) -> str | None:
    """The session of a request that wants the password (401 with flows), else None."""
    answer = refused.answer
    if answer is None or answer.status != 401 or answers.mapping(answer.body).get("flows") is None:
        return None
    session = mapping(answer.body).get("session")
    return session if isinstance(session, str) else None


def _public(user: str, seeds: CrossSigningSeeds) -> dict[CrossSigningUsage, CrossSigningKeys]:
    """The public halves, each signed by the first (Matrix client-server API, cross-signing)."""
    private = seeds.to_keys()
    named: Mapping[CrossSigningUsage, Any] = {
        CrossSigningUsage.MASTER: private.master_key,
        CrossSigningUsage.SELF: private.self_signing_key,
        CrossSigningUsage.USER: private.user_signing_key,
    }
    public: dict[CrossSigningUsage, CrossSigningKeys] = {}
    for usage, key in named.items():
        made = CrossSigningKeys(
            user_id=user,
            usage=[usage],
            keys={KeyID.ed25519(key.public_key): key.public_key},
        )
        if usage is not CrossSigningUsage.MASTER:
            master = private.master_key
            made.signatures = {user: {KeyID.ed25519(master.public_key): sign_olm(made, master)}}
        public[usage] = made
    return public
