"""The key directory: what each person sees of everybody's devices and identities."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from paraph.protocol.identifiers import is_partner
from paraph.server.devices import store
from paraph.server.devices.errors import invalid
from paraph.server.devices.model import CrossSigning, CrossSigningKey, Device, Document
from paraph.server.storage import Transaction

MAX_USERS = 1_000

Signed = Mapping[str, Sequence[tuple[str, str, str]]]


class PartnerKeys(Protocol):
    """What the directory asks about partners' addresses; nothing is shown to a person without a live grant."""

    def device_keys(self, tx: Transaction, person: str, partner_user_id: str) -> dict[str, Document]:
        """Device id -> `device_keys` of the partner's live devices, as far as this person may see them."""
        ...

    def may_claim(self, tx: Transaction, person: str, partner_user_id: str) -> bool:
        """Whether this person may claim one-time keys of this partner."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """Who there is: partners, and by `exists(tx, user_id)` the people of this server."""

    partners: PartnerKeys
    exists: Callable[[Transaction, str], bool]
    server_name: str

    def is_elsewhere(self, user_id: str) -> str | None:
        """The other server that a user id names, or None."""
        server = user_id.partition(":")[2]
        return server if server and server != self.server_name else None


ELSEWHERE = {"status": 503, "message": "this server talks to no other server"}


def query(tx: Transaction, known: Known, viewer: str, wanted: Mapping[str, list[str]]) -> dict[str, Any]:
    """The answer to /keys/query; who does not exist is left out, who has no devices has none, and servers of other
    people are listed as out of reach. Raises M_INVALID_PARAM."""
    if len(wanted) > MAX_USERS:
        raise invalid(f"expected at most {MAX_USERS} users in one query: ask in parts")
    answer: dict[str, dict[str, Any]] = {
        "device_keys": {},
        "failures": {},
        "master_keys": {},
        "self_signing_keys": {},
        "user_signing_keys": {},
    }
    for user_id, device_ids in wanted.items():
        if (server := known.is_elsewhere(user_id)) is not None:
            answer["failures"][server] = ELSEWHERE
            continue
        if is_partner(user_id):
            found = known.partners.device_keys(tx, viewer, user_id)
        else:
            signed = store.signatures_on(tx, user_id, viewer)
            found = _device_keys(store.devices(tx, user_id), signed)
            _add_identity(answer, user_id, viewer, store.cross_signing(tx, user_id), signed)
        if device_ids:
            found = {device_id: keys for device_id, keys in found.items() if device_id in device_ids}
        if found or known.exists(tx, user_id):
            answer["device_keys"][user_id] = found
    return answer


def _device_keys(devices: Iterable[Device], signed: Signed) -> dict[str, Document]:
    found = {}
    for device in devices:
        if device.device_keys is not None:
            keys = with_signatures(device.device_keys, signed.get(device.device_id, ()))
            name = {} if device.display_name is None else {"device_display_name": device.display_name}
            found[device.device_id] = keys | {"unsigned": name}
    return found


def _add_identity(
    answer: dict[str, dict[str, Any]], user_id: str, viewer: str, identity: CrossSigning, signed: Signed
) -> None:
    if identity.master is not None:
        master = with_signatures(identity.master.document, signed.get(identity.master.public_key, ()))
        answer["master_keys"][user_id] = master
    if identity.self_signing is not None:
        answer["self_signing_keys"][user_id] = identity.self_signing.document
    if identity.user_signing is not None and viewer == user_id:
        answer["user_signing_keys"][user_id] = identity.user_signing.document


def with_signatures(document: Document, signed: Iterable[tuple[str, str, str]]) -> Document:
    """A copy with these signatures (signer, key id, signature) added; what nobody signed says nothing of signatures."""
    signatures = {user_id: dict(made) for user_id, made in document.get("signatures", {}).items()}
    for user_id, key_id, signature in signed:
        signatures.setdefault(user_id, {})[key_id] = signature
    return document | {"signatures": signatures} if signatures else document


def device_keys_of(tx: Transaction, user_id: str) -> dict[str, Document]:
    """Device id -> `device_keys` with all the owner's signatures and no `unsigned`."""
    signed = store.signatures_on(tx, user_id, user_id)
    return {
        device.device_id: with_signatures(device.device_keys, signed.get(device.device_id, ()))
        for device in store.devices(tx, user_id)
        if device.device_keys is not None
    }


def cross_signing_of(tx: Transaction, user_id: str) -> CrossSigning:
    """A person's identity; the master key's object carries all the owner's signatures."""
    identity = store.cross_signing(tx, user_id)
    if identity.master is None:
        return identity
    signed = store.signatures_on(tx, user_id, user_id).get(identity.master.public_key, ())
    master = CrossSigningKey(identity.master.public_key, with_signatures(identity.master.document, signed))
    return CrossSigning(master, identity.self_signing, identity.user_signing)
