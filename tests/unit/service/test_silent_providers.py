"""A provider that reports no complaints has no complaint rate, anywhere: none is no news."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from core.tokens import MessageId
from service.commands.status import run_status
from tests.unit.monitor.world import complaint, delivered
from tests.unit.service.running import TOKENS, running


async def test_silence_is_unknown_and_never_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(tmp_path) as caller:
        parts = caller.service.parts
        now = parts.clock.now()
        await parts.stores.log.append(
            [
                replace(delivered(now, provider=name), message_id=MessageId(str(number)))
                for number, name in enumerate(("gmail", "gmail", "yahoo", "yahoo", "other:mx.example"))
            ]
            + [complaint(now, now, provider="yahoo")]
        )
        await parts.projector.step()
        lanes = {row["lane"].split("|")[2]: row for row in (await caller.call("GET", "/v1/lanes"))[1]["lanes"]}
        rates = {name.partition(":")[0]: row["complaint_rate"] for name, row in lanes.items()}
        assert rates == {"gmail": None, "yahoo": 0.5, "other": None}
        assert await run_status(argparse.Namespace(config=tmp_path / "penstock.toml", json=False, lang="en")) == 0
        lines = [line for line in capsys.readouterr().out.splitlines() if "|" in line and "%" in line]
        told = {line.split("|")[2].split()[0].partition(":")[0]: line.split("  ")[-1].strip() for line in lines}
        assert told == {"gmail": "unknown", "other": "unknown", "yahoo": "50\u00a0%"}
        headers = {"Authorization": f"Bearer {TOKENS['admin']}"}
        async with caller.session.get(caller.base + "/?lang=en", headers=headers) as page:
            # the head of the page divides by what can be complained of: 1 of 2, not of 5
            assert "50\u00a0% of mail to providers that report" in await page.text()
