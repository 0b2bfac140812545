"""Requests that the platform itself sends, to addresses that others chose: webhooks and push gateways."""
