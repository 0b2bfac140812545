"""Devices that grant without the right to: a stranger's in her name, and one of hers that never enrolled."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paraph.cli.demo.evidence import Attempt
from paraph.protocol.agreement import Agreement
from paraph.protocol.base64 import b64url
from paraph.protocol.consent import TEMPLATE, render, text_hash
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import grant_key
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk import MatrixError, Person, Secrets, Transport

PARAPH = "/_paraph/v1"


@dataclass(frozen=True, slots=True)
class Intruder:
    """A device on the author's account, made by someone who knows her password and her account log key."""

    device: Person
    log_key: bytes
    transport: Transport

    @classmethod
    async def enter(cls, url: str, username: str, password: str, log_key: bytes, secrets: Secrets | None) -> "Intruder":
        """Log in. Without the author's `secrets` the device is real to the server and unknown to her identity."""
        transport = Transport(url)
        device = await Person.login(url, username, password, secrets=secrets, transport=transport)
        return cls(device, log_key, transport)

    async def forge(
        self, what: str, grant: Mapping[str, Any], agreement: Agreement, *, device_id: str | None = None
    ) -> Attempt:
        """Put forward a grant like `grant`, but for all rooms, signed by this device, in the name of `device_id`.

        All else fits: with her log key the grant's key is right, and so is the consent text.
        """
        forged = self._signed(grant, agreement, device_id or self.device.device_id)
        return await self._attempt(what, "grants", {"grant": forged})

    async def listed(self, grant: Mapping[str, Any], chain: Mapping[str, Any], agreement: Agreement) -> dict[str, Any]:
        """Such a grant as the platform would list it among her own, with this device's keys as she would see them."""
        user_id, device_id = self.device.user_id, self.device.device_id
        asked = {"device_keys": {user_id: [device_id]}}
        answer = await self.transport.json("POST", "/_matrix/client/v3/keys/query", asked)
        keys = answer["device_keys"][user_id][device_id]
        keys.pop("unsigned", None)
        return {
            "grant": self._signed(grant, agreement, device_id),
            "chain": {**chain, "device_keys": keys},
            "amendments": [],
            "revocation": None,
            "ended": None,
            "live": True,
        }

    async def enrol(self, master_key: str) -> Attempt:
        """Enrol this device, under a signature that is not her master key's."""
        account, key = self.device.engine.account, SigningKey.generate()
        document = {
            "type": "org.paraph.enrolment",
            "user_id": account.user_id,
            "device_id": account.device_id,
            "master_key": master_key,
            "curve25519": account.curve25519,
            "ed25519": account.ed25519,
            "log_key_hash": key_hash(self.log_key),
            "created": 0,
        }
        forged = sign(account.signed(document), account.user_id, f"ed25519:{master_key}", key.sign)
        body = {"enrolment": forged, "log_key": b64url(self.log_key)}
        return await self._attempt("the enrolment of a device that her master key did not sign", "enrol", body)

    async def close(self) -> None:
        """Leave."""
        await self.device.close()

    def _signed(self, grant: Mapping[str, Any], agreement: Agreement, device_id: str) -> dict[str, Any]:
        document = self._grant(grant, agreement, device_id)
        key_id = f"ed25519:{device_id}"
        return sign(document, self.device.user_id, key_id, self.device.engine.account.sign)

    def _grant(self, grant: Mapping[str, Any], agreement: Agreement, device_id: str) -> dict[str, Any]:
        grant_id = "gr_" + b64url(os.urandom(16))
        document = {name: value for name, value in grant.items() if name not in ("signatures", "consent")}
        document |= {
            "grant_id": grant_id,
            "rooms": "all",
            "device_id": device_id,
            "grant_key_hash": key_hash(grant_key(self.log_key, grant_id)),
        }
        text = render(TEMPLATE, document, agreement)
        return document | {"consent": dict(grant["consent"]) | {"text_hash": text_hash(text)}}

    async def _attempt(self, what: str, resource: str, body: dict[str, Any]) -> Attempt:
        try:
            await self.transport.json("POST", f"{PARAPH}/{resource}", body)
        except MatrixError as error:
            return Attempt(what, 400 <= error.status < 500, f"{error.status} {error.error}")
        return Attempt(what, False, "200 accepted")
