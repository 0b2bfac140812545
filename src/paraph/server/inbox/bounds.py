"""The bounds that partners meet, from the modules that keep to them, for the published limits."""

from paraph.protocol import limits as documents
from paraph.server.consent.oauth import assertion, dpop, par, requests, tokens
from paraph.server.http.limits import BYTES, COUNT, MILLISECONDS, Bound
from paraph.server.inbox import drafts, http, opaque, serving
from paraph.server.inbox.people import service
from paraph.server.inbox.webhooks import delivery
from paraph.server.inbox.webhooks import service as webhooks

BOUNDS = (
    Bound("messages", serving.MAX_MESSAGES, COUNT, "messages or changes in one answer"),
    Bound("key_events", http.MAX_EVENTS, COUNT, "key events in one answer"),
    Bound("conversations", service.MAX_ROOMS, COUNT, "conversations in one answer of metadata"),
    Bound("correspondents", service.MAX_CORRESPONDENTS, COUNT, "handles told of one conversation"),
    Bound("friends", service.MAX_FRIENDS, COUNT, "handles in one answer of friends"),
    Bound("wait", http.MAX_TIMEOUT_MS, MILLISECONDS, "how long an answer waits for something new (`timeout`)"),
    Bound("document", documents.MAX_DOCUMENT_BYTES, BYTES, "a signed document as canonical JSON, signatures included"),
    Bound("document_body", http.MAX_DOCUMENT, BYTES, "a request body that carries one document"),
    Bound("opaque", opaque.MAX_LENGTH, BYTES, "a state or cursor"),
    Bound("open_drafts", drafts.MAX_OPEN_DRAFTS, COUNT, "open drafts under one grant"),
    Bound("draft_days", documents.MAX_DRAFT_DAYS, COUNT, "days from a draft's making to its end, at most"),
    Bound("draft_recipients", documents.MAX_DRAFT_RECIPIENTS, COUNT, "devices that one draft is sealed for"),
    Bound("draft_lease", drafts.LEASE_MS, MILLISECONDS, "how long a device holds a draft that it is about to seal"),
    Bound("draft_kept", drafts.KEPT_MS, MILLISECONDS, "how long after its end a draft's status can be asked for"),
    Bound("key_claims", drafts.MAX_CLAIMS_A_DAY, COUNT, "one-time keys of one device under one grant on one day"),
    Bound("webhooks", webhooks.MAX_WEBHOOKS, COUNT, "webhooks of one partner"),
    Bound("webhook_every", delivery.AT_MOST_EVERY_MS, MILLISECONDS, "time between two calls of a webhook, at least"),
    Bound("grant_days", documents.MAX_GRANT_DAYS, COUNT, "days that a grant may last"),
    Bound("access_token", tokens.TOKEN_LIFETIME_MS, MILLISECONDS, "life of an access token"),
    Bound("authorization_code", requests.CODE_LIFETIME_MS, MILLISECONDS, "life of a code"),
    Bound("pushed_request", par.REQUEST_LIFETIME_MS, MILLISECONDS, "how long a pushed request waits to be opened"),
    Bound("assertion", assertion.MAX_LIFETIME_MS, MILLISECONDS, "how far ahead a client assertion may end"),
    Bound("proof_skew", dpop.MAX_SKEW_MS, MILLISECONDS, "how far a proof's `iat` may be from the platform's clock"),
    Bound("proof_nonce", dpop.NONCE_LIFETIME_MS, MILLISECONDS, "how long a nonce for proofs is taken"),
)
