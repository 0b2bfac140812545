"""What a person's device establishes about a partner before anything goes there: agreement, endings, live devices.

Nothing is taken from the platform's word: agreements carry both signatures, devices that of the partner's master key,
and each record relied upon is proven to be in the log. An ending counts even if it does not verify: it only closes.
"""

import logging
from dataclasses import dataclass
from typing import Any

from paraph.protocol.agreement import Agreement, agreement_in_force, verify_agreement
from paraph.protocol.base64 import unb64
from paraph.protocol.entry import public_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import partner_user_id
from paraph.protocol.partner_device import verify_partner_device
from paraph.sdk.engine.model import Peer
from paraph.sdk.errors import IdentityChangedError, TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.logview import LogView
from paraph.sdk.transport import PARAPH, Transport, path

log = logging.getLogger(__name__)

TABLE = "partner-master"


@dataclass(frozen=True, slots=True)
class Trust:
    """What a device pins of a platform: the log's verifier key (vkey text), the operator's Ed25519 key (base64), and
    the log's witness policy (C2SP tlog-policy text; None: not pinned yet, and nothing is shared with partners).
    """

    log_vkey: str
    operator_key: str
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class PartnerInfo:
    """A partner whose agreements verify. `leaves` gives the log leaf of each agreement by its hash."""

    slug: str
    name: str
    user_id: str
    master_key: str
    agreements: tuple[Agreement, ...]
    ended: frozenset[str]
    devices: tuple[tuple[Peer, int, int, bytes], ...]
    leaves: dict[str, bytes]

    def agreement(self, hash_: str) -> Agreement | None:
        """The version with that hash."""
        return next((a for a in self.agreements if a.hash == hash_), None)

    def in_force(self, at: int) -> Agreement | None:
        """The newest version, if it has begun, not run out and not been ended."""
        current = agreement_in_force(self.agreements, at)
        return None if current is None or current.hash in self.ended else current


class Partners:
    """The public records about partners, as verified by one device."""

    def __init__(
        self, transport: Transport, records: Records, log_view: LogView, trust: Trust, server_name: str
    ) -> None:
        self._transport = transport
        self._records = records
        self._log = log_view
        self._trust = trust
        self._server_name = server_name

    async def all(self) -> list[PartnerInfo]:
        """Every partner whose records verify; the others are left out, with a warning in the log file."""
        answer = await self._transport.json("GET", f"{PARAPH}/partners")
        found = []
        for listed in answer.get("partners", []):
            try:
                found.append(self._read(listed))
            except TrustError as error:
                log.warning("a partner's records do not check: %s", error)
        return found

    async def get(self, slug: str) -> PartnerInfo:
        """The partner's records, signatures checked. Raises TrustError, IdentityChangedError."""
        info = self._read(await self._transport.json("GET", path(PARAPH + "/partners/{}", slug)))
        if info.slug != slug:
            raise TrustError(f"asked for partner {slug}, got {info.slug}")
        return info

    async def prove_agreement(self, info: PartnerInfo, agreement: Agreement) -> None:
        """Check that the agreement is in the log. Raises LogError."""
        await self._log.prove(info.leaves[agreement.hash])

    async def live_devices(self, info: PartnerInfo, at: int) -> tuple[Peer, ...]:
        """The partner's devices that are valid at `at` (milliseconds), not ended, and in the log. Raises LogError."""
        peers = []
        for peer, created, expires, leaf in info.devices:
            if created <= at < expires:
                await self._log.prove(leaf)
                peers.append(peer)
        return tuple(peers)

    def pin(self, info: PartnerInfo) -> None:
        """Pin the partner's master key, or check it. Raises IdentityChangedError."""
        pinned = self._records.get(TABLE, info.slug, str)
        if pinned is None:
            with self._records.step():
                self._records.put(TABLE, info.slug, info.master_key)
        elif pinned != info.master_key:
            raise IdentityChangedError(f"partner {info.slug} shows another master key than the pinned one")

    def _read(self, listed: Any) -> PartnerInfo:
        try:
            return self._checked(listed)
        except (ProtocolError, KeyError, TypeError, AttributeError) as error:
            raise TrustError(f"the partner's records do not check: {error}") from error

    def _checked(self, listed: dict[str, Any]) -> PartnerInfo:
        slug, master = listed["slug"], listed["master_key"]
        unb64(master, 32)
        agreements, leaves = [], {}
        for record in listed["agreements"]:
            agreement = verify_agreement(
                record["document"],
                server_name=self._server_name,
                operator_key=self._trust.operator_key,
                master_key=master,
            )
            leaves[agreement.hash] = _leaf(record, "agreement", slug)
            agreements.append(agreement)
        ended = frozenset(record["document"]["agreement_hash"] for record in listed["endings"])
        gone = {record["document"]["device_id"] for record in listed["device_endings"]}
        devices = [
            self._device(record, slug, master)
            for record in listed["devices"]
            if record["document"]["device_keys"]["device_id"] not in gone
        ]
        user_id = partner_user_id(slug, self._server_name)
        return PartnerInfo(slug, listed["name"], user_id, master, tuple(agreements), ended, tuple(devices), leaves)

    def _device(self, record: dict[str, Any], slug: str, master: str) -> tuple[Peer, int, int, bytes]:
        device = verify_partner_device(record["document"], server_name=self._server_name, master_key=master)
        keys = device.device_keys
        peer = Peer(keys.user_id, keys.device_id, keys.curve25519, keys.ed25519)
        return peer, device.created, device.expires, _leaf(record, "partner-device", slug)


def _leaf(record: dict[str, Any], kind: str, slug: str) -> bytes:
    if (record["kind"], record["partner"]) != (kind, slug) or record["document"]["partner"] != slug:
        raise TrustError(f"expected a record of kind {kind} about {slug}")
    return public_leaf(kind, slug, record["ts"], record["document"])
