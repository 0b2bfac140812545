"""Devices, their keys, and what waits for them: the one face of this room."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from paraph.protocol.identifiers import is_partner
from paraph.server.accounts.names import checked_display_name
from paraph.server.accounts.service import Accounts
from paraph.server.devices import checks, cross_signing, directory, store
from paraph.server.devices.directory import PartnerKeys
from paraph.server.devices.errors import invalid, not_found
from paraph.server.devices.lists import DeviceLists, Notify, SharesRoom
from paraph.server.devices.model import (
    CrossSigning,
    DevicesSyncPart,
    Document,
    Failures,
    KeyCounts,
    KeysUpload,
    Waiting,
)
from paraph.server.devices.one_time import OneTimeKeys
from paraph.server.devices.to_device import Messages, ToDevice
from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.storage import Database, Transaction

MAX_CLAIMS = 1_000


class Devices:
    """The devices of people, and the key queues of partners.

    `clock` gives milliseconds; `notify(user_ids, position)` wakes syncs, in every process; `shares_room(tx, user_id)`
    is the set of people who share a room with a person; `partners` decides what a person sees of partners. Give
    `on_login` and `on_logout` to accounts.
    """

    def __init__(
        self,
        database: Database,
        accounts: Accounts,
        clock: Callable[[], int],
        *,
        notify: Notify,
        shares_room: SharesRoom,
        partners: PartnerKeys,
    ) -> None:
        self._database = database
        self._accounts = accounts
        self._clock = clock
        self._known = directory.Known(partners, accounts.exists, accounts.server_name)
        self.lists = DeviceLists(database, notify, shares_room)
        self._one_time = OneTimeKeys(database, notify)
        self._to_device = ToDevice(database, clock, notify)

    # --- Devices come and go

    def on_login(self, tx: Transaction, user_id: str, device_id: str, display_name: str | None) -> None:
        """A session begins: the device exists from now on. Raises M_INVALID_PARAM if a key has its name."""
        identity = store.cross_signing(tx, user_id)
        keys = (identity.master, identity.self_signing, identity.user_signing)
        if device_id in {key.public_key for key in keys if key is not None}:
            raise invalid("expected a device id that no cross-signing key is called by")
        store.put_device(tx, user_id, device_id, display_name, self._clock())

    def on_logout(self, tx: Transaction, user_id: str, device_id: str) -> None:
        """A session ends: the device goes, with its keys and with what waited for it.

        Also what ends a partner's device: its one-time keys and its queue go.
        """
        device = store.device(tx, user_id, device_id)
        store.drop_device(tx, user_id, device_id)
        self._one_time.forget(tx, user_id, device_id)
        self._to_device.forget(tx, user_id, device_id)
        if device is not None and device.device_keys is not None:
            self.lists.note_changed(tx, user_id)

    async def devices(self, user_id: str) -> list[dict[str, Any]]:
        """The person's devices as GET /devices shows them. Addresses are not kept, so `last_seen_ip` is null."""

        def read(tx: Transaction) -> list[dict[str, Any]]:
            seen = self._accounts.last_seen(tx, user_id)
            return [_shown(user_id, found.device_id, found.display_name, seen) for found in store.devices(tx, user_id)]

        return await self._database.read(read)

    async def device(self, user_id: str, device_id: str) -> dict[str, Any]:
        """One device as GET /devices/{id} shows it; raises M_NOT_FOUND."""

        def read(tx: Transaction) -> dict[str, Any]:
            found = store.device(tx, user_id, device_id)
            if found is None:
                raise not_found("no such device")
            return _shown(user_id, device_id, found.display_name, self._accounts.last_seen(tx, user_id))

        return await self._database.read(read)

    async def rename(self, user_id: str, device_id: str, display_name: str | msgspec.UnsetType | None) -> None:
        """Give a device another name, if one is given; raises M_NOT_FOUND or M_INVALID_PARAM."""
        if isinstance(display_name, msgspec.UnsetType):
            await self.device(user_id, device_id)
            return
        checked_display_name(display_name)

        def write(tx: Transaction) -> None:
            found = store.device(tx, user_id, device_id)
            if found is None:
                raise not_found("no such device")
            store.set_display_name(tx, user_id, device_id, display_name)
            if found.device_keys is not None:  # the name stands beside the keys in /keys/query
                self.lists.note_changed(tx, user_id)

        await self._database.write(write)

    async def delete(self, user_id: str, device_ids: Sequence[str]) -> None:
        """Log devices out and forget them; those that do not exist are passed over."""
        await self._database.write(
            lambda tx: self._accounts.end_sessions(
                tx, user_id, [found for found in store.device_ids(tx, user_id) if found in device_ids]
            )
        )

    # --- Keys

    async def upload(self, person: PersonPrincipal, body: KeysUpload) -> dict[str, int]:
        """Keep a device's keys; returns how many one-time keys are left, by algorithm.

        Identity keys never change: other ones for the same device are refused. Raises M_INVALID_PARAM,
        M_INVALID_SIGNATURE, M_BAD_JSON; then nothing is kept.
        """
        user_id, device_id = person.user_id, person.device_id

        def write(tx: Transaction) -> KeyCounts:
            if body.device_keys is not None:
                self._put_device_keys(tx, user_id, device_id, body.device_keys)
            if not body.one_time_keys and not body.fallback_keys:
                return self._one_time.upload(tx, user_id, device_id, None, {}, {})
            found = store.device(tx, user_id, device_id)
            keys = {} if found is None or found.device_keys is None else found.device_keys["keys"]
            ed25519 = keys.get(f"ed25519:{device_id}")  # none yet: they are checked once it is known
            return self._one_time.upload(
                tx, user_id, device_id, ed25519, body.one_time_keys or {}, body.fallback_keys or {}
            )

        return (await self._database.write(write)).one_time

    def _put_device_keys(self, tx: Transaction, user_id: str, device_id: str, document: Document) -> None:
        kept, keys = checks.device_keys(document, user_id, device_id)
        before = store.device(tx, user_id, device_id)
        if before is None:
            raise not_found("no such device")
        if before.device_keys is not None:
            if before.device_keys["keys"] != dict(keys.keys):
                raise invalid("the keys of a device never change: log in again as a new device")
            if checks.same_object(before.device_keys, kept):
                kept = checks.merged(before.device_keys, kept)
            else:
                store.drop_signatures_on(tx, user_id, device_id)
            if kept == before.device_keys:
                return
        store.set_device_keys(tx, user_id, device_id, kept)
        if before.device_keys is None:
            self._one_time.recheck(tx, user_id, device_id, keys.ed25519)
        self.lists.note_changed(tx, user_id)

    async def query(self, viewer: str, wanted: Mapping[str, list[str]]) -> dict[str, Any]:
        """The answer to /keys/query for this viewer."""
        return await self._database.read(lambda tx: directory.query(tx, self._known, viewer, wanted))

    async def claim(
        self, person: str, wanted: Mapping[str, Mapping[str, str]]
    ) -> dict[str, dict[str, dict[str, msgspec.Raw]]]:
        """One key for each device asked for: user -> device -> `{"<algorithm>:<id>": key}`.

        Devices without keys, and partners without a live grant of this person, are left out. Raises M_INVALID_PARAM.
        """
        if sum(len(devices) for devices in wanted.values()) > MAX_CLAIMS:
            raise invalid(f"expected at most {MAX_CLAIMS} devices in one claim")

        def write(tx: Transaction) -> dict[str, dict[str, dict[str, msgspec.Raw]]]:
            answer: dict[str, dict[str, dict[str, msgspec.Raw]]] = {}
            for user_id, devices in wanted.items():
                if is_partner(user_id) and not self._known.partners.may_claim(tx, person, user_id):
                    continue
                for device_id, algorithm in devices.items():
                    key = self._one_time.claim(tx, user_id, device_id, algorithm)
                    if key is not None:
                        answer.setdefault(user_id, {})[device_id] = key
            return answer

        return await self._database.write(write)

    async def changes(self, user_id: str, since: int, upto: int) -> tuple[list[str], list[str]]:
        """Whom to look at again and whom to forget, for the window (since, upto]."""
        if max(since, upto) > self._database.position:  # tokens of another process, which is ahead for a moment
            await self._database.write(lambda _tx: None)
        return (await self._database.read(lambda tx: self.lists.changes(tx, user_id, since, upto)))[:2]

    def upload_keys(
        self,
        tx: Transaction,
        user_id: str,
        device_id: str,
        ed25519: str,
        one_time_keys: Mapping[str, Any],
        fallback_keys: Mapping[str, Any],
    ) -> KeyCounts:
        """Keep one-time keys of a partner's device, checked against its signing key. Raises as `upload`."""
        return self._one_time.upload(tx, user_id, device_id, ed25519, one_time_keys, fallback_keys)

    def claim_key(self, tx: Transaction, user_id: str, device_id: str, algorithm: str) -> dict[str, msgspec.Raw] | None:
        """One key of a device as `{"<algorithm>:<id>": key}`, within another room's write; None if there is none."""
        return self._one_time.claim(tx, user_id, device_id, algorithm)

    def device_keys_of(self, tx: Transaction, user_id: str) -> dict[str, Document]:
        """Device id -> `device_keys` of a person, with all her own signatures and no `unsigned`."""
        return directory.device_keys_of(tx, user_id)

    # --- Identity

    async def replaces_identity(self, user_id: str, keys: cross_signing.Keys) -> bool:
        """Whether keeping these keys needs the person's password first."""
        return await self._database.read(lambda tx: cross_signing.replaces(tx, user_id, keys))

    async def put_identity(self, user_id: str, keys: cross_signing.Keys, *, authorised: bool) -> None:
        """Keep cross-signing keys (from `cross_signing.checked`); `authorised`: the person gave her password.

        Raises M_FORBIDDEN if an identity came into being since `replaces_identity` was asked, and as
        `cross_signing.put`.
        """

        def write(tx: Transaction) -> None:
            if not authorised and cross_signing.replaces(tx, user_id, keys):
                raise MatrixError(403, "M_FORBIDDEN", "another device made this person's identity meanwhile")
            cross_signing.put(tx, self.lists, user_id, keys)

        await self._database.write(write)

    async def add_signatures(self, user_id: str, signed: Mapping[str, Mapping[str, Any]]) -> Failures:
        """Keep the signatures that verify; tells which do not."""
        return await self._database.write(lambda tx: cross_signing.add_signatures(tx, self.lists, user_id, signed))

    def cross_signing_of(self, tx: Transaction, user_id: str) -> CrossSigning:
        """A person's cross-signing keys, as far as she has them."""
        return directory.cross_signing_of(tx, user_id)

    # --- Messages between devices, and sync

    async def send_to_device(self, person: PersonPrincipal, event_type: str, txn_id: str, messages: Messages) -> None:
        """Queue a person's messages once. Raises as `ToDevice.send`."""
        await self._to_device.send(person, event_type, txn_id, messages)

    def queue_to_device(
        self,
        tx: Transaction,
        sender: str,
        event_type: str,
        messages: Messages,
        *,
        sender_device: str | None = None,
    ) -> None:
        """Queue messages within another room's write, for people or partners. Raises as `ToDevice.queue`."""
        self._to_device.queue(tx, sender, event_type, messages, sender_device=sender_device)

    def collect(self, tx: Transaction, user_id: str, device_id: str, since: int, limit: int) -> list[Waiting]:
        """What waits for a (partner's) device after a position, oldest first."""
        return self._to_device.waiting(tx, user_id, device_id, since, 2**62, limit)

    async def acknowledge(self, user_id: str, device_id: str, upto: int) -> None:
        """The device has everything up to this position; writes only if something is to be forgotten."""
        await self._to_device.acknowledge(user_id, device_id, upto)

    def one_time_key_counts(self, tx: Transaction, user_id: str, device_id: str) -> KeyCounts:
        """Keys left and unused fallback keys; from memory unless they changed."""
        return self._one_time.counts(tx, user_id, device_id)

    def sync_part(
        self,
        tx: Transaction,
        user_id: str,
        device_id: str,
        since: int,
        upto: int,
        *,
        to_device_since: int | None = None,
        limit: int | None = None,
        lists_since: int | None = None,
        lists_limit: int | None = None,
    ) -> DevicesSyncPart:
        """What a sync of this device says for the window (since, upto]; `since` 0 is a first sync.

        Every waiting message is given, unless `limit` says how many at most; a caller that limits must put
        `to_device_upto` into its token, give it back as `to_device_since`, and acknowledge that one. So it is with the
        device lists: with `lists_limit` they may reach to `lists_upto` only, which comes back as `lists_since`.
        """
        after = since if to_device_since is None else to_device_since
        waiting = self._to_device.waiting(tx, user_id, device_id, after, upto, limit)
        lists = self.lists.changes(tx, user_id, since if lists_since is None else lists_since, upto, lists_limit)
        counts = self._one_time.counts(tx, user_id, device_id)
        cut = limit is not None and len(waiting) == limit
        return DevicesSyncPart(
            [message.event() for message in waiting],
            lists.changed,
            lists.left,
            counts.one_time,
            counts.unused_fallback,
            waiting[-1].position if cut else upto,
            lists.upto,
        )


def _shown(user_id: str, device_id: str, display_name: str | None, seen: Mapping[str, int]) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "device_id": device_id,
        "display_name": display_name,
        "last_seen_ip": None,
        "last_seen_ts": seen.get(device_id),
    }
