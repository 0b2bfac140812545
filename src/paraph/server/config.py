"""Settings: one documented table, read from `paraph.toml`, then `PARAPH_*` variables, then the command line."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """A setting has a value that it cannot have."""


def _setting(default: Any, text: str, *choices: str, form: str = "", secret: bool = False) -> Any:
    """`choices` are all the values there are; `form` describes them where they cannot be listed."""
    return field(default=default, repr=not secret, metadata={"text": text, "choices": choices, "form": form})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, its default and what it does. `docs/settings.md` is made from this table."""

    server_name: str = _setting("localhost", "what follows the colon in every user and room id; never change it")
    data: Path = _setting(Path("paraph-data"), "the folder that holds the databases, the keys and the public log")
    database: str = _setting(
        "sqlite",
        "where messages and accounts are kept: a file in the data folder, or a PostgreSQL database",
        form="sqlite / postgresql://user:password@host/name",
        secret=True,
    )
    bind: str = _setting("127.0.0.1", "the address to listen on")
    port: int = _setting(8008, "the TCP port to listen on; 0 takes a free one")
    public_url: str = _setting("", "how clients reach this server; empty means http://<bind>:<port>")
    registration: str = _setting("closed", "who may make an account", "open", "token", "closed")
    require_encryption: bool = _setting(True, "refuse plaintext messages, and rooms without encryption")
    rate_limits: bool = _setting(True, "apply the published request limits")
    presence: bool = _setting(True, "tell people who share a room whether somebody is online")
    max_upload_bytes: int = _setting(50 * 2**20, "how large an uploaded file may be", form="a number of bytes")
    media_quota_bytes: int = _setting(
        2**30, "how much room the uploaded files of one account may take", form="a number of bytes"
    )
    support_contact: str = _setting("", "whom people write to about this server", form="a mail address / a user id")
    support_page: str = _setting("", "a page about help with this server", form="a URL")
    witnesses: str = _setting(
        "", "the file with the log's witness policy; empty means that no witness is asked", form="a path"
    )
    webhook_targets: str = _setting(
        "public", "where partners' webhooks may go: to https at public addresses, or anywhere", "public", "any"
    )
    clock_file: str = _setting(
        "", "the file by which a sandbox turns this platform's clock; empty means the machine's clock", form="a path"
    )
    profile: str = _setting(
        "production",
        "`test` is needed to switch require_encryption off, webhooks free, or to turn the clock; push gateways "
        "may be anywhere then, and are at https and public addresses otherwise",
        "production",
        "test",
    )

    def __post_init__(self) -> None:
        """Refuse combinations that make no sense."""
        for entry in fields(self):
            choices = entry.metadata["choices"]
            if choices and getattr(self, entry.name) not in choices:
                raise SettingsError(
                    f"{entry.name} is {getattr(self, entry.name)!r}; expected one of {', '.join(choices)}"
                )
        if self.database != "sqlite" and not self.database.startswith(("postgresql://", "postgres://")):
            # What was given is not repeated: it may hold a password.
            raise SettingsError("database has a value it cannot have; expected sqlite or postgresql://...")
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"port is {self.port}; expected 0 to 65535")
        if not self.require_encryption and self.profile != "test":
            raise SettingsError("require_encryption = off is for tests only: set profile = test as well")
        if self.webhook_targets == "any" and self.profile != "test":
            raise SettingsError("webhook_targets = any is for tests only: set profile = test as well")
        if self.clock_file and self.profile != "test":
            raise SettingsError("clock_file is for sandboxes only: set profile = test as well")
        if self.max_upload_bytes < 1 or self.media_quota_bytes < 0:
            raise SettingsError("max_upload_bytes and media_quota_bytes are numbers of bytes")

    def with_port(self, port: int) -> "Settings":
        """The same settings on the port that was really taken."""
        return replace(self, port=port)

    @property
    def base_url(self) -> str:
        """The URL under which clients and partners reach this server, without a final slash."""
        return self.public_url.rstrip("/") or f"http://{self.bind}:{self.port}"

    @property
    def log_origin(self) -> str:
        """The origin line of the log's checkpoints (C2SP tlog-checkpoint) and the name of its key."""
        return f"{self.server_name}/log"


def load(file: Path | None = None, environment: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """Settings from `file` (or `paraph.toml` where there is one), `PARAPH_*` variables and `overrides`; the later wins.

    Raises SettingsError for an unknown name or a value that does not fit.
    """
    values: dict[str, Any] = {}
    path = file or Path("paraph.toml")
    if file is not None or path.is_file():
        values |= _from_file(path)
    values |= _from_environment(environment)
    values |= {name: value for name, value in overrides.items() if value is not None}
    kinds = {entry.name: entry.type for entry in fields(Settings)}
    if unknown := sorted(values.keys() - kinds.keys()):
        raise SettingsError(f"unknown settings: {', '.join(unknown)}; see docs/settings.md")
    return Settings(**{name: _convert(name, kinds[name], value) for name, value in values.items()})


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    names = {entry.name for entry in fields(Settings)}
    return {name: environment[f"PARAPH_{name.upper()}"] for name in names if f"PARAPH_{name.upper()}" in environment}


_SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}


def _convert(name: str, kind: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    try:
        if kind is bool:
            return _SWITCH[str(value).lower()]
        return kind(value)
    except (KeyError, ValueError):
        expected = "on or off" if kind is bool else kind.__name__
        raise SettingsError(f"{name} is {value!r}; expected {expected}") from None


def describe() -> list[dict[str, str]]:
    """The table of settings as rows for people: name, variable, default, choices, meaning."""
    return [
        {
            "name": entry.name,
            "variable": f"PARAPH_{entry.name.upper()}",
            "default": _shown(entry.default),
            "choices": _choices(entry),
            "meaning": entry.metadata["text"],
        }
        for entry in fields(Settings)
    ]


def _choices(entry: Field[Any]) -> str:
    return " / ".join(entry.metadata["choices"]) or entry.metadata["form"] or ("on / off" if entry.type is bool else "")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
