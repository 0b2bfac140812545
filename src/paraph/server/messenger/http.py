"""The messenger's endpoints: parse, call, render."""

from paraph.server.http import Endpoint
from paraph.server.messenger import http_client, http_events, http_personal, http_rooms, room_snapshot
from paraph.server.messenger.complaints import http as http_complaints
from paraph.server.messenger.directory import http as http_directory
from paraph.server.messenger.overview import http as http_overview
from paraph.server.messenger.presence import http as http_presence
from paraph.server.messenger.profiles import http as profiles_http
from paraph.server.messenger.push import http as push_http
from paraph.server.messenger.push import http_pushers
from paraph.server.messenger.receipts import http as receipts_http
from paraph.server.messenger.relations import http as relations_http
from paraph.server.messenger.search import http as search_http
from paraph.server.messenger.service import Messenger
from paraph.server.messenger.sliding import http as http_sliding
from paraph.server.messenger.sync import http as http_sync

CLIENT = "/_matrix/client/v3"


def endpoints(messenger: Messenger, base_url: str) -> list[Endpoint]:
    """The messenger's rows of the endpoint table. `base_url` is how clients reach this server."""
    return [
        *http_client.endpoints(messenger, base_url),
        *http_sync.endpoints(messenger),
        *http_sliding.endpoints(messenger),
        *http_events.endpoints(messenger),
        *http_rooms.endpoints(messenger),
        *room_snapshot.endpoints(messenger),
        *relations_http.endpoints(messenger.relations),
        *receipts_http.endpoints(messenger.receipts),
        *push_http.endpoints(messenger.push),
        *search_http.endpoints(messenger.searching),
        *http_pushers.endpoints(messenger.pushers, messenger.past),
        *http_personal.endpoints(messenger),
        *profiles_http.endpoints(messenger.profiles),
        *http_presence.endpoints(messenger),
        *http_overview.endpoints(messenger.overview, messenger.hierarchy, messenger.aliases),
        *http_complaints.endpoints(messenger.complaints),
        *http_directory.endpoints(messenger.aliases, messenger.listing, messenger.core.server_name),
    ]
