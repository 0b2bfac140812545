"""Honest bytes written down piece by piece, so that each field's place is known."""

from tests.corpus.structure import Field, Kind

Piece = bytes | str | tuple[str, Kind, bytes | str]


def layout(*pieces: Piece) -> tuple[bytes, tuple[Field, ...]]:
    """Join the pieces; those that are (name, kind, content) are fields."""
    written, fields = b"", []
    for piece in pieces:
        name, kind, content = piece if isinstance(piece, tuple) else ("", None, piece)
        data = content.encode() if isinstance(content, str) else content
        if kind is not None:
            fields.append(Field(name, kind, len(written), len(written) + len(data)))
        written += data
    return written, tuple(fields)
