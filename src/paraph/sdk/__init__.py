"""What people's devices and partners run: `Person` talks and grants, `Partner` reads what it was granted."""

from paraph.sdk.clock import clock_of, sandbox_clock
from paraph.sdk.engine.verification import ShortCode
from paraph.sdk.errors import (
    ConsentRefusedError,
    DecryptionError,
    DraftError,
    ForkDetectedError,
    GrantTokenError,
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
    VerificationError,
    WebhookError,
    WrongKeyError,
)
from paraph.sdk.keystore import MemoryStore, SqliteStore, Store
from paraph.sdk.log.partners import PartnerInfo, Trust
from paraph.sdk.log.promises import ReceiptNews
from paraph.sdk.log.receipts import LedgerEntry
from paraph.sdk.partner.change_items import Change, DevicesChange, DraftChange, GrantChange, MessageChange, Withheld
from paraph.sdk.partner.drafts import DraftStatus
from paraph.sdk.partner.flow import Asking, Granted
from paraph.sdk.partner.looks import Conversation
from paraph.sdk.partner.outbox import Outbox, OutboxStateError, rendered_message
from paraph.sdk.partner.partner import KeyNews, Partner
from paraph.sdk.partner.reading import GrantedRoom, Page
from paraph.sdk.partner.retention import Due
from paraph.sdk.partner.session import GrantSession
from paraph.sdk.partner.webhooks import Webhook, Webhooks, verify_webhook
from paraph.sdk.person.authorize import Answered, ConsentRequest
from paraph.sdk.person.consent import GrantTerms
from paraph.sdk.person.drafts import Draft, DraftRule
from paraph.sdk.person.messaging import SyncUpdate
from paraph.sdk.person.person import Person, Secrets
from paraph.sdk.person.standing import GrantState
from paraph.sdk.person.verifying import Verification
from paraph.sdk.rooms import Message, Room, Via
from paraph.sdk.transport import Transport

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
    "Due",
    "ForkDetectedError",
    "GrantChange",
    "GrantSession",
    "GrantState",
    "GrantTerms",
    "GrantTokenError",
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
    "Outbox",
    "OutboxStateError",
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
    "ShortCode",
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
    "Verification",
    "VerificationError",
    "Via",
    "Webhook",
    "WebhookError",
    "Webhooks",
    "Withheld",
    "WrongKeyError",
    "clock_of",
    "rendered_message",
    "sandbox_clock",
    "verify_webhook",
]
