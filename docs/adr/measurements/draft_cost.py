"""What a draft costs: bytes of its document by devices and length, and the time to leave one and to seal one.

PYTHONPATH=src:. .venv/bin/python docs/adr/measurements/draft_cost.py
"""

import asyncio
import logging
import statistics
import tempfile
import time
from pathlib import Path

from paraph.protocol.base64 import b64url
from paraph.protocol.canonical import encode
from tests.sdk.stage import Stage, stage

DRAFTS = 30


async def document_bytes(here: Stage, grant_id: str, characters: int) -> int:
    """The size of a document with so long a text, for all the author's devices."""
    held = here.partner._book.held(grant_id)
    assert held is not None
    draft_id = "dr_" + b64url(bytes(16))
    content = {"msgtype": "m.text", "body": "x" * characters}
    inside = {"draft_id": draft_id, "room_id": here.room_id, "content": content}
    return len(encode(await here.partner._acts._sealed(held, draft_id, inside, None)))


async def main() -> None:
    """Measure and print."""
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder)) as here:
            grant_id = await here.grant("write:draft")
            leaving, sealing, sending = [], [], []
            for n in range(DRAFTS):
                began = time.perf_counter()
                draft_id = await here.partner.draft(grant_id, here.room_id, f"draft {n}")
                left = time.perf_counter()
                await here.author.drafts.waiting()
                shown = time.perf_counter()
                await here.author.drafts.seal(draft_id)
                sealed = time.perf_counter()
                await here.author.send_text(here.room_id, f"message {n}")
                sending.append(time.perf_counter() - sealed)
                leaving.append(left - began)
                sealing.append(sealed - shown)
            for name, times in (("leave a draft", leaving), ("seal a draft", sealing), ("send a message", sending)):
                print(f"{name}: median {statistics.median(times) * 1000:.1f} ms, client and server together")  # noqa: T201
            for devices in (1, 2, 5, 10):
                while len(here.partner._acts._devices(here.author.user_id)) < devices:
                    await here.next_device(here.author)
                    await here.partner.grants(grant_id)
                sizes = [await document_bytes(here, grant_id, characters) for characters in (100, 1000, 4000)]
                print(f"{devices} devices: {sizes} bytes for texts of 100, 1,000 and 4,000 characters")  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main())
