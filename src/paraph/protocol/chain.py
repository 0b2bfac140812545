"""The chain of a person's signature: device <- self-signing key <- master key, pinned by whoever verifies.

A chain travels as `{"device_keys": ..., "self_signing_key": ...}` in Matrix shapes. A server adds `unsigned` to
device keys it hands out; drop that member first, because nobody signed it and it is refused here.
"""

from collections.abc import Mapping
from typing import Any

from paraph.protocol.device_keys import DeviceKeys, parse_device_keys, parse_self_signing_key
from paraph.protocol.errors import ChainError, ProtocolError
from paraph.protocol.signing import verify

CHAIN_MEMBERS = frozenset({"device_keys", "self_signing_key"})


def verify_chain(
    document: Mapping[str, Any], chain: Mapping[str, Any], *, person: str, device_id: str, master_key: str
) -> None:
    """Check that a device of the person signed the document and that her master key vouches for that device.

    `master_key` is the one the verifier trusts, in unpadded base64. Raises ChainError for a device that is not
    vouched for, SignatureError for a wrong signature on the document itself.
    """
    if not isinstance(chain, Mapping) or set(chain) != CHAIN_MEMBERS:
        raise ChainError(f"expected a chain with the members {sorted(CHAIN_MEMBERS)}")
    device = verify_device_keys(chain["device_keys"], chain["self_signing_key"], person=person, master_key=master_key)
    if device.device_id != device_id:
        raise ChainError(f"expected the keys of device {device_id}, found those of {device.device_id}")
    verify(document, person, device.key_id, device.ed25519)


def verify_device_keys(
    device_keys: Mapping[str, Any], self_signing_key: Mapping[str, Any], *, person: str, master_key: str
) -> DeviceKeys:
    """Check that the person's master key signed the self-signing key and that key the device; gives the device.

    Raises ChainError if either signature is missing or wrong, or an object is malformed or someone else's.
    """
    try:
        signer = parse_self_signing_key(self_signing_key)
        device = parse_device_keys(device_keys)
        if not signer.user_id == device.user_id == person:
            raise ChainError(f"expected keys of {person}, found {signer.user_id} and {device.user_id}")
        verify(self_signing_key, person, f"ed25519:{master_key}", master_key)
        verify(device_keys, person, f"ed25519:{signer.public_key}", signer.public_key)
    except ChainError:
        raise
    except ProtocolError as error:
        raise ChainError(f"no chain from {person}'s master key to the device: {error}") from error
    return device
