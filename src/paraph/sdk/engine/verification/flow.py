"""One verification from request to end: a state machine fed with the other device's words, and a person's answers.

What it wants to say collects in `notes`. A word that does not fit ends the verification with the code for that fault.
"""

from collections.abc import Callable

from paraph.sdk.engine.model import RELATION, Json
from paraph.sdk.engine.verification.model import (
    LIFETIME_MS,
    REFERENCE,
    SAS,
    BrokenRuleError,
    CancelCode,
    Cancelled,
    Note,
    Phase,
    ShortCode,
    Side,
)
from paraph.sdk.engine.verification.sas import CODES, HASH, KEY_AGREEMENT, MAC, Exchange, commitment

TheirSide = Callable[[str, str], Side | None]
"""The other device by user and device id, with the keys that are known of it; None where it is not known."""


class Flow:
    """`ours` gives this device with the keys it may vouch for, at the moment of asking."""

    def __init__(
        self,
        txn_id: str,
        user_id: str,
        device_id: str | None,
        ours: Callable[[], Side],
        theirs: TheirSide,
        *,
        incoming: bool,
        created: int,
        room_id: str | None = None,
        asked: tuple[str, ...] = (),
        methods: tuple[str, ...] = (SAS,),
    ) -> None:
        """`asked` are the devices that a request went to; `methods` those that the other side named."""
        self.txn_id = txn_id
        self.user_id = user_id
        self.device_id = device_id
        self.room_id = room_id
        self.incoming = incoming
        self.created = created
        self.asked = asked
        self.phase = Phase.REQUESTED
        self.cancelled: Cancelled | None = None
        self.code: ShortCode | None = None
        self.verified: dict[str, str] = {}
        self.notes: list[Note] = []
        self._ours, self._theirs = ours, theirs
        self._methods = methods
        self._start: Json = {}
        self._we_started = False
        self._exchange = Exchange()
        self._commitment = ""
        self._confirmed = False
        self._vouched: dict[str, str] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing can follow."""
        return self.phase in (Phase.DONE, Phase.CANCELLED)

    # What this device's person does

    def accept(self) -> None:
        """Agree to a request that came in; a start is then up to the other side, or to `start`."""
        self._need(self.incoming and self.phase == Phase.REQUESTED, "there is no request to accept")
        if SAS in self._methods:
            self._say("ready", {"from_device": self._ours().device_id, "methods": [SAS]})
            self.phase = Phase.READY
        else:
            self.cancel(CancelCode.UNKNOWN_METHOD, "this device can only compare emoji or numbers")

    def start(self) -> None:
        """Begin the comparison, once both sides are ready."""
        self._need(self.phase == Phase.READY, "the other side is not ready")
        offer: Json = {
            "from_device": self._ours().device_id,
            "method": SAS,
            "key_agreement_protocols": [KEY_AGREEMENT],
            "hashes": [HASH],
            "message_authentication_codes": [MAC],
            "short_authentication_string": list(CODES),
        }
        self._start, self._we_started = self._say("start", offer), True
        self.phase = Phase.STARTED

    def confirm(self) -> None:
        """The person says that both devices show the same."""
        self._need(self.phase == Phase.SHOWN and not self._confirmed, "there is nothing to confirm")
        self._confirmed = True
        try:
            self._say("mac", self._exchange.macs(self._ours(), self._other(), self.txn_id))
            self._finish()
        except BrokenRuleError as error:
            self.cancel(error.code, error.reason)

    def cancel(self, code: CancelCode = CancelCode.USER, reason: str = "the person does not want to go on") -> None:
        """End it, and say so."""
        if not self.over:
            self._say("cancel", {"code": code.value, "reason": reason})
            self._end(Cancelled(code.value, reason, by_us=True))

    def expire(self, now: int) -> None:
        """End what has taken too long."""
        if now - self.created > LIFETIME_MS:
            self.cancel(CancelCode.TIMEOUT, "the verification has taken too long")

    def taken_elsewhere(self) -> None:
        """Another device of this person answers the request."""
        if self.phase == Phase.REQUESTED:
            self._end(Cancelled(CancelCode.ACCEPTED.value, "another device answers", by_us=False))

    # What the other side says

    def hear(self, kind: str, content: Json) -> None:
        """Take in one message of the other side (`kind` without its prefix)."""
        handlers = {
            "ready": self._ready,
            "start": self._started,
            "accept": self._accepted,
            "key": self._key,
            "mac": self._mac,
        }
        if self.over:
            return
        if kind == "cancel":
            code, reason = content.get("code"), content.get("reason")
            self._end(Cancelled(str(code)[:100], str(reason)[:200], by_us=False))
            return
        try:
            if kind not in handlers:
                raise _unexpected(kind)
            handlers[kind](content)
        except BrokenRuleError as error:
            self.cancel(error.code, error.reason)

    def _ready(self, content: Json) -> None:
        device_id, methods = _text(content, "from_device"), _texts(content, "methods")
        if self.phase > Phase.REQUESTED and device_id != self.device_id:
            return  # another device of theirs was slower
        self._must(not self.incoming and self.phase == Phase.REQUESTED, "ready")
        if self.asked and device_id not in self.asked:
            raise _unexpected("ready")
        self.device_id = device_id
        if SAS not in methods:
            raise BrokenRuleError(CancelCode.UNKNOWN_METHOD, "the other device cannot compare emoji or numbers")
        self.phase = Phase.READY
        self.start()

    def _started(self, content: Json) -> None:
        self._must(self.phase == Phase.READY or (self.phase == Phase.STARTED and self._we_started), "start")
        self._must(_text(content, "from_device") == self.device_id, "start")
        ours = self._ours()
        if _text(content, "method") != SAS:
            raise BrokenRuleError(CancelCode.UNKNOWN_METHOD, "expected the method " + SAS)
        if self.phase == Phase.STARTED and (ours.user_id, ours.device_id) < (self.user_id, self.device_id or ""):
            return  # both began at once: the smaller name's start counts, here this device's
        for name, wanted in _OFFERS.items():
            if not set(wanted) & set(_texts(content, name)):
                raise BrokenRuleError(CancelCode.UNKNOWN_METHOD, f"{name}: expected one of {', '.join(wanted)}")
        codes = [code for code in CODES if code in _texts(content, "short_authentication_string")]
        self._start, self._we_started = content, False
        chosen = {
            "method": SAS,
            "key_agreement_protocol": KEY_AGREEMENT,
            "hash": HASH,
            "message_authentication_code": MAC,
            "short_authentication_string": codes,
            "commitment": commitment(self._exchange.public_key, content),
        }
        self._say("accept", chosen)
        self.phase = Phase.ACCEPTED

    def _accepted(self, content: Json) -> None:
        self._must(self.phase == Phase.STARTED and self._we_started, "accept")
        chosen = ("key_agreement_protocol", "hash", "message_authentication_code")
        if tuple(_text(content, name) for name in chosen) != (KEY_AGREEMENT, HASH, MAC):
            raise BrokenRuleError(CancelCode.UNKNOWN_METHOD, "the other device chose what was not offered")
        codes = _texts(content, "short_authentication_string")
        if not codes or not set(codes) <= set(CODES):
            raise BrokenRuleError(CancelCode.UNKNOWN_METHOD, "the other device chose what was not offered")
        self._commitment = _text(content, "commitment")
        self._say("key", {"key": self._exchange.public_key})
        self.phase = Phase.ACCEPTED

    def _key(self, content: Json) -> None:
        self._must(self.phase == Phase.ACCEPTED, "key")
        theirs = _text(content, "key")
        if self._we_started and commitment(theirs, self._start) != self._commitment:
            raise BrokenRuleError(CancelCode.MISMATCHED_COMMITMENT, "the key is not the one that was committed to")
        if not self._we_started:
            self._say("key", {"key": self._exchange.public_key})
        self._exchange.meet(theirs)
        us, them = (self._ours(), self._exchange.public_key), (Side(self.user_id, self.device_id or ""), theirs)
        starter, accepter = (us, them) if self._we_started else (them, us)
        self.code = self._exchange.short_code(starter, accepter, self.txn_id)
        self.phase = Phase.SHOWN

    def _mac(self, content: Json) -> None:
        self._must(self.phase == Phase.SHOWN and self._vouched is None, "mac")
        other = self._other()
        named = self._exchange.check(content, other, self._ours(), self.txn_id)
        if f"ed25519:{self.device_id}" not in named:
            raise BrokenRuleError(CancelCode.KEY_MISMATCH, "the other device does not vouch for its own key")
        others = len(content["mac"]) > len(named) or self.user_id != self._ours().user_id
        if others and other.keys.keys() - named:
            # A new device of this person's own may know no master key; anybody else's has to name the one shown here.
            raise BrokenRuleError(
                CancelCode.KEY_MISMATCH, "the other device does not vouch for the identity shown here"
            )
        self._vouched = {key_id: other.keys[key_id] for key_id in named}
        self._finish()

    # Inside

    def _finish(self) -> None:
        if self._confirmed and self._vouched is not None:
            self.verified = self._vouched
            self._say("done", {})
            self.phase = Phase.DONE

    def _other(self) -> Side:
        side = self._theirs(self.user_id, self.device_id or "")
        if side is None:
            raise BrokenRuleError(CancelCode.KEY_MISMATCH, "the other device's keys are not known")
        return side

    def _say(self, kind: str, content: Json) -> Json:
        """Queue a message, and return its content as it goes out."""
        if self.room_id is None:
            whole = content | {"transaction_id": self.txn_id}
        else:
            whole = content | {RELATION: {"rel_type": REFERENCE, "event_id": self.txn_id}}
        self.notes.append(Note(kind, whole))
        return whole

    def _end(self, cancelled: Cancelled) -> None:
        self.cancelled = cancelled
        self.phase = Phase.CANCELLED

    def _must(self, fits: bool, kind: str) -> None:
        if not fits:
            raise _unexpected(kind)

    def _need(self, fits: bool, otherwise: str) -> None:
        if not fits:
            raise ValueError(otherwise)


_OFFERS = {
    "key_agreement_protocols": (KEY_AGREEMENT,),
    "hashes": (HASH,),
    "message_authentication_codes": (MAC,),
    "short_authentication_string": CODES,
}


def _unexpected(kind: str) -> BrokenRuleError:
    return BrokenRuleError(CancelCode.UNEXPECTED_MESSAGE, f"{kind[:40]} was not expected now")


def _text(content: Json, name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise BrokenRuleError(CancelCode.INVALID_MESSAGE, f"{name}: expected text")
    return value


def _texts(content: Json, name: str) -> list[str]:
    value = content.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BrokenRuleError(CancelCode.INVALID_MESSAGE, f"{name}: expected a list of texts")
    return value
