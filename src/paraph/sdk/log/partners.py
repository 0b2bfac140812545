"""What a person's device establishes about a partner before anything goes there: agreement, endings, live devices.

Nothing is taken from the platform's word. Agreements carry both signatures, devices that of the partner's master key.
Every leaf that the log has under the partner's public key of the map must be one of the records shown, so that no
ending can be in the log unseen; and what is relied upon must be one of these leaves. An ending counts even if it does
not verify, or is not in the log yet: it only closes.
"""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from paraph.protocol.agreement import Agreement, agreement_in_force, begins, extensions, verify_agreement
from paraph.protocol.base64 import unb64
from paraph.protocol.entry import public_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import partner_user_id
from paraph.protocol.limits import MAX_TIME, MERGE_DELAY_MS
from paraph.protocol.map_key import public_map_key
from paraph.protocol.partner_device import verify_partner_device
from paraph.sdk.engine.model import Peer
from paraph.sdk.errors import IdentityChangedError, LogError, TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.log.lateness import Lateness
from paraph.sdk.log.statements import Statements
from paraph.sdk.transport import PARAPH, Transport, path
from paraph.tlog.merkle import leaf_hash

log = logging.getLogger(__name__)

TABLE = "partner-master"
LISTS = ("agreements", "endings", "devices", "device_endings", "records")


@dataclass(frozen=True, slots=True)
class Trust:
    """What a device pins of a platform: the log's verifier key (vkey text), the operator's Ed25519 key (base64), and
    the log's witness policy (C2SP tlog-policy text; None: not pinned yet, and nothing is shared with partners).
    """

    log_vkey: str
    operator_key: str
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """A partner's device that its master key signed and no record ends; times are ms, `leaf` is its leaf hash."""

    peer: Peer
    created: int
    expires: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class PartnerInfo:
    """A partner whose agreements verify.

    `leaves` gives the leaf hash of each agreement by its document hash, `recorded` the time that the leaf names (ms),
    and `begins` when it takes effect: an extension no sooner than its predecessor's notice after it was recorded,
    whatever its `from` says. `shown` has the leaf hashes of all records that the platform shows.
    """

    slug: str
    name: str
    user_id: str
    master_key: str
    agreements: tuple[Agreement, ...]
    ended: frozenset[str]
    devices: tuple[ListedDevice, ...]
    leaves: dict[str, bytes]
    recorded: dict[str, int]
    begins: dict[str, int]
    shown: frozenset[bytes]

    @property
    def map_key(self) -> bytes:
        """The key of the map under which the log has everything about the partner."""
        return public_map_key(self.slug)

    @property
    def newest_leaf(self) -> bytes | None:
        """The leaf hash of the newest version of the agreement."""
        newest = max(self.agreements, key=lambda agreement: agreement.version, default=None)
        return None if newest is None else self.leaves[newest.hash]

    def agreement(self, hash_: str) -> Agreement | None:
        """The version with that hash."""
        return next((a for a in self.agreements if a.hash == hash_), None)

    @property
    def has_extensions(self) -> bool:
        """Whether some version had to be announced before it took effect."""
        by_hash = {agreement.hash: agreement for agreement in self.agreements}
        pairs = ((by_hash.get(agreement.predecessor or ""), agreement) for agreement in self.agreements)
        return any(before and before.notice_days and extensions(before, after) for before, after in pairs)

    def in_force(self, at: int) -> Agreement | None:
        """The newest version, if it has begun, not run out and not been ended."""
        current = agreement_in_force(self.agreements, at, lambda agreement: self.begins[agreement.hash])
        return None if current is None or current.hash in self.ended else current


@dataclass(frozen=True, slots=True)
class ProvenPartner:
    """A partner about whom the log has nothing that is not shown; `logged` are the leaf hashes it has."""

    info: PartnerInfo
    logged: frozenset[bytes]

    def check_agreement(self, agreement: Agreement) -> None:
        """Raises LogError for an agreement that is not in the log."""
        if self.info.leaves[agreement.hash] not in self.logged:
            raise LogError(f"version {agreement.version} of {self.info.slug}'s agreement is not in the log")

    def live_devices(self, at: int) -> tuple[Peer, ...]:
        """The devices that are in the log and valid at `at` (milliseconds)."""
        devices = (device for device in self.info.devices if device.leaf in self.logged)
        return tuple(device.peer for device in devices if device.created <= at < device.expires)


def proven(info: PartnerInfo, statements: Statements) -> ProvenPartner:
    """Hold what the platform shows against all that the log has. Raises LogError if the log has more."""
    logged = frozenset(statements.leaves(info.map_key))
    hidden = logged - info.shown
    if hidden:
        raise LogError(f"the log has {len(hidden)} records about {info.slug} that the platform does not show")
    return ProvenPartner(info, logged)


async def dated(
    partner: ProvenPartner, statements: Statements, transport: Transport, records: Records
) -> ProvenPartner:
    """The partner with its agreements' beginnings by the log's own time, where there is an extension to be judged.

    A leaf names its time itself, and could name an earlier one; the epoch that closed its batch cannot, by more than
    the merge delay. Raises LogError, SdkError.
    """
    info = partner.info
    if not info.has_extensions:
        return partner
    came = await Lateness(transport, records, statements.tree).came({info.map_key: statements.leaves(info.map_key)})
    times = {
        name: max(info.recorded[name], came[leaf].time - MERGE_DELAY_MS if leaf in came else MAX_TIME)
        for name, leaf in info.leaves.items()
    }
    return replace(partner, info=replace(info, begins=_beginnings(info.agreements, times)))


class Partners:
    """The public records about partners, as verified by one device."""

    def __init__(self, transport: Transport, records: Records, trust: Trust, server_name: str) -> None:
        self._transport = transport
        self._records = records
        self._trust = trust
        self._server_name = server_name
        self._known: dict[str, tuple[int, frozenset[bytes], PartnerInfo]] = {}

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

    async def current(self, slug: str, version: int, leaves: Collection[bytes]) -> PartnerInfo:
        """The partner's records as of a version of the grants, when the log had these leaves about it.

        They are fetched again when either has changed: an ending makes the version larger before it is in the log.
        """
        known = self._known.get(slug)
        if known is None or known[:2] != (version, frozenset(leaves)):
            known = self._known[slug] = version, frozenset(leaves), await self.get(slug)
        return known[2]

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
        # By what each record is, whichever list the platform shows it in: an ending among others is an ending.
        records: dict[str, list[_Record]] = {}
        for record in _records(listed, slug):
            records.setdefault(record.kind, []).append(record)
        agreements = {
            record.leaf: self._agreement(record.document, slug, master) for record in records.get("agreement", [])
        }
        times = {agreements[record.leaf].hash: record.ts for record in records.get("agreement", [])}
        gone = {record.document["device_id"] for record in records.get("partner-device-ended", [])}
        return PartnerInfo(
            slug,
            listed["name"],
            partner_user_id(slug, self._server_name),
            master,
            tuple(agreements.values()),
            frozenset(record.document["agreement_hash"] for record in records.get("agreement-ended", [])),
            tuple(
                self._device(record.document, slug, master, record.leaf)
                for record in records.get("partner-device", [])
                if record.document["device_keys"]["device_id"] not in gone
            ),
            {agreement.hash: leaf for leaf, agreement in agreements.items()},
            times,
            _beginnings(agreements.values(), times),
            frozenset(record.leaf for made in records.values() for record in made),
        )

    def _agreement(self, document: dict[str, Any], slug: str, master: str) -> Agreement:
        agreement = verify_agreement(
            document, server_name=self._server_name, operator_key=self._trust.operator_key, master_key=master
        )
        if agreement.partner != slug:
            raise TrustError(f"expected an agreement with {slug}")
        return agreement

    def _device(self, document: dict[str, Any], slug: str, master: str, leaf: bytes) -> ListedDevice:
        device = verify_partner_device(document, server_name=self._server_name, master_key=master)
        keys = device.device_keys
        if device.partner != slug:
            raise TrustError(f"expected a device of {slug}")
        peer = Peer(keys.user_id, keys.device_id, keys.curve25519, keys.ed25519)
        return ListedDevice(peer, device.created, device.expires, leaf)


@dataclass(frozen=True, slots=True)
class _Record:
    """A record that is shown: `ts` is the time (ms) that its leaf names, `leaf` the leaf's hash."""

    kind: str
    ts: int
    document: dict[str, Any]
    leaf: bytes


def _records(listed: dict[str, Any], slug: str) -> Iterator[_Record]:
    """Every record that is shown."""
    for record in (record for name in LISTS for record in listed[name]):
        if record["partner"] != slug:
            raise TrustError(f"expected a record about {slug}")
        kind, ts, document = record["kind"], record["ts"], record["document"]
        yield _Record(kind, ts, document, leaf_hash(public_leaf(kind, slug, ts, document)))


def _beginnings(agreements: Iterable[Agreement], recorded: Mapping[str, int]) -> dict[str, int]:
    """When each version takes effect, by its hash; of one whose predecessor is not shown, never."""
    by_hash = {agreement.hash: agreement for agreement in agreements}
    found = {}
    for name, agreement in by_hash.items():
        before = by_hash.get(agreement.predecessor or "")
        known = before is not None or agreement.predecessor is None
        found[name] = begins(agreement, before, recorded[name]) if known else MAX_TIME
    return found
