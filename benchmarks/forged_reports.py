"""A million forged reports: how many addresses they suppress (none), and how fast they are seen through.

    python benchmarks/forged_reports.py [--count N] [--seconds S]

Complaints and bounces about real messages of ours, as somebody would write them who knows everything but the keys:
without a token, with random ones, with the right message id under another key, with one letter changed, expired, of the
wrong purpose, or of a key that does not exist.  Each goes through the reader and the proof that the service itself
uses, into a real store.  Ends after `count` reports or `seconds`, whichever is first; prints JSON lines and fails when
anybody is suppressed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from collectors.returnmail import ReturnMail  # noqa: E402
from config.model import SendingDomain, Settings, Source  # noqa: E402
from config.replies import shipped_classifier  # noqa: E402 - the path is set above
from core.clock import FixedClock  # noqa: E402
from core.events import Accepted, Delivered, Door  # noqa: E402
from core.lane import Attribution, Lane, Provider, Stream, Traffic, cohort_of  # noqa: E402
from core.lane import SendingDomain as Domain  # noqa: E402
from core.lane import Source as SourceName  # noqa: E402
from core.reply import Reply  # noqa: E402
from core.tokens import MessageId, Purpose, TokenSigner, new_message_id  # noqa: E402
from storage.stores import open_stores  # noqa: E402

NOW = 1_800_000_000.0
DOMAIN = "rp.news.example"
FEEDBACK = f"fbl@{DOMAIN}"
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
OURS = TokenSigner({"a": b"0123456789abcdef"}, max_age_days=400)
_THEIRS = TokenSigner({"a": b"not-our-key-here"})
_UNKNOWN = TokenSigner({"q": b"0123456789abcdef"})
_ARF = (
    "From: fbl@provider.example\nSubject: complaint\nContent-Type: multipart/report; report-type=feedback-report;"
    ' boundary="b"\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: %s\nUser-Agent: x/1\nVersion: 1\n'
    "Original-Rcpt-To: ann@shop.example\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <%s@news.example>\n"
    "X-Penstock-Token: %s\n\n--b--\n"
)
_DSN = (
    "From: MAILER-DAEMON@mx.example\nSubject: Undelivered Mail\nContent-Type: multipart/report;"
    ' report-type=delivery-status; boundary="b"\n\n--b\nContent-Type: message/delivery-status\n\n'
    "Final-Recipient: rfc822; ann@shop.example\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 %s\n"
    "\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: <%s@news.example>\nX-Penstock-Token: %s\n\n--b--\n"
)


def forged_token(message_id: MessageId, chance: random.Random) -> str:
    """A token as somebody without the key would make it."""
    real = OURS.sign(Purpose.MESSAGE_ID, message_id, NOW)
    match chance.randrange(7):
        case 0:
            return ""
        case 1:
            return "".join(chance.choices(LETTERS, k=42))
        case 2:
            return _THEIRS.sign(Purpose.MESSAGE_ID, message_id, NOW)
        case 3:
            place = chance.randrange(42)
            other = chance.choice([letter for letter in LETTERS if letter != real[place]])
            return real[:place] + other + real[place + 1 :]
        case 4:
            return OURS.sign(Purpose.MESSAGE_ID, message_id, NOW - 500 * 86400)
        case 5:
            return _UNKNOWN.sign(Purpose.RETURN_PATH, message_id, NOW)
        case _:
            return OURS.sign(Purpose.SEED, message_id, NOW)


def forged(count: int, message_ids: list[MessageId], seed: int = 7) -> Iterator[tuple[str, bytes]]:
    """(address it is sent to, mail), `count` times."""
    chance = random.Random(seed)
    for number in range(count):
        token = forged_token(chance.choice(message_ids), chance)
        to = f"{token}@{DOMAIN}" if chance.random() < 0.3 else FEEDBACK
        if chance.random() < 0.5:
            kind = chance.choice(["abuse", "fraud", "other", "not-spam", "opt-out"])
            yield to, (_ARF % (kind, token, token)).encode()
        else:
            yield to, (_DSN % (f"no such user {number}", token, token)).encode()


async def run(count: int, seconds: float, url: str) -> dict[str, float]:
    """Take in the reports; what came of them."""
    stores = await open_stores(url)
    try:
        ids = [new_message_id(NOW - 60 - n) for n in range(50)]
        lane = Lane(source=SourceName("s1"), sending_domain=Domain("news.example"), provider=Provider("gmail"))
        where = Attribution(traffic=Traffic(lane=lane, stream=Stream("bulk")), cohort=cohort_of(NOW))
        await stores.log.append([
            *(Accepted(at=NOW - 60, message_id=i, recipient=f"u{n}@shop.example", stream="bulk", campaign="",
                       sending_domain="news.example", door=Door.HTTP, size=1) for n, i in enumerate(ids)),
            *(Delivered(at=NOW - 50, message_id=i, recipient=f"u{n}@shop.example", attribution=where, site="mx",
                        remote="mx", reply=Reply(code=250, text="ok"), attempt=1, tls="", latency=1)
              for n, i in enumerate(ids)),
        ])  # fmt: skip
        settings = Settings.model_validate({
            "sending_domains": [SendingDomain(name="news.example", return_path=DOMAIN)],
            "sources": [Source(name="s1", ehlo="s1.news.example")], "inbound": {"feedback_address": FEEDBACK},
        })  # fmt: skip
        returns = ReturnMail(
            settings=settings, signer=OURS, classifier=shipped_classifier(), log=stores.log,
            suppressions=stores.suppressions, dmarc=_NoReports(), clock=FixedClock(NOW),
        )  # fmt: skip
        begin, taken, refused, batch = time.perf_counter(), 0, 0, []
        for to, content in forged(count, ids):
            if await returns.accepts(to):
                refused += 1
            else:
                batch.append(returns.receive("", [to], content))
            taken += 1
            if len(batch) == 50:
                await asyncio.gather(*batch)
                batch = []
                if time.perf_counter() - begin > seconds:
                    break
        await asyncio.gather(*batch)
        spent = time.perf_counter() - begin
        kept = len(await stores.log.recent(["ReportUnverified"], 10_000_000))
        told = ["BounceReceived", "ComplaintReceived", "Unsubscribed", "SuppressionAdded", "SuppressionRemoved"]
        return {
            "reports": taken, "refused at RCPT": refused, "kept as unverified": kept, "rate": taken / spent,
            "suppressed": await stores.suppressions.count(), "believed": len(await stores.log.recent(told, 100)),
        }  # fmt: skip
    finally:
        await stores.close()


class _NoReports:
    """Aggregate reports are none of this."""

    async def report(self, content: bytes, mail_from: str, peer: str = "") -> int:
        return 0


def main() -> int:
    """See the module."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--count", type=int, default=1_000_000)
    arguments.add_argument("--seconds", type=float, default=30.0)
    told = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="penstock-forged-") as folder:
        found = asyncio.run(run(told.count, told.seconds, f"sqlite:///{folder}/forged.db"))
    for metric, value in found.items():
        unit = "1/s" if metric == "rate" else "1"
        print(json.dumps({
            "benchmark": "forged_reports", "subject": "penstock", "metric": metric, "unit": unit,
            "median": round(value, 1), "min": round(value, 1), "max": round(value, 1), "runs": 1, "durability": "fsync",
        }))  # fmt: skip
    return 1 if found["suppressed"] or found["believed"] else 0


if __name__ == "__main__":
    sys.exit(main())
