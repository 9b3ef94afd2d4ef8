"""The starter file, the JSON Schema and the reference page say what the model says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.load import ConfigError, load_settings
from config.model import Settings
from config.problems import parts_in, tables_of
from config.reaction_tables import ReactionRow, RetryRow
from config.rules import Budget
from config.schema import settings_schema
from config.tables import BlocklistZone, Plan, ProviderRow, Rule
from config.template import starter
from core.errors import InvalidInput

REFERENCE = Path(__file__).resolve().parents[3] / "docs/configuration.md"


@pytest.mark.parametrize("domain", ["example.com", "news.example.co.uk", "почта.рф"])
def test_the_starter_loads_once_its_keys_are_made(tmp_path: Path, domain: str) -> None:
    path = tmp_path / "penstock.toml"
    path.write_text(starter(domain), encoding="utf-8")
    load_settings(path)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, check=True)
    for problem in caught.value.problems:
        name = problem.problem.removesuffix(" cannot be read")
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("made")
    settings = load_settings(path, check=True)
    assert {Path(p.problem.split(" ")[0]).parent for p in caught.value.problems} == {tmp_path / "keys"}
    assert settings.sending_domains[0].return_path.startswith("bounces.")


def test_every_remark_of_the_starter_is_a_setting_that_loads(tmp_path: Path) -> None:
    text = re.sub(r"^# (?=\[|[a-z_]+ = )", "", starter("example.com"), flags=re.M)
    path = tmp_path / "penstock.toml"
    path.write_text(text, encoding="utf-8")
    settings = load_settings(path)
    assert settings.alerts.mails
    assert settings.seeds.mailboxes[0].provider == "gmail"
    assert settings.storage.url.startswith("postgresql")


@pytest.mark.parametrize("domain", ["", "localhost", "a b.com", "192.0.2.1", "x." + "a" * 64 + ".com", '"', "a.b\n[x]"])
def test_the_starter_refuses_what_is_no_mail_domain(domain: str) -> None:
    with pytest.raises(InvalidInput):
        starter(domain)


def test_the_schema_is_json_and_knows_every_top_level_key() -> None:
    schema = json.loads(json.dumps(settings_schema()))
    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == ["sending_domains", "sources"]


def documented() -> dict[str, dict[str, str]]:
    """Section heading → key → default, as the reference page's tables say."""
    found: dict[str, dict[str, str]] = {}
    section = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"#+ `(.+)`", line):
            section = heading[1]
        elif row := re.match(r"\| `([a-z_0-9]+)` \| (.*?) \| (.*?) \|", line):
            found.setdefault(section, {})[row[1]] = row[2].replace("`", "")
    return found


def default_text(info: FieldInfo) -> str:
    """How the page writes a default."""
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    match value:
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case Path():
            return f'"{value}"'
        case str() | int():
            return json.dumps(value)
        case float():
            return f"{value:g}"
        case [BaseModel(), *_]:
            return "see text"
        case list() | dict():
            return json.dumps(value)
        case _:
            raise AssertionError(f"no way to write {value!r}")


def expected() -> Iterator[tuple[str, dict[str, str]]]:
    roots: list[tuple[str, type[BaseModel]]] = [
        ("", Settings), ("providers.toml", ProviderRow), ("plan files", Plan), ("rules.toml", Rule),
        ("rules.toml [budget]", Budget),
        ("blocklists.toml", BlocklistZone), ("reply-rules.toml", ReactionRow), ("retries.toml", RetryRow),
    ]  # fmt: skip
    for root, model in roots:
        for head, part in tables_of(model):
            heading = f"{root} {head}".strip() or "penstock.toml"
            # a table has a section of its own instead of a row
            yield (
                heading,
                {
                    name: default_text(info)
                    for name, info in part.model_fields.items()
                    if not any(parts_in(info.annotation))
                },
            )


@pytest.mark.parametrize(
    ("section", "rows"), list(expected()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_reference_page_lists_each_key_with_its_default(section: str, rows: dict[str, str]) -> None:
    assert documented().get(section, {}) == rows


def test_the_reference_page_lists_nothing_that_does_not_exist() -> None:
    assert set(documented()) <= {section for section, _ in expected()}
