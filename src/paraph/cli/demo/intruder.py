"""Someone who knows the author's password and her account log key, and wants a partner to read all she writes."""

import os
from collections.abc import Mapping
from typing import Any

import httpx

from paraph.cli.demo.evidence import Attempt
from paraph.protocol.agreement import Agreement
from paraph.protocol.base64 import b64, b64url
from paraph.protocol.consent import TEMPLATE, render, text_hash
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import grant_key
from paraph.protocol.signing import SigningKey, sign

MATRIX = "/_matrix/client/v3"


class Intruder:
    """A device of its own on the author's account: real to the server, unknown to her identity."""

    def __init__(self, url: str, user_id: str, password: str) -> None:
        self._user_id = user_id
        self._http = httpx.Client(base_url=url, timeout=30)
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user_id},
            "password": password,
        }
        session = self._http.post(f"{MATRIX}/login", json=login).raise_for_status().json()
        self.device_id: str = session["device_id"]
        self._http.headers["Authorization"] = f"Bearer {session['access_token']}"
        self._key = SigningKey.generate()
        self._http.post(f"{MATRIX}/keys/upload", json={"device_keys": self._device_keys()}).raise_for_status()

    def _device_keys(self) -> dict[str, Any]:
        device = self.device_id
        keys = {f"ed25519:{device}": self._key.public_key, f"curve25519:{device}": b64(os.urandom(32))}
        document = {
            "user_id": self._user_id,
            "device_id": device,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": keys,
        }
        return sign(document, self._user_id, f"ed25519:{device}", self._key.sign)

    def forge(self, grant: Mapping[str, Any], agreement: Agreement, log_key: bytes, *, device_id: str) -> Attempt:
        """Put forward a grant like `grant`, but for all rooms, in the name of `device_id`, signed by this device.

        All else fits: with her log key the grant's key is right, and so is the consent text. Only the signature is
        not hers (`device_id` is a device of hers), or the device is not (`device_id` is this one).
        """
        grant_id = "gr_" + b64url(os.urandom(16))
        document = {name: value for name, value in grant.items() if name not in ("signatures", "consent")}
        document |= {
            "grant_id": grant_id,
            "rooms": "all",
            "device_id": device_id,
            "grant_key_hash": key_hash(grant_key(log_key, grant_id)),
        }
        text = render(TEMPLATE, document, agreement)
        document["consent"] = dict(grant["consent"]) | {"text_hash": text_hash(text)}
        forged = sign(document, self._user_id, f"ed25519:{device_id}", self._key.sign)
        answer = self._http.post("/_paraph/v1/grants", json={"grant": forged})
        ghost = device_id == self.device_id
        what = (
            "a grant by a device that her master key does not vouch for" if ghost else "a grant with a forged signature"
        )
        said = answer.json().get("error", "accepted") if not answer.is_success else "accepted"
        return Attempt(what, not answer.is_success, f"{answer.status_code} {said}")
