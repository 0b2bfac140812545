"""Partner devices: public records that say which device keys hold a partner's side, and until when."""

from collections.abc import Mapping
from typing import Any, Literal

from paraph.protocol.agreement import verify_either, verify_partner
from paraph.protocol.device_keys import DeviceKeys
from paraph.protocol.documents import Document, parse
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import DeviceId, Slug, Text, Time
from paraph.protocol.identifiers import partner_user_id, slug_of
from paraph.protocol.signing import verify


class PartnerDevice(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device of a partner, signed by the partner's master key; the device's own signature stands inside."""

    type: Literal["org.paraph.partner_device"]
    partner: Slug
    device_keys: DeviceKeys
    created: Time
    expires: Time

    def __post_init__(self) -> None:
        if self.created >= self.expires:
            raise ValueError("expected `created` before `expires`")
        if slug_of(self.device_keys.user_id) != self.partner:
            raise ValueError("expected device keys under the partner's own address")

    @property
    def device_id(self) -> str:
        """The id of the device."""
        return self.device_keys.device_id

    def live(self, at: int) -> bool:
        """Whether the device, unless ended, may be used at a time in milliseconds."""
        return self.created <= at < self.expires


class PartnerDeviceEnded(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The end of a partner device, by the partner's master key or the operator."""

    type: Literal["org.paraph.partner_device_ended"]
    partner: Slug
    device_id: DeviceId
    ended: Time
    reason: Text | None


def verify_partner_device(document: Mapping[str, Any], *, server_name: str, master_key: str) -> PartnerDevice:
    """Check the signature of the partner's master key and the device's own; raises ProtocolError.

    Says nothing of time or endings: see `PartnerDevice.live` and the log.
    """
    record = parse(PartnerDevice, document)
    keys = record.device_keys
    if keys.user_id != partner_user_id(record.partner, server_name):
        raise DocumentError(
            f"expected a device of {partner_user_id(record.partner, server_name)}, found {keys.user_id}"
        )
    verify_partner(document, record.partner, server_name=server_name, master_key=master_key)
    verify(document["device_keys"], keys.user_id, keys.key_id, keys.ed25519)
    return record


def verify_partner_device_ended(
    document: Mapping[str, Any], *, server_name: str, operator_key: str, master_key: str
) -> PartnerDeviceEnded:
    """Check that the operator or the partner's master key signed the ending; raises ProtocolError."""
    ending = parse(PartnerDeviceEnded, document)
    verify_either(document, ending.partner, server_name=server_name, operator_key=operator_key, master_key=master_key)
    return ending
