"""The settings of Penstock, as written in `penstock.toml`.

Every part has a default except what only the owner can know (domain, sources).  Unknown keys are errors.
Durations are named with their unit.  Secrets are never written here: `*_file` names a file that holds one.
Plans, rules and providers are tables of their own: see `config.tables`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from config.egress import Limit as Limit
from config.egress import Pool as Pool
from config.egress import ProviderLimit as ProviderLimit
from config.egress import Relay as Relay
from config.egress import Source as Source
from config.monitoring import Engagement as Engagement
from config.monitoring import Monitor as Monitor
from config.parts import Host as Host
from config.parts import Name as Name
from config.parts import Part as Part
from config.parts import Port as Port
from config.reaction_tables import Replies
from config.recipients import OptIns as OptIns
from config.recipients import Topic as Topic
from config.recipients import Tracking as Tracking
from config.reporting import Reports, TlsReports
from config.seeds import PlacementTest as PlacementTest
from config.seeds import Seed as Seed
from config.seeds import SeedOAuth as SeedOAuth
from config.seeds import Seeds as Seeds
from config.submission import SmtpUser as SmtpUser
from config.submission import SubmissionListener as SubmissionListener


class Storage(Part):
    url: str = Field("sqlite:///var/penstock.db", description="sqlite:///PATH, or postgresql+psycopg://USER@HOST/DB")
    keep_days: int = Field(
        0, ge=0, description="How long the log keeps a message's story after its last event; 0: always"
    )


class DkimKey(Part):
    selector: Name
    algorithm: Literal["rsa-sha256", "ed25519-sha256"] = "rsa-sha256"
    key_file: Path = Field(description="PEM private key (PKCS#8 or PKCS#1)")


class SecondSignature(DkimKey):
    domain: Host = Field(description="The d= of this signature, e.g. one whose feedback loops hear of all our mail")


class SendingDomain(Part):
    name: Host = Field(description="The DKIM d= domain; the From address must lie in it")
    return_path: Host = Field(description="Domain of bounce addresses; its MX is this service's inbound listener")
    dkim: list[DkimKey] = Field(default_factory=list)
    second_signatures: list[SecondSignature] = Field(default_factory=list)
    pool: Name | Literal[""] = Field("", description="Sources for its mail, where neither message nor stream names any")


class StreamSettings(Part):
    name: Name
    kind: Literal["transactional", "marketing"] = "marketing"
    priority: int = Field(5, ge=0, le=9, description="0 is sent first")
    unsubscribe: bool = Field(True, description="Add List-Unsubscribe with one-click (RFC 8058)")
    max_age_hours: float = Field(
        72, gt=0, le=24 * 14, description="Older mail ends as an expired bounce; own waits do not count"
    )
    per_day: int = Field(2, ge=0, description="Mails to one address in a UTC day; 0: no cap; transactional: none ever")
    per_week: int = Field(3, ge=0, description="Mails to one address in any seven days; 0: no cap")
    pool: Name | Literal[""] = Field("", description="Sources for its mail, where the message names no pool itself")
    engaged_first: bool = Field(False, description="Of a campaign's recipients, those with signs of life go first")
    canary: bool = Field(False, description="A campaign sends a slice first; the rest waits for its outcomes")
    canary_messages: int = Field(0, ge=0, description="Messages of the slice; 0: as many as the rules need to tell")
    canary_hours: float = Field(4, ge=0, le=72, description="From the slice's last message to the decision")
    title_en: str = Field("", max_length=100, description="Its name on recipients' pages; `name` when empty")
    title_ru: str = Field("", max_length=100, description="The same in Russian")
    track_opens: bool = Field(False, description="Add a pixel to HTML parts")
    track_clicks: bool = Field(False, description="Write links of HTML parts so that following them is noticed")
    track_text: bool = Field(False, description="With track_clicks: links of text parts as well")

    def title(self, language: str) -> str:
        """Its name for recipients."""
        return (self.title_ru if language == "ru" else self.title_en) or self.name


class ApiToken(Part):
    name: Name
    token_file: Path
    scope: Literal["admin", "inject", "read"] = "admin"


class Http(Part):
    host: str = "127.0.0.1"
    port: Port = 8025
    public_url: str = Field(
        "http://127.0.0.1:8025",
        description="Address of this service in unsubscribe links, without final slash",
    )
    tokens: list[ApiToken] = Field(default_factory=list)
    max_body_bytes: int = Field(30_000_000, ge=1024)
    trusted_proxies: list[str] = Field(
        default_factory=lambda: ["127.0.0.1", "::1"],
        description="Addresses of proxies whose X-Forwarded-For is believed",
    )


class InboundListener(Part):
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 1025
    tls_cert: Path | None = Field(None, description="PEM certificate chain for STARTTLS; goes with `tls_key`")
    tls_key: Path | None = Field(None, description="Its private key; both are read anew when they were renewed")
    max_size: int = Field(20_000_000, ge=1024)
    dmarc_address: str = Field("", description="Address of rua= reports, e.g. dmarc@rp.example.com")
    feedback_address: str = Field(
        "", description="Address that feedback loops (ARF) are sent to, besides bounce addresses"
    )
    reply_addresses: list[str] = Field(
        default_factory=list, description="Addresses that people answer to, or that get a copy: a sign of life"
    )
    messages_per_minute: int = Field(1200, ge=1, description="Of one client address; more is answered with 450")
    refused_per_minute: int = Field(
        60, ge=1, description="Unknown recipients of one client address; then it is disconnected with 421"
    )
    connections_per_client: int = Field(40, ge=1, description="Open at once from one client address")
    mailbox_poll_seconds: float = Field(30, ge=0.2, description="Real seconds between looks into [[report_mailboxes]]")


class ReportMailbox(Part):
    """A mailbox that bounces, complaints or DMARC reports are routed to in place of our listener."""

    name: Name
    host: Host
    port: Port = 993
    security: Literal["tls", "starttls", "none"] = "tls"
    ca_file: Path | None = None
    user: str
    password_file: Path
    folder: str = Field("INBOX", min_length=1, description="Where the reports arrive")
    processed_folder: str = Field(
        "", description="Read reports are moved there; when empty they stay and get the keyword $PenstockRead"
    )


class Suppression(Part):
    """When failures that come and go suppress, and when a provider's word is not believed."""

    full_count: int = Field(4, ge=1, description="Days on which a mailbox was full")
    full_days: float = Field(14, ge=0, description="... from the first to the last of them, without a success")
    inactive_count: int = Field(3, ge=1, description="Days on which a mailbox was called inactive")
    inactive_days: float = Field(7, ge=0)
    unknown_domain_count: int = Field(3, ge=1, description="Days on which a domain was called unknown")
    unknown_domain_days: float = Field(3, ge=0)
    forget_days: float = Field(180, ge=1, description="A failure this long ago counts no more")
    outage_guard: bool = Field(
        True, description="Nobody is suppressed as unknown while a provider calls nearly everybody unknown"
    )
    outage_refusals: int = Field(20, ge=5, description="Unknown recipients at one place within the window")
    outage_share: float = Field(0.9, ge=0.5, le=1, description="Share of unknown among all answers in the window")
    outage_minutes: float = Field(60, ge=1, le=1440, description="Length of the window")
    outage_history: int = Field(100, ge=20, description="Answers in the 7 days before, else nothing is known")
    outage_past_share: float = Field(0.3, ge=0, le=0.5, description="Only a place that was better than this before")
    outage_hours: float = Field(24, ge=1, description="Longest time that the guard stays up")


class Delivery(Part):
    port: Port = Field(25, description="Port of remote mail exchangers; differs only in test worlds")
    tls: Literal["opportunistic", "required", "off"] = "opportunistic"
    mta_sts: bool = Field(True, description="Honour the MTA-STS policies of recipient domains (RFC 8461)")
    ca_file: Path | None = Field(
        None, description="PEM certificates to trust besides the system's, for MTA-STS and relays"
    )
    connect_timeout_seconds: float = Field(30, gt=0, le=300)
    command_timeout_seconds: float = Field(
        300, gt=0, le=600, description="For each reply (RFC 5321 asks for 5 minutes); twice that after the final dot"
    )
    idle_seconds: float = Field(5, ge=0, le=60, description="How long a connection waits for more mail")
    lease_seconds: float = Field(
        900, ge=30, description="Real seconds after which a dead sender's mail returns to the queue"
    )
    first_retry_minutes: float = Field(10, gt=0)
    retry_growth: float = Field(2.0, ge=1)
    max_retry_hours: float = Field(6, gt=0)


class Dns(Part):
    nameservers: list[str] = Field(default_factory=list, description="Addresses; empty takes the system's")
    port: Port = 53
    timeout_seconds: float = Field(5, gt=0, le=60)
    trusted: bool = Field(
        False, description="The name servers validate DNSSEC and the way to them is safe: DANE counts (RFC 7672)"
    )


class Tokens(Part):
    key_file: Path = Field(Path("var/token.keys"), description="Lines 'ID HEX'; the first signs; made at first start")
    max_age_days: int = Field(400, ge=1, le=3650)


class Warmup(Part):
    enabled: bool = True
    plans: list[Path] = Field(
        default_factory=list, description="Plan files, or names of shipped plans; 'conservative' when empty"
    )


class IntakeLimits(Part):
    """Beyond these, callers are put off (429, 451) instead of the service falling over."""

    max_queued: int = Field(5_000_000, ge=1, description="Queued recipients; a tenth more for transactional mail")
    max_inflight_bytes: int = Field(100_000_000, ge=1_000_000, description="Bodies of HTTP calls in work")


class Webhook(Part):
    name: Name
    url: str
    secret_file: Path | None = Field(None, description="HMAC-SHA256 key for the X-Penstock-Signature header")


class EventHook(Part):
    """An endpoint that gets the events of the log."""

    name: Name
    url: str
    secret_file: Path = Field(description="HMAC-SHA256 key of the X-Penstock-Signature header")
    events: list[str] = Field(default_factory=list, description="Kinds of events, e.g. Delivered; all when empty")
    batch_size: int = Field(200, ge=1, le=1000, description="Events in one request, at most")
    timeout_seconds: float = Field(30, gt=0, le=45, description="Real seconds that an answer may take")
    dead_after_minutes: float = Field(15, gt=0, description="An endpoint that failed for so long is an alert")
    max_age_days: float = Field(7, gt=0, le=90, description="Events that nobody took for so long are skipped")


class AlertMail(Part):
    name: Name
    to: list[str] = Field(min_length=1)
    sender: str = Field(description="From address; must lie in one of the sending domains")


class Alerts(Part):
    alertmanagers: list[str] = Field(default_factory=list, description="Base URLs of every peer, e.g. http://am:9093")
    webhooks: list[Webhook] = Field(default_factory=list)
    mails: list[AlertMail] = Field(default_factory=list)
    language: Literal["en", "ru"] = "en"
    repeat_hours: float = Field(4, gt=0)
    post_interval_seconds: float = Field(60, ge=0.1, description="Real seconds between posts of firing alerts")


class Metrics(Part):
    influx_url: str = ""
    influx_org: str = "penstock"
    influx_bucket: str = "penstock"
    influx_token_file: Path | None = None


class BlocklistKey(Part):
    name: Name = Field(description="Value of `key` in the zone table, e.g. spamhaus_dqs")
    key_file: Path


class Blocklists(Part):
    enabled: bool = True
    zones: Path | None = Field(None, description="Zone table; the shipped one when absent")
    also: list[str] = Field(default_factory=list, description="Zones of the table that are off until named here")
    skip: list[str] = Field(default_factory=list, description="Zones of the table to leave out")
    interval_hours: float = Field(1, ge=0.1, description="One query for each zone and address in this time")
    probe_messages: int = Field(50, ge=5, description="Messages let through after a delisting; their fate decides")
    keys: list[BlocklistKey] = Field(default_factory=list)


class Records(Part):
    enabled: bool = True
    poll_minutes: float = Field(30, ge=1, description="Time between looks at our own DNS records")


class Feed(Part):
    name: Name
    kind: Literal["google", "snds", "snds_rest", "mailru"]
    secret_file: Path = Field(description="What the feed's page in docs/feeds.md says: credentials, key or token")
    subjects: list[str] = Field(default_factory=list, description="Domains; for snds addresses, all when empty")
    url: str = Field("", description="Base address in place of the provider's own")
    token_url: str = Field("", description="Address of the token exchange in place of the provider's own")
    poll_hours: float = Field(6, ge=0.5)
    stale_days: float = Field(4, ge=1, description="Tell when the newest day with figures is older")


class Settings(Part):
    """The whole file."""

    node: Name = "node1"
    senders: int = Field(
        1, ge=0, le=64, description="Processes that send; 1 sends in the main process, 0 takes one for each core"
    )
    data_dir: Path = Field(Path("var"), description="Where keys and the embedded database lie")
    storage: Storage = Storage()
    sending_domains: list[SendingDomain] = Field(min_length=1)
    sources: list[Source] = Field(min_length=1)
    pools: list[Pool] = Field(default_factory=list)
    limits: list[Limit] = Field(default_factory=list)
    provider_limits: list[ProviderLimit] = Field(default_factory=list)
    streams: list[StreamSettings] = Field(
        default_factory=lambda: [
            StreamSettings(name="transactional", kind="transactional", priority=0, unsubscribe=False),
            StreamSettings(name="triggered", priority=3),
            StreamSettings(name="bulk", priority=5),
        ]
    )
    topics: list[Topic] = Field(default_factory=list)
    templates: Path | None = Field(None, description="Folder of templates that callers name")
    optins: OptIns = OptIns()
    tracking: Tracking = Tracking()
    http: Http = Http()
    submission: SubmissionListener = SubmissionListener()
    inbound: InboundListener = InboundListener()
    report_mailboxes: list[ReportMailbox] = Field(default_factory=list)
    suppression: Suppression = Suppression()
    intake: IntakeLimits = IntakeLimits()
    delivery: Delivery = Delivery()
    replies: Replies = Replies()
    relays: list[Relay] = Field(default_factory=list)
    dns: Dns = Dns()
    tokens: Tokens = Tokens()
    warmup: Warmup = Warmup()
    monitor: Monitor = Monitor()
    engagement: Engagement = Engagement()
    alerts: Alerts = Alerts()
    webhooks: list[EventHook] = Field(default_factory=list)
    seeds: Seeds = Seeds()
    metrics: Metrics = Metrics()
    blocklists: Blocklists = Blocklists()
    records: Records = Records()
    feeds: list[Feed] = Field(default_factory=list)
    reports: Reports = Reports()
    tls_reports: TlsReports = TlsReports()

    def stream(self, name: str) -> StreamSettings | None:
        """The stream of that name, None when it is not configured."""
        return next((s for s in self.streams if s.name == name), None)

    def domain(self, name: str) -> SendingDomain | None:
        """The sending domain of that name, None when it is not ours."""
        return next((d for d in self.sending_domains if d.name == name), None)

    @property
    def transactional(self) -> tuple[str, ...]:
        """Names of the transactional streams: what automatic pauses spare."""
        return tuple(s.name for s in self.streams if s.kind == "transactional")
