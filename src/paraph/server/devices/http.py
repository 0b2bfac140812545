"""The endpoints of devices (Client-Server API v1.19, "Device Management", "End-to-End Encryption", "Send-to-Device
messaging")."""

from collections.abc import Callable
from typing import Any

from paraph.server.accounts.errors import interactive, missing
from paraph.server.accounts.service import Accounts
from paraph.server.devices import cross_signing
from paraph.server.devices.model import (
    DeviceDeletion,
    DevicesDeletion,
    DeviceUpdate,
    KeysClaim,
    KeysQuery,
    KeysUpload,
    SigningUpload,
    ToDeviceBody,
)
from paraph.server.devices.service import Devices
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.endpoint import EMPTY, Handler

_V3 = "/_matrix/client/v3"
_TO_DEVICE_BODY = 4 << 20


def endpoints(devices: Devices, accounts: Accounts, position_of: Callable[[str], int]) -> list[Endpoint]:
    """Everything that this room answers; `position_of` reads a sync token and raises M_INVALID_PARAM."""
    return [*_devices(devices, accounts), *_keys(devices, position_of), *_identity(devices, accounts)]


def _row(method: str, path: str, handler: Handler, summary: str, **more: Any) -> Endpoint:
    return Endpoint(method, f"{_V3}{path}", Access.PERSON, handler, summary, **more)


def _devices(devices: Devices, accounts: Accounts) -> list[Endpoint]:
    async def listed(request: Request) -> Reply:
        return Reply.json({"devices": await devices.devices(request.person.user_id)})

    async def one(request: Request) -> Reply:
        return Reply.json(await devices.device(request.person.user_id, request.params["device_id"]))

    async def rename(request: Request) -> Reply:
        body = request.json(DeviceUpdate)
        await devices.rename(request.person.user_id, request.params["device_id"], body.display_name)
        return EMPTY

    async def delete(request: Request) -> Reply:
        user_id, body = request.person.user_id, request.json(DeviceDeletion)
        device_id = request.params["device_id"]
        await accounts.check_user_interactive(request, user_id, body.auth, f"delete device {device_id}")
        await devices.delete(user_id, [device_id])
        return EMPTY

    async def delete_several(request: Request) -> Reply:
        user_id, body = request.person.user_id, request.json(DevicesDeletion)
        await accounts.check_user_interactive(request, user_id, body.auth, "delete devices")
        await devices.delete(user_id, body.devices)
        return EMPTY

    return [
        _row("GET", "/devices", listed, "My devices"),
        _row("GET", "/devices/{device_id}", one, "One of my devices"),
        _row("PUT", "/devices/{device_id}", rename, "Rename one of my devices"),
        _row("DELETE", "/devices/{device_id}", interactive(delete), "Log out one of my devices"),
        _row("POST", "/delete_devices", interactive(delete_several), "Log out several of my devices"),
    ]


def _keys(devices: Devices, position_of: Callable[[str], int]) -> list[Endpoint]:
    async def upload(request: Request) -> Reply:
        counts = await devices.upload(request.person, request.json(KeysUpload))
        return Reply.json({"one_time_key_counts": counts})

    async def query(request: Request) -> Reply:
        return Reply.json(await devices.query(request.person.user_id, request.json(KeysQuery).device_keys))

    async def claim(request: Request) -> Reply:
        keys = await devices.claim(request.person.user_id, request.json(KeysClaim).one_time_keys)
        return Reply.json({"one_time_keys": keys, "failures": {}})

    async def changes(request: Request) -> Reply:
        given = request.query()
        if absent := [name for name in ("from", "to") if name not in given]:
            raise missing(absent)
        since, upto = position_of(given["from"]), position_of(given["to"])
        changed, left = await devices.changes(request.person.user_id, since, upto)
        return Reply.json({"changed": changed, "left": left})

    async def send(request: Request) -> Reply:
        kind, txn_id = request.params["event_type"], request.params["txn_id"]
        await devices.send_to_device(request.person, kind, txn_id, request.json(ToDeviceBody).messages)
        return EMPTY

    return [
        _row("POST", "/keys/upload", upload, "Publish this device's keys", limit="keys"),
        _row("POST", "/keys/query", query, "Look up people's devices and identities", limit="keys"),
        _row("POST", "/keys/claim", claim, "Take one-time keys of other devices", limit="keys"),
        _row("GET", "/keys/changes", changes, "Whose devices changed between two syncs", limit="keys"),
        _row(
            "PUT",
            "/sendToDevice/{event_type}/{txn_id}",
            send,
            "Send messages from device to device",
            max_body=_TO_DEVICE_BODY,
        ),
    ]


def _identity(devices: Devices, accounts: Accounts) -> list[Endpoint]:
    async def signing_keys(request: Request) -> Reply:
        user_id, body = request.person.user_id, request.json(SigningUpload)
        keys = cross_signing.checked(body, user_id)
        authorised = await devices.replaces_identity(user_id, keys)
        if authorised:
            await accounts.check_user_interactive(request, user_id, body.auth, "cross-signing keys")
        await devices.put_identity(user_id, keys, authorised=authorised)
        return EMPTY

    async def signatures(request: Request) -> Reply:
        signed = request.json(dict[str, dict[str, Any]])
        failures = await devices.add_signatures(request.person.user_id, signed)
        return Reply.json({"failures": failures.found})

    return [
        _row(
            "POST",
            "/keys/device_signing/upload",
            interactive(signing_keys),
            "Publish my cross-signing keys",
            limit="keys",
        ),
        _row("POST", "/keys/signatures/upload", signatures, "Publish signatures on devices and people", limit="keys"),
    ]
