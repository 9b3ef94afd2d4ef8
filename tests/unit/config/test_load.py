"""Settings files: what loads, and how each mistake is told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import ConfigError, load_plans, load_providers, load_rules, load_settings, read_settings
from config.model import Settings
from config.problems import key_path
from core.errors import InvalidInput

LEAST = """
[[sending_domains]]
name = "example.com"
return_path = "rp.example.com"
[[sources]]
name = "mta1"
ehlo = "mta1.example.com"
"""


def written(folder: Path, text: str, name: str = "penstock.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> dict[str, str]:
    """Key → 'problem. remedy' of a file that must not load."""
    with pytest.raises(ConfigError) as caught:
        load_settings(written(folder, text))
    return {p.key: f"{p.problem}. {p.remedy}" for p in caught.value.problems}


def test_the_least_file_names_a_domain_and_a_source(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, LEAST))
    assert [s.name for s in settings.streams] == ["transactional", "triggered", "bulk"]
    assert settings.transactional == ("transactional",)


def test_paths_count_from_the_files_own_folder(tmp_path: Path) -> None:
    text = LEAST + '[[http.tokens]]\nname = "a"\ntoken_file = "keys/a"\n[submission]\ntls_cert = "/etc/c"\n'
    settings = load_settings(written(tmp_path, text + 'tls_key = "k"\n'))
    assert settings.http.tokens[0].token_file == tmp_path / "keys/a"
    assert settings.submission.tls_cert == Path("/etc/c")
    assert settings.data_dir == tmp_path / "var"
    assert settings.storage.url == f"sqlite:///{tmp_path}/var/penstock.db"


def test_the_data_folder_takes_the_database_and_the_keys_along_unless_they_are_placed(tmp_path: Path) -> None:
    moved = load_settings(written(tmp_path, 'data_dir = "d"\n' + LEAST))
    assert moved.storage.url == f"sqlite:///{tmp_path}/d/penstock.db"
    assert moved.tokens.key_file == tmp_path / "d/token.keys"
    placed = load_settings(
        written(tmp_path, f'data_dir = "d"\n{LEAST}[storage]\nurl = "sqlite:///x.db"\n[tokens]\nkey_file = "t"\n')
    )
    assert placed.storage.url == f"sqlite:///{tmp_path}/x.db"
    assert placed.tokens.key_file == tmp_path / "t"


def test_all_problems_of_a_file_are_told_at_once_with_file_key_and_remedy(tmp_path: Path) -> None:
    path = written(tmp_path, 'nodde = "a"\n[[sources]]\nname = "mta1"\nehlo = "e"\nwheight = 2\n[http]\nport = "x"\n')
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert f"{path}: sending_domains: this key is missing." in text
    assert f"{path}:1: nodde: there is no such key. Did you mean 'node'?" in text
    assert f"{path}:5: sources[0].wheight: there is no such key. Did you mean 'weight'?" in text
    assert f"{path}:7: http.port: input should be a valid integer" in text
    assert isinstance(caught.value, InvalidInput)


@pytest.mark.parametrize(
    ("added", "key", "said"),
    [
        ('selector = "x"', "selector", "It belongs to [[sending_domains.dkim]]"),
        ("qqqq = 1", "qqqq", "Remove it; known here: "),
        ("node = 1", "node", "should be a valid string"),
        ('node = "Upper Case"', "node", "Use lower-case letters"),
        ("http = 3", "http", "Write a table [http]"),
        ("http = {port = 0}", "http.port", "greater than or equal to 1"),
        ("submission = {enabled = 3}", "submission.enabled", "true or false"),
        ("streams = {}", "streams", "[[streams]]"),
        ("streams = []", "streams", "Leave it out"),
        ('delivery = {tls = "maybe"}', "delivery.tls", "Write 'opportunistic', 'required' or 'off'"),
        ('storage = {url = "mysql://x"}', "storage.url", "postgresql+psycopg://"),
        ('storage = {url = "postgresql+psycopg://u:geheim@h/d"}', "storage.url", ".pgpass"),
        ('http = {host = "0.0.0.0"}', "http.tokens", "[[http.tokens]]"),
        ('http = {public_url = "https://m.example.com/"}', "http.public_url", "Remove the slash"),
        ('http = {public_url = "m.example.com"}', "http.public_url", "https://host"),
        ('inbound = {port = 8025}', "inbound.port", "http listens on port 8025"),
        ('inbound = {dmarc_address = "dmarc"}', "inbound.dmarc_address", "name@example.com"),
        ('submission = {host = "0.0.0.0", require_tls = false}', "submission.require_tls", "127.0.0.1"),
        ('submission = {tls_cert = "c"}', "submission.tls_cert", "belong together"),
        ('inbound = {tls_key = "k"}', "inbound.tls_cert", "belong together"),
        ('submission = {users = [{name = "a", password_file = "p"}]}', "submission.tls_cert", "nobody log in"),
        ('submission = {users = [{name = "a", password_file = "p", sending_domain = "b.c"}], require_tls = false}',
         "submission.users[0].sending_domain", "Use one of: example.com"),
        ('dns = {nameservers = ["ns.example.com"]}', "dns.nameservers[0]", "no IP address"),
        ('alerts = {alertmanagers = ["am:9093"]}', "alerts.alertmanagers[0]", "http://host:port"),
        ('alerts = {mails = [{name = "a", to = ["x"], sender = "a@other.org"}]}', "alerts.mails[0].sender",
         "Use an address at example.com"),
        ('alerts = {mails = [{name = "a", to = ["x"], sender = "a@example.com"}]}', "alerts.mails[0].to[0]",
         "name@example.com"),
        ('seeds = {mailboxes = [{mailbox = "a@b.c", provider = "gmial", host = "h", user = "u", password_file = "p"}]}',
         "seeds.mailboxes[0].provider", "Use one of: apple"),
        ('seeds = {mailboxes = [{mailbox = "a@b.c", provider = "gmail", host = "h", user = "u", password_file = "p",'
         ' security = "none"}]}', "seeds.mailboxes[0].security", "tls or starttls"),
        ('streams = [{name = "a"}, {name = "a"}]', "streams[1].name", "Names must differ"),
        ('relays = [{name = "a", host = "h.x", streams = ["bulkk"]}]', "relays[0].streams[0]", "Use one of: bulk"),
        ('relays = [{name = "a", host = "h.x", domains = ["*.a b"]}]', "relays[0].domains[0]", "example.com"),
        ('relays = [{name = "a", host = "h.x", user = "u"}]', "relays[0].password_file", "belong together"),
        ('relays = [{name = "a", host = "h.x", user = "u", password_file = "p", security = "none"}]',
         "relays[0].security", "starttls or tls"),
        ('relays = [{name = "a", host = "h.x"}, {name = "b", host = "h.x"}]', "relays[1]", "Put it before"),
        ("storage = {keep_days = 399}", "storage.keep_days", "Give at least 400"),
        ("storage = {keep_days = 89}\ntokens = {max_age_days = 30}", "storage.keep_days", "Give at least 90"),
        ("dns = {trusted = true}", "dns.trusted", "dns.nameservers"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_key_and_a_remedy(tmp_path: Path, added: str, key: str, said: str) -> None:
    found = problems(tmp_path, added + "\n" + LEAST)
    assert said in found[key]
    assert "geheim" not in str(found)


def test_sources_and_domains_must_differ_and_be_hosts(tmp_path: Path) -> None:
    extra = '[[sources]]\nname = "mta1"\nehlo = "two words"\nbind = "eth0"\n'
    found = problems(tmp_path, LEAST + extra + '[[sending_domains]]\nname = "EXAMPLE.com"\nreturn_path = "-"\n')
    assert set(found) == {
        "sources[1].name", "sources[1].ehlo", "sources[1].bind", "sending_domains[1].name",
        "sending_domains[1].return_path",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a = ", "is not TOML"), (b"\xff", "is not UTF-8"), (b"#" * 1_000_001, "larger than 1 MB"),
     (b"a = " + b"[" * 5000, "is not TOML")],
)  # fmt: skip
def test_a_file_that_is_no_toml_says_so(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "penstock.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        load_settings(path)


def test_a_missing_file_points_to_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="penstock init"):
        load_settings(tmp_path / "none.toml")


def test_on_request_every_named_file_must_exist(tmp_path: Path) -> None:
    text = LEAST + '[[http.tokens]]\nname = "a"\ntoken_file = "keys/a"\n[warmup]\nplans = ["own.toml"]\n'
    path = written(tmp_path, text)
    load_settings(path)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, check=True)
    assert [p.key for p in caught.value.problems] == ["http.tokens[0].token_file", "warmup.plans[0]"]


def test_the_folder_of_reports_is_a_folder(tmp_path: Path) -> None:
    path = written(tmp_path, LEAST + '[reports]\nfolder = "in"\n')
    with pytest.raises(ConfigError, match=r"reports\.folder"):
        load_settings(path, check=True)
    (tmp_path / "in").mkdir()
    assert load_settings(path, check=True).reports.folder == tmp_path / "in"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from([*Settings.model_fields, "other"])


@given(st.dictionaries(keys, json_like, max_size=6))
def test_no_table_whatsoever_ends_in_another_error(table: dict[str, object]) -> None:
    given_table = tomllib.loads(LEAST) | table
    try:
        settings = read_settings(given_table, Path("penstock.toml"))
    except ConfigError as error:
        untold = [p for p in error.problems if not (p.key and p.problem and p.remedy)]
    else:
        untold = []
        assert settings.sources
    assert not untold


def test_a_path_is_written_as_people_write_it() -> None:
    assert key_path(("sources", 1, "bind")) == "sources[1].bind"


def test_every_shipped_provider_is_told_apart_from_every_other() -> None:
    rows = load_providers()
    suffixes = [(suffix, row.name) for row in rows for suffix in row.mx]
    assert {"gmail", "outlook", "yahoo", "apple", "mailru", "yandex", "rambler", "gmx", "comcast"} <= {
        r.name for r in rows
    }
    clashes = [(a, b) for a, _ in suffixes for b, _ in suffixes if a != b and a.endswith("." + b)]
    assert not clashes
    assert all(suffix == suffix.lower() and not suffix.startswith(".") for suffix, _ in suffixes)


PLAN = 'name = "own"\n'


@pytest.mark.parametrize(
    ("text", "key"),
    [("hour_from = 9\nhour_to = 9\n", "hour_to"), ('sources = ["mta9"]\n', "sources[0]"),
     ('sending_domains = ["x.y"]\n', "sending_domains[0]"), ("table = [10, 5]\n", "table[1]"),
     ("table = [0]\n", "table[0]"), ("providers = {gmial = {start = 5}}\n", "providers.gmial"),
     ("providers = {gmail = {stard = 5}}\n", "providers.gmail.stard"), ("growht = 2\n", "growht")],
)  # fmt: skip
def test_a_plan_that_contradicts_itself_or_never_matches_is_refused(tmp_path: Path, text: str, key: str) -> None:
    written(tmp_path, PLAN + text, "own.toml")
    settings = load_settings(written(tmp_path, LEAST + '[warmup]\nplans = ["own.toml"]\n'))
    with pytest.raises(ConfigError) as caught:
        load_plans(settings)
    assert [p.key for p in caught.value.problems] == [key]
    assert caught.value.problems[0].file == str(tmp_path / "own.toml")


def test_own_plans_are_read_in_their_order(tmp_path: Path) -> None:
    written(tmp_path, PLAN + 'table = [50, 100]\nproviders = {gmail = {growth = 1.2}, "other:mx.a" = {}}\n', "a.toml")
    written(tmp_path, 'name = "second"\n', "b.toml")
    settings = load_settings(written(tmp_path, LEAST + '[warmup]\nplans = ["a.toml", "b.toml"]\n'))
    assert [p.name for p in load_plans(settings)] == ["own", "second"]


RULE = '[[rules]]\nname = "{}"\nsignal = "complaint_rate"\nby = ["provider"]\nthreshold = 0.001\n'


def test_own_rules_are_read_and_their_problems_are_told_together(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, LEAST + '[monitor]\nrules = "r.toml"\n'))
    written(tmp_path, RULE.format("a") + RULE.format("b"), "r.toml")
    assert [r.name for r in load_rules(settings)] == ["a", "b"]
    written(tmp_path, RULE.format("a") + RULE.format("a") + "hard_limit = 0.0005\npause_hours = 90\n", "r.toml")
    with pytest.raises(ConfigError) as caught:
        load_rules(settings)
    assert [p.key for p in caught.value.problems] == [
        "rules[1].name", "rules[1].hard_limit", "rules[1].max_pause_hours",
    ]  # fmt: skip
    written(tmp_path, 'rule = 1\n[[rules]]\nname = "a"\nsignal = "x"\n', "r.toml")
    with pytest.raises(ConfigError) as caught:
        load_rules(settings)
    assert sorted(p.key for p in caught.value.problems) == [
        "rule", "rules[0].by", "rules[0].signal", "rules[0].threshold",
    ]  # fmt: skip
    opens = RULE.format("a").replace('"complaint_rate"', '"open_rate_drop"')
    written(tmp_path, opens + 'action = "alert"\nevidence = "window"\n', "r.toml")
    with pytest.raises(ConfigError) as caught:
        load_rules(settings)
    assert "rules[0].evidence" in [p.key for p in caught.value.problems]
    written(tmp_path, RULE.format("a") + "false_alarm_days = 30\n", "r.toml")
    with pytest.raises(ConfigError, match=r"budget\.action_days: allows fewer false alarms .* Write fewer days"):
        load_rules(settings)
    written(tmp_path, "", "r.toml")
    with pytest.raises(ConfigError, match="nothing would ever be paused"):
        load_rules(settings)
