"""Whose devices are known, which identity is pinned, and who may therefore receive keys.

A master key is pinned the first time it is seen. For a user without one, the devices of the first list are pinned and
later ones wait for `accept_device`; when such a user makes an identity, it is pinned only if one of the pinned devices
signed it, else the server could wave its own devices through by inventing one.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from paraph.protocol.errors import ProtocolError
from paraph.protocol.signing import verify
from paraph.sdk.engine.model import MEGOLM, OLM, Device, Json, KeysQuery, User
from paraph.sdk.keystore import Records

TABLE = "user"


class Users:
    """Tracked users and their devices."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def get(self, user_id: str) -> User | None:
        """The user's record, if tracked."""
        return self._records.get(TABLE, user_id, User)

    def all(self) -> list[User]:
        """Every tracked user."""
        return [user for _, user in self._records.items(TABLE, User)]

    def track(self, user_ids: Iterable[str]) -> None:
        """Follow these users' device lists from now on."""
        for user_id in user_ids:
            user = self.get(user_id) or User(user_id)
            self._put(msgspec.structs.replace(user, tracked=True))

    def untrack(self, user_id: str) -> None:
        """The server no longer says when this user's list changes: it is asked for anew once tracked again."""
        user = self.get(user_id)
        if user is not None:
            self._put(msgspec.structs.replace(user, tracked=False, outdated=user.outdated + 1))

    def outdate(self, user_ids: Iterable[str]) -> None:
        """These users' device lists have changed."""
        for user_id in user_ids:
            user = self.get(user_id)
            if user is not None:
                self._put(msgspec.structs.replace(user, outdated=user.outdated + 1))

    def query(self) -> KeysQuery | None:
        """The query for outdated lists, or None."""
        outdated = [u for u in map(self.get, sorted(self._outdated())) if u is not None]
        if not outdated:
            return None
        return KeysQuery(tuple(u.user_id for u in outdated), tuple(u.outdated for u in outdated))

    def answered(self, request: KeysQuery, response: Json, own: Device | None) -> None:
        """Take in the answer to a query. `own` is this device, whose keys the server may not replace."""
        unreachable = _object(response, "failures")
        asked = zip(request.users, request.marks, strict=True)
        # This person first: her user-signing key says whom she has verified.
        for user_id, mark in sorted(asked, key=lambda pair: own is None or pair[0] != own.user_id):
            user = self.get(user_id)
            if user is None or user_id.partition(":")[2] in unreachable:
                continue
            updated = _updated(user, response, own)
            if own is not None and user_id != own.user_id:
                updated = _verified_by(updated, response, self.get(own.user_id))
            # A change that was announced while the query was under way makes the answer stale already.
            self._put(msgspec.structs.replace(updated, outdated=0 if user.outdated == mark else user.outdated))

    def device_with_key(self, user_id: str, curve25519: str) -> Device | None:
        """The user's present device with that identity key."""
        user = self.get(user_id)
        devices = () if user is None else user.devices
        return next((d for d in devices if d.curve25519 == curve25519 and not d.gone and not d.changed), None)

    def accept_identity(self, user_id: str) -> None:
        """Pin the identity that the server shows now in place of the old one (none at all included)."""
        user = self._known(user_id)
        if user.offered is not None:
            # The signatures of the devices were made by the refused identity's owner: ask for them again.
            devices = tuple(msgspec.structs.replace(d, owner_signed=False) for d in user.devices)
            replaced = msgspec.structs.replace(user, master=user.offered or None, offered=None, devices=devices)
            replaced = msgspec.structs.replace(replaced, verified=False, self_signing=None, user_signing=None)
            self._put(msgspec.structs.replace(replaced, outdated=user.outdated + 1))

    def accept_device(self, user_id: str, device_id: str) -> None:
        """Let a device of a user without identity receive keys. A device whose keys changed stays refused."""
        user = self._known(user_id)
        if user.device(device_id) is None:
            raise KeyError(f"{user_id} has no device {device_id}")
        self._put(_with_device(user, device_id, accepted=True))

    def verify(self, user_id: str, master: str) -> None:
        """The person compared codes with them: this is their identity, whatever was pinned before."""
        user = self._known(user_id)
        if user.offered == master:
            self.accept_identity(user_id)
        elif user.master != master:
            raise KeyError(f"{user_id} does not have the identity {master}")
        self._put(msgspec.structs.replace(self._known(user_id), verified=True))

    def pin(self, user_id: str, master: str) -> None:
        """Pin an identity that is known by other means than the key directory."""
        user = self.get(user_id) or User(user_id)
        self._put(msgspec.structs.replace(user, master=master))

    def vouch(self, user_id: str, master: str, devices: Iterable[Device]) -> None:
        """Set a user's devices as verified by the caller; those not named are gone."""
        named = tuple(devices)
        kept = {d.device_id for d in named}
        user = self.get(user_id) or User(user_id)
        gone = tuple(msgspec.structs.replace(d, gone=True) for d in user.devices if d.device_id not in kept)
        self._put(msgspec.structs.replace(user, master=master, seen=True, tracked=False, devices=(*named, *gone)))

    def _known(self, user_id: str) -> User:
        user = self.get(user_id)
        if user is None:
            raise KeyError(f"{user_id} is not tracked")
        return user

    def _put(self, user: User) -> None:
        outdated = self._outdated()
        self._records.put(TABLE, user.user_id, user)
        if user.outdated and user.tracked:
            outdated.add(user.user_id)
        else:
            outdated.discard(user.user_id)

    def _outdated(self) -> set[str]:
        """Who is to be asked for: an index in memory, since it is looked at with every message."""
        live = self._records.live.get((TABLE, ""))
        if live is None:
            live = {user.user_id for user in self.all() if user.outdated and user.tracked}
            self._records.live[TABLE, ""] = live
        return live


def _updated(user: User, response: Json, own: Device | None) -> User:
    master_object = _object(_object(response, "master_keys"), user.user_id)
    shown = _cross_signing_key(master_object, user.user_id, "master")
    user = _pinned(user, shown, master_object)
    self_signing = user_signing = None
    if user.master is not None and not user.blocked:
        self_signing = _verified_key(response, user.user_id, user.master, "self_signing")
        user_signing = _verified_key(response, user.user_id, user.master, "user_signing")
    listed = _object(_object(response, "device_keys"), user.user_id)
    devices = {d.device_id: d for d in user.devices}
    pin = not user.seen and user.master is None
    for device_id, document in listed.items():
        device = _device(document, user.user_id, device_id, self_signing)
        if device is not None:
            devices[device_id] = _merged(devices.get(device_id), device, pin=pin)
    for device_id, device in devices.items():
        if device_id not in listed:
            devices[device_id] = msgspec.structs.replace(device, gone=True)
    if own is not None and own.user_id == user.user_id and own.device_id in devices:
        theirs = devices[own.device_id]
        if (theirs.curve25519, theirs.ed25519) != (own.curve25519, own.ed25519):
            devices[own.device_id] = msgspec.structs.replace(theirs, changed=True)
    found = msgspec.structs.replace(user, self_signing=self_signing, user_signing=user_signing)
    return msgspec.structs.replace(found, seen=True, devices=tuple(devices.values()))


def _verified_by(user: User, response: Json, own: User | None) -> User:
    """The user, verified if the person's user-signing key signed the pinned master key."""
    if own is None or own.user_signing is None or own.blocked or user.master is None or user.blocked:
        return user
    document = _bare(_object(_object(response, "master_keys"), user.user_id))
    signed = _is_signed(document, own.user_id, f"ed25519:{own.user_signing}", own.user_signing)
    return msgspec.structs.replace(user, verified=True) if signed else user


def _pinned(user: User, shown: str | None, master_object: Json) -> User:
    """Pin the shown identity, or block the user when another one (or none) is shown than is pinned."""
    if shown == user.master:
        return msgspec.structs.replace(user, offered=None)
    if user.master is not None:
        return msgspec.structs.replace(user, offered=shown or "")
    pinned_devices = [d for d in user.devices if d.accepted and not d.changed]
    if shown is not None and user.seen and pinned_devices and not _signed_by_any(master_object, pinned_devices):
        return user
    return msgspec.structs.replace(user, master=shown)


def _signed_by_any(document: Json, devices: list[Device]) -> bool:
    for device in devices:
        try:
            verify(_bare(document), device.user_id, f"ed25519:{device.device_id}", device.ed25519)
        except ProtocolError:
            continue
        return True
    return False


def _cross_signing_key(document: Json, user_id: str, usage: str) -> str | None:
    """The one key of a cross-signing object that is what it says, or None."""
    keys = document.get("keys")
    if document.get("user_id") != user_id or document.get("usage") != [usage] or not isinstance(keys, dict):
        return None
    if len(keys) != 1:
        return None
    ((name, key),) = keys.items()
    return key if isinstance(key, str) and name == f"ed25519:{key}" else None


def _verified_key(response: Json, user_id: str, master: str, usage: str) -> str | None:
    """The user's self-signing or user-signing key, if the master key signed it."""
    document = _object(_object(response, f"{usage}_keys"), user_id)
    key = _cross_signing_key(document, user_id, usage)
    try:
        verify(_bare(document), user_id, f"ed25519:{master}", master)
    except ProtocolError:
        return None
    return key


def _device(document: Any, user_id: str, device_id: str, self_signing: str | None) -> Device | None:
    """A device whose keys are signed by itself, or None."""
    if not isinstance(document, dict):
        return None
    document = _bare(document)
    keys, algorithms = document.get("keys"), document.get("algorithms")
    if not isinstance(keys, dict) or not isinstance(algorithms, list):
        return None
    curve, ed = keys.get(f"curve25519:{device_id}"), keys.get(f"ed25519:{device_id}")
    if (document.get("user_id"), document.get("device_id")) != (user_id, device_id):
        return None
    if not isinstance(curve, str) or not isinstance(ed, str) or not {OLM, MEGOLM} <= set(map(str, algorithms)):
        return None
    if not _is_signed(document, user_id, f"ed25519:{device_id}", ed):
        return None
    owned = self_signing is not None and _is_signed(document, user_id, f"ed25519:{self_signing}", self_signing)
    return Device(user_id, device_id, curve, ed, owner_signed=owned)


def _merged(known: Device | None, found: Device, *, pin: bool) -> Device:
    if known is None:
        return msgspec.structs.replace(found, accepted=pin)
    if (known.curve25519, known.ed25519) != (found.curve25519, found.ed25519):
        return msgspec.structs.replace(known, changed=True, gone=False)
    return msgspec.structs.replace(known, owner_signed=found.owner_signed, changed=False, gone=False)


def _with_device(user: User, device_id: str, *, accepted: bool) -> User:
    devices = tuple(
        msgspec.structs.replace(d, accepted=accepted) if d.device_id == device_id else d for d in user.devices
    )
    return msgspec.structs.replace(user, devices=devices)


def _is_signed(document: Json, entity: str, key_id: str, key: str) -> bool:
    try:
        verify(document, entity, key_id, key)
    except ProtocolError:
        return False
    return True


def _bare(document: Json) -> Json:
    """The server adds `unsigned` to what it lists; nobody signs it."""
    return {name: value for name, value in document.items() if name != "unsigned"}


def _object(parent: Json, name: str) -> Json:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}
