"""Files: what is encrypted opens only with its message's key, and is exactly what the author uploaded."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nio.crypto.attachments import decrypt_attachment, encrypt_attachment
from nio.exceptions import EncryptionError

from paraph.protocol.base64 import b64, b64url
from paraph.sdk import MatrixError, MediaError, Message, Person, Transport
from paraph.sdk.media import EncryptedFile, Media, address_of, encrypt_file, file_of
from tests.sdk.person.test_person import received, room_of, sign_up
from tests.support.server import RunningServer

__all__ = ["sign_up"]

URL = "mxc://example.org/abc"


def rendered(plaintext: bytes = b"a file") -> tuple[bytes, dict[str, Any]]:
    ciphertext, sealed = encrypt_file(plaintext)
    return ciphertext, sealed.rendered() | {"url": URL}


def message(content: dict[str, Any], **more: Any) -> Message:
    return Message("!room:example.org", "$event", "@author:example.org", 0, "m.room.message", content, **more)


@given(st.binary(max_size=200))
@settings(max_examples=30)
def test_nio_opens_what_we_encrypt_and_the_other_way_round(plaintext: bytes) -> None:
    """matrix-nio's attachments and ours are one format."""
    ciphertext, ours = rendered(plaintext)
    assert decrypt_attachment(ciphertext, ours["key"]["k"], ours["hashes"]["sha256"], ours["iv"]) == plaintext
    theirs_encrypted, theirs = encrypt_attachment(plaintext)
    assert EncryptedFile.parse(theirs | {"url": URL}).open(theirs_encrypted) == plaintext


def test_nothing_of_the_file_is_in_the_ciphertext_and_no_key_is_used_twice() -> None:
    """Key and counter are of one file alone; the counter's lower half begins at zero, as Matrix asks."""
    plaintext = b"the same words " * 100
    made = [encrypt_file(plaintext) for _ in range(2)]
    assert made[0][0] != made[1][0]
    assert plaintext[:16] not in made[0][0]
    assert made[0][1].key != made[1][1].key
    assert made[0][1].iv[8:] == bytes(8)
    assert b64url(made[0][1].key) not in repr(made[0][1])


def test_other_bytes_are_refused() -> None:
    """A flipped bit, a cut, an addition: the hash in the message is of the author's bytes."""
    ciphertext, content = rendered()
    sealed = EncryptedFile.parse(content)
    for changed in (bytes([ciphertext[0] ^ 1]) + ciphertext[1:], ciphertext[:-1], ciphertext + b"x", b""):
        with pytest.raises(MediaError):
            sealed.open(changed)
    with pytest.raises(EncryptionError):
        decrypt_attachment(ciphertext + b"x", content["key"]["k"], content["hashes"]["sha256"], content["iv"])


def test_without_the_key_the_blob_opens_nothing() -> None:
    """Another file's key gives noise: only the hash would have to be wrong as well."""
    plaintext = b"a file that nobody else is to read"
    ciphertext, _ = encrypt_file(plaintext)
    _, other = encrypt_file(plaintext)
    forced = EncryptedFile(URL, other.key, other.iv, hashlib.sha256(ciphertext).digest())
    assert forced.open(ciphertext) != plaintext


@pytest.mark.parametrize(
    "change",
    [
        {"v": "v1"},
        {"v": None},
        {"url": "https://example.org/abc"},
        {"url": "mxc://example.org/../../admin"},
        {"url": "mxc://example.org/"},
        {"url": 7},
        {"key": None},
        {"key": {"kty": "oct", "alg": "A256GCM", "k": b64url(bytes(32)), "key_ops": ["decrypt"]}},
        {"key": {"kty": "oct", "alg": "A256CTR", "k": b64url(bytes(31)), "key_ops": ["decrypt"]}},
        {"key": {"kty": "oct", "alg": "A256CTR", "k": b64url(bytes(32)), "key_ops": ["encrypt"]}},
        {"iv": b64(bytes(15))},
        {"iv": "not base64"},
        {"hashes": {}},
        {"hashes": {"sha256": b64(bytes(20))}},
    ],
)
def test_what_is_no_encrypted_file_is_refused(change: dict[str, Any]) -> None:
    """Other versions, algorithms, lengths and addresses are not guessed at."""
    with pytest.raises(MediaError):
        EncryptedFile.parse(rendered()[1] | change)


def test_a_counter_that_would_overflow_is_refused() -> None:
    """Where it ends, clients differ; up to its last block they agree."""
    key, most = bytes(32), b"\xff" * 8
    data = bytes(16)
    fits = EncryptedFile(URL, key, bytes(8) + most, hashlib.sha256(data).digest())
    expected = decrypt_attachment(data, b64url(key), b64(fits.sha256), b64(fits.iv))
    assert fits.open(data) == expected
    over = EncryptedFile(URL, key, bytes(8) + most, hashlib.sha256(data + b"x").digest())
    with pytest.raises(MediaError):
        over.open(data + b"x")


def test_messages_without_a_file_are_told_from_those_with_one() -> None:
    """A text, a message that did not open, an address that is none."""
    assert file_of(message({"file": rendered()[1]})).url == URL
    for wrong in (message({"body": "text"}), message({"file": rendered()[1]}, undecryptable="no key"), message({})):
        with pytest.raises(MediaError):
            file_of(wrong)
    assert address_of(URL) == ("example.org", "abc")


async def test_a_server_that_gives_no_address_is_not_believed() -> None:
    """The message would lead elsewhere."""
    transport = Transport(
        "http://test",
        client=httpx.AsyncClient(
            transport=httpx.MockTransport(lambda _request: httpx.Response(200, json={"content_uri": "https://x/y"}))
        ),
    )
    with pytest.raises(MediaError):
        await Media(transport).upload("!room:example.org", b"x", None, None)


@pytest.fixture
async def pair(sign_up: Any) -> tuple[Person, Person, str]:
    """Two people in a room."""
    author, correspondent = await sign_up(), await sign_up()
    return author, correspondent, await room_of(author, correspondent)


@pytest.mark.slow
async def test_a_file_travels(pair: tuple[Person, Person, str], tmp_path: Path, server: RunningServer) -> None:
    """What one sends the other saves; the platform's disk and database have only ciphertext of it."""
    author, correspondent, room_id = pair
    plaintext = b"what the picture shows " * 40_000
    source = tmp_path / "holiday.png"
    source.write_bytes(plaintext)
    got = await received(correspondent, await author.send_file(room_id, source))
    assert (got.content["msgtype"], got.body, got.verified) == ("m.image", "holiday.png", True)
    assert got.content["info"] == {"mimetype": "image/png", "size": len(plaintext)}
    assert await correspondent.download(got) == plaintext
    other = await received(correspondent, await author.send_file(room_id, b"", name="nothing"))
    assert (other.content["msgtype"], await correspondent.download(other)) == ("m.file", b"")
    stored = [path for path in server.data.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert any(path.parent.parent.name == "media" for path in stored)
    for path in stored:
        content = path.read_bytes()
        assert plaintext[:23] not in content
        assert b"holiday" not in content


@pytest.mark.slow
async def test_a_file_beyond_the_limit_is_refused(sign_up: Any, start_server: Any) -> None:
    """The platform says so, and no message is sent about it."""
    running = start_server(max_upload_bytes="1000")
    author = await Person.register(running.url, "author", "correct horse battery staple")
    room_id = await room_of(author)
    with pytest.raises(MatrixError) as error:
        await author.send_file(room_id, b"x" * 1001)
    assert error.value.errcode == "M_TOO_LARGE"
    assert await author.messages(room_id) == []
    await author.close()
