"""Speed of the DMARC reader and its store: one report of 50,000 records, and a folder of 10,000 small ones.

    python benchmarks/dmarc.py [--records N] [--reports N] [--runs N]

Prints JSON lines {"benchmark","subject","metric","unit","median","min","max","runs","durability"}.  Each run is a
process of its own, so that its peak memory is its own.  parsedmarc is measured beside it when it is installed;
otherwise a line says NOT MEASURED.  The input is made anew from a fixed seed; making it is not timed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import importlib.util
import io
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collectors.dmarc import parse_aggregate
from core.state import DmarcReport

_HEAD = """<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <version>1.0</version>
  <report_metadata>
    <org_name>receiver.example</org_name>
    <email>dmarc-reports@receiver.example</email>
    <extra_contact_info>https://receiver.example/dmarc</extra_contact_info>
    <report_id>{id}</report_id>
    <date_range>
      <begin>1790000000</begin>
      <end>1790086399</end>
    </date_range>
  </report_metadata>
  <policy_published>
    <domain>example.com</domain>
    <adkim>r</adkim>
    <aspf>r</aspf>
    <p>quarantine</p>
    <sp>quarantine</sp>
    <pct>100</pct>
  </policy_published>
"""
_RECORD = """  <record>
    <row>
      <source_ip>{ip}</source_ip>
      <count>{count}</count>
      <policy_evaluated>
        <disposition>{disposition}</disposition>
        <dkim>{dkim}</dkim>
        <spf>pass</spf>
      </policy_evaluated>
    </row>
    <identifiers>
      <envelope_from>bounce.example.com</envelope_from>
      <header_from>example.com</header_from>
    </identifiers>
    <auth_results>
      <dkim>
        <domain>example.com</domain>
        <selector>s{selector}</selector>
        <result>{dkim}</result>
      </dkim>
      <spf>
        <domain>bounce.example.com</domain>
        <scope>mfrom</scope>
        <result>pass</result>
      </spf>
    </auth_results>
  </record>
"""


def make_report(records: int, report_id: str, seed: int = 1) -> tuple[bytes, int]:
    """XML of one report, and the messages that it counts."""
    source = random.Random(seed)
    parts = [_HEAD.format(id=report_id)]
    total = 0
    for _ in range(records):
        count = source.choice((1, 1, 1, 2, 5, 40))
        total += count
        good = source.random() < 0.97
        parts.append(
            _RECORD.format(
                ip=".".join(str(source.randrange(1, 255)) for _ in range(4)),
                count=count,
                disposition="none" if good else "quarantine",
                dkim="pass" if good else "fail",
                selector=source.randrange(1, 5),
            )
        )
    parts.append("</feedback>\n")
    return "".join(parts).encode(), total


class _Watch:
    """Wall clock and CPU of all threads, in seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


def _peak_mb() -> float:
    # not getrusage: Linux hands its maximum on from the parent through exec
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def _parse_ours(payload: bytes, name: str) -> tuple[int, int]:
    records = messages = 0
    for result in parse_aggregate(payload, name):
        assert isinstance(result, DmarcReport), result
        records += len(result.records) + len(result.refused)
        messages += sum(r.count for r in result.records) + result.refused_messages
    return records, messages


def _parse_parsedmarc(payload: bytes, name: str) -> tuple[int, int]:
    import parsedmarc

    report = parsedmarc.parse_report_file(payload, offline=True)["report"]
    return len(report["records"]), sum(r["count"] for r in report["records"])


_SUBJECTS = {"penstock": _parse_ours, "parsedmarc": _parse_parsedmarc}


class _NoDns:
    """A Resolver for what is handed in: nothing may be asked for it."""

    def __getattr__(self, question: str) -> NoReturn:
        raise AssertionError(f"a file that was handed in made DNS look-ups: {question}")


async def _store(path: Path, url: str) -> tuple[int, tuple[float, float], float]:
    """Through the service's own intake to durable storage.  Messages stored, what it took, and the peak of memory."""
    # here and not above: what parsing alone needs is measured without it
    from collectors.reports.attached import report_files
    from collectors.reports.intake import ReportIntake
    from collectors.reports.naming import Namer
    from collectors.reports.provenance import OriginCheck
    from config.services import load_services
    from core.clock import SystemClock
    from storage.stores import open_stores

    stores, clock = await open_stores(url), SystemClock()
    namer = Namer(load_services(), {"192.0.2.10": "mta1"}, {"example.com": frozenset({"s1", "s2"})})
    intake = ReportIntake(
        store=stores.dmarc, others=stores.other_reports, log=stores.log, clock=clock,
        origin=OriginCheck(_NoDns()), namer=namer,
    )  # fmt: skip
    watch = _Watch()
    async for _, taken in intake.upload_all(report_files(path), "benchmark"):
        assert taken.stored == 1, taken
    took, peak = watch.read(), _peak_mb()  # before the rows are read again to prove them
    total = sum(tally.messages for tally in await stores.dmarc.tally([]))
    await stores.close()
    return total, took, peak


def _command(path: Path, folder: Path) -> tuple[int, tuple[float, float]]:
    """`penstock reports import PATH`, loading its modules and all.  Messages it says, and what it took."""
    config = folder / "penstock.toml"
    order = [sys.executable, "-m", "service.cli"]
    subprocess.run([*order, "init", "--out", str(config), "example.com"], check=True, capture_output=True)
    config.write_text(config.read_text().replace("# bind = ", "bind = "))  # so that nothing is asked of DNS
    said, watch = io.StringIO(), _Watch()
    from service.cli import main as penstock

    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        assert penstock(["reports", "import", "--config", str(config), str(path)]) == 0
    found = re.search(r"([0-9,]+) messages\)", said.getvalue())
    assert found is not None, said.getvalue()
    return int(found[1].replace(",", "")), watch.read()


def worker(subject: str, what: str, path: Path, expected: int) -> None:
    """One run, in a process of its own: prints {"seconds", "cpu", "peak_mb"}."""
    if what.startswith("command"):
        with tempfile.TemporaryDirectory(prefix="penstock-dmarc-db-") as folder:
            messages, took = _command(path, Path(folder))
        assert messages == expected, f"the command lost messages: {messages} of {expected}"
        print(json.dumps({"seconds": took[0], "cpu": took[1], "peak_mb": _peak_mb()}))
        return
    from service.lean import lean

    if subject == "penstock":
        lean()  # as the service sets its interpreter up
    if what.startswith("store"):
        with tempfile.TemporaryDirectory(prefix="penstock-dmarc-db-") as folder:
            messages, took, peak = asyncio.run(_store(path, f"sqlite:///{folder}/bench.db"))
    else:
        parse, messages = _SUBJECTS[subject], 0
        files = [path] if what == "large" else sorted(path.iterdir())
        watch = _Watch()
        for file in files:
            messages += parse(file.read_bytes(), file.name)[1]
        took, peak = watch.read(), _peak_mb()
    assert messages == expected, f"{subject} lost messages: {messages} of {expected}"
    print(json.dumps({"seconds": took[0], "cpu": took[1], "peak_mb": peak}))


def _measure(subject: str, what: str, path: Path, expected: int, runs: int) -> list[dict[str, float]]:
    command = [sys.executable, __file__, "--worker", subject, what, str(path), str(expected)]
    found = []
    for _ in range(runs):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return found


def _lines(subject: str, metric: str, unit: str, size: int, runs: list[dict[str, float]], durability: str) -> None:
    measured = (
        ("", f"{unit}/s", [size / run["seconds"] for run in runs]),
        (", by CPU of all threads", f"{unit}/CPU s", [size / run["cpu"] for run in runs]),
        (", peak memory of the process", "MB", [run["peak_mb"] for run in runs]),
    )
    for suffix, kind, values in measured:
        line = {
            "benchmark": "dmarc", "subject": subject, "metric": metric + suffix, "unit": kind,
            "median": round(statistics.median(values), 1), "min": round(min(values), 1), "max": round(max(values), 1),
            "runs": len(values), "durability": durability,
        }  # fmt: skip
        print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--reports", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--worker", nargs=4, metavar=("SUBJECT", "WHAT", "PATH", "EXPECTED"))
    options = parser.parse_args()
    if options.worker:
        subject, what, path, expected = options.worker
        worker(subject, what, Path(path), int(expected))
        return
    with tempfile.TemporaryDirectory(prefix="penstock-dmarc-") as folder:
        large = Path(folder, "receiver.example!example.com!1790000000!1790086399.xml.gz")
        xml, in_large = make_report(options.records, "large")
        large.write_bytes(gzip.compress(xml))
        small = Path(folder, "small")
        small.mkdir()
        in_small = 0
        for number in range(options.reports):
            xml, count = make_report(number % 12 + 1, f"small-{number}", seed=number)
            in_small += count
            Path(small, f"r{number}.example!example.com!1790000000!1790086399.xml.gz").write_bytes(gzip.compress(xml))
        inputs = (
            (large, options.records, in_large, f"report of {options.records} records", "records"),
            (small, options.reports, in_small, f"folder of {options.reports} small reports", "reports"),
        )
        for path, size, messages, name, unit in inputs:
            what = "large" if path == large else "small"
            for subject in _SUBJECTS:
                if subject == "parsedmarc" and importlib.util.find_spec("parsedmarc") is None:
                    print(
                        json.dumps(
                            {"benchmark": "dmarc", "subject": subject, "metric": "NOT MEASURED: no such package"}
                        )
                    )
                    continue
                runs = _measure(subject, what, path, messages, options.runs)
                _lines(subject, f"{name}: parsed", unit, size, runs, "none: parsing only")
            runs = _measure("penstock", f"store-{what}", path, messages, options.runs)
            durable = "SQLite WAL, synchronous=FULL, a commit a report or 2,000 records"
            _lines("penstock", f"{name}: parsed, named and stored", unit, size, runs, durable)
            runs = _measure("penstock", f"command-{what}", path, messages, options.runs)
            _lines("penstock", f"{name}: the whole of `penstock reports import`", unit, size, runs, durable)


if __name__ == "__main__":
    main()
