"""The device's own Olm account: identity keys, one-time keys and the fallback key."""

from typing import Any, cast

import msgspec
from vodozemac import Account, Curve25519PublicKey

from paraph.protocol.signing import sign
from paraph.sdk.engine.model import MEGOLM, OLM, SIGNED_CURVE25519, Json, KeysUpload
from paraph.sdk.keystore import Records

TABLE = "account"


class AccountRecord(msgspec.Struct, frozen=True):
    """The account as stored; `published` once the server has the identity keys."""

    user_id: str
    device_id: str
    pickle: str
    published: bool = False


class OlmAccount:
    """Keys that name this device, and those that others use once to reach it."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._uploading = False
        record = self._record()
        self.user_id = record.user_id
        self.device_id = record.device_id
        self.curve25519 = self.olm.curve25519_key.to_base64()
        self.ed25519 = self.olm.ed25519_key.to_base64()

    @staticmethod
    def create(records: Records, user_id: str, device_id: str) -> None:
        """Make a new account in the records; its first upload carries half the maximum of one-time keys."""
        account = Account()
        account.generate_one_time_keys(account.max_number_of_one_time_keys // 2)
        _make_fallback(account)
        pickle = account.pickle(records.pickle_key)
        records.put(TABLE, "self", AccountRecord(user_id, device_id, pickle))

    @property
    def olm(self) -> Account:
        """The live account; `save` after changing it."""
        live = self._records.live.get((TABLE, "self"))
        if live is None:
            live = Account.from_pickle(self._record().pickle, self._records.pickle_key)
            self._records.live[TABLE, "self"] = live
        return live

    def save(self, *, published: bool | None = None) -> None:
        """Put the live account's state into the records."""
        record = self._record()
        state = msgspec.structs.replace(record, pickle=self.olm.pickle(self._records.pickle_key))
        if published is not None:
            state = msgspec.structs.replace(state, published=published)
        self._records.put(TABLE, "self", state)

    def sign(self, message: bytes) -> str:
        """Signature under the device key, unpadded base64."""
        return self.olm.sign(message).to_base64()

    def signed(self, document: Json) -> Json:
        """A copy of the document, signed as `ed25519:<device id>` of the user."""
        return sign(document, self.user_id, f"ed25519:{self.device_id}", self.sign)

    def device_keys(self) -> Json:
        """The Matrix `device_keys` object, signed by the device."""
        keys = {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": [OLM, MEGOLM],
            "keys": {f"curve25519:{self.device_id}": self.curve25519, f"ed25519:{self.device_id}": self.ed25519},
        }
        return self.signed(keys)

    def upload(self) -> KeysUpload | None:
        """What the server has not got yet, or None."""
        account = self.olm
        published = self._record().published
        once, fallback = account.one_time_keys, _fallback(account)
        if published and not once and not fallback:
            return None
        self._uploading = True
        return KeysUpload(
            None if published else self.device_keys(),
            {f"{SIGNED_CURVE25519}:{name}": self.signed({"key": key.to_base64()}) for name, key in once.items()},
            {
                f"{SIGNED_CURVE25519}:{name}": self.signed({"key": key.to_base64(), "fallback": True})
                for name, key in fallback.items()
            },
        )

    def uploaded(self) -> None:
        """The server has what `upload` last named."""
        self._uploading = False
        self.olm.mark_keys_as_published()
        self.save(published=True)

    def top_up(self, count: int | None, fallback_unused: tuple[str, ...] | None) -> None:
        """Make keys until half the maximum lies on the server, and a fallback key when the last one was used.

        Waits while an upload is under way, since what would be made now would be marked as sent with it.
        """
        if self._uploading or not self._record().published:
            return
        account = self.olm
        missing = 0
        if count is not None:
            missing = account.max_number_of_one_time_keys // 2 - count - len(account.one_time_keys)
        spent = fallback_unused is not None and SIGNED_CURVE25519 not in fallback_unused
        renew = spent and not _fallback(account)
        if missing > 0:
            account.generate_one_time_keys(missing)
        if renew:
            _make_fallback(account)
        if missing > 0 or renew:
            self.save()

    def _record(self) -> AccountRecord:
        record = self._records.get(TABLE, "self", AccountRecord)
        if record is None:
            raise ValueError("the store holds no device")
        return record


# The binding's type stubs leave these two out.
def _make_fallback(account: Account) -> None:
    cast(Any, account).generate_fallback_key()


def _fallback(account: Account) -> dict[str, Curve25519PublicKey]:
    keys: dict[str, Curve25519PublicKey] = cast(Any, account).fallback_key
    return keys
