"""Mail addresses and telephone numbers (Client-Server API v1.19, "Adding Account Administrative Contact Information").

Accounts have none here, and no identity server is ever asked: each of these requests is refused with the error that the
specification has for it.
"""

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import Handler

_V3 = "/_matrix/client/v3"
_SMALL = 16_384
_NONE = Reply.json({"threepids": []})
# "If the homeserver was unable to determine an identity server to unbind from" (POST /account/3pid/delete).
_NOTHING_BOUND = Reply.json({"id_server_unbind_result": "no-support"})


def endpoints() -> list[Endpoint]:
    """What this file answers."""
    person, anyone = Access.PERSON, Access.PUBLIC
    return [
        Endpoint("GET", f"{_V3}/account/3pid", person, _none, "My mail addresses and numbers: none here"),
        _row("/account/3pid", person, _denied, "Add an address: refused"),
        _row("/account/3pid/add", person, _denied, "Add an address: refused"),
        _row("/account/3pid/bind", person, _denied, "Publish an address: refused"),
        _row("/account/3pid/delete", person, _nothing_bound, "Take an address away: there is none"),
        _row("/account/3pid/unbind", person, _nothing_bound, "Take a published address back: there is none"),
        *(
            _row(f"{path}/{medium}/requestToken", anyone, _unsupported, "Have an address confirmed: refused")
            for path in ("/account/3pid", "/account/password", "/register")
            for medium in ("email", "msisdn")
        ),
    ]


def _row(path: str, access: Access, handler: Handler, summary: str) -> Endpoint:
    return Endpoint("POST", f"{_V3}{path}", access, handler, summary, max_body=_SMALL)


async def _none(_request: Request) -> Reply:
    return _NONE


async def _denied(request: Request) -> Reply:
    request.json(dict[str, object])
    raise MatrixError(403, "M_THREEPID_DENIED", "accounts of this server have no mail addresses and numbers")


async def _unsupported(request: Request) -> Reply:
    request.json(dict[str, object])
    raise MatrixError(
        400, "M_THREEPID_MEDIUM_NOT_SUPPORTED", "accounts of this server have no mail addresses and numbers"
    )


async def _nothing_bound(request: Request) -> Reply:
    request.json(dict[str, object])
    return _NOTHING_BOUND
