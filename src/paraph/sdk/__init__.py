"""What people's devices and partners run: `Person` talks and grants, `Partner` reads what it was granted."""

from paraph.sdk.authorize import Answered, ConsentRequest
from paraph.sdk.change_items import Change, DevicesChange, DraftChange, GrantChange, MessageChange, Withheld
from paraph.sdk.consent import GrantTerms
from paraph.sdk.drafts import Draft, DraftRule
from paraph.sdk.errors import (
    ConsentRefusedError,
    DecryptionError,
    DraftError,
    ForkDetectedError,
    HiddenRecordsError,
    IdentityChangedError,
    LogError,
    MatrixError,
    MediaError,
    NotEnrolledError,
    ProblemError,
    ReceiptError,
    SdkError,
    SharingNeededError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    TransportError,
    TrustError,
    WebhookError,
    WrongKeyError,
)
from paraph.sdk.keystore import MemoryStore, SqliteStore, Store
from paraph.sdk.messaging import SyncUpdate
from paraph.sdk.partner import KeyNews, Partner
from paraph.sdk.partner_drafts import DraftStatus
from paraph.sdk.partner_flow import Asking, Granted
from paraph.sdk.partner_looks import Conversation
from paraph.sdk.partner_reading import GrantedRoom, Page
from paraph.sdk.partners import PartnerInfo, Trust
from paraph.sdk.person import Person, Secrets
from paraph.sdk.promises import ReceiptNews
from paraph.sdk.receipts import LedgerEntry
from paraph.sdk.rooms import Message, Room, Via
from paraph.sdk.standing import GrantState
from paraph.sdk.transport import Transport
from paraph.sdk.webhooks import Webhook, Webhooks, verify_webhook

__all__ = [
    "Answered",
    "Asking",
    "Change",
    "ConsentRefusedError",
    "ConsentRequest",
    "Conversation",
    "DecryptionError",
    "DevicesChange",
    "Draft",
    "DraftChange",
    "DraftError",
    "DraftRule",
    "DraftStatus",
    "ForkDetectedError",
    "GrantChange",
    "GrantState",
    "GrantTerms",
    "Granted",
    "GrantedRoom",
    "HiddenRecordsError",
    "IdentityChangedError",
    "KeyNews",
    "LedgerEntry",
    "LogError",
    "MatrixError",
    "MediaError",
    "MemoryStore",
    "Message",
    "MessageChange",
    "NotEnrolledError",
    "Page",
    "Partner",
    "PartnerInfo",
    "Person",
    "ProblemError",
    "ReceiptError",
    "ReceiptNews",
    "Room",
    "SdkError",
    "Secrets",
    "SharingNeededError",
    "SqliteStore",
    "Store",
    "StoreBusyError",
    "StoreDamagedError",
    "StoreError",
    "SyncUpdate",
    "Transport",
    "TransportError",
    "Trust",
    "TrustError",
    "Via",
    "Webhook",
    "WebhookError",
    "Webhooks",
    "Withheld",
    "WrongKeyError",
    "verify_webhook",
]
