"""Setting pushers: a person's own, each bound to the session that set it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger.core import Core
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.push import store
from paraph.server.messenger.push.store import Pusher
from paraph.server.outgoing.target import BadTarget, parse
from paraph.server.storage import Transaction

CHANGED = "messenger.pushers"
GATEWAY_PATH = "/_matrix/push/v1/notify"
MAX_PUSHERS = 50
"""Of one person."""
MAX_PUSHKEY_BYTES = 512
MAX_APP_ID = 64
MAX_NAME = 255
MAX_DATA_BYTES = 4_096


class SetPusher(msgspec.Struct):
    """POST /pushers/set; `kind` null deletes the pusher."""

    app_id: str
    pushkey: str
    kind: str | None
    app_display_name: str | None = None
    device_display_name: str | None = None
    profile_tag: str | None = None
    lang: str | None = None
    data: dict[str, Any] | None = None
    append: bool = False


class Pushers:
    """Use cases of a person with her pushers. `anywhere`: gateways may be plain http and at private addresses."""

    def __init__(self, core: Core, clock: Callable[[], int], *, anywhere: bool) -> None:
        self._core = core
        self._clock = clock
        self._anywhere = anywhere

    async def listed(self, person: PersonPrincipal) -> list[dict[str, Any]]:
        """The person's pushers as they are shown."""
        found = await self._core.database.read(lambda tx: store.of(tx, person.user_id))
        return [_shown(pusher) for pusher in found]

    async def set(self, person: PersonPrincipal, asked: SetPusher) -> None:
        """Add, replace or delete a pusher. Raises M_MISSING_PARAM, M_INVALID_PARAM."""
        _check_names(asked)
        if asked.kind is None:
            await self._core.database.write(lambda tx: self._remove(tx, person.user_id, asked.app_id, asked.pushkey))
            return
        data = self._checked_data(asked)

        def write(tx: Transaction) -> None:
            own = [(pusher.app_id, pusher.pushkey) for pusher in store.of(tx, person.user_id)]
            if len(own) >= MAX_PUSHERS and (asked.app_id, asked.pushkey) not in own:
                raise invalid(f"a person has at most {MAX_PUSHERS} pushers")
            if not asked.append:
                for other in store.others(tx, person.user_id, asked.app_id, asked.pushkey):
                    store.remove(tx, other, asked.app_id, asked.pushkey)
            if not store.exist(tx):  # nobody looked at events since there was a pusher the last time
                store.set_progress(tx, self._core.database.position)
            store.put(tx, self._pusher(person, asked, data))
            tx.announce(CHANGED, "")

        await self._core.database.write(write)

    def _pusher(self, person: PersonPrincipal, asked: SetPusher, data: bytes) -> Pusher:
        return Pusher(
            person.user_id,
            asked.app_id,
            asked.pushkey,
            person.device_id,
            asked.app_display_name or "",
            asked.device_display_name or "",
            asked.profile_tag or "",
            asked.lang or "",
            data,
            self._clock(),
            self._core.database.position,
        )

    def _checked_data(self, asked: SetPusher) -> bytes:
        required = {name: getattr(asked, name) for name in ("app_display_name", "device_display_name", "lang", "data")}
        if missing := [name for name, value in required.items() if value is None]:
            raise MatrixError(400, "M_MISSING_PARAM", f"Missing parameters: {', '.join(missing)}")
        if asked.kind != "http":
            raise invalid("the kind of a pusher is http, or null to delete one")
        data = asked.data or {}
        url = data.get("url")
        if not isinstance(url, str):
            raise MatrixError(400, "M_MISSING_PARAM", "Missing parameters: data.url")
        try:
            target = parse(url, anywhere=self._anywhere)
        except BadTarget as error:
            raise invalid(f"data.url: {error}") from None
        if target.path != GATEWAY_PATH:
            raise invalid(f"data.url is the address of a gateway: its path is {GATEWAY_PATH}")
        if not isinstance(data.get("format", ""), str):
            raise invalid("data.format is text")
        encoded = msgspec.json.encode(data)
        if len(encoded) > MAX_DATA_BYTES:
            raise invalid(f"data has at most {MAX_DATA_BYTES} bytes")
        return encoded

    def _remove(self, tx: Transaction, user_id: str, app_id: str, pushkey: str) -> None:
        store.remove(tx, user_id, app_id, pushkey)
        tx.announce(CHANGED, "")

    def on_logout(self, tx: Transaction, user_id: str, device_id: str | None) -> None:
        """A session ended (None: all of them): so do the pushers that it set."""
        for pusher in store.of(tx, user_id):
            if device_id is None or pusher.device_id == device_id:
                store.remove(tx, user_id, pusher.app_id, pusher.pushkey)


def _check_names(asked: SetPusher) -> None:
    if not asked.pushkey or len(asked.pushkey.encode("utf-8", "surrogatepass")) > MAX_PUSHKEY_BYTES:
        raise invalid(f"a pushkey has 1 to {MAX_PUSHKEY_BYTES} bytes")
    if not 0 < len(asked.app_id) <= MAX_APP_ID:
        raise invalid(f"an app_id has 1 to {MAX_APP_ID} characters")
    names = (asked.app_display_name, asked.device_display_name, asked.profile_tag, asked.lang)
    if any(name is not None and len(name) > MAX_NAME for name in names):
        raise invalid(f"names and tags of a pusher have at most {MAX_NAME} characters")


def _shown(pusher: Pusher) -> dict[str, Any]:
    return {
        "app_id": pusher.app_id,
        "pushkey": pusher.pushkey,
        "kind": "http",
        "app_display_name": pusher.app_display_name,
        "device_display_name": pusher.device_display_name,
        "profile_tag": pusher.profile_tag,
        "lang": pusher.lang,
        "data": msgspec.Raw(pusher.data),
    }
