"""The pages made from the code say what the code says."""

import dataclasses
import re

import pytest

from paraph.server.config import Settings
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.limits import LIMITS
from scripts import reference


def test_settings_page_is_up_to_date() -> None:
    """docs/settings.md is what the table of settings gives now."""
    assert reference.SETTINGS.read_text(encoding="utf-8") == reference.settings_page()


def test_every_setting_is_documented() -> None:
    """Each setting has a row with its name, its variable and a meaning."""
    page = reference.SETTINGS.read_text(encoding="utf-8")
    for setting in dataclasses.fields(Settings):
        row = rf"^\| `{setting.name}` \| `PARAPH_{setting.name.upper()}` \| [^|]+ \| [^|]* \| [^|]{{10,}} \|$"
        assert re.search(row, page, re.MULTILINE), setting.name


@pytest.fixture(scope="module")
def endpoints() -> tuple[Endpoint, ...]:
    """The table of the real application."""
    return reference.table()


def test_endpoints_page_is_up_to_date(endpoints: tuple[Endpoint, ...]) -> None:
    """docs/reference/endpoints.md is what the application's table gives now."""
    assert reference.ENDPOINTS.read_text(encoding="utf-8") == reference.endpoints_page(endpoints)


def test_every_endpoint_is_documented(endpoints: tuple[Endpoint, ...]) -> None:
    """Each endpoint of the application has exactly one row, with its rule and its limit, and nothing else has one."""
    page = reference.ENDPOINTS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \| ([^|]+) \| ([^|]+) \| [^|]{5,} \|$", page, re.MULTILINE)
    table = [(e.method, e.path, e.access.value, reference.limit_name(e)) for e in endpoints]
    assert sorted(rows) == sorted(table)
    assert {limit for *_, limit in rows} <= LIMITS.keys()


def test_a_new_endpoint_changes_the_page(endpoints: tuple[Endpoint, ...]) -> None:
    """An endpoint that the page lacks is noticed, whatever API it belongs to."""

    async def handler(_request: Request) -> Reply:
        return Reply.json({})

    page = reference.endpoints_page(endpoints)
    for path in ("/inbox/v1/hidden", "/somewhere/else"):
        added = Endpoint("GET", path, Access.PUBLIC, handler, "Not written down")
        assert f"| GET | `{path}` | anyone | public | Not written down |" in reference.endpoints_page(
            [*endpoints, added]
        )
        assert path not in page


def test_check_names_stale_pages(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` exits 1 and names the page that differs, and writes nothing."""
    stale = reference.ROOT / "README.md"
    before = stale.read_bytes()
    monkeypatch.setattr(reference, "SETTINGS", stale)
    assert reference.main(["--check"]) == 1
    assert "README.md is out of date" in capsys.readouterr().err
    assert stale.read_bytes() == before
