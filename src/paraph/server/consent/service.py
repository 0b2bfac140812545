"""Consent as `app.py` wires it: partners, grants, key shares and tokens over one set of tables."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from paraph.protocol.consent import TEMPLATE
from paraph.protocol.documents import to_document
from paraph.protocol.identifiers import PLATFORM
from paraph.server.consent.access import LiveGrants
from paraph.server.consent.covering import Covering
from paraph.server.consent.gate import GRANTOR, GrantGate
from paraph.server.consent.grants import Grants
from paraph.server.consent.key_shares import KeyShares
from paraph.server.consent.notices import Notices
from paraph.server.consent.oauth.service import Authorization
from paraph.server.consent.operator import load_operator_key
from paraph.server.consent.partners import Partners
from paraph.server.consent.ports import Rooms
from paraph.server.devices.service import Devices
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction


@dataclass(frozen=True, slots=True)
class Site:
    """What consent must know of this deployment: names, keys folder, public base URL (the OAuth issuer)."""

    server_name: str
    issuer: str
    data: Path


class Consent:
    """Everything that decides who may do what. The gate is handed in, since the messenger needs it first."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        devices: Devices,
        rooms: Rooms,
        gate: GrantGate,
        site: Site,
        *,
        clock: Callable[[], int],
    ) -> None:
        """Wire the room together and load (or make) the operator's key; raises StartRefused if that is damaged."""
        self.server_name = site.server_name
        self._database = database
        self._ledger = ledger
        self.gate = gate
        database.listen(GRANTOR, gate.heard)
        self.operator_key = load_operator_key(site.data / "keys" / "operator.key")
        self.notices = Notices(rooms, gate, clock)
        self.partners = Partners(
            ledger,
            devices,
            gate,
            self.notices,
            server_name=site.server_name,
            operator_key=self.operator_key.public_key,
            clock=clock,
        )
        self.grants = Grants(ledger, devices, rooms, self.partners, gate, self.notices, clock=clock)
        self.key_shares = KeyShares(ledger, devices, rooms, self.partners, self.grants, clock=clock)
        self.live = LiveGrants(gate, clock)
        self.covering = Covering(gate, rooms, clock)
        self.authorization = Authorization(database, ledger, self.grants, self.partners, site.issuer, clock)

    async def start(self) -> None:
        """Learn who has grants, read the shared keys, and publish the consent text's template if that is not done."""
        await self._database.read(self.gate.load)
        await self.authorization.start()
        await self._database.write(self._publish_template)

    def _publish_template(self, tx: Transaction) -> None:
        template = to_document(TEMPLATE)
        published = self._ledger.public_records(tx, PLATFORM, ["consent-template"])
        if all(record["document"] != template for record in published):
            self._ledger.record_public(tx, "consent-template", PLATFORM, template)
