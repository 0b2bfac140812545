"""A person's history in words for people: every record in one line, every partner's three verdicts.

What stands in a record was written by somebody: characters that a terminal would act upon are replaced.
"""

from collections.abc import Callable, Iterator
from typing import Any

from paraph.audit.history_report import OUTSIDE, HistoryReport, PartnerHistory, counted, moment
from paraph.audit.opened import OpenedEntry
from paraph.audit.verdict import Outcome

_LONGEST = 200


def event(opened: OpenedEntry) -> str:
    """One record in words, without its time."""
    if opened.kind not in _WORDS:
        return _plain(f"{opened.kind}{'' if opened.partner is None else f' ({opened.partner})'}")
    try:
        return _plain(_WORDS[opened.kind](opened, dict(opened.body)))
    except (KeyError, TypeError, AttributeError):
        return _plain(f"{opened.kind}, with a body that is none of its kind")


def verdicts(partner: PartnerHistory, report: HistoryReport) -> Iterator[tuple[str, str]]:
    """A partner's three verdicts: what it could open, what it did open, and what nobody can prove."""
    could, did = partner.could_open, partner.did_open
    given = "no key was given to it"
    if could.first is not None and could.last is not None:
        rooms = counted(len(could.rooms), "conversation")
        given = f"{counted(could.sessions, 'key')} of {rooms}, given {moment(could.first)} to {moment(could.last)}"
    yield "could open", given
    if did.missing:
        yield "did open", f"{did.missing} of {did.recorded} missing: the log holds {did.recorded} records of it"
    elif report.outcome is Outcome.COMPLETE:
        yield "did open", f"{_opened(partner)}; complete and proven up to {moment(report.until)}"
    else:
        yield "did open", f"{_opened(partner)}, as far as the records hold"
    if did.drafts or did.deletes:
        yield "did besides", f"{counted(did.drafts, 'record')} of drafts, {did.deletes} of deletes"
    if did.accesses:
        yield "deleted", _deleted(partner)
    yield "outside", OUTSIDE


def _deleted(partner: PartnerHistory) -> str:
    said = partner.deleted
    if said.overdue:
        what = counted(said.overdue, "access", "accesses")
        return f"OVERDUE: nothing confirms that what {what} gave is deleted, due since {moment(said.since or 0)}"
    if said.confirmed is not None:
        return f"what was opened before {moment(said.confirmed)}, by the partner's own word, which no key can prove"
    return "nothing is due yet" if not said.confirmations else "what was due, by the partner's own word"


def _opened(partner: PartnerHistory) -> str:
    did = partner.did_open
    if did.first is None or did.last is None:
        return "nothing"
    times = f"{moment(did.first)} to {moment(did.last)}"
    files = f" and {counted(did.files, 'attachment')}" if did.files else ""
    return f"{counted(did.messages, 'message')}{files} in {counted(did.accesses, 'access', 'accesses')}, {times}"


def _device(_opened: OpenedEntry, body: dict[str, Any]) -> str:
    return f"device {body['enrolment']['device_id']} enrolled"


def _grant(opened: OpenedEntry, body: dict[str, Any]) -> str:
    grant = body["grant"]
    rooms = "all conversations" if grant["rooms"] == "all" else counted(len(grant["rooms"]), "conversation")
    may = f"{', '.join(grant['verbs'])} for {', '.join(grant['purposes'])}"
    return f"{opened.partner} may {may} in {rooms} until {moment(grant['until'])} ({grant['grant_id']})"


def _amend(opened: OpenedEntry, body: dict[str, Any]) -> str:
    change = body["amendment"]["change"]
    what = {"drop_rooms": "conversations taken out", "shorten": "shortened", "pause": "paused", "resume": "resumed"}
    return f"the grant to {opened.partner} was narrowed or resumed: {what[change['op']]}"


def _revoke(opened: OpenedEntry, body: dict[str, Any]) -> str:
    return f"the grant to {opened.partner} was revoked ({body['revocation']['grant_id']})"


def _key_share(opened: OpenedEntry, body: dict[str, Any]) -> str:
    to = f"{opened.partner}'s device {body['partner_device_id']}"
    session = body["session"]
    if session is None:
        return f"device {body['device_id']} gave {to} the key of its grant's records"
    return (
        f"device {body['device_id']} gave {to} a key of {session['room_id']}, from message {session['first_index']} on"
    )


def _access(opened: OpenedEntry, body: dict[str, Any]) -> str:
    who, purpose = opened.partner, body["purpose"]
    if "friends" in body:
        return f"{who} was given codes of {counted(len(body['friends']), 'friend')} for {purpose}"
    if "room_ids" in body:
        rooms = counted(len(body["room_ids"]), "conversation")
        return f"{who} was told the times of {rooms}, and codes of who is in them, for {purpose}"
    kind, listed = ("attachment", body["media_ids"]) if "media_ids" in body else ("message", body["event_ids"])
    return f"{who} fetched {counted(len(listed), kind)} of {body['room_id']} for {purpose}"


def _draft(opened: OpenedEntry, body: dict[str, Any]) -> str:
    what = {"queued": "left a draft", "sealed": "left a draft that was sent", "withdrawn": "took a draft back"}
    return (
        f"{opened.partner} {what.get(body['status'], 'left a draft that was ' + body['status'])} ({body['draft_id']})"
    )


def _delete(opened: OpenedEntry, body: dict[str, Any]) -> str:
    why = "" if body["reason"] is None else f": {body['reason']}"
    return f"{opened.partner} deleted a message of {body['room_id']} for {body['purpose']}{why}"


def _disposal(opened: OpenedEntry, body: dict[str, Any]) -> str:
    made = body["disposal"]
    what = f"{counted(made['messages'], 'message')} and {counted(made['keys'], 'key')}"
    return f"{opened.partner} says that what it opened before {moment(made['opened_before'])} is deleted: {what}"


_WORDS: dict[str, Callable[[OpenedEntry, dict[str, Any]], str]] = {
    "device": _device,
    "grant": _grant,
    "amend": _amend,
    "revoke": _revoke,
    "key-share": _key_share,
    "access": _access,
    "draft": _draft,
    "delete": _delete,
    "disposal": _disposal,
}


def _plain(text: str) -> str:
    """The text on one line, with nothing in it that a terminal or a reader could take for something else."""
    shown = "".join(character if character.isprintable() else "\ufffd" for character in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
