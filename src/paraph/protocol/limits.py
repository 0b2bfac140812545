"""Every bound that documents, entries and leaves keep to, in one place.

A bound exists so that whoever verifies can refuse early and plan memory; each says what it counts.
"""

DAY_MS = 86_400_000
"""Milliseconds in a day of UTC."""

MAX_TIME = 2**53 - 1
"""Last time, in milliseconds since 1970-01-01 UTC: the last integer of canonical JSON."""

MERGE_DELAY_MS = 60_000
"""Milliseconds within which what was recorded must be in the log: a receipt's deadline is so long after its entry."""

MAX_GRANT_DAYS = 180
"""Longest time from a grant's `from` to its `until`; an agreement's ceiling is not above it."""

MAX_RETENTION_DAYS = 3_650
"""Longest time a partner may say it keeps what it opened."""

DISPOSAL_GRACE_MS = DAY_MS
"""Milliseconds after the end of its retention within which a partner confirms that what it opened is deleted."""

MAX_NOTICE_DAYS = 3_650
"""Longest notice before an agreement's extension."""

MAX_VERSION = 1_000_000
"""Highest version number of an agreement."""

MAX_NAME = 100
"""Characters of a name or role: one line, shown to people as it stands."""

MAX_TEXT = 4_000
"""Characters of a reason, a tie or a consideration."""

MAX_SIGNATORIES = 32
"""People who stand behind an agreement, both parties together."""

MAX_TIES = 64
"""Declared ties between operator and partner."""

MAX_PURPOSES = 32
"""Purposes of an agreement or grant."""

MAX_ROOMS = 1_000
"""Rooms named in a grant or amendment; whoever needs more says `all`."""

MAX_REPORT_VALUES = 64
"""Values along one dimension of the report grid."""

MAX_PUBLISHED_LIMITS = 64
"""Named limits in an agreement."""

MAX_ALGORITHMS = 16
"""Algorithms that a device lists."""

MAX_SIGNATURE_ENTITIES = 8
"""Entities in `signatures` of one document."""

MAX_SIGNATURES_EACH = 16
"""Signatures of one entity in one document."""

MAX_ACCESS_EVENTS = 1_000
"""Events in one access entry: one author's share of one answer."""

MAX_AMENDMENTS = 1_000
"""Amendments of one grant."""

MAX_DRAFT_DAYS = 30
"""Longest time from a draft's `created` to its `expires`."""

MAX_DRAFT_RECIPIENTS = 32
"""Devices of the author that one draft is sealed for."""

MAX_DRAFT_BODY = 16_000
"""Characters of the message that a draft proposes."""

MAX_DRAFT_CIPHERTEXT = 60_000
"""Characters of one Olm message in a draft; all of them together are bounded by `MAX_DOCUMENT_BYTES`."""

MAX_LEAF_BYTES = 65_535
"""Bytes of one log leaf: an entry bundle gives its length in two bytes (C2SP tlog-tiles, "Log Entries")."""

MAX_DOCUMENT_BYTES = 65_000
"""Bytes of a document in canonical JSON with its signatures, so that its public leaf fits a bundle."""
