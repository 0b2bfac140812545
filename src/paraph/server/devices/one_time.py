"""One-time and fallback keys: each one-time key is handed out once, the fallback key when none is left."""

from collections.abc import Mapping
from typing import Any

import msgspec

from paraph.server.accounts.recent import Recent
from paraph.server.devices import checks, store
from paraph.server.devices.errors import invalid
from paraph.server.devices.lists import Notify
from paraph.server.devices.model import KeyCounts
from paraph.server.storage import Announcement, Database, Transaction

MAX_STORED = 200
"""Unclaimed one-time keys of one device and algorithm."""
MAX_UPLOADED = 200
"""Keys in one upload: each costs a signature check."""
KEEP_CLAIMED = 200
MAX_REMEMBERED = 100_000
_COUNTS = "devices.counts"
_counts = msgspec.json.Decoder(tuple[int, str, str])


class OneTimeKeys:
    """The one-time and fallback keys of people's and partners' devices; `notify(users, position)` wakes their syncs."""

    def __init__(self, database: Database, notify: Notify) -> None:
        self._notify = notify
        self._counts: Recent[tuple[str, str], KeyCounts] = Recent(MAX_REMEMBERED)
        database.listen(_COUNTS, self._heard)

    def upload(
        self,
        tx: Transaction,
        user_id: str,
        device_id: str,
        ed25519: str | None,
        one_time_keys: Mapping[str, Any],
        fallback_keys: Mapping[str, Any],
    ) -> KeyCounts:
        """Check against the device's signing key, where it is known, and keep; returns the new counts.

        The same key again is taken and changes nothing, even after it was claimed. Raises M_INVALID_PARAM (shape,
        count, the same id for other bytes) or M_INVALID_SIGNATURE; then nothing is kept.
        """
        if len(one_time_keys) + len(fallback_keys) > MAX_UPLOADED:
            raise invalid(f"expected at most {MAX_UPLOADED} keys in one upload")
        one_time = _checked(one_time_keys, user_id, device_id, ed25519)
        fallback = _checked(fallback_keys, user_id, device_id, ed25519)
        if len({key.algorithm for key in fallback}) != len(fallback):
            raise invalid("expected one fallback key per algorithm")
        new = self._add(tx, user_id, device_id, one_time) if one_time else False
        for key in fallback:
            store.put_fallback_key(tx, user_id, device_id, key)
        if new or fallback:
            self._changed(tx, user_id, device_id)
        return _with_zero(store.key_counts(tx, user_id, device_id))

    def recheck(self, tx: Transaction, user_id: str, device_id: str, ed25519: str) -> None:
        """Its signing key is known from now on: of the keys that came before, those that it did not sign go."""

        def is_bad(key: checks.OneTimeKey) -> bool:
            return not checks.is_signed(key, user_id, device_id, ed25519)

        one_time = [
            checks.OneTimeKey(algorithm, key_id, text)
            for (algorithm, key_id), (text, claimed) in store.one_time_keys(tx, user_id, device_id).items()
            if not claimed
        ]
        bad = [key for key in one_time if is_bad(key)]
        bad_fallback = [key for key in store.fallback_keys(tx, user_id, device_id) if is_bad(key)]
        for key in bad:
            store.drop_one_time_key(tx, user_id, device_id, key)
        for key in bad_fallback:
            store.drop_fallback_key(tx, user_id, device_id, key)
        if bad or bad_fallback:
            self._changed(tx, user_id, device_id)

    def _add(self, tx: Transaction, user_id: str, device_id: str, keys: list[checks.OneTimeKey]) -> bool:
        store.forget_claimed_keys(tx, user_id, device_id, KEEP_CLAIMED)
        known = store.one_time_keys(tx, user_id, device_id)
        new = []
        for key in keys:
            before = known.get((key.algorithm, key.key_id))
            if before is None:
                new.append(key)
            elif before[0] != key.text:
                raise invalid(f"one-time key {key.algorithm}:{key.key_id} exists already and is another one")
        left = sum(1 for _, claimed in known.values() if not claimed)
        if left + len(new) > MAX_STORED:
            raise invalid(f"{left} one-time keys are stored, expected at most {MAX_STORED} with the new ones")
        store.add_one_time_keys(tx, user_id, device_id, new)
        return bool(new)

    def claim(self, tx: Transaction, user_id: str, device_id: str, algorithm: str) -> dict[str, msgspec.Raw] | None:
        """Hand out one key as `{"<algorithm>:<id>": key}`, or None if the device has none at all."""
        found = store.claim_one_time_key(tx, user_id, device_id, algorithm) or store.use_fallback_key(
            tx, user_id, device_id, algorithm
        )
        if found is None:
            return None
        self._changed(tx, user_id, device_id)
        return {f"{algorithm}:{found[0]}": msgspec.Raw(found[1].encode())}

    def counts(self, tx: Transaction, user_id: str, device_id: str) -> KeyCounts:
        """What a sync tells a device; from memory unless it changed. Only while reading what is durable."""
        counts = self._counts.get((user_id, device_id))
        if counts is None:
            counts = _with_zero(store.key_counts(tx, user_id, device_id))
            self._counts.put((user_id, device_id), counts)
        return counts

    def _changed(self, tx: Transaction, user_id: str, device_id: str) -> None:
        """The counts are news to the device: a position is taken, so that a sync can tell new counts from old ones."""
        self._announce(tx, tx.next_position(), user_id, device_id)

    def forget(self, tx: Transaction, user_id: str, device_id: str) -> None:
        """Look at the tables again once this write is durable, in every process."""
        self._announce(tx, 0, user_id, device_id)

    def _announce(self, tx: Transaction, position: int, user_id: str, device_id: str) -> None:
        tx.announce(_COUNTS, msgspec.json.encode((position, user_id, device_id)).decode())

    def _heard(self, announcement: Announcement) -> None:
        position, user_id, device_id = _counts.decode(announcement.payload)
        self._counts.forget((user_id, device_id))
        if position:
            self._notify((user_id,), position)


def _checked(keys: Mapping[str, Any], user_id: str, device_id: str, ed25519: str | None) -> list[checks.OneTimeKey]:
    return [checks.one_time_key(name, value, user_id, device_id, ed25519) for name, value in keys.items()]


def _with_zero(counts: KeyCounts) -> KeyCounts:
    """Clients read an absent algorithm in different ways; zero is said outright."""
    return KeyCounts({checks.SIGNED_CURVE25519: 0} | counts.one_time, counts.unused_fallback)
