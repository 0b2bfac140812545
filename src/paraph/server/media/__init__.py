"""Files that people upload (Matrix, "Content repository"): encrypted attachments, avatars, and their thumbnails.

The bytes lie in files below `<data>/media`, never in the database, which knows of each file before its first byte is
written.
"""
