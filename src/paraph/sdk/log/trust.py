"""What a client pins of a platform: at first use, or as it was given, and the same from then on."""

import msgspec

from paraph.sdk.errors import TransportError, TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.log.partners import Trust
from paraph.sdk.log.policy import TABLE as FOLLOWED
from paraph.sdk.log.policy import Followed
from paraph.sdk.log.view import read_policy
from paraph.sdk.transport import PARAPH, Transport

TABLE = "platform-trust"


class Pinned:
    """The platform's keys and witness policy. A policy once pinned stays, whatever the platform shows later."""

    def __init__(self, transport: Transport, records: Records, given: Trust | None) -> None:
        self._transport = transport
        self._records = records
        self._given = given

    async def trust(self) -> Trust:
        """As given, as pinned, or as shown now, and pinned with that. `policy` is None while the platform has none.

        Raises TrustError where what is given, pinned and shown is not the same; LogError for a policy that is none.
        """
        pinned = self._records.get(TABLE, "self", Trust)
        if pinned is not None and pinned.policy is not None:
            self._check_given(pinned)
            return pinned
        shown = await self._shown()
        for known in (pinned, self._given):
            if known is not None and (known.log_vkey, known.operator_key) != (shown.log_vkey, shown.operator_key):
                raise TrustError("the platform shows other keys than those known for it")
        policy = shown.policy if self._given is None or self._given.policy is None else self._given.policy
        if policy is not None:
            read_policy(policy, shown.log_vkey)
        trust = Trust(shown.log_vkey, shown.operator_key, policy)
        with self._records.step():
            self._records.put(TABLE, "self", trust)
        return trust

    def _check_given(self, pinned: Trust) -> None:
        given = self._given
        if given is None:
            return
        same_keys = (given.log_vkey, given.operator_key) == (pinned.log_vkey, pinned.operator_key)
        if not same_keys or given.policy not in (None, pinned.policy, self._followed(pinned)):
            raise TrustError("the keys or the policy given for this platform are not those pinned earlier")

    def _followed(self, pinned: Trust) -> str | None:
        """What the pinned policy's own quorum has replaced it by: a later release of a client brings that one."""
        at = self._records.get(FOLLOWED, "self", Followed)
        return None if at is None or at.pinned != pinned.policy else at.text

    async def _shown(self) -> Trust:
        answer = await self._transport.json("GET", f"{PARAPH}/platform", public=True)
        try:
            log = answer["log"]
            shown = {"log_vkey": log["vkey"], "operator_key": answer["operator_key"], "policy": log.get("policy")}
            return msgspec.convert(shown, Trust)
        except (KeyError, TypeError, AttributeError, msgspec.ValidationError) as error:
            raise TransportError("the platform does not show its keys") from error
