"""Files in messages: encrypted here, kept by the platform as bytes that say nothing.

Matrix, "Sending encrypted attachments" (`EncryptedFile`, v2): AES-256-CTR under a key of the file's own, which travels
inside the message with a SHA-256 of the ciphertext. So whoever opens the message opens the file, and nobody else.
"""

import asyncio
import hashlib
import hmac
import mimetypes
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from paraph.protocol.base64 import b64, b64url, unb64, unb64url
from paraph.protocol.errors import ProtocolError
from paraph.sdk.errors import MediaError
from paraph.sdk.rooms import Message
from paraph.sdk.transport import Json, Transport, path

UPLOAD = "/_matrix/media/v3/upload"
DOWNLOAD = "/_matrix/client/v1/media/download/{}/{}"
ROOM = "org.paraph.room_id"
KINDS = {"image": "m.image", "audio": "m.audio", "video": "m.video"}
BLOCK = 16
_ADDRESS = re.compile(r"mxc://([A-Za-z0-9.:\[\]-]{1,230})/([A-Za-z0-9_-]{1,255})")


@dataclass(frozen=True, slots=True)
class EncryptedFile:
    """Where a file's ciphertext is, and what opens it."""

    url: str
    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)
    sha256: bytes

    @classmethod
    def parse(cls, value: Any) -> "EncryptedFile":
        """The `file` of a message's content; raises MediaError for anything but version 2 in its one form."""
        try:
            key = value["key"]
            known = (value["v"], key["kty"], key["alg"], "decrypt" in key["key_ops"]) == ("v2", "oct", "A256CTR", True)
            if not known:
                raise MediaError("the file is encrypted in a way that is not known here")
            made = cls(
                value["url"], unb64url(key["k"], 32), unb64(value["iv"], BLOCK), unb64(value["hashes"]["sha256"], 32)
            )
        except (KeyError, TypeError, ProtocolError) as error:
            raise MediaError(f"not an encrypted file: {error}") from error
        address_of(made.url)
        return made

    def rendered(self) -> Json:
        """As it stands in a message's content."""
        return {
            "v": "v2",
            "url": self.url,
            "key": {
                "kty": "oct",
                "alg": "A256CTR",
                "ext": True,
                "k": b64url(self.key),
                "key_ops": ["encrypt", "decrypt"],
            },
            "iv": b64(self.iv),
            "hashes": {"sha256": b64(self.sha256)},
        }

    def open(self, ciphertext: bytes) -> bytes:
        """The file itself; raises MediaError where these are not the bytes that the author uploaded."""
        if not hmac.compare_digest(hashlib.sha256(ciphertext).digest(), self.sha256):
            raise MediaError("these are not the bytes that the message is about")
        # Clients disagree on where the counter goes on beyond its lower half. A file that gets there is none of theirs.
        if int.from_bytes(self.iv[8:], "big") + -(-len(ciphertext) // BLOCK) > 1 << 64:
            raise MediaError("the file's counter would overflow")
        return _aes_ctr(self.key, self.iv, ciphertext)


def encrypt_file(plaintext: bytes, random: Callable[[int], bytes] = os.urandom) -> tuple[bytes, EncryptedFile]:
    """The ciphertext of a file, and what opens it, without the address where it will be."""
    key, iv = random(32), random(8) + bytes(8)
    ciphertext = _aes_ctr(key, iv, plaintext)
    return ciphertext, EncryptedFile("", key, iv, hashlib.sha256(ciphertext).digest())


def address_of(url: Any) -> tuple[str, str]:
    """Server name and media id of an `mxc://` address; raises MediaError."""
    match = _ADDRESS.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        raise MediaError("the message names no file, or not where it is")
    return match[1], match[2]


class Media:
    """A person's uploads and downloads."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def upload(self, room_id: str, source: bytes | Path, name: str | None, content_type: str | None) -> Json:
        """Encrypt and upload a file for a room; returns the content of the message that is to carry it.

        The platform learns for which room the file is: only then can partners be let to read it.
        """
        plaintext = source if isinstance(source, bytes) else await asyncio.to_thread(source.read_bytes)
        name = name or (source.name if isinstance(source, Path) else "file")
        kind = content_type or mimetypes.guess_type(name)[0] or "application/octet-stream"
        ciphertext, sealed = await asyncio.to_thread(encrypt_file, plaintext)
        answer = await self._transport.upload(UPLOAD, ciphertext, params={ROOM: room_id})
        url = answer.get("content_uri")
        address_of(url)
        return {
            "msgtype": KINDS.get(kind.partition("/")[0], "m.file"),
            "body": name,
            "filename": name,
            "info": {"mimetype": kind, "size": len(plaintext)},
            "file": sealed.rendered() | {"url": url},
        }

    async def download(self, message: Message) -> bytes:
        """The file that a message carries. Raises MediaError."""
        sealed = file_of(message)
        fetched = await self._transport.bytes(path(DOWNLOAD, *address_of(sealed.url)))
        return await asyncio.to_thread(sealed.open, fetched)


def file_of(message: Message) -> EncryptedFile:
    """The encrypted file that a message carries. Raises MediaError."""
    content: Mapping[str, Any] = message.content
    if message.undecryptable is not None or not isinstance(content.get("file"), dict):
        raise MediaError("the message carries no encrypted file, or cannot be opened")
    return EncryptedFile.parse(content["file"])


def _aes_ctr(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Both ways: the stream is added to the data."""
    stream = Cipher(AES(key), CTR(iv)).encryptor()
    return stream.update(data) + stream.finalize()
