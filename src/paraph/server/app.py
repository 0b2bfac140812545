"""The composition root: the only place that knows every room, and how they are wired together."""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from paraph import __version__
from paraph.protocol.identifiers import PLATFORM
from paraph.server import metrics as metrics_http
from paraph.server.accounts import http as accounts_http
from paraph.server.accounts import http_support as support_http
from paraph.server.accounts.moderation import check_standing
from paraph.server.accounts.service import Accounts
from paraph.server.config import Settings
from paraph.server.consent import http as consent_http
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.oauth.docs import DOCS as OAUTH_DOCS
from paraph.server.consent.partner_keys import PartnerKeys
from paraph.server.consent.service import Consent, Site
from paraph.server.devices import http as devices_http
from paraph.server.devices.backup import http as backup_http
from paraph.server.devices.backup.service import Backups
from paraph.server.devices.service import Devices
from paraph.server.http import Access, Endpoint
from paraph.server.http.asgi import Application
from paraph.server.http.endpoint import OperatorPrincipal, Principal
from paraph.server.http.limits import Limiter
from paraph.server.http.openapi import documented
from paraph.server.inbox import http as inbox_http
from paraph.server.inbox import looks_http, writing_http
from paraph.server.inbox import published as published_http
from paraph.server.inbox.attachments.service import Attachments
from paraph.server.inbox.bounds import BOUNDS
from paraph.server.inbox.deletes import Deletes
from paraph.server.inbox.disposals.service import Disposals
from paraph.server.inbox.docs import DOCS as INBOX_DOCS
from paraph.server.inbox.drafts import Drafts
from paraph.server.inbox.expiry import Expiry
from paraph.server.inbox.people.service import People
from paraph.server.inbox.published import Published
from paraph.server.inbox.service import Inbox
from paraph.server.inbox.webhooks import http as webhooks_http
from paraph.server.inbox.webhooks.parts import WebhookParts
from paraph.server.ledger import http as ledger_http
from paraph.server.ledger.errors import LedgerError
from paraph.server.ledger.service import Ledger
from paraph.server.ledger.witnesses import load_policy
from paraph.server.media import http as media_http
from paraph.server.media import previews
from paraph.server.media.service import Media
from paraph.server.messenger import http as messenger_http
from paraph.server.messenger.core import Hooks
from paraph.server.messenger.push.delivery import Delivery
from paraph.server.messenger.service import Messenger
from paraph.server.messenger.tokens import Token
from paraph.server.metrics import Metrics
from paraph.server.outgoing.sender import Sender
from paraph.server.storage import Database, QueueFull, StorageError, Transaction, guarding, migrate
from paraph.server.storage.migrations import load as load_migrations
from paraph.server.storage.reading import SqliteReader
from paraph.server.storage.sqlite import SqliteDatabase
from paraph.server.web import http as web_http
from paraph.server.web.explorer import Explorer
from paraph.server.web.render import Renderer

# Every error that means "this server must not start as it is"; their messages are for the operator.
REFUSALS = (StorageError, LedgerError, OSError)

START_WITHIN = 30.0
"""Seconds that another process may take to open what it shares with this one."""
ROOMS = tuple(
    f"paraph.server.{room}"
    for room in (
        "accounts",
        "ledger",
        "devices",
        "devices.backup",
        "messenger",
        "messenger.complaints",
        "messenger.directory",
        "messenger.profiles",
        "messenger.relations",
        "messenger.push",
        "messenger.search",
        "media",
        "consent",
        "inbox",
        "inbox.feed",
        "inbox.disposals",
        "inbox.attachments",
        "inbox.people",
        "inbox.webhooks",
    )
)


def system_time() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


class Server:
    """One running platform: its rooms, and what starts and stops with it."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = system_time) -> None:
        """Open databases, keys and log below `settings.data`; raises one of REFUSALS. Nothing runs yet.

        `clock` gives milliseconds, for every room.
        """
        self.settings = settings
        _private_folder(settings.data / "keys")
        for name in ("checkpoints.db", "map.db"):
            _private_file(settings.data / name)
        self._admin_token = _admin_token(settings.data / "keys" / "admin-token")
        self.database = open_database(settings)
        limiter = Limiter(time.monotonic, enabled=settings.rate_limits)
        self.accounts = Accounts(
            self.database,
            limiter,
            clock,
            server_name=settings.server_name,
            registration=settings.registration,
            secret=hmac.digest(self._admin_token.encode(), b"paraph/interaction/v1", "sha256"),
        )
        policy = load_policy(Path(settings.witnesses)) if settings.witnesses else None
        self._policy = Path(settings.witnesses).read_bytes().decode() if settings.witnesses else None
        self.ledger = Ledger(self.database, settings.data, settings.log_origin, clock=clock, policy=policy)
        self.devices = Devices(
            self.database,
            self.accounts,
            clock,
            notify=lambda people, position: self.messenger.devices_changed(people, position),
            shares_room=lambda tx, user_id: self.messenger.shares_room(tx, user_id),
            partners=PartnerKeys(settings.server_name, clock),
        )
        self.backups = Backups(self.database)
        self.accounts.moderation.on_act.append(self._note_act)
        self.accounts.on_login.append(self.devices.on_login)
        self.accounts.on_logout.append(self.devices.on_logout)
        gate, hooks = GrantGate(), Hooks()
        self.messenger = Messenger(
            self.database,
            self.accounts.exists,
            self.devices,
            hooks,
            clock,
            server_name=settings.server_name,
            require_encryption=settings.require_encryption,
            presence=settings.presence,
            push_anywhere=settings.profile == "test",
        )
        self.accounts.on_logout.append(self.messenger.pushers.on_logout)
        gateways = Sender(anywhere=settings.profile == "test")
        self.pushing = Delivery(self.messenger.core, self.messenger.push, gateways, clock)
        self.messenger.receipts.on_receipt.append(self.pushing.received)
        self.media = Media(self.database, settings.data / "media", settings, clock, server_name=settings.server_name)
        site = Site(settings.server_name, settings.base_url, settings.data)
        self.consent = Consent(self.database, self.ledger, self.devices, self.messenger, gate, site, clock=clock)
        # Grants end first: then nothing is written into the rooms about partners of someone who has left.
        self.accounts.on_deactivate += [self.consent.grants.on_deactivate, self.messenger.memberships.leave_all]
        self.accounts.on_deactivate += [
            self.backups.on_deactivate,
            self.messenger.profiles.on_deactivate,
            self.messenger.personal.on_deactivate,
        ]
        self.inbox = Inbox(self.database, self.ledger, self.devices, self.messenger, self.consent, hooks, clock)
        self.attachments = Attachments(self.database, self.ledger, self.consent, self.messenger, self.media)
        self.people = People(self.database, self.ledger, self.consent, self.messenger, self.inbox.opaque)
        sender = Sender(anywhere=settings.webhook_targets == "any")
        self.webhooks = WebhookParts(self.database, self.inbox.opaque, clock, sender)
        self.consent.authorization.jwks = self.webhooks.jwks
        self.drafts = Drafts(
            self.database,
            self.ledger,
            self.devices,
            self.consent,
            self.messenger.is_closed,
            clock=clock,
            note=self.inbox.feed.note_draft,
        )
        self._expiry = Expiry(self.drafts.expire)
        self.deletes = Deletes(self.database, self.ledger, self.consent, self.messenger)
        self.disposals = Disposals(self.database, self.ledger, self.consent, clock)
        self.accounts.on_logout.append(lambda tx, user_id, _device_id: self.inbox.feed.on_devices(tx, user_id))
        hooks.before_send, hooks.on_via = gate.before_send, self.drafts.on_sent
        hooks.on_membership += [self._note_device_lists, self.consent.notices.on_membership]
        hooks.on_closed.append(self.consent.notices.on_closed)
        self.explorer = Explorer(
            self.ledger,
            self.consent,
            self.database,
            policy=self._policy,
            clock=clock,
            base_url=settings.base_url,
        )
        self._renderer = Renderer(self.explorer)
        self._metrics = Metrics(self.ledger, self.database, lambda: self.application.answered, clock)
        authenticators = {
            Access.PERSON: self.accounts.authenticate,
            Access.OPERATOR: self._operator,
            Access.PERSON_OR_OPERATOR: self._person_or_operator,
        }
        self.published = Published(
            lambda: self.application.endpoints,
            BOUNDS,
            base_url=settings.base_url,
            version=__version__,
            limits_enforced=settings.rate_limits,
        )
        self.application = Application(
            documented(self._endpoints(), OAUTH_DOCS | INBOX_DOCS),
            authenticators,
            limiter,
            self,
            partners=self.consent.authorization.door,
            # A session that ended meanwhile, in any process, writes nothing more.
            guards={Access.PERSON: lambda token: guarding(partial(self.accounts.sessions.confirm, token=token))},
            overloads=(QueueFull,),
            error_page=partial(web_http.error_page, self._renderer),
            moderate=check_standing,
        )

    def _endpoints(self) -> list[Endpoint]:
        return [
            *messenger_http.endpoints(self.messenger, self.settings.base_url),
            *accounts_http.endpoints(self.accounts),
            *support_http.endpoints(self.settings.support_contact, self.settings.support_page),
            *devices_http.endpoints(self.devices, self.accounts, lambda text: Token.parse(text).lists),
            *backup_http.endpoints(self.backups),
            *media_http.endpoints(self.media),
            *previews.endpoints(),
            *ledger_http.endpoints(self.ledger, self.database),
            *consent_http.endpoints(self.consent, self.ledger, self.database, self._policy),
            *inbox_http.endpoints(self.inbox, self.consent, self.database),
            *looks_http.endpoints(self.attachments, self.people),
            *webhooks_http.endpoints(self.webhooks.service),
            *writing_http.endpoints(self.drafts, self.deletes, self.disposals),
            *published_http.endpoints(self.published),
            *web_http.endpoints(self.explorer, self._renderer),
            *metrics_http.endpoints(self._metrics),
        ]

    def _note_device_lists(self, tx: Transaction, room_id: str, user_id: str, membership: str) -> None:
        self.devices.lists.on_membership(tx, user_id, self.messenger.members(tx, room_id), membership)

    async def _operator(self, token: str) -> Principal:
        same = hmac.compare_digest(token.encode(), self._admin_token.encode())
        return OperatorPrincipal() if same else None

    async def _person_or_operator(self, token: str) -> Principal:
        return await self._operator(token) or await self.accounts.authenticate(token)

    def _note_act(self, tx: Transaction, act: str) -> None:
        """What the operator did to an account is public; to whose is not."""
        self.ledger.record_public(tx, "admin", PLATFORM, {"type": "org.paraph.admin", "act": act})

    async def start(self) -> None:
        """Bring the schema up to date, finish what a crash left of the log, and say in it what this platform is."""
        await migrate(self.database, load_migrations(ROOMS, self.database.dialect))
        await self.ledger.start()
        await self.consent.start()
        await self.inbox.start()
        await self.ledger.record_platform(
            {
                "version": __version__,
                "server_name": self.settings.server_name,
                "operator_key": self.consent.operator_key.public_key,
                "receipt_key": self.ledger.receipts.public_key,
                "api": api_hash(self.application.endpoints),
                **self.published.hashes,
            }
        )
        self._expiry.start()
        await self.media.start()
        await self.webhooks.start()
        await self.pushing.start()

    async def stop(self) -> None:
        """Wake every long poll, finish the log's batch, commit what is queued."""
        self.messenger.stop()
        await self.webhooks.stop()
        await self.pushing.stop()
        await self.media.stop()
        await self._expiry.stop()
        await self.ledger.stop()
        await self.accounts.close()
        await self.database.close()


@contextlib.contextmanager
def starting(data: Path) -> Iterator[None]:
    """One process of a data folder starts at a time: keys and databases are made once. Raises StorageError."""
    data.mkdir(parents=True, exist_ok=True)
    handle = os.open(data / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        give_up = time.monotonic() + START_WITHIN
        while not _locked(handle):
            if time.monotonic() > give_up:
                raise StorageError(f"another process has been starting on {data} for {START_WITHIN} s")
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def build(settings: Settings, clock: Callable[[], int] = system_time) -> Server:
    """The platform for these settings; raises one of REFUSALS when it must not start. `clock` gives milliseconds."""
    return Server(settings, clock)


def open_database(settings: Settings) -> Database:
    """The database that `settings.database` names; raises StorageError."""
    if settings.database == "sqlite":
        path = settings.data / "paraph.db"
        _private_file(path)
        return SqliteDatabase(path)
    import psycopg  # only where it is needed: loading libpq takes time

    from paraph.server.storage.postgresql import PostgresqlDatabase

    try:
        return PostgresqlDatabase(settings.database)
    except psycopg.Error as error:
        # Without a code it is libpq that cannot read the URL, and its message may repeat the password.
        said = str(error).strip() if error.sqlstate else "expected postgresql://user:password@host/name"
        raise StorageError(f"the database in `database` cannot be used: {said}") from None


def reading_database(data: Path, database: str) -> SqliteReader | Database:
    """What only reads the database of a data folder, beside a server or without one; raises StorageError."""
    if database == "sqlite":
        return SqliteReader(data / "paraph.db")
    return open_database(Settings(data=data, database=database))


def api_hash(endpoints: Iterable[Endpoint]) -> str:
    """SHA-256 (hex) over the table that is the whole API: method, path and rule of every endpoint, sorted."""
    rows = sorted(f"{endpoint.method} {endpoint.path} {endpoint.access.name}" for endpoint in endpoints)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _private_folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)


def _private_file(path: Path) -> None:
    """Make sure that only the server's account reads a database (SQLite gives its side files the same mode)."""
    path.touch(mode=0o600)
    path.chmod(0o600)


def _admin_token(path: Path) -> str:
    """The operator's token, made at the first start and readable by the server's account alone."""
    if not path.exists():
        partial = path.with_suffix(".new")
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"pat_{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    return path.read_text(encoding="ascii").strip()
