"""Pages on which a stage of interactive authentication can be passed, for clients that do not know the stage.

Client-Server API v1.19, "Fallback". A page tells the client that opened it by `window.onAuthDone()` or the message
`authDone`; the client then repeats its request with the session alone.
"""

import base64
import hashlib
from html import escape

from paraph.server.accounts.entrance import PASSWORD
from paraph.server.accounts.service import DUMMY, TOKEN, Accounts
from paraph.server.http import Access, ApiError, Endpoint, MatrixError, Reply, Request
from paraph.server.http.endpoint import query_pairs

_PATH = "/_matrix/client/v3/auth/{type}/fallback/web"
_SMALL = 16_384
_HTML = b"text/html; charset=utf-8"
_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 28rem; margin: 3rem auto; padding: 0 1rem; }
label { display: block; margin: 1rem 0; }
input { display: block; font: inherit; width: 100%; padding: .4rem; box-sizing: border-box; }
button { font: inherit; padding: .5rem 1.5rem; }
.error { border-left: .25rem solid #b00; padding-left: .75rem; }
"""
_SCRIPT = """
if (window.onAuthDone) { window.onAuthDone(); }
else if (window.opener && window.opener.postMessage) { window.opener.postMessage("authDone", "*"); }
"""
_TITLES = {PASSWORD: "Enter your password", DUMMY: "Make an account", TOKEN: "Enter your registration token"}
_FIELDS = {
    PASSWORD: (
        '<label>User name<input name="user" autocomplete="username" required></label>'
        '<label>Password<input name="password" type="password" autocomplete="current-password" required></label>'
    ),
    DUMMY: "",
    TOKEN: '<label>Registration token<input name="token" autocomplete="off" required></label>',
}


def endpoints(accounts: Accounts) -> list[Endpoint]:
    """The pages, and where their forms go."""

    async def show(request: Request) -> Reply:
        return _form(_stage(request), _session(request.query()))

    async def submit(request: Request) -> Reply:
        stage, form = _stage(request), dict(query_pairs(request.body))
        session = _session(form)
        try:
            await accounts.pass_on_page(stage, session, form, request.address)
        except ApiError as error:
            return _form(stage, session, error)
        return _page(200, "Done", f"<p>You can close this window.</p><script>{_SCRIPT}</script>")

    return [
        Endpoint("GET", _PATH, Access.PUBLIC, show, "A page to pass a stage of interactive authentication on"),
        Endpoint("POST", _PATH, Access.PUBLIC, submit, "What that page's form sends", limit="login", max_body=_SMALL),
    ]


def _stage(request: Request) -> str:
    stage = request.params["type"]
    if stage not in _TITLES:
        raise MatrixError(404, "M_NOT_FOUND", f"there is no page for the stage {stage[:40]!r}")
    return stage


def _session(given: dict[str, str]) -> str:
    session = given.get("session")
    if not session:
        raise MatrixError(400, "M_MISSING_PARAM", "expected the session that the page is for")
    return session


def _form(stage: str, session: str, error: ApiError | None = None) -> Reply:
    said = f'<p class="error" role="alert">{escape(error.message)}</p>' if error is not None else ""
    hidden = f'<input type="hidden" name="session" value="{escape(session[:200], quote=True)}">'
    body = f'{said}<form method="post">{hidden}{_FIELDS[stage]}<p><button>Continue</button></p></form>'
    return _page(200 if error is None else error.status, _TITLES[stage], body)


def _page(status: int, title: str, body: str) -> Reply:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    text = f'<!doctype html><html lang="en">{head}<style>{_STYLE}</style><h1>{title}</h1>{body}</html>'
    return Reply(status, text.encode(), _HTML, _GUARDS)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


_POLICY = f"default-src 'none'; script-src '{_hash(_SCRIPT)}'; style-src '{_hash(_STYLE)}'; form-action 'self'"
_GUARDS = (
    (b"content-security-policy", f"{_POLICY}; base-uri 'none'".encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
