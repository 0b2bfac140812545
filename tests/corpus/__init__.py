"""The negative corpus: every structure that Paraph verifies, and every wrong form of it that we could think of.

A structure comes as honest bytes (or values) and a description of its fields; `mutators` and `trees` turn each field,
and the whole, into wrong ones. No mutant may be accepted, and each refusal must be an error that the verifier
documents. `python -m tests.corpus` prints the counts.
"""
