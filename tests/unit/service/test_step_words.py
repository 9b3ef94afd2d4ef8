"""Warm-up reasons in Russian: whatever the controllers say is known."""

from __future__ import annotations

import pytest

from service.step_words import reason_words
from warmup.words import Closing

SAID = [
    "first mail of this lane", "no mail for 31 days: warmed again from the beginning",
    "no mail for 9 days: reputation fades", "nothing was sent", "blocked: 1,200 of 1,500 refused for reputation",
    "2.5% refused for reputation, limit 2.0%", "0.35% complained, limit 0.30%", "6.1% bounced, limit 5.0%",
    "12% deferred, limit 10%", "3 of 4 seed mails lay in the spam folder", "the ramp is finished",
    "only 1,204 of 5,000 sent", "100,000 sent at the target of 100,000 a day", "500 of 500 sent, nothing against it",
    "20 taken: the block is over", "put off 3 times after 1,868 taken: no more new mail today",
    "put off 3 times, though 47,895 a day were taken before: held till it is over",
    "put off 4 times: 37,556 a day is what it takes, ×1.37 of what it took before",
    "put off 6 times: 112 a day is what it takes", "46 taken so far today, nothing against it: ×1.25",
    "9,999 taken, nothing against it: ×3.00", "stepped back by hand", "started by hand", "hold lifted",
    "warmed elsewhere: 41,200 a day at best in the last 7 sending days",
    "warmed elsewhere: 41,200 a day at best in the last 2 sending days, 9 days ago",
    "held: audit", "held by anna: audit", Closing(scope="provider=gmail", own=True).text,
    Closing(scope="provider=gmail", own=True, rule="deferrals").text,
]  # fmt: skip


@pytest.mark.parametrize("reason", SAID)
def test_every_reason_has_russian_words(reason: str) -> None:
    said = reason_words(reason, "ru")
    assert said != reason
    assert any("а" <= letter <= "я" for letter in said)
    assert reason_words(reason, "en") == reason


def test_a_persons_own_words_stay_as_they_are() -> None:
    assert reason_words("moving to the new data centre", "ru") == "moving to the new data centre"


def test_numbers_are_written_as_russian_does() -> None:
    assert reason_words("only 1,204 of 5,000 sent", "ru") == "отправлено только 1\u00a0204 из 5\u00a0000"
