"""Seed mailboxes and placement tests in the settings: one way to log in, known references, nothing in the clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.load import ConfigError, load_settings
from config.secrets import secret_from
from core.errors import InvalidInput

BASE = (
    '[[sending_domains]]\nname = "a.example"\nreturn_path = "rp.a.example"\n'
    '[[sources]]\nname = "a"\nehlo = "m.a.example"\n'
)
SEED = '[[seeds.mailboxes]]\nmailbox = "s@gmail.com"\nprovider = "gmail"\nhost = "imap.gmail.com"\nuser = "s"\n'
OAUTH = '[seeds.mailboxes.oauth2]\nclient_id = "id"\nrefresh_token_env = "PENSTOCK_TEST_REFRESH"\n'
TEST = '[[seeds.tests]]\nname = "t"\nstream = "bulk"\ntemplate = "t.toml"\n'


def problems(folder: Path, text: str, *, check: bool = False) -> list[str]:
    path = folder / "penstock.toml"
    path.write_text(BASE + text)
    try:
        load_settings(path, check=check)
    except ConfigError as error:
        return [problem.key for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SEED, "seeds.mailboxes[0].password_file"),
        (SEED + 'password_file = "p"\npassword_env = "P"\n', "seeds.mailboxes[0].password_file"),
        (SEED + 'password_env = "P"\n' + OAUTH + 'service = "google"\n', "seeds.mailboxes[0].password_file"),
        (SEED + OAUTH, "seeds.mailboxes[0].oauth2.token_url"),
        (SEED + OAUTH + 'token_url = "http://login.example/t"\n', "seeds.mailboxes[0].oauth2.token_url"),
        (
            SEED + OAUTH + 'service = "google"\nrefresh_token_file = "f"\n',
            "seeds.mailboxes[0].oauth2.refresh_token_file",
        ),
        (
            SEED + OAUTH + 'service = "google"\nclient_secret_file = "f"\nclient_secret_env = "E"\n',
            "seeds.mailboxes[0].oauth2.client_secret_env",
        ),
        (SEED.replace('"gmail"', '"gmial"') + 'password_env = "P"\n', "seeds.mailboxes[0].provider"),
        (SEED + 'password_env = "P"\nsecurity = "none"\n', "seeds.mailboxes[0].security"),
        (SEED.replace("imap.", "imaps://imap.") + 'password_env = "P"\n', "seeds.mailboxes[0].host"),
        (SEED.replace('gmail.com"\nuser', 'gmail.com:993"\nuser') + 'password_env = "P"\n', "seeds.mailboxes[0].host"),
        ((SEED + 'password_env = "P"\n') * 2, "seeds.mailboxes[1].mailbox"),
        (TEST, "seeds.tests[0]"),
        (SEED + 'password_env = "P"\n' + TEST.replace('"bulk"', '"none"'), "seeds.tests[0].stream"),
        (SEED + 'password_env = "P"\n' + TEST + 'providers = ["yahoo"]\n', "seeds.tests[0].providers[0]"),
        (SEED + 'password_env = "P"\n' + TEST + TEST, "seeds.tests[1].name"),
    ],
)
def test_what_cannot_work_is_told_with_its_key(tmp_path: Path, text: str, key: str) -> None:
    assert problems(tmp_path, text) == [key]


def test_what_is_complete_loads(tmp_path: Path) -> None:
    good = SEED + OAUTH + 'service = "microsoft"\n' + SEED.replace("s@", "t@") + 'password_env = "P"\n' + TEST
    assert problems(tmp_path, good) == []


def test_a_variable_that_is_not_set_is_told_by_the_check_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_TEST_REFRESH", raising=False)
    text = SEED + OAUTH + 'service = "google"\n'
    assert problems(tmp_path, text, check=True) == ["seeds.mailboxes[0].oauth2.refresh_token_env"]
    monkeypatch.setenv("PENSTOCK_TEST_REFRESH", "token")
    assert problems(tmp_path, text, check=True) == []


def test_an_empty_secret_is_told_by_the_check(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("")
    assert problems(tmp_path, SEED + 'password_file = "p"\n', check=True) == ["seeds.mailboxes[0].password_file"]
    (tmp_path / "p").write_text("word")
    assert problems(tmp_path, SEED + 'password_file = "p"\n', check=True) == []


def test_a_secret_comes_from_its_file_or_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("PENSTOCK_TEST_SECRET", "from outside\n")
    assert secret_from(tmp_path / "secret", "") == "from the file"
    assert secret_from(None, "PENSTOCK_TEST_SECRET") == "from outside"
    assert secret_from(None, "") == ""
    monkeypatch.setenv("PENSTOCK_TEST_SECRET", "  ")
    with pytest.raises(InvalidInput, match="PENSTOCK_TEST_SECRET"):
        secret_from(None, "PENSTOCK_TEST_SECRET")
