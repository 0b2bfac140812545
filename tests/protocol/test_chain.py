"""The chain of a person's signature."""

import copy
from typing import Any

import pytest

from paraph.protocol.chain import verify_chain, verify_device_keys
from paraph.protocol.errors import ChainError, ProtocolError, SignatureError
from paraph.protocol.signing import sign
from tests.protocol import examples
from tests.protocol.examples import AUTHOR, DEVICE, KEYS

MASTER = KEYS.master.public_key
OTHER = "@correspondent:example.org"


def check(document: dict[str, Any], chain: Any, **changes: str) -> None:
    """Verify with the author's pinned values, but for the changes."""
    expected = {"person": AUTHOR, "device_id": DEVICE, "master_key": MASTER, **changes}
    verify_chain(document, chain, **expected)


def device(chain: dict[str, Any]) -> Any:
    """Verify the two objects alone."""
    return verify_device_keys(chain["device_keys"], chain["self_signing_key"], person=AUTHOR, master_key=MASTER)


def test_a_whole_chain_verifies() -> None:
    """Device, self-signing and master key vouch for the document, and the device comes back as a struct."""
    check(examples.grant(), examples.chain())
    keys = device(examples.chain())
    assert (keys.device_id, keys.ed25519, keys.curve25519) == (
        DEVICE,
        KEYS.device.public_key,
        examples.key(9).public_key,
    )


@pytest.mark.parametrize(
    "changes", [{"person": OTHER}, {"device_id": "OTHERDEV"}, {"master_key": KEYS.stranger.public_key}]
)
def test_another_person_device_or_master_key_is_refused(changes: dict[str, str]) -> None:
    """A chain says nothing about anyone but the person and device it leads to, from the master key pinned."""
    with pytest.raises(ChainError):
        check(examples.grant(), examples.chain(), **changes)


@pytest.mark.parametrize("chain", [None, [], {}, {"device_keys": {}}, {**examples.chain(), "extra": {}}])
def test_a_malformed_chain_is_refused(chain: Any) -> None:
    """A chain has exactly its two members."""
    with pytest.raises(ChainError):
        check(examples.grant(), chain)


@pytest.mark.parametrize("link", ["device_keys", "self_signing_key"])
@pytest.mark.parametrize("value", [None, [], "x", {}, {"signatures": {}}])
def test_a_malformed_link_is_refused(link: str, value: Any) -> None:
    """Whatever stands in the place of a link, the answer is ChainError."""
    with pytest.raises(ChainError):
        check(examples.grant(), {**examples.chain(), link: value})


@pytest.mark.parametrize("link", ["device_keys", "self_signing_key"])
def test_any_added_member_breaks_a_link_that_did_not_sign_it(link: str) -> None:
    """A member put in afterwards is not covered by the signature; `unsigned` is refused by name."""
    for extra in ("unsigned", "extra"):
        chain = examples.chain()
        chain[link][extra] = {}
        with pytest.raises(ChainError):
            device(chain)


def test_a_member_that_was_signed_is_allowed() -> None:
    """Stock clients sign members that Paraph does not know: they stay under the signature and out of the struct."""
    chain = examples.chain()
    signed = {**chain["device_keys"], "org.example.extra": True}
    chain["device_keys"] = sign(signed, AUTHOR, KEYS.self_signing.key_id, KEYS.self_signing.sign)
    assert device(chain).device_id == DEVICE


def test_a_device_that_the_owner_did_not_sign_is_refused() -> None:
    """The device's own signature, the master key's, or that of another self-signing key does not vouch for it."""
    bare = examples.device_keys(AUTHOR, DEVICE, KEYS.device)
    for signer in (KEYS.device, KEYS.master, KEYS.stranger):
        planted = sign(bare, AUTHOR, KEYS.self_signing.key_id, signer.sign)
        for keys in (bare, planted, sign(bare, AUTHOR, signer.key_id, signer.sign)):
            with pytest.raises(ChainError):
                device({**examples.chain(), "device_keys": keys})


def test_a_self_signing_key_that_the_master_key_did_not_sign_is_refused() -> None:
    """A whole chain of someone else's making, under the person's name, does not lead to the pinned master key."""
    chain, stranger = examples.chain(), KEYS.stranger
    key = {name: value for name, value in chain["self_signing_key"].items() if name != "signatures"}
    for forged in (
        sign(key, AUTHOR, stranger.key_id, stranger.sign),
        sign(key, AUTHOR, KEYS.master.key_id, stranger.sign),
    ):
        with pytest.raises(ChainError):
            device({**chain, "self_signing_key": forged})


@pytest.mark.parametrize(
    "changes",
    [
        {"usage": ["user_signing"]},
        {"usage": ["master"]},
        {"usage": []},
        {"user_id": OTHER},
        {"keys": {}},
        {"keys": {f"ed25519:{KEYS.stranger.public_key}": KEYS.self_signing.public_key}},
        {"keys": {f"ed25519:{key.public_key}": key.public_key for key in (KEYS.self_signing, KEYS.stranger)}},
    ],
)
def test_a_key_for_another_use_is_refused(changes: dict[str, Any]) -> None:
    """The master key's signature is not enough: the key must be this person's one self-signing key."""
    chain = examples.chain()
    signed = sign({**chain["self_signing_key"], **changes}, AUTHOR, KEYS.master.key_id, KEYS.master.sign)
    with pytest.raises(ChainError):
        device({**chain, "self_signing_key": signed})


def test_the_documents_signature_must_be_the_devices() -> None:
    """A rightly vouched-for device does not help a document that it did not sign."""
    unsigned = copy.deepcopy(examples.grant())
    del unsigned["signatures"]
    forged = sign(unsigned, AUTHOR, f"ed25519:{DEVICE}", KEYS.stranger.sign)
    for document in (unsigned, forged):
        with pytest.raises(SignatureError):
            check(document, examples.chain())
    with pytest.raises(ProtocolError):
        check({**examples.grant(), "verbs": ["friends"]}, examples.chain())
