"""Attachments for partners: the encrypted files of granting authors, each fetched on the record."""
