"""The benchmark runs from its command, against the real server, and hands back figures."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


async def bench(directory: Path, *arguments: str) -> dict[str, Any]:
    """The JSON of a quick run; a message lost or delivered twice fails the command."""
    command = ["-m", "bench", "--quick", "--json", "--pairs", "4", "--seconds", "1", "--directory", str(directory)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found


async def test_scenarios_on_filled_databases_measure_something(tmp_path: Path) -> None:
    """A database is filled, a server started on it and measured; nothing is lost, and the figures are of a size."""
    names = ["stored", "initial", "idle"]
    chosen = [part for name in names for part in ("--scenario", name)]
    found = await bench(tmp_path, *chosen, "--polls", "100", "--rooms", "10", "--messages", "500")
    scenarios = found["scenarios"]
    assert list(scenarios) == names
    assert found["lost"] == 0
    assert scenarios["stored"]["ratio"] > 0
    assert scenarios["stored"]["rounds"]["filled"][0]["delivered"] > 10
    assert scenarios["initial"]["bytes"] > 50 * 20 * 600
    assert 0 < scenarios["idle"]["kb_each"] < 200
    assert [line["scenario"] for line in found["budget"]] == names


async def test_stages_account_for_the_whole_message(tmp_path: Path) -> None:
    """The stopwatch finds every stage, and the stages together are most of what a message costs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.stages", "--json", "--seconds", "1", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    found = json.loads(out)
    assert all(microseconds > 0 for microseconds in found["us"].values())
    assert 0.5 < sum(found["us"].values()) / found["total_us"] < 1.2


async def test_the_ledger_scenario_measures_every_line_of_its_budget(tmp_path: Path) -> None:
    """A log grows and is replayed, the map and a year are measured, every read is proven; receipts cost something."""
    found = await bench(tmp_path, "--scenario", "ledger", "--scenario", "receipts", "--leaves", "2000")
    ledger, receipts = found["scenarios"]["ledger"], found["scenarios"]["receipts"]
    assert found["lost"] == 0
    assert ledger["replay"]["epochs"] == 2000 // 257
    assert ledger["replay"]["leaves"] == 257 * ledger["replay"]["epochs"]
    assert ledger["append"]["ratio"] > 1
    assert 300 < ledger["map"]["proof_bytes"] < ledger["map"]["longest_proof"] < 950
    assert ledger["reads"]["reads"] > 100
    assert 0 < ledger["reads"]["p50_s"] <= ledger["reads"]["p99_s"]
    assert receipts["read_ms"] > 1
    assert len(found["budget"]) == 12


async def test_the_inbox_scenario_reads_every_word_with_few_grants_and_many(tmp_path: Path) -> None:
    """Server and SDK together, receipts and decryption included; nothing is lost, and the platform's share is part."""
    found = await bench(tmp_path, "--scenario", "inbox")
    few, many = (found["scenarios"]["inbox"][name] for name in ("few", "many"))
    assert found["lost"] == 0
    assert (few["words"], many["words"], many["grants"]) == (200, 200, 200)
    assert 0 < many["platform_us"] < many["cpu_us"]
    assert [line["scenario"] for line in found["budget"]] == ["inbox", "inbox"]


async def test_files_and_endpoints_cost_something(tmp_path: Path) -> None:
    """Files go up and down, and every endpoint hears of the change."""
    found = await bench(tmp_path, "--scenario", "media", "--scenario", "webhooks", "--rounds", "1")
    media, webhooks = found["scenarios"]["media"], found["scenarios"]["webhooks"]
    assert media["upload"]["cpu_ms"] > media["upload"]["platform_ms"] > 0
    assert media["download"]["cpu_ms"] > media["download"]["platform_ms"] > 0
    assert (webhooks["endpoints"], webhooks["per_second"] > 1, webhooks["cpu_ms"] > 0) == (20, True, True)
