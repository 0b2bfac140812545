"""The key agreement of `m.sas.v1` on vodozemac: commitment, short code and message authentication codes.

`curve25519-hkdf-sha256`, `sha256` and `hkdf-hmac-sha256.v2` are the only choices offered and accepted. The strings that
go into HKDF are those of the specification ("SAS HKDF calculation", "MAC calculation").
"""

import hashlib

from vodozemac import Curve25519PublicKey, EstablishedSas, Sas

from paraph.protocol.base64 import b64
from paraph.protocol.canonical import encode
from paraph.protocol.errors import ProtocolError
from paraph.sdk.engine.model import Json
from paraph.sdk.engine.verification.emoji import EMOJI
from paraph.sdk.engine.verification.model import BrokenRuleError, CancelCode, ShortCode, Side

KEY_AGREEMENT = "curve25519-hkdf-sha256"
HASH = "sha256"
MAC = "hkdf-hmac-sha256.v2"
CODES = ("decimal", "emoji")
KEY_IDS = "KEY_IDS"


def commitment(public_key: str, start: Json) -> str:
    """What the accepting device commits to: its key, and the `start` that it answers. Raises BrokenRuleError."""
    try:
        return b64(hashlib.sha256(public_key.encode() + encode(start)).digest())
    except ProtocolError as error:
        raise BrokenRuleError(CancelCode.INVALID_MESSAGE, "the start has no canonical form") from error


class Exchange:
    """One key agreement of this device; each is used once."""

    def __init__(self) -> None:
        self._sas = Sas()
        self.public_key = self._sas.public_key.to_base64()
        self._established: EstablishedSas | None = None

    def meet(self, their_key: str) -> None:
        """Agree with the other device's ephemeral key. Raises BrokenRuleError."""
        try:
            self._established = self._sas.diffie_hellman(Curve25519PublicKey.from_base64(their_key))
        except ValueError as error:
            raise BrokenRuleError(CancelCode.INVALID_MESSAGE, "expected a Curve25519 public key") from error

    def short_code(self, starter: tuple[Side, str], accepter: tuple[Side, str], txn_id: str) -> ShortCode:
        """What to compare; each side comes with its ephemeral public key."""
        parts = ["MATRIX_KEY_VERIFICATION_SAS"]
        for side, key in (starter, accepter):
            parts += [side.user_id, side.device_id, key]
        made = self._agreed.bytes("|".join([*parts, txn_id]))
        first, second, third = made.decimals
        return ShortCode(tuple(EMOJI[index] for index in made.emoji_indices), (first, second, third))

    def macs(self, sender: Side, recipient: Side, txn_id: str) -> Json:
        """The `mac` and `keys` that vouch for the sender's keys."""
        info = _mac_info(sender, recipient, txn_id)
        made = {key_id: self._agreed.calculate_mac(key, info + key_id) for key_id, key in sender.keys.items()}
        return {"mac": made, "keys": self._agreed.calculate_mac(",".join(sorted(made)), info + KEY_IDS)}

    def check(self, content: Json, sender: Side, recipient: Side, txn_id: str) -> frozenset[str]:
        """The ids of the sender's keys that its message vouches for. Raises BrokenRuleError.

        Keys that this device does not know are left alone, as the specification has it; a wrong one ends it all.
        """
        macs, keys = content.get("mac"), content.get("keys")
        if not isinstance(macs, dict) or not isinstance(keys, str) or not all(map(_is_text, macs.values())):
            raise BrokenRuleError(CancelCode.INVALID_MESSAGE, "expected `mac` by key id, and `keys`")
        info = _mac_info(sender, recipient, txn_id)
        self._verify(",".join(sorted(macs)), info + KEY_IDS, keys)
        for key_id in macs.keys() & sender.keys.keys():
            self._verify(sender.keys[key_id], info + key_id, macs[key_id])
        return frozenset(macs.keys() & sender.keys.keys())

    def _verify(self, text: str, info: str, tag: str) -> None:
        try:
            self._agreed.verify_mac(text, info, tag)
        except ValueError as error:
            raise BrokenRuleError(CancelCode.KEY_MISMATCH, "a key is not the one that this device knows") from error

    @property
    def _agreed(self) -> EstablishedSas:
        if self._established is None:
            raise BrokenRuleError(CancelCode.UNEXPECTED_MESSAGE, "the keys have not been exchanged")
        return self._established


def _mac_info(sender: Side, recipient: Side, txn_id: str) -> str:
    people = sender.user_id + sender.device_id + recipient.user_id + recipient.device_id
    return "MATRIX_KEY_VERIFICATION_MAC" + people + txn_id


def _is_text(value: object) -> bool:
    return isinstance(value, str)
