"""Device keys and self-signing keys in the shapes of the Matrix specification (Client-Server API, "End-to-End
Encryption"): what a device says of itself, and who vouches for it."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from paraph.protocol.documents import Part, parse
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import DeviceId, PublicKey, Signatures, UserIdText, once
from paraph.protocol.limits import MAX_ALGORITHMS

_Algorithm = Annotated[str, Meta(min_length=1, max_length=100)]
_Algorithms = Annotated[tuple[_Algorithm, ...], Meta(max_length=MAX_ALGORITHMS)]
_Keys = Annotated[dict[str, PublicKey], Meta(min_length=1, max_length=8)]


class DeviceKeys(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`device_keys`: a device's identity (Curve25519) and signing (Ed25519) keys, signed by itself and its owner."""

    user_id: UserIdText
    device_id: DeviceId
    algorithms: _Algorithms
    keys: _Keys
    signatures: Signatures

    def __post_init__(self) -> None:
        once("algorithms", self.algorithms)
        for algorithm in ("curve25519", "ed25519"):
            if f"{algorithm}:{self.device_id}" not in self.keys:
                raise ValueError(f"expected a key `{algorithm}:{self.device_id}`")

    @property
    def key_id(self) -> str:
        """`ed25519:` and the device id: how this device names its signatures."""
        return f"ed25519:{self.device_id}"

    @property
    def ed25519(self) -> str:
        """The device's signing key, unpadded base64."""
        return self.keys[self.key_id]

    @property
    def curve25519(self) -> str:
        """The device's identity key, unpadded base64."""
        return self.keys[f"curve25519:{self.device_id}"]


class SelfSigningKey(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The key with which a person vouches for her own devices, itself signed by her master key."""

    user_id: UserIdText
    usage: Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(min_length=1, max_length=4)]
    keys: Annotated[dict[str, PublicKey], Meta(min_length=1, max_length=1)]
    signatures: Signatures

    def __post_init__(self) -> None:
        if "self_signing" not in self.usage:
            raise ValueError("expected `self_signing` among `usage`")
        ((key_id, public_key),) = self.keys.items()
        if key_id != f"ed25519:{public_key}":
            raise ValueError("expected the key under the id `ed25519:` and itself")

    @property
    def public_key(self) -> str:
        """The Ed25519 key, unpadded base64."""
        return next(iter(self.keys.values()))


def parse_device_keys(document: Mapping[str, Any]) -> DeviceKeys:
    """Device keys of a person's device as stock clients upload them: members Paraph does not know are covered by
    the signatures but left out of the struct. Raises DocumentError."""
    return parse(DeviceKeys, _known(document, DeviceKeys))


def parse_self_signing_key(document: Mapping[str, Any]) -> SelfSigningKey:
    """A self-signing key object, with the same allowance as `parse_device_keys`; raises DocumentError."""
    return parse(SelfSigningKey, _known(document, SelfSigningKey))


def _known(document: Mapping[str, Any], kind: type[Part]) -> dict[str, Any]:
    if not isinstance(document, Mapping):
        raise DocumentError(f"expected a JSON object, found {type(document).__name__}")
    return {name: value for name, value in document.items() if name in kind.__struct_encode_fields__}
