"""The check before every send, and a person's count of grant states.

People who never had a grant pay one look into a set. The set may hold a person too many (a write that was rolled back)
but, while a write runs, never one too few: a name goes in before the write that needs it is durable, other processes'
names before the batch of the send, and the check itself reads the database, within the same transaction as the send.
"""

from collections.abc import Mapping
from typing import Any

from paraph.server.consent import grant_store as store
from paraph.server.consent.errors import StaleGrants
from paraph.server.consent.hooks import Hooks
from paraph.server.storage import Announcement, Transaction

GRANTS_MEMBER = "org.paraph.grants"
"""In the cleartext content of an encrypted event: the version of the grants that the device acted on."""


GRANTOR = "consent.grantor"
"""Topic: a person's first grant; the payload is the user id."""


class GrantGate:
    """Who has grants, and whether a device acted on their newest state. `hooks` are told of every change."""

    def __init__(self) -> None:
        self.hooks = Hooks()
        self._people: set[str] = set()
        self._acting: tuple[Transaction | None, str, str, int | None] = (None, "", "", None)

    def load(self, tx: Transaction) -> None:
        """Learn who has grants; once, at start."""
        self._people.update(store.people_with_versions(tx))

    def may_have_grants(self, person: str) -> bool:
        """False only if the person never had a grant."""
        return person in self._people

    def bump(self, tx: Transaction, person: str) -> int:
        """Count a new state of the person's grants; returns the new version."""
        self._people.add(person)
        version = store.bump_version(tx, person)
        if version == 1:
            tx.announce(GRANTOR, person)
        return version

    def heard(self, announcement: Announcement) -> None:
        """Somebody has grants for the first time, by whichever process they were taken in."""
        self._people.add(announcement.payload)

    def before_send(
        self, tx: Transaction, user_id: str, device_id: str, _room_id: str, content: Mapping[str, Any]
    ) -> None:
        """Refuse an encrypted event of an enrolled device that acted on an older state of the grants.

        Raises StaleGrants. Devices that are not enrolled hand out no keys to partners, so nothing is asked of them.
        """
        if user_id not in self._people:
            return
        version = self.acting_on(tx, user_id, device_id)
        if version is None:
            return
        named = content.get(GRANTS_MEMBER)
        if type(named) is not int or named < version:
            raise StaleGrants(version)

    def acting_on(self, tx: Transaction, user_id: str, device_id: str) -> int | None:
        """The version that counts for what this device sends; None if it is not enrolled. Read once in each write."""
        if self._acting[0] is not tx or self._acting[1:3] != (user_id, device_id):
            self._acting = (tx, user_id, device_id, store.version_for_device(tx, user_id, device_id))
        return self._acting[3]
