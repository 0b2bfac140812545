"""The person's cross-signing identity: master, self-signing and user-signing keys (Matrix, "Cross-signing")."""

from dataclasses import dataclass, field

import msgspec

from paraph.protocol.base64 import b64, unb64
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk.engine.account import OlmAccount
from paraph.sdk.engine.model import DeviceSigningUpload, Json, SignaturesUpload
from paraph.sdk.keystore import Records

TABLE = "identity"
SIGNED = "identity-signed"
MAX_SIGNED_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class IdentitySeeds:
    """The three private seeds, 32 bytes each."""

    master: bytes = field(repr=False)
    self_signing: bytes = field(repr=False)
    user_signing: bytes = field(repr=False)


class IdentityRecord(msgspec.Struct, frozen=True):
    """Seeds in base64, and how far the public part has been uploaded."""

    master: str
    self_signing: str
    user_signing: str
    keys_uploaded: bool = False
    device_signed: bool = False

    def __repr__(self) -> str:
        return "IdentityRecord(...)"


class Identity:
    """The private half of a person's identity, on a device that has it."""

    def __init__(self, records: Records, account: OlmAccount) -> None:
        self._records = records
        self._account = account
        record = self._record()
        self.master = SigningKey.from_seed(unb64(record.master, 32))
        self.self_signing = SigningKey.from_seed(unb64(record.self_signing, 32))
        self.user_signing = SigningKey.from_seed(unb64(record.user_signing, 32))

    @staticmethod
    def store(records: Records, seeds: IdentitySeeds, *, keys_uploaded: bool) -> None:
        """Put seeds into the records; `keys_uploaded` when another device has published the keys already."""
        record = IdentityRecord(b64(seeds.master), b64(seeds.self_signing), b64(seeds.user_signing), keys_uploaded)
        records.put(TABLE, "self", record)

    @staticmethod
    def exists(records: Records) -> bool:
        """Whether this device holds the person's identity."""
        return records.get(TABLE, "self", IdentityRecord) is not None

    @property
    def seeds(self) -> IdentitySeeds:
        """The private seeds, for the person's next device."""
        return IdentitySeeds(self.master.seed, self.self_signing.seed, self.user_signing.seed)

    def master_object(self) -> Json:
        """The master key as Matrix shows it, signed by this device, so that those who pinned the device follow."""
        return self._account.signed(self._object("master", self.master))

    def self_signing_object(self) -> Json:
        """The self-signing key, signed by the master key."""
        return self._by_master(self._object("self_signing", self.self_signing))

    def user_signing_object(self) -> Json:
        """The user-signing key, signed by the master key."""
        return self._by_master(self._object("user_signing", self.user_signing))

    def device_keys(self) -> Json:
        """This device's keys, signed by itself and by the self-signing key."""
        key = self.self_signing
        return sign(self._account.device_keys(), self._account.user_id, key.key_id, key.sign)

    def chain(self) -> Json:
        """What lets others follow a signature of this device up to the master key (docs/protocol.md §2)."""
        return {"device_keys": self.device_keys(), "self_signing_key": self.self_signing_object()}

    def upload(self) -> DeviceSigningUpload | SignaturesUpload | None:
        """The next thing the server has to learn, or None: the keys, this device's signature, what else was signed."""
        record = self._record()
        if not record.keys_uploaded:
            return DeviceSigningUpload(self.master_object(), self.self_signing_object(), self.user_signing_object())
        if not record.device_signed:
            return SignaturesUpload({self._account.user_id: {self._account.device_id: self.device_keys()}})
        signed: Json = {}
        for _, (owner, name, document) in self._signed()[:MAX_SIGNED_AT_ONCE]:
            signed.setdefault(owner, {})[name] = document
        return SignaturesUpload(signed) if signed else None

    def uploaded(self, request: DeviceSigningUpload | SignaturesUpload) -> None:
        """The server has what `upload` named."""
        if isinstance(request, SignaturesUpload) and self._record().device_signed:
            for record, (owner, name, _) in self._signed():
                if name in request.signatures.get(owner, {}):
                    self._records.delete(SIGNED, record)
            return
        done = {"keys_uploaded" if isinstance(request, DeviceSigningUpload) else "device_signed": True}
        self._records.put(TABLE, "self", msgspec.structs.replace(self._record(), **done))

    def vouch(self, owner: str, name: str, document: Json) -> None:
        """Sign a device's keys of this person, or another person's master key, and let the server know.

        `document` is what the server lists under that name (device id, or the public key).
        """
        key = self.self_signing if owner == self._account.user_id else self.user_signing
        bare = {field: value for field, value in document.items() if field not in ("unsigned", "signatures")}
        signed = sign(bare, self._account.user_id, key.key_id, key.sign)
        self._records.put(SIGNED, f"{owner}/{name}", (owner, name, signed))

    def _signed(self) -> list[tuple[str, tuple[str, str, Json]]]:
        return self._records.items(SIGNED, tuple[str, str, Json])

    def _object(self, usage: str, key: SigningKey) -> Json:
        return {"user_id": self._account.user_id, "usage": [usage], "keys": {key.key_id: key.public_key}}

    def _by_master(self, document: Json) -> Json:
        return sign(document, self._account.user_id, self.master.key_id, self.master.sign)

    def _record(self) -> IdentityRecord:
        record = self._records.get(TABLE, "self", IdentityRecord)
        if record is None:
            raise ValueError("this device does not hold the person's identity")
        return record
