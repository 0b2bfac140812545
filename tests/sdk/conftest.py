"""Devices that most tests of the engine begin with."""

from __future__ import annotations

import pytest

from tests.sdk.directory import AUTHOR, CORRESPONDENT, PARTNER, Directory, Phone


@pytest.fixture
def directory() -> Directory:
    """A server's key directory."""
    return Directory()


@pytest.fixture
def author(directory: Directory) -> Phone:
    """The author's device, with her identity."""
    return Phone(directory, AUTHOR, "AUTHOR1")


@pytest.fixture
def correspondent(directory: Directory, author: Phone) -> Phone:
    """The correspondent's device; both know of each other."""
    phone = Phone(directory, CORRESPONDENT, "CORR1")
    phone.know(AUTHOR)
    author.know(CORRESPONDENT)
    return phone


@pytest.fixture
def partner(directory: Directory) -> Phone:
    """A partner's device."""
    return Phone(directory, PARTNER, "PARTNER1", identity=False)
