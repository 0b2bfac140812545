"""A partner's side of the Inbox API: authorization, reading, drafts, webhooks, and receipts for all of it."""
