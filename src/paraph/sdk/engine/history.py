"""Going back in time under a grant: a device gives partners the keys of its own older sessions, from a date on.

Which index belongs to the date says its own record of what it sent (`sent`), never a time of the server's.
"""

from collections.abc import Collection, Iterator

from paraph.sdk.engine.account import OlmAccount
from paraph.sdk.engine.inbound import InboundSessions
from paraph.sdk.engine.model import MEGOLM, VIEW_MAX_AGE_MS, GrantView, PartnerAccess, Peer
from paraph.sdk.engine.olm import OlmSessions
from paraph.sdk.engine.outbound import OutboundSessions
from paraph.sdk.engine.outbox import MAX_TO_DEVICE, Outbox, key_share
from paraph.sdk.engine.sent import Sent
from paraph.sdk.keystore import Records

HISTORY_KEY = "org.paraph.history_key"
HISTORY_SENT = "history-sent"


class OlderKeys:
    """What of this device's own past each partner device has been given."""

    def __init__(
        self,
        records: Records,
        account: OlmAccount,
        olm: OlmSessions,
        inbound: InboundSessions,
        outbound: OutboundSessions,
        outbox: Outbox,
    ) -> None:
        self._records = records
        self._account = account
        self._olm = olm
        self._inbound = inbound
        self._outbound = outbound
        self._outbox = outbox

    def rooms(self, access: PartnerAccess) -> set[str]:
        """The rooms of which a partner device still lacks a key that the grant's history gives it."""
        lacking = (sent for sent, _ in self._older(access) if any(self._lacks(access, p, sent) for p in access.devices))
        return {sent.room_id for sent in lacking}

    def share(self, view: GrantView, access: PartnerAccess, rooms: Collection[str], now: int) -> None:
        """Queue the keys of this device's own older sessions in these rooms, each from the date of the history on."""
        if not view.is_fresh(now, VIEW_MAX_AGE_MS) or not access.reads or now >= access.until:
            return
        shares = []
        for sent, index in self._older(access):
            key = self._inbound.own_key(sent.session_id, self._account.curve25519, index)
            if key is None or sent.room_id not in rooms:
                continue
            content = {"algorithm": MEGOLM, "room_id": sent.room_id, "session_id": sent.session_id, "session_key": key}
            session = {"room_id": sent.room_id, "session_id": sent.session_id, "first_index": index}
            for peer in access.devices:
                if self._lacks(access, peer, sent) and self._olm.has(peer):
                    shares.append(key_share(peer, self._olm.encrypt(peer, HISTORY_KEY, content), session))
                    self._records.put(HISTORY_SENT, _history_name(access, peer, sent), True)
        for start in range(0, len(shares), MAX_TO_DEVICE):
            self._outbox.to_partner(access.grant_id, tuple(shares[start : start + MAX_TO_DEVICE]))

    def unshare(self, access: PartnerAccess) -> None:
        """The platform refused keys of a history: they are sent again."""
        for name, _ in self._records.items(HISTORY_SENT, bool, f"{access.grant_id}/"):
            self._records.delete(HISTORY_SENT, name)

    def _older(self, access: PartnerAccess) -> Iterator[tuple[Sent, int]]:
        """This device's own sessions that the history reaches, each with the index from which on it does.

        One that began under the grant was shared from its beginning, or was not to be shared.
        """
        if access.history is None:
            return
        for sent in self._outbound.sent.all():
            index = sent.index_from(access.history)
            if index is not None and sent.created < access.began and access.covers(sent.room_id):
                yield sent, index

    def _lacks(self, access: PartnerAccess, peer: Peer, sent: Sent) -> bool:
        return self._records.get(HISTORY_SENT, _history_name(access, peer, sent), bool) is None


def _history_name(access: PartnerAccess, peer: Peer, sent: Sent) -> str:
    return f"{access.grant_id}/{peer.curve25519}/{sent.session_id}"
