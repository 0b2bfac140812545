"""The authorization code flow: asked, shown, answered by a device, redeemed; and what a token of it opens."""

from pathlib import Path

import pytest

from tests.server.consent.flow import DETAILS, REDIRECT, Flow, answered, begun, error
from tests.server.consent.support import ISSUER, NOW, PartnerParty, world


async def test_the_flow_from_request_to_tokens(tmp_path: Path) -> None:
    """Pushed, shown, granted, cosigned, redeemed: the partner is told exactly what was granted, and sees it alone."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        other = await here.add_person("other")
        room_id = await here.room(author, other)
        pushed = await flow.push()
        assert (pushed.status_code, pushed.json()["expires_in"]) == (201, 300)
        assert flow.request_uri.startswith("urn:ietf:params:oauth:request_uri:")
        shown = (await flow.look(author)).json()
        assert shown["partner"] == {"slug": "marquee", "name": "Marquee", "user_id": "@app-marquee:example.org"}
        assert shown["authorization_details"] == [DETAILS | {"from": None, "history": None}]
        assert (shown["status"], shown["redirect"], shown["redirect_uri"]) == ("open", None, REDIRECT)
        answer = await flow.answer(author, rooms=[room_id])
        assert answer.json()["status"] == "done", answer.text
        assert answer.json()["entry"]["entry"]["kind"] == "grant"
        said = answered(answer)
        assert (said["state"], said["iss"]) == ("a state & more", ISSUER)
        token = await flow.redeem(said["code"])
        assert token.status_code == 200, token.text
        body = token.json()
        assert (body["token_type"], body["expires_in"]) == ("DPoP", 300)
        assert body["refresh_token"].startswith("ppr_")
        until = DETAILS["until"]
        granted = {**DETAILS, "rooms": [room_id], "from": NOW, "until": until, "history": None}
        assert body["authorization_details"] == [granted]
        # Another person's grant is none of this token's business.
        await here.add_grant(other, flow.partner, [room_id])
        listed = (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).json()["grants"]
        assert [item["grant"]["grant_id"] for item in listed] == [body["grant_id"]]
        mine, _ = await here.send(author, room_id), await here.send(other, room_id)
        read = await here.read(flow.partner, room_id)
        assert [event["event_id"] for event in read.json()["messages"]] == [mine]
        rooms = (await here.http.get("/inbox/v1/rooms", headers=flow.partner.headers)).json()["rooms"]
        assert rooms == [{"room_id": room_id, "grants": [body["grant_id"]]}]
        assert (await here.authenticate(flow.partner)).status_code == 200  # and as a whole, both
        listed = (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).json()["grants"]
        assert len(listed) == 2


async def test_a_token_for_one_grant_is_not_the_partners(tmp_path: Path) -> None:
    """Devices and their keys concern everybody: they take a token of the partner as a whole."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        await flow.redeem(await flow.code(author))
        for method, path, body in (
            ("POST", "/inbox/v1/devices", {"device": {}}),
            ("POST", "/inbox/v1/devices/X/end", {"ending": {}}),
            ("POST", "/inbox/v1/device-keys", {"device_id": "X"}),
            ("GET", "/inbox/v1/key-events?device_id=X", None),
        ):
            answer = await here.http.request(method, path, json=body, headers=flow.partner.headers)
            assert answer.status_code == 403, path
            assert answer.json()["type"] == "urn:paraph:problem:token-for-one-grant"
            assert "insufficient_scope" in answer.headers["www-authenticate"]


async def test_a_code_comes_only_once_the_grant_is_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the leaf is under no published checkpoint the answer is pending, and there is no redirect."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()

        async def not_yet(_leaf: bytes, _timeout: int) -> None:
            return None

        with monkeypatch.context() as patched:
            patched.setattr(here.ledger, "integrated", not_yet)
            answer = (await flow.answer(author)).json()
            assert (answer["status"], answer["redirect"]) == ("pending", None)
            later = (await flow.look(author)).json()
            assert (later["status"], later["redirect"]) == ("pending", None)
        done = await flow.look(author)
        assert done.json()["status"] == "done"
        assert (await flow.redeem(answered(done)["code"])).status_code == 200
        assert (await flow.look(author)).json() == done.json() | {"redirect": None, "expires": DETAILS["until"]}


async def test_the_person_narrows_and_the_partner_is_told(tmp_path: Path) -> None:
    """Fewer verbs, rooms, purposes and days than asked are granted, and every later answer says what is left."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        room_id, dropped = await here.room(author), await here.room(author)
        details = {"verbs": ["read", "metadata"], "purposes": ["films", "reminders"], "history": NOW - 1000}
        await flow.push(details)
        answer = await flow.answer(author, rooms=[room_id, dropped], until=NOW + 1_000_000, retention_days=0)
        token = (await flow.redeem(answered(answer)["code"])).json()
        (granted,) = token["authorization_details"]
        assert (granted["verbs"], granted["purposes"], granted["until"]) == (["read"], ["films"], NOW + 1_000_000)
        assert (granted["history"], granted["retention_days"]) == (None, 0)
        grant = (await here.get("/_paraph/v1/grants", author.device)).json()["grants"][0]["grant"]
        await here.amend(author, grant, here.amendment(author, grant, {"op": "drop_rooms", "rooms": [dropped]}))
        query = await here.http.get(f"/oauth/grants/{token['grant_id']}", headers=flow.partner.headers)
        assert query.json()["authorization_details"] == [granted | {"rooms": [room_id]}]
        again = await flow.form("/oauth/token", grant_type="refresh_token", refresh_token=token["refresh_token"])
        assert again.json()["authorization_details"] == [granted | {"rooms": [room_id]}]
        assert again.json()["refresh_token"] == token["refresh_token"]  # it stays the same


async def test_declining_answers_access_denied(tmp_path: Path) -> None:
    """With state and issuer, and again for as long as the client asks; a grant does not follow."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        for _ in range(2):
            answer = await here.post(flow.url, {"declined": True}, author.device)
            assert answer.json()["status"] == "declined"
            assert answered(answer) == {"error": "access_denied", "state": "a state & more", "iss": ISSUER}
        assert (await flow.answer(author)).json()["errcode"] == "ORG_PARAPH_CONFLICT"
        assert (await here.get("/_paraph/v1/grants", author.device)).json()["grants"] == []


async def test_a_request_belongs_to_whoever_opens_it_first(tmp_path: Path) -> None:
    """Another person sees nothing of it and cannot answer it."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        other = await here.add_person("other")
        await flow.push()
        assert (await flow.look(author)).status_code == 200
        assert (await flow.look(other)).status_code == 404
        assert (await flow.answer(other)).status_code == 404
        assert (await here.post(flow.url, {"declined": True}, other.device)).status_code == 404
        assert (await flow.answer(author)).status_code == 200
        assert (await flow.look(other)).status_code == 404


async def test_the_page_shows_who_asks_and_nothing_of_the_answer(tmp_path: Path) -> None:
    """Plain, without script, framed by nobody; names are shown as text; after the answer it shows nothing."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await here.register(flow.partner, name="<b>Marquee</b> & $name", redirect_uris=[REDIRECT])
        await flow.push()
        for _ in range(2):  # it may be loaded again
            page = await flow.page()
            assert page.status_code == 200
        assert "&lt;b&gt;Marquee&lt;/b&gt; &amp; $name" in page.text
        assert "<b>" not in page.text
        assert "<script" not in page.text
        assert f"paraph consent &#39;{ISSUER}/oauth/authorize?client_id=marquee&amp;request_uri=urn" in page.text
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert (page.headers["referrer-policy"], page.headers["cache-control"]) == ("no-referrer", "no-store")
        answer = await flow.answer(author)
        assert answer.status_code == 200
        after = await flow.page()
        assert (after.status_code, answered(answer)["code"] in after.text) == (400, False)


async def test_introspection_knows_only_ones_own_tokens(tmp_path: Path) -> None:
    """A token's key, grant and person are told to its partner, and to others that it is inactive."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        tempo = Flow(here, await here.add_partner("tempo"))
        await flow.push()
        token = (await flow.redeem(await flow.code(author))).json()
        for name in ("access_token", "refresh_token"):
            found = (await flow.form("/oauth/introspect", token=token[name])).json()
            assert found["active"] is True
            assert (found["client_id"], found["sub"], found["iss"]) == ("marquee", author.user_id, ISSUER)
            assert found["cnf"] == {"jkt": flow.partner.dpop.thumbprint()}
            assert found["grant_id"] == token["grant_id"]
            assert found["authorization_details"] == token["authorization_details"]
            assert (await tempo.form("/oauth/introspect", token=token[name])).json() == {"active": False}
        assert (await flow.form("/oauth/introspect", token="ppt_guess")).json() == {"active": False}
        assert error(await flow.form("/oauth/introspect")) == (400, "invalid_request")
        here.clock.now += 300_000
        assert (await flow.form("/oauth/introspect", token=token["access_token"])).json() == {"active": False}


async def test_a_token_given_back_is_worth_nothing(tmp_path: Path) -> None:
    """A refresh token takes its access tokens along; another partner's call changes nothing."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        tempo = Flow(here, await here.add_partner("tempo"))
        await flow.push()
        token = (await flow.redeem(await flow.code(author))).json()
        assert (await tempo.form("/oauth/revoke", token=token["refresh_token"])).status_code == 200
        assert (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).status_code == 200
        assert (await flow.form("/oauth/revoke", token=token["refresh_token"])).status_code == 200
        assert (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).status_code == 401
        again = await flow.form("/oauth/token", grant_type="refresh_token", refresh_token=token["refresh_token"])
        assert error(again) == (400, "invalid_grant")
        assert (await flow.form("/oauth/revoke", token="anything")).status_code == 200


async def test_a_partner_gives_a_grant_up(tmp_path: Path) -> None:
    """It is revoked, in the person's record with who did it, and neither token nor grant is good any more."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        tempo = await here.add_partner("tempo")
        await flow.push()
        token = (await flow.redeem(await flow.code(author))).json()
        path = f"/oauth/grants/{token['grant_id']}"
        assert error(await here.http.get(path, headers=tempo.headers)) == (404, "invalid_request")
        assert error(await here.http.delete(path, headers=tempo.headers)) == (404, "invalid_request")
        assert (await here.http.delete(path, headers=flow.partner.headers)).status_code == 204
        (entry,) = await here.entries(author, "revoke")
        assert entry["body"]["revocation"]["reason"] == "given up by marquee"
        assert error(await here.http.get(path, headers=flow.partner.headers)) == (401, "invalid_token")
        again = await flow.form("/oauth/token", grant_type="refresh_token", refresh_token=token["refresh_token"])
        assert error(again) == (400, "invalid_grant")


async def test_what_the_person_revokes_no_token_opens(tmp_path: Path) -> None:
    """Revoking, and the agreement's end, end access and refresh tokens at once."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        token = (await flow.redeem(await flow.code(author))).json()
        grant = (await here.get("/_paraph/v1/grants", author.device)).json()["grants"][0]["grant"]
        assert (await here.revoke(author, grant)).status_code == 200
        assert (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).status_code == 401
        again = await flow.form("/oauth/token", grant_type="refresh_token", refresh_token=token["refresh_token"])
        assert error(again) == (400, "invalid_grant")
        second = Flow(here, flow.partner)
        await second.push()
        token = (await second.redeem(await second.code(author))).json()
        await here.end_agreement(flow.partner)
        assert (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).status_code == 401
        again = await flow.form("/oauth/token", grant_type="refresh_token", refresh_token=token["refresh_token"])
        assert again.status_code == 400


async def test_redirect_uris_are_registered_strictly(tmp_path: Path) -> None:
    """https, or http on the very machine; no fragment, no credentials, no duplicates."""
    async with world(tmp_path) as here:
        partner = PartnerParty("marquee")
        good = ["https://a.example/cb", "http://127.0.0.1:8080/cb", "http://[::1]/cb", "http://localhost/cb?x=1"]
        assert (await here.register(partner, redirect_uris=good)).status_code == 200
        for bad in (
            "http://a.example/cb", "https://a.example/cb#x", "https:///cb", "custom:/cb", "https://u:p@a.example/",
            "https://a.example/ b", "https://é.example/", "https://a.example\\@b.example/", "javascript:alert(1)", "",
        ):  # fmt: skip
            answer = await here.register(partner, redirect_uris=[bad])
            assert (answer.status_code, answer.json()["errcode"]) == (400, "ORG_PARAPH_BAD_DOCUMENT"), bad
        assert (await here.register(partner, redirect_uris=["https://a.example/"] * 2)).status_code == 400
        assert (await here.register(partner)).status_code == 200  # leaves them
        kept = await here.database.read(lambda tx: tx.rows("SELECT uri FROM consent_redirect_uris ORDER BY uri"))
        assert [row[0] for row in kept] == sorted(good)
