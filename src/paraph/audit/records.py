"""The public records of a log, by partner: agreements, their endings, partner devices, their endings, all verified.

Leaves are shuffled within an epoch, so an ending may stand before what it ends. Records are therefore gathered while
the log is replayed and verified together once it has been.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar

from paraph.audit.errors import BadRecord
from paraph.protocol.agreement import (
    Agreement,
    AgreementEnded,
    check_notice,
    check_successor,
    verify_agreement,
    verify_agreement_ended,
)
from paraph.protocol.documents import Document, parse
from paraph.protocol.entry import Leaf, PublicLeaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.partner_device import (
    PartnerDevice,
    PartnerDeviceEnded,
    verify_partner_device,
    verify_partner_device_ended,
)

DocumentT = TypeVar("DocumentT", bound=Document)


@dataclass(frozen=True)
class Record(Generic[DocumentT]):
    """A verified document, where in the log it stands, and the time in milliseconds that its leaf names."""

    index: int
    ts: int
    document: DocumentT


@dataclass(frozen=True)
class PartnerRecords:
    """What the log holds about one partner; agreements by version, the rest in the order of the log."""

    partner: str
    agreements: tuple[Record[Agreement], ...]
    endings: tuple[Record[AgreementEnded], ...]
    devices: tuple[Record[PartnerDevice], ...]
    device_endings: tuple[Record[PartnerDeviceEnded], ...]


@dataclass
class PublicRecords:
    """Gathers public leaves; pass `visit` to `replay`, then ask `partners`."""

    server_name: str
    operator_key: str
    """The operator's Ed25519 key, unpadded base64, as the auditor knows it."""
    others: list[tuple[int, PublicLeaf]] = field(default_factory=list)
    """Public leaves that are no partner's: platform, consent templates, notices, reports, admin."""
    _by_partner: defaultdict[str, defaultdict[str, list[tuple[int, PublicLeaf]]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list)), init=False, repr=False
    )

    def visit(self, index: int, leaf: Leaf) -> None:
        """Remember a public leaf."""
        if not isinstance(leaf, PublicLeaf):
            return
        if leaf.kind in PARTNER_KINDS:
            self._by_partner[leaf.partner][leaf.kind].append((index, leaf))
        else:
            self.others.append((index, leaf))

    def partners(self) -> Mapping[str, PartnerRecords]:
        """All records of each partner, by slug. Raises BadRecord, which names the first leaf that does not hold."""
        return {
            partner: _Partner(partner, self.server_name, self.operator_key, kinds).records()
            for partner, kinds in sorted(self._by_partner.items())
        }


PARTNER_KINDS = frozenset({"agreement", "agreement-ended", "partner-device", "partner-device-ended"})
"""Public kinds that say something about one partner and are verified here."""


class _Partner:
    """Verifies the leaves of one partner, under the operator's key and the master key of its first agreement."""

    def __init__(
        self, partner: str, server_name: str, operator_key: str, kinds: Mapping[str, list[tuple[int, PublicLeaf]]]
    ) -> None:
        self._partner = partner
        self._kinds = kinds
        self._known = {
            "server_name": server_name,
            "operator_key": operator_key,
            "master_key": self._master_key(),
        }

    def records(self) -> PartnerRecords:
        agreements, devices = self._agreements(), self._devices()
        return PartnerRecords(
            partner=self._partner,
            agreements=tuple(agreements),
            endings=tuple(self._endings(agreements)),
            devices=tuple(devices),
            device_endings=tuple(self._device_endings(devices)),
        )

    def _master_key(self) -> str:
        for index, leaf in self._kinds.get("agreement", []):
            with _naming(index):
                agreement = parse(Agreement, leaf.document)
            if agreement.version == 1:
                return agreement.master_key
        where = min(index for leaves in self._kinds.values() for index, _ in leaves)
        raise BadRecord(f"leaf {where}", f"a first agreement with {self._partner} in the log", "none")

    def _agreements(self) -> list[Record[Agreement]]:
        found = self._verified("agreement", lambda document: verify_agreement(document, **self._known))
        found.sort(key=lambda record: record.document.version)
        for before, after in pairwise(found):
            with _naming(after.index):
                check_successor(before.document, after.document)
                check_notice(before.document, after.document, after.ts)
        return found

    def _endings(self, agreements: list[Record[Agreement]]) -> list[Record[AgreementEnded]]:
        found = self._verified("agreement-ended", lambda document: verify_agreement_ended(document, **self._known))
        known = {(record.document.version, record.document.hash) for record in agreements}
        for record in found:
            if (record.document.version, record.document.agreement_hash) not in known:
                raise BadRecord(
                    f"leaf {record.index}",
                    "the ending of an agreement in the log",
                    f"that of version {record.document.version} with hash {record.document.agreement_hash}",
                )
        return found

    def _devices(self) -> list[Record[PartnerDevice]]:
        known = {name: key for name, key in self._known.items() if name != "operator_key"}
        return self._verified("partner-device", lambda document: verify_partner_device(document, **known))

    def _device_endings(self, devices: list[Record[PartnerDevice]]) -> list[Record[PartnerDeviceEnded]]:
        found = self._verified(
            "partner-device-ended", lambda document: verify_partner_device_ended(document, **self._known)
        )
        known = {record.document.device_id for record in devices}
        for record in found:
            if record.document.device_id not in known:
                raise BadRecord(
                    f"leaf {record.index}", "the ending of a device in the log", f"that of {record.document.device_id}"
                )
        return found

    def _verified(self, kind: str, verify: Callable[[Mapping[str, Any]], DocumentT]) -> list[Record[DocumentT]]:
        """Verify every leaf of a kind, which must speak of the partner under whose name it stands."""
        found = []
        for index, leaf in self._kinds.get(kind, []):
            with _naming(index):
                document = verify(leaf.document)
            if leaf.document["partner"] != leaf.partner:
                raise BadRecord(f"leaf {index}", f"a document about {leaf.partner}", str(leaf.document["partner"]))
            found.append(Record(index, leaf.ts, document))
        return found


@contextmanager
def _naming(index: int) -> Iterator[None]:
    """Turn what the protocol refuses into a BadRecord that names the leaf."""
    try:
        yield
    except ProtocolError as error:
        raise BadRecord(f"leaf {index}", "a record signed by those it binds", str(error)) from error
