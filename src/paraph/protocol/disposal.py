"""A partner's word that what it opened under a grant is deleted (docs/protocol.md section 2).

Nobody can prove that a copy is gone. What can be proven is who said so, when, and whether nobody did.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from paraph.protocol import limits
from paraph.protocol.documents import Document, parse
from paraph.protocol.fields import DeviceId, GrantId, Slug, Time
from paraph.protocol.identifiers import partner_user_id
from paraph.protocol.signing import verify

TYPE = "org.paraph.disposal"

Number = Annotated[int, Meta(ge=0, le=limits.MAX_TIME)]


class Disposal(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that was opened under the grant before `opened_before` is deleted, copies and reserves included.

    `accesses`, `messages` and `keys` say how much of it there was since the confirmation before.
    """

    type: Literal["org.paraph.disposal"]
    grant_id: GrantId
    partner: Slug
    device_id: DeviceId
    opened_before: Time
    accesses: Number
    messages: Number
    keys: Number
    created: Time

    def __post_init__(self) -> None:
        if self.opened_before > self.created:
            raise ValueError("expected `opened_before` no later than `created`")


def verify_disposal(document: Mapping[str, Any], *, server_name: str, ed25519: str) -> Disposal:
    """Check that the partner's device with this key (unpadded base64) signed the document; raises ProtocolError.

    Whether that device is a live one, and whether the grant is the partner's, is checked apart.
    """
    disposal = parse(Disposal, document)
    verify(document, partner_user_id(disposal.partner, server_name), f"ed25519:{disposal.device_id}", ed25519)
    return disposal
