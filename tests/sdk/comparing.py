"""Two devices that verify each other through the directory in memory, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from paraph.sdk.engine.verification import Flow, Phase
from paraph.sdk.engine.verification.model import PREFIX
from tests.sdk.directory import Phone


def asked(asker: Phone, other: Phone) -> tuple[Flow, Flow]:
    """One asks the other; the verification as each of them has it."""
    asker.know(other.user)
    with asker.records.step():
        mine = asker.engine.verifications.request(other.user, [other.engine.device_id], asker.now)
    asker.drain()
    other.sync()
    (theirs,) = other.engine.verifications.open()
    return mine, theirs


def act(phone: Phone, flow: Flow, action: Callable[[], None]) -> None:
    """The person at this device does something, and the device sends what follows."""
    with phone.records.step():
        phone.engine.verifications.act(flow, action)
    phone.drain()


def shown(asker: Phone, other: Phone) -> tuple[Flow, Flow]:
    """Both devices show their short codes."""
    mine, theirs = asked(asker, other)
    other.know(asker.user)
    act(other, theirs, theirs.accept)
    settle(asker, other)
    assert (mine.phase, theirs.phase) == (Phase.SHOWN, Phase.SHOWN), (mine.cancelled, theirs.cancelled)
    return mine, theirs


def shown_without_news(asker: Phone, other: Phone) -> tuple[Flow, Flow]:
    """As `shown`, where the server tells neither side that any keys have changed."""
    with asker.records.step():
        mine = asker.engine.verifications.request(other.user, [other.engine.device_id], asker.now)
    asker.drain()
    other.sync()
    (theirs,) = other.engine.verifications.open()
    with other.records.step():
        other.engine.users.track([asker.user])
    other.drain()
    act(other, theirs, theirs.accept)
    for _ in range(3):
        asker.sync()
        other.sync()
    return mine, theirs


def compared(asker: Phone, other: Phone) -> tuple[Flow, Flow]:
    """Both people confirm."""
    mine, theirs = shown(asker, other)
    act(asker, mine, mine.confirm)
    act(other, theirs, theirs.confirm)
    settle(asker, other)
    return mine, theirs


def settle(*phones: Phone) -> None:
    """Let everything arrive: a change of keys is announced to everybody."""
    for _ in range(6):
        for phone in phones:
            phone.sync(changed=tuple({one.user for one in phones}))


def queued(phone: Phone, kind: str) -> dict[str, Any]:
    """The content of the message of this kind that waits for the phone, open to be changed."""
    queue = phone.directory.queues[phone.user, phone.engine.device_id]
    (event,) = (event for event in queue if event["type"] == PREFIX + kind)
    event["content"] = dict(event["content"])
    content: dict[str, Any] = event["content"]
    return content


def say(phone: Phone, sender: str, kind: str, **content: Any) -> None:
    """The server brings the phone a message of this family."""
    phone.directory.push(
        phone.user, phone.engine.device_id, {"sender": sender, "type": PREFIX + kind, "content": content}
    )
    phone.sync()
