"""The measurement behind ADR 0009: how long a checkpoint waits for its quorum.

Three `paraph witness serve` processes on this machine, a log that grows by batches of 256 leaves. Timed is what the
sequencer waits for: consistency proofs, the round to all three, two of three cosignatures verified. The last column has
one witness of the three stopped (SIGSTOP), as behind a network that swallows packets.

    PYTHONPATH=src .venv/bin/python docs/adr/measurements/witness_round.py [FOLDER ON A REAL DISK]
"""

# ruff: noqa: S603, T201

import asyncio
import json
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from paraph.server.ledger.log import Log, open_log
from paraph.server.ledger.witnesses import Witnesses
from paraph.tlog import note, policy
from paraph.witness import folder

ROUNDS, LEAVES = 200, 256


def start(data: Path, vkey: str) -> tuple[subprocess.Popen[bytes], str]:
    """A witness process and the policy line that names it."""
    signer = folder.create(data, f"{data.name}.example/witness")
    paraph = Path(sys.executable).with_name("paraph")
    process = subprocess.Popen([paraph, "witness", "serve", "--data", data, "--port", "0", "--log", vkey])
    while not (data / "witness.json").exists():
        time.sleep(0.05)
    url = json.loads((data / "witness.json").read_text())["url"]
    return process, f"witness {data.name} {signer.verifier.vkey} {url}\n"


async def rounds(log: Log, witnesses: Witnesses) -> list[float]:
    """Milliseconds that each of ROUNDS trees waited."""
    taken = []
    for _ in range(ROUNDS):
        log.stage([b"\x01" + secrets.token_bytes(66) for _ in range(LEAVES)], time.time_ns() // 1_000_000)
        log.finish()
        started = time.perf_counter()
        await witnesses.cosign(log.signed())
        taken.append(1000 * (time.perf_counter() - started))
    return sorted(taken[1:])


def report(name: str, taken: list[float]) -> None:
    """One row."""
    print(f"{name}: median {statistics.median(taken):.1f} ms, p99 {taken[int(len(taken) * 0.99)]:.1f} ms")


async def main(root: Path) -> None:
    """Both rows."""
    log = open_log(root / "data", "localhost/log")
    started = [start(root / f"w{number}", log.vkey) for number in range(3)]
    try:
        lines = [line for _, line in started]
        trusted = policy.parse("".join([*lines, "group majority 2 w0 w1 w2\n", "quorum majority\n"]).encode())
        key = note.Verifier.from_vkey(log.vkey)
        witnesses = Witnesses(trusted, key, log.folder, clock=lambda: time.time_ns() // 1_000_000)
        report("three answer", await rounds(log, witnesses))
        started[2][0].send_signal(signal.SIGSTOP)
        report("one is silent", await rounds(log, witnesses))
        await witnesses.close()
    finally:
        for process, _ in started:
            process.kill()
            process.wait()
        log.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        asyncio.run(main(Path(place)))
