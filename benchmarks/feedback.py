"""Speed of what reads returned mail and replies, and what the worst mails cost.

    python benchmarks/feedback.py [--corpus FOLDER] [--replies FILE] [--rounds N] [--runs N]

Prints JSON lines {"benchmark","subject","metric","unit","median","min","max","runs","durability"}.  One process, one
core, by seconds of CPU so that other work on the machine does not count; reading files is not timed.  Mails: the corpus
beside the project, else the project's own samples.  Replies: the corpus' texts in three forms: parsed and known, as
lines, and as lines whose addresses, hosts and ids are all different.  flufl.bounce (`pip install flufl.bounce`) and
Sisimai (`apt install libsisimai-perl`) are measured in the same run when they are installed; otherwise a line says
NOT MEASURED.  The worst mails run in a process each: seconds and peak memory.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from collectors.parse import parse_mail  # noqa: E402 - the path is set above
from config.replies import shipped_classifier  # noqa: E402
from core.reply import Stage, parse_reply  # noqa: E402

_HEAD = b"From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail Returned to Sender\n"
_REPORT = (
    b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\n\n'
    b"--b\nContent-Type: message/delivery-status\n\n"
)
_SISIMAI = """
use Sisimai; my ($u, $s) = times; my $begin = $u + $s; my $n = 0;
for my $file (@ARGV) { eval { Sisimai->%s($file, delivered => 1); }; $n++ }
($u, $s) = times; printf "%%f\\n", $n / ($u + $s - $begin);
"""


def worst_mails() -> dict[str, Callable[[], bytes]]:
    """What has hung other parsers."""
    row = (
        b"Final-Recipient: rfc822; u%d@shop.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 u%d\n\n"
    )
    encoded = b"Content-Transfer-Encoding: base64\n\n"
    nested = b'Content-Type: multipart/mixed; boundary="b"\n\n'
    return {
        "line of 128 kB": lambda: _HEAD + b"\n" + b"a" * 131_072,
        "header of 128 kB": lambda: _HEAD + b"X: " + b"a" * 131_072 + b"\n\nx",
        "repeated boundary": lambda: nested + (b"--b\n" + nested) * 40,
        "5,000 recipients": lambda: _HEAD + _REPORT + b"".join(row % (n, n) for n in range(5_000)),
        "1,900 recipients": lambda: _HEAD + _REPORT + b"".join(row % (n, n) for n in range(1_900)),
        "10 MB of nothing": lambda: _HEAD + b"\n" + b"\n" * 10_000_000,
        "10 MB of addresses": lambda: _HEAD + b"\n" + b"for u@shop.example " * 550_000,
        "10 MB of one line": lambda: _HEAD + b"\n" + b"a@" * 5_000_000,
        "parts 5,000 deep": lambda: (
            _HEAD + b"".join(nested.replace(b'"b"', b'"b%d"' % n) + b"--b%d\n" % n for n in range(5_000))
        ),
        "300,000 header fields": lambda: _HEAD + b"".join(b"X-%d: y\n" % n for n in range(300_000)) + b"\nx",
        "5,000 encoded words": lambda: b"From: a@b.example\nSubject: " + b"=?utf-8?b?QUFB?= " * 5_000 + b"\n\nx",
        "base64 of 9 MB": lambda: _HEAD + encoded + base64.encodebytes(b"user unknown " * 700_000),
        "base64 in base64": lambda: _HEAD + encoded + base64.encodebytes(base64.encodebytes(b"a" * 3_000_000)),
        "uuencoded 6 MB": lambda: (
            _HEAD + b"\nbegin 644 winmail.dat\n" + (b"M" + b"#" * 60 + b"\n") * 130_000 + b"`\nend\n"
        ),
        "TNEF of 6 MB": lambda: (
            _HEAD
            + b"Content-Type: application/ms-tnef\n"
            + encoded
            + base64.encodebytes(b"\x78\x9f\x3e\x22" + b"\0" * 6_000_000)
        ),
        "1.4 million open tags": lambda: _HEAD + b"Content-Type: text/html\n\n" + b"<style>" * 1_400_000,
    }


def varied(lines: Sequence[str], count: int) -> list[str]:
    """Replies as a sender hears them: every address, host and id another one."""
    chance = random.Random(11)
    out = []
    for number in range(count):
        text = lines[number % len(lines)]
        text = re.sub(
            r"[\w.+-]+@[\w.-]+", lambda _: f"u{chance.randrange(10**9)}@h{chance.randrange(10**6)}.example", text
        )
        text = re.sub(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", lambda _: f"192.0.2.{chance.randrange(256)}", text)
        out.append(f"{text} [{chance.randrange(16**8):08x}-{chance.randrange(10**6)}]")
    return out


def emit(subject: str, metric: str, unit: str, values: Sequence[float]) -> None:
    """One line."""
    print(json.dumps({
        "benchmark": "feedback", "subject": subject, "metric": metric, "unit": unit,
        "median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3),
        "runs": len(values), "durability": "none",
    }), flush=True)  # fmt: skip


def not_measured(subject: str, why: str) -> None:
    """One line in place of a figure."""
    print(
        json.dumps({"benchmark": "feedback", "subject": subject, "metric": "NOT MEASURED", "reason": why}), flush=True
    )


def rate(action: Callable[[], int], runs: int) -> list[float]:
    """Items a second of CPU, one value a run."""
    values = []
    for _ in range(runs):
        begin = time.process_time()
        count = action()
        values.append(count / (time.process_time() - begin))
    return values


def peers(files: Sequence[Path], mails: Sequence[bytes], runs: int) -> None:
    """flufl.bounce and Sisimai on the same mails."""
    if importlib.util.find_spec("flufl") and importlib.util.find_spec("flufl.bounce"):
        from email import message_from_bytes

        scan = importlib.import_module("flufl.bounce").all_failures

        def flufl() -> int:
            for number, mail in enumerate(mails):
                try:
                    scan(message_from_bytes(mail))
                except Exception:  # it raises for mail without From; its speed on the rest still counts
                    crashed.add(number)
            return len(mails)

        crashed: set[int] = set()
        emit("flufl.bounce", "mails", "1/s", rate(flufl, runs))
        emit("flufl.bounce", "mails that it raises for", "1", [len(crashed)])
    else:
        not_measured("flufl.bounce", "pip install flufl.bounce")
    perl = shutil.which("perl")
    if perl and subprocess.run([perl, "-MSisimai", "-e", "1"], capture_output=True, check=False).returncode == 0:
        probe = subprocess.run(
            [perl, "-MSisimai", "-e", "print Sisimai->can('rise') ? 'rise' : 'make'"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        command = [perl, "-e", _SISIMAI % probe.stdout, *map(str, files)]
        values = [
            float(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(runs)
        ]
        emit("sisimai", "mails", "1/s", values)
    else:
        not_measured("sisimai", "apt install libsisimai-perl")


def worst(runs: int) -> None:
    """Seconds and peak memory of the worst mails, each in a process of its own."""
    for name in worst_mails():
        seconds, peaks = [], []
        for _ in range(runs):
            done = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True, check=True)
            told = json.loads(done.stdout)
            answer = told["reason"].partition(":")[0] or told["kind"]
            seconds.append(told["seconds"])
            peaks.append(told["peak"])
        emit(f"penstock, {name} ({answer})", "time", "s", seconds)
        emit(f"penstock, {name} ({answer})", "peak memory", "MB", peaks)


def one(name: str) -> None:
    """The child process of `worst`."""
    shipped_classifier()
    content = worst_mails()[name]()
    begin = time.process_time()
    mail = parse_mail(content)
    seconds = time.process_time() - begin
    # VmHWM is this program's own; ru_maxrss would start with the parent's
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "kind": str(mail.kind), "reason": mail.reason}))


def main() -> None:
    """See the module."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = ROOT.parent / "shared" / "corpus"
    arguments.add_argument("--corpus", type=Path, default=shared / "bounces")
    arguments.add_argument("--replies", type=Path, default=shared / "smtp_replies.json")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--one", default="", help=argparse.SUPPRESS)
    told = arguments.parse_args()
    if told.one:
        one(told.one)
        return
    folder = told.corpus if told.corpus.is_dir() else ROOT / "tests/corpus/bounces"
    files = sorted(folder.glob("*.eml"))
    mails = [file.read_bytes() for file in files]
    if told.replies.is_file():
        lines = [row["reply"] for row in json.loads(told.replies.read_text(encoding="utf-8"))]
    else:
        text = (ROOT / "tests/corpus/replies/sentences.txt").read_text(encoding="utf-8")
        lines = [line[2:] for line in text.splitlines() if line and not line.startswith("#")]

    def read() -> int:
        for _ in range(told.rounds):
            for mail in mails:
                parse_mail(mail)
        return int(told.rounds) * len(mails)

    classifier = shipped_classifier()
    different = varied(lines, 100_000)
    parsed = [parse_reply(line, Stage.FINAL) for line in lines] * 300

    def as_lines() -> int:
        for line in different:
            classifier.classify(parse_reply(line))
        return len(different)

    def as_known() -> int:
        for reply in parsed:
            classifier.classify(reply)
        return len(parsed)

    def as_same_lines() -> int:
        for _ in range(300):
            for line in lines:
                classifier.classify(parse_reply(line))
        return 300 * len(lines)

    read()
    emit("penstock", "mails", "1/s", rate(read, told.runs))
    peers(files, mails, told.runs)
    emit("penstock", "replies classified", "1/s", rate(as_known, told.runs))
    emit("penstock", "reply lines parsed and classified", "1/s", rate(as_same_lines, told.runs))
    emit("penstock", "different reply lines parsed and classified", "1/s", rate(as_lines, told.runs))
    worst(told.runs)


if __name__ == "__main__":
    main()
