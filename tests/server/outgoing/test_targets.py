"""Where requests to other people's addresses go, and where they never do."""

from __future__ import annotations

from pathlib import Path

import pytest

from paraph.server.config import Settings, SettingsError
from paraph.server.outgoing import sender as sending
from paraph.server.outgoing.sender import Sender, Unreachable
from paraph.server.outgoing.target import BadTarget, checked_address, is_public, parse, system_resolve
from tests.server.inbox.hooks import certificate, hook


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::1",
        "::",
        "::127.0.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd12:3456::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "64:ff9b::7f00:1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "not an address",
    ],
)
def test_addresses_that_are_not_anybodys_are_refused(address: str) -> None:
    """Private, local, multicast, reserved, documentation, and IPv4 addresses in the disguise of IPv6 ones."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "2002:808:808::1", "::ffff:8.8.8.8"]
)
def test_public_addresses_pass(address: str) -> None:
    """What anybody on the internet can reach."""
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "ftp://example.org/hook",
        "https:///hook",
        "https://user@example.org/hook",
        "https://user:secret@example.org/hook",
        "https://example.org/hook#part",
        "https://example.org:0x50/hook",
        "https://example.org:99999/hook",
        "https://ex ample.org/hook",
        "https://ex\u00e4mple.org/hook",
        "https://example.org\\@evil.org/",
        "https://[fe80::1%25eth0]/",
        "https://example.org/" + "x" * 1000,
        "https://example.org/\r\nx: y",
        "//example.org/hook",
        "",
    ],
)
def test_addresses_of_another_form_are_refused(url: str) -> None:
    """https with a host, nothing hidden in it."""
    with pytest.raises(BadTarget):
        parse(url)


def test_what_a_good_address_is_made_of() -> None:
    """Host, port, path with its query, and what stands in the Host header."""
    found = parse("https://Hooks.example.org/a/b?c=d")
    assert (found.host, found.port, found.path, found.authority) == (
        "hooks.example.org",
        443,
        "/a/b?c=d",
        "hooks.example.org",
    )
    assert parse("https://hooks.example.org:8443").authority == "hooks.example.org:8443"
    assert parse("https://[2606:4700::1111]:8443/").authority == "[2606:4700::1111]:8443"


async def test_all_addresses_of_a_name_must_be_public() -> None:
    """One private one among them is enough to refuse; so is a name that has none."""

    async def resolves_to(*addresses: str) -> str:
        async def resolve(_host: str, _port: int) -> list[str]:
            return list(addresses)

        return await checked_address(parse("https://example.org/"), resolve)

    assert await resolves_to("93.184.216.34", "2606:4700::1111") == "93.184.216.34"
    for addresses in (("127.0.0.1",), ("93.184.216.34", "10.0.0.1"), ()):
        with pytest.raises(BadTarget):
            await resolves_to(*addresses)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "[::1]", "0"])
async def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    """The system's own resolver says what a name means; whatever it says is looked at."""
    with pytest.raises(BadTarget):
        await checked_address(parse(f"https://{host}/"), system_resolve)


async def test_a_name_is_resolved_once_and_its_checked_address_connected_to(tmp_path: Path) -> None:
    """The certificate is held against the name, and Host says it; a second look at the name changes nothing."""
    server, client = certificate(tmp_path, "hooks.example.org")
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]

    async with hook(server) as endpoint:
        sender = Sender(anywhere=True, context=client, resolve=resolve)
        answer = await sender.post(f"https://hooks.example.org:{endpoint.port}/in?a=b", {"webhook-id": "x"}, b"{}")
        await sender.close()
        (call,) = endpoint.calls
        assert (answer.status, call.line) == (200, "POST /in?a=b HTTP/1.1")
        assert call.headers["host"] == f"hooks.example.org:{endpoint.port}"
        assert (call.headers["webhook-id"], call.body) == ("x", b"{}")
        assert asked == ["hooks.example.org"]


async def test_another_hosts_certificate_is_refused(tmp_path: Path) -> None:
    """An endpoint must be who its name says, at whatever address."""
    server, client = certificate(tmp_path, "elsewhere.example.org")

    async def resolve(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    async with hook(server) as endpoint:
        sender = Sender(anywhere=True, context=client, resolve=resolve)
        with pytest.raises(Unreachable):
            await sender.post(f"https://hooks.example.org:{endpoint.port}/", {}, b"{}")
        await sender.close()
        assert endpoint.calls == []


async def test_redirects_are_not_followed_and_long_answers_are_cut() -> None:
    """A redirect could lead inside; an answer without end could fill the memory."""
    async with hook() as endpoint, hook() as inside:
        endpoint.extra = f"location: {inside.url}\r\n"
        endpoint.answering = lambda _call: (307, b"")
        sender = Sender(anywhere=True)
        assert (await sender.post(endpoint.url, {}, b"{}")).status == 307
        endpoint.answering = lambda _call: (200, b"x" * 1_000_000)
        assert len((await sender.post(endpoint.url, {}, b"{}")).body) == sending.MAX_ANSWER
        await sender.close()
        assert inside.calls == []


async def test_an_endpoint_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the end, whatever it does with the connection; and one where nobody listens at once."""
    import time

    monkeypatch.setattr(sending, "ANSWER_WITHIN", 0.1)
    sender = Sender(anywhere=True)
    async with hook() as endpoint:
        endpoint.answering = lambda _call: (time.sleep(0.3), (200, b""))[1]
        with pytest.raises(Unreachable):
            await sender.post(endpoint.url, {}, b"{}")
        gone = endpoint.url
    with pytest.raises(Unreachable):
        await sender.post(gone, {}, b"{}")
    await sender.close()


async def test_without_the_setting_nothing_is_sent_to_this_machine() -> None:
    """Neither as http nor as https."""
    async with hook() as endpoint:
        sender = Sender()
        for url in (endpoint.url, endpoint.url.replace("http:", "https:")):
            with pytest.raises(BadTarget):
                await sender.post(url, {}, b"{}")
        await sender.close()
        assert endpoint.calls == []
    with pytest.raises(SettingsError):
        Settings(webhook_targets="any")
