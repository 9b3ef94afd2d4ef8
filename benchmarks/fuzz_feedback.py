"""Fuzzing target of what reads returned mail and replies: random damage, guided by coverage where atheris is there.

    python benchmarks/fuzz_feedback.py [--seconds N] [--seed N] [--only NUMBER]
    python benchmarks/fuzz_feedback.py --atheris FOLDER [--seconds N]        (pip install atheris)

Every input must give an answer: no exception, bounded recipients and texts, no more than LIMIT seconds of CPU, a reason
when it is refused.  Without atheris the samples are cut, doubled, spliced with one another, and given what has hurt
other parsers; `--only` repeats one mail of a seed.  FOLDER keeps what atheris found worth keeping; it starts with the
samples.  Prints one JSON line; a finding ends the run with the input beside it (`finding-….eml`) and exit code 1.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

LIMIT = 1.0  # seconds of CPU for one mail
MAX_SIZE = 300_000
NASTY = (
    b"\r", b"\r\n", b"\0", b"--", b"=?utf-8?b?", b"?=", b"=", b"=?iso-2022-jp?q?=1B$B" * 30, b"\x1b$B", b"\xff\xfe",
    b"Content-Type: multipart/report; boundary=b\n\n--b\n", b"Content-Type: message/rfc822\n\n", b"<" * 300, b"@" * 300,
    b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n", b'charset="utf-7"',
    b"Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n", b"begin 644 x\n" + b"M" + b"#" * 60,
    b"Feedback-Type: abuse\n", b"a" * 5000, b"a.b@" * 500, b"(" * 500, b'"' * 500, b"550 5.1.1 " * 300, b"\n\n\n",
    "宛先不明 получатель".encode(), b"X-Failed-Recipients: " + b"a@b.example, " * 50 + b"\n", b"<br>" * 300,
    b"&lt;" * 300,
)  # fmt: skip


def samples() -> list[bytes]:
    """The project's own mails, and the corpora beside it."""
    folders = [ROOT / "tests/corpus/bounces", ROOT.parent / "shared/corpus/bounces", ROOT.parent / "shared/corpus/arf"]
    return [file.read_bytes()[:MAX_SIZE] for folder in folders for file in sorted(folder.glob("*.eml"))]


def damaged(mails: list[bytes], seed: int) -> Iterator[bytes]:
    """Mails broken at random, without end."""
    chance = random.Random(seed)
    while True:
        content = chance.choice(mails)
        for _ in range(chance.randrange(1, 14)):
            at = chance.randrange(len(content) + 1)
            size = chance.choice((1, 1, 4, 40, 400, 4000))
            match chance.randrange(8):
                case 0:
                    content = content[:at] + content[at + size :]
                case 1:
                    content = content[: at + size] + content[at:]
                case 2:
                    content = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
                case 3:
                    content = content[:at] + chance.choice(NASTY) + content[at:]
                case 4:
                    other = chance.choice(mails)
                    begin = chance.randrange(len(other) + 1)
                    content = content[:at] + other[begin : begin + size * 10] + content[at:]
                case 5:
                    content = content.replace(b"\n", chance.choice((b"\r", b"\r\n", b"\n\n", b"\r\r\n", b" \n")))
                case 6:
                    content = content[:at] + content[at : at + size] * chance.randrange(2, 60) + content[at + size :]
                case _:
                    content = content[:at] + chance.randbytes(size) + content[at + size :]
            content = content[:MAX_SIZE]
        yield content


def check(content: bytes) -> None:
    """Raises AssertionError, or whatever the readers should never raise."""
    from collectors.parse import Kind, parse_mail
    from config.replies import shipped_classifier
    from core.reply import parse_reply

    begin = time.process_time()
    mail = parse_mail(content)
    json.dumps(mail.to_json("x"))
    assert mail.reason or mail.kind is not Kind.REFUSED, "refused without a reason"
    assert len(mail.recipients) <= 2_000, "too many recipients"
    assert all(len(one.reply.text) <= 1_000 and len(one.address) <= 400 for one in mail.recipients), "unbounded text"
    text = content[:2_000].decode("utf-8", "replace")
    shipped_classifier().classify(parse_reply(text))
    shipped_classifier().classify(parse_reply(" ".join(text.split())))
    spent = time.process_time() - begin
    assert spent < LIMIT, f"{spent:.1f} s of CPU"


def main() -> int:
    """See the module."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", type=int, default=0)
    arguments.add_argument("--atheris", type=Path)
    told = arguments.parse_args()
    if told.atheris:
        return guided(told.atheris, told.seconds)
    check(b"From: a@b.example\n\nx")  # the rules are compiled before the clock runs
    end, count, worst = time.monotonic() + told.seconds, 0, 0.0
    for content in damaged(samples(), told.seed):
        count += 1
        if told.only and count < told.only:
            continue
        begin = time.process_time()
        try:
            check(content)
        except Exception as error:
            file = Path(f"finding-{told.seed}-{count}.eml")
            file.write_bytes(content)
            print(json.dumps({"mails": count, "finding": f"{type(error).__name__}: {error}"[:300], "file": str(file)}))
            return 1
        worst = max(worst, time.process_time() - begin)
        if told.only or time.monotonic() > end:
            break
    print(json.dumps({"seed": told.seed, "mails": count, "findings": 0, "slowest": round(worst, 3)}))
    return 0


def guided(folder: Path, seconds: int) -> int:
    """Atheris drives; it never returns when it finds something."""
    atheris: Any = importlib.import_module("atheris")
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        for number, content in enumerate(samples()):
            (folder / f"{number:04}.eml").write_bytes(content)
    with atheris.instrument_imports(include=["collectors", "core"]):
        importlib.import_module("collectors.parse")
    check(b"From: a@b.example\n\nx")
    options = [f"-max_total_time={seconds}", "-max_len=40000", "-timeout=10", f"-artifact_prefix={folder.parent}/"]
    atheris.Setup([sys.argv[0], *options, str(folder)], check)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
