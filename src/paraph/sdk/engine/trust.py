"""What follows from a verification: whose identity is pinned, and which keys this person's own keys sign."""

from collections.abc import Callable

from paraph.protocol.errors import ProtocolError
from paraph.protocol.signing import verify
from paraph.sdk.engine.account import OlmAccount
from paraph.sdk.engine.cross_signing import Identity
from paraph.sdk.engine.model import Json, KeysQuery, Peer
from paraph.sdk.engine.secrets import Secrets
from paraph.sdk.engine.users import Users
from paraph.sdk.engine.verification.flow import Flow
from paraph.sdk.engine.verification.model import Side
from paraph.sdk.keystore import Records

TO_SIGN = "to-sign"


class Vouching:
    """`identity()` gives the person's identity where this device holds it."""

    def __init__(
        self,
        records: Records,
        account: OlmAccount,
        users: Users,
        secrets: Secrets,
        identity: Callable[[], Identity | None],
    ) -> None:
        self._records = records
        self._account = account
        self._users = users
        self._secrets = secrets
        self._identity = identity

    def ours(self) -> Side:
        """This device, with the keys it may vouch for: its own, and its person's master key where it knows that."""
        account, own = self._account, self._users.get(self._account.user_id)
        keys = {f"ed25519:{account.device_id}": account.ed25519}
        if own is not None and own.master is not None and not own.blocked and (own.verified or self._identity()):
            keys[f"ed25519:{own.master}"] = own.master
        return Side(account.user_id, account.device_id, keys)

    def theirs(self, user_id: str, device_id: str) -> Side | None:
        """Another device as the directory has it, with the master key that its owner shows now."""
        user = self._users.get(user_id)
        device = None if user is None else user.device(device_id)
        if user is None or device is None or device.gone or device.changed:
            return None
        keys = {f"ed25519:{device_id}": device.ed25519}
        master = user.offered if user.blocked else user.master
        if master:
            keys[f"ed25519:{master}"] = master
        return Side(user_id, device_id, keys)

    def verified(self, flow: Flow) -> None:
        """The other side proved these keys to the person."""
        device_key = flow.verified[f"ed25519:{flow.device_id}"]
        user, own = self._users.get(flow.user_id), flow.user_id == self._account.user_id
        for key_id, key in flow.verified.items():
            if key_id != f"ed25519:{flow.device_id}":
                self._users.verify(flow.user_id, key)
                if not own:
                    self._sign_later(flow.user_id, key, key)
                elif self._identity() is None:
                    self._ask(flow, device_key)
        if own:
            self._sign_later(flow.user_id, flow.device_id or "", device_key)
        elif user is not None and user.master is None and not user.blocked:
            self._users.accept_device(flow.user_id, flow.device_id or "")
        self._users.outdate([flow.user_id])

    def listed(self, request: KeysQuery, response: Json) -> None:
        """Sign what is due and was listed now, exactly as the verification had it."""
        identity = self._identity()
        for record, (owner, name, key) in self._records.items(TO_SIGN, tuple[str, str, str]):
            if identity is None or owner not in request.users:
                continue
            self._records.delete(TO_SIGN, record)
            kind = "device_keys" if owner == self._account.user_id else "master_keys"
            listed = response.get(kind, {}).get(owner)
            document = listed.get(name) if isinstance(listed, dict) and kind == "device_keys" else listed
            if isinstance(document, dict) and _names(document, owner, name, key):
                identity.vouch(owner, name, document)

    def _sign_later(self, owner: str, name: str, key: str) -> None:
        if self._identity() is not None:
            self._records.put(TO_SIGN, f"{owner}/{name}", (owner, name, key))

    def _ask(self, flow: Flow, device_key: str) -> None:
        user = self._users.get(flow.user_id)
        device = None if user is None else user.device(flow.device_id or "")
        if device is not None and device.ed25519 == device_key:
            self._secrets.want(Peer(device.user_id, device.device_id, device.curve25519, device.ed25519))


def _names(document: Json, owner: str, name: str, key: str) -> bool:
    """Whether the object is its owner's and has this very key; a device's also has to be signed by itself."""
    keys = document.get("keys")
    if document.get("user_id") != owner or not isinstance(keys, dict) or keys.get(f"ed25519:{name}") != key:
        return False
    if name == key:
        return document.get("usage") == ["master"]
    bare = {field: value for field, value in document.items() if field != "unsigned"}
    try:
        verify(bare, owner, f"ed25519:{name}", key)
    except ProtocolError:
        return False
    return document.get("device_id") == name
