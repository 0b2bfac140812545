"""What a grant is for (P8): a purpose is named with each read, is recorded, and stands in the text that she signed."""

from collections.abc import Sequence
from dataclasses import dataclass

from paraph.cli.demo.evidence import Count, Findings, Opened
from paraph.cli.demo.outsider import Outside
from paraph.cli.demo.people import Cast, attempt, refused
from paraph.protocol.consent import ConsentTemplate, render, text_hash
from paraph.protocol.documents import parse
from paraph.protocol.errors import ProtocolError
from paraph.protocol.fields import ADVERTISING
from paraph.sdk import GrantState, Partner


@dataclass(frozen=True, slots=True)
class Asked:
    """What a partner asked her for, the purposes that she granted without saying more, and those if she had."""

    purposes: Sequence[str]
    granted: Sequence[str]
    named: Sequence[str]

    def count(self) -> Count:
        """Whether advertising came along by default."""
        what = f"asked for {' and '.join(self.purposes)}: grants of {ADVERTISING} by default"
        control = Opened(int(ADVERTISING in self.named), 1)
        return Count(what, int(ADVERTISING in self.granted), 1, 0, "where she names it", control)


async def play(
    cast: Cast, reader: Partner, room_id: str, grants: Sequence[GrantState], asked: Asked, outside: Outside
) -> Findings:
    """The partner reads for a purpose that it was not granted; her records and the texts are held against the log."""
    what = "the partner reads for advertising, which she did not grant"
    tried = refused(what, await attempt(reader.messages(room_id, ADVERTISING)))
    return Findings([tried], [asked.count(), await _accesses(cast, grants), _texts(grants, outside)])


async def _accesses(cast: Cast, grants: Sequence[GrantState]) -> Count:
    """The accesses in her list, each with a purpose that its own grant names."""
    purposes = {state.grant.grant_id: state.grant.purposes for state in grants}
    entries = [entry.body for entry in await cast.author.entries() if entry.kind == "access"]
    strange = [body for body in entries if body.get("purpose") not in purposes.get(body.get("grant_id", ""), ())]
    named = sorted({str(body.get("purpose")) for body in entries})
    what = "accesses in her list without a purpose that she granted"
    return Count(what, len(strange), len(entries), 0, f"named: {', '.join(named)}")


def _texts(grants: Sequence[GrantState], outside: Outside) -> Count:
    """The texts that she was shown, made again by an outsider from the log: their hashes are those that she signed."""
    hashes = [(state.grant.consent.text_hash, _text_hash(state, outside)) for state in grants]
    others = [
        (signed, _text_hash(state, outside, ADVERTISING)) for (signed, _), state in zip(hashes, grants, strict=True)
    ]
    wrong, noticed = [sum(signed != made for signed, made in pairs) for pairs in (hashes, others)]
    what = "texts made again from the template in the log that are not what she signed"
    return Count(what, wrong, len(grants), 0, "with advertising written in", Opened(noticed, len(others)))


def _text_hash(state: GrantState, outside: Outside, *more: str) -> str | None:
    """The hash of a grant's text by template and agreement as the log has them; None if it has them not."""
    consent, grant = state.grant.consent, state.grant
    document = {**state.document, "purposes": [*grant.purposes, *more]}
    agreement = outside.agreement(grant.partner, grant.agreement.hash)
    for found in outside.documents("consent-template"):
        if agreement is not None and (found["template"], found["locale"]) == (consent.template, consent.locale):
            try:
                return text_hash(render(parse(ConsentTemplate, found), document, agreement))
            except ProtocolError:
                return None
    return None
