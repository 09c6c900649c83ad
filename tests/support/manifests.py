"""Circles for tests: people with keys, who sign manifests together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tocsin_federation.circle import (
    Circle,
    Manifest,
    draft,
    restore_circle,
    sign_manifest,
    write_file,
)
from tocsin_federation.keys import generate, public_of
from tocsin_schema.marking import Tlp


@dataclass
class Founders:
    """Admins (private keys), of whom `threshold` must sign, and the chain that they have signed so far."""

    threshold: int = 2
    admins: list[bytes] = field(default_factory=lambda: [generate(os.urandom) for _ in range(3)])
    chain: list[bytes] = field(default_factory=list)
    name: str = "Vigil"

    @property
    def circle(self) -> Circle:
        """What is signed so far; not verified."""
        return restore_circle(self.chain)

    @property
    def file(self) -> bytes:
        """The circle's file."""
        return write_file(self.chain)

    def manifest(
        self,
        members: Sequence[str],
        *,
        max_tlp: Tlp = Tlp.AMBER,
        admins: Sequence[bytes] | None = None,
        now: datetime | None = None,
        days: int = 90,
        **changes: object,
    ) -> Manifest:
        """The next manifest."""
        at = int((now or datetime.now(UTC)).timestamp())
        before = self.circle if self.chain else None
        fields: dict[str, object] = {
            "v": 1,
            "circle": before.id if before else None,
            "epoch": before.epoch + 1 if before else 0,
            "prev": before.digests[-1] if before else None,
            "name": self.name,
            "members": tuple(sorted(members)),
            "admins": tuple(sorted(map(public_of, self.admins if admins is None else admins))),
            "threshold": self.threshold,
            "max_tlp": max_tlp,
            "iat": at,
            "exp": at + int(timedelta(days=days).total_seconds()),
            **changes,
        }
        return Manifest(**fields)  # type: ignore[arg-type]  # the fields of the form, by name

    def signed(self, manifest: Manifest, by: Sequence[bytes] | None = None) -> bytes:
        """The envelope of a manifest, signed by those keys; by enough admins unless said otherwise."""
        raw = draft(manifest)
        for key in self.admins[: self.threshold] if by is None else by:
            raw = sign_manifest(raw, key)
        return raw

    def next(self, members: Sequence[str], **fields: object) -> bytes:
        """Sign the next epoch with these members; the circle's file."""
        self.chain.append(self.signed(self.manifest(members, **fields)))  # type: ignore[arg-type]
        return self.file
