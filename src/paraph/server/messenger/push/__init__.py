"""Notifications: push rules, counts of what is unread, and push gateways."""
