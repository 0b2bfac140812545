"""Parties for these tests, each closed at the end, and the Node packages that one of them needs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from tests.interop.device import Device, sign_up
from tests.interop.js_sdk_party import JsSdkParty, JsSdkProcess
from tests.interop.nio_party import NioParty
from tests.interop.olm_machine_party import OlmMachineParty
from tests.interop.person_party import PersonParty
from tests.support.server import RunningServer

PACKAGE = Path(__file__).parent / "node"
OLDEST_NODE = 22
INSTALL_WITHIN = 90


@dataclass(frozen=True)
class Node:
    """Paths of the two commands."""

    node: str
    npm: str


@pytest.fixture(scope="session")
def node() -> str:
    """The path of `node`, with the packages of `tests/interop/node` installed beside the driver.

    A machine without Node.js gets it into the environment that runs the tests, from PyPI.
    """
    own = str(Path(sys.executable).parent)
    with (PACKAGE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come here at once
        found = find_node(os.environ["PATH"]) or find_node(own) or install_node(own)
        if not packages_are_current():
            install_packages(found)
    return found.node


def find_node(path: str) -> Node | None:
    """Node and npm on this search path, if they are there and new enough."""
    node, npm = shutil.which("node", path=path), shutil.which("npm", path=path)
    if node is None or npm is None:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    return Node(node, npm) if int(version.lstrip("v").split(".")[0]) >= OLDEST_NODE else None


def install_node(directory: str) -> Node:
    """The Node.js that PyPI has, beside this Python; skips the test that needs it if PyPI cannot be reached."""
    wanted = PACKAGE.parents[2] / "requirements" / "node.txt"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "-r", str(wanted)]
    installed = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_WITHIN)
    found = find_node(directory)
    if found is None:
        pytest.skip(f"no Node.js >= {OLDEST_NODE} with npm here, and none from PyPI: {installed.stderr[-600:]}")
    return found


def packages_are_current() -> bool:
    """Whether npm has installed what the lock file says since that file last changed."""
    installed = PACKAGE / "node_modules" / ".package-lock.json"
    wanted = PACKAGE / "package-lock.json"
    return installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime


def install_packages(found: Node) -> None:
    """`npm ci`; skips the test that needs the packages if the registry cannot be reached."""
    path = os.pathsep.join([str(Path(found.node).parent), os.environ["PATH"]])
    installed = subprocess.run(
        [found.npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=PACKAGE,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=INSTALL_WITHIN,
    )
    if installed.returncode != 0:
        pytest.skip(f"npm ci failed in tests/interop/node: {installed.stderr[-600:]}")


StartNio = Callable[..., Awaitable[NioParty]]
StartOlmMachine = Callable[..., Awaitable[OlmMachineParty]]
StartJsSdk = Callable[..., Awaitable[JsSdkParty]]
StartPerson = Callable[..., Awaitable[PersonParty]]


@pytest_asyncio.fixture
async def nio(server: RunningServer, tmp_path: Path) -> AsyncIterator[StartNio]:
    """`await nio("name")` signs up and returns a party; `nio("name", log_in=True)` for an account that exists."""
    parties: list[NioParty] = []

    async def start(name: str, *, log_in: bool = False) -> NioParty:
        begin = NioParty.log_in if log_in else NioParty.sign_up
        parties.append(await begin(server.url, name, tmp_path / f"nio-{len(parties)}"))
        return parties[-1]

    yield start
    for party in parties:
        await party.close()


@pytest_asyncio.fixture
async def olm_machine(server: RunningServer, node: str) -> AsyncIterator[StartOlmMachine]:
    """`await olm_machine("name")` signs up and returns a party; `log_in=True` for an account that exists."""
    parties: list[OlmMachineParty] = []

    async def start(name: str, *, log_in: bool = False) -> OlmMachineParty:
        begin = OlmMachineParty.log_in if log_in else OlmMachineParty.sign_up
        parties.append(await begin(node, server.url, name))
        return parties[-1]

    yield start
    for party in parties:
        await party.close()


@pytest.fixture(scope="module")
def js_sdk_process(node: str) -> Iterator[JsSdkProcess]:
    """One Node process for all matrix-js-sdk clients of a module: loading the library takes a second."""
    process = JsSdkProcess(node)
    yield process
    process.close()


@pytest_asyncio.fixture
async def js_sdk(server: RunningServer, js_sdk_process: JsSdkProcess) -> AsyncIterator[StartJsSdk]:
    """`await js_sdk("name")` signs up and returns a party; `log_in=True` for an account that exists.

    `sliding=True`: one that signs up, and follows its account by sliding sync.
    """
    parties: list[JsSdkParty] = []

    async def start(name: str, *, log_in: bool = False, sliding: bool = False) -> JsSdkParty:
        if log_in:
            parties.append(await JsSdkParty.log_in(js_sdk_process, server.url, name))
        else:
            parties.append(await JsSdkParty.sign_up(js_sdk_process, server.url, name, sliding=sliding))
        return parties[-1]

    yield start
    for party in parties:
        await party.close()


@pytest_asyncio.fixture
async def person(server: RunningServer) -> AsyncIterator[StartPerson]:
    """`await person("name")` signs up with Paraph's own client; `log_in=True` for an account that exists."""
    parties: list[PersonParty] = []

    async def start(name: str, *, log_in: bool = False) -> PersonParty:
        begin = PersonParty.log_in if log_in else PersonParty.sign_up
        parties.append(await begin(server.url, name))
        return parties[-1]

    yield start
    for party in parties:
        await party.close()


@pytest.fixture
def ann(server: RunningServer) -> Device:
    """A person of this test's own."""
    return sign_up(server)


@pytest.fixture
def ben(server: RunningServer) -> Device:
    """Another person of this test's own."""
    return sign_up(server)
