"""Suspending and locking accounts (Client-Server API v1.19, "Account suspension", "Account locking").

A suspended person still reads, leaves, logs out, withdraws what she granted and ends her account. A locked one is let
in nowhere until the lock is lifted; her sessions and keys stay. What is not on the lists below is refused.
"""

from collections.abc import Callable

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_user_id, is_partner
from paraph.server.accounts import store
from paraph.server.accounts.errors import AccountLocked, AccountSuspended, NoSuchUser
from paraph.server.accounts.sessions import Sessions
from paraph.server.http import Endpoint, MatrixError, PersonPrincipal, Standing
from paraph.server.storage import Database, Transaction

_V3, _OURS = "/_matrix/client/v3", "/_paraph/v1"
WHILE_LOCKED = frozenset(
    {
        f"POST {_V3}/logout",
        f"POST {_V3}/logout/all",
        f"POST {_OURS}/grants/{{grant_id}}/revoke",  # what she gave she can always take back
    }
)
"""What a locked person may do."""
WHILE_SUSPENDED = WHILE_LOCKED | {
    "POST /_matrix/client/v4/sync",
    "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    f"POST {_V3}/search",
    f"POST {_V3}/publicRooms",
    f"POST {_V3}/user_directory/search",
    f"POST {_V3}/account/password",
    f"POST {_V3}/account/deactivate",
    f"POST {_V3}/delete_devices",
    f"DELETE {_V3}/devices/{{device_id}}",
    f"POST {_V3}/keys/upload",
    f"POST {_V3}/keys/query",
    f"POST {_V3}/keys/claim",
    f"POST {_V3}/keys/device_signing/upload",
    f"POST {_V3}/keys/signatures/upload",
    f"PUT {_V3}/sendToDevice/{{event_type}}/{{txn_id}}",  # verifying devices, and handing keys to them
    f"POST {_V3}/room_keys/version",
    f"PUT {_V3}/room_keys/version/{{version}}",
    f"DELETE {_V3}/room_keys/version/{{version}}",
    f"PUT {_V3}/room_keys/keys",
    f"PUT {_V3}/room_keys/keys/{{room_id}}",
    f"PUT {_V3}/room_keys/keys/{{room_id}}/{{session_id}}",
    f"POST {_V3}/rooms/{{room_id}}/leave",
    f"POST {_V3}/rooms/{{room_id}}/forget",
    f"POST {_V3}/rooms/{{room_id}}/read_markers",
    f"POST {_V3}/rooms/{{room_id}}/receipt/{{kind}}/{{event_id}}",
    f"PUT {_V3}/rooms/{{room_id}}/redact/{{event_id}}/{{txn_id}}",
    f"POST {_V3}/user/{{user_id}}/filter",
    f"PUT {_V3}/user/{{user_id}}/account_data/{{type}}",
    f"PUT {_V3}/user/{{user_id}}/rooms/{{room_id}}/account_data/{{type}}",
    f"POST {_OURS}/grants/{{grant_id}}/amendments",  # they only narrow
    f"POST {_OURS}/drafts/{{draft_id}}/decline",
    f"POST {_OURS}/log/map",
}
"""What a suspended person may do besides reading."""

ActHook = Callable[[Transaction, str], None]
"""(transaction, act), in the write in which the operator acts on an account."""


def check_standing(endpoint: Endpoint, person: PersonPrincipal) -> None:
    """Raises AccountLocked or AccountSuspended where that account may not call this endpoint."""
    row = f"{endpoint.method} {endpoint.path}"
    if person.standing is Standing.LOCKED and row not in WHILE_LOCKED:
        raise AccountLocked
    if person.standing is Standing.SUSPENDED and endpoint.method != "GET" and row not in WHILE_SUSPENDED:
        raise AccountSuspended


class Moderation:
    """How accounts stand. `on_act` is told of each of the operator's acts on an account."""

    def __init__(self, database: Database, sessions: Sessions, server_name: str) -> None:
        self._database = database
        self._sessions = sessions
        self._server_name = server_name
        self.on_act: list[ActHook] = []

    async def standing(self, user_id: str) -> tuple[bool, bool]:
        """Whether an account is suspended, and whether it is locked; raises M_INVALID_PARAM or NoSuchUser."""
        self._check_local(user_id)
        return await self._database.read(lambda tx: _known(store.standing(tx, user_id)))

    async def suspend(self, user_id: str, value: bool) -> None:
        """Suspend an account, or lift it; raises as `standing`."""
        await self._set(user_id, "suspended", value)

    async def lock(self, user_id: str, value: bool) -> None:
        """Lock an account, or lift it; raises as `standing`."""
        await self._set(user_id, "locked", value)

    async def _set(self, user_id: str, what: str, value: bool) -> None:
        self._check_local(user_id)

        def write(tx: Transaction) -> None:
            suspended, locked = _known(store.standing(tx, user_id))
            if {"suspended": suspended, "locked": locked}[what] == value:
                return
            store.set_standing(tx, user_id, what, value)
            self._sessions.look_again(tx, user_id)
            self.note(tx, f"{what}" if value else f"{what}-lifted")

        await self._database.write(write)

    def note(self, tx: Transaction, act: str) -> None:
        """Tell of an act of the operator, within its write."""
        for hook in self.on_act:
            hook(tx, act)

    def _check_local(self, user_id: str) -> None:
        try:
            check_user_id(user_id)
        except IdentifierError as error:
            raise MatrixError(400, "M_INVALID_PARAM", str(error)) from None
        if is_partner(user_id) or user_id.partition(":")[2] != self._server_name:
            raise MatrixError(400, "M_INVALID_PARAM", "expected the user id of a person of this server")


def _known(found: tuple[bool, bool] | None) -> tuple[bool, bool]:
    if found is None:
        raise NoSuchUser
    return found
