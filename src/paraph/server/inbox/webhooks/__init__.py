"""Webhooks: a partner's endpoint is told that something changed, and nothing else (Standard Webhooks, `v1a`)."""
