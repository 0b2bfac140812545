"""Room aliases as text: `#local:server` (Appendices, "Room Aliases")."""

from __future__ import annotations

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import check_server_name
from paraph.server.messenger.errors import invalid
from paraph.server.messenger.events import check_name


def server_of(alias: str) -> str:
    """The server of a well-formed alias; raises M_INVALID_PARAM."""
    local, colon, server = alias[1:].partition(":")
    if not alias.startswith("#") or not local or not colon:
        raise invalid(f"expected a room alias like #name:server, found {alias[:80]!r}")
    check_name("the alias", alias)
    try:
        return check_server_name(server)
    except IdentifierError as error:
        raise invalid(str(error)) from None


def is_alias(text: str) -> bool:
    """Whether this is meant to be an alias, and not a room id."""
    return text.startswith("#")


def from_local(local: str, server_name: str) -> str:
    """The alias that `room_alias_name` asks for; raises M_INVALID_PARAM."""
    if ":" in local or local.startswith("#") or any(character.isspace() for character in local):
        raise invalid("room_alias_name is the part of an alias between # and :, without spaces")
    alias = f"#{local}:{server_name}"
    server_of(alias)
    return alias
