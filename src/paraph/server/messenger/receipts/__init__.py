"""How far people have read: public and private receipts, in threads and without, and the fully-read marker."""
