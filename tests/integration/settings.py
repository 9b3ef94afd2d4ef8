"""Names, records and the configuration of the test world."""

from __future__ import annotations

ALPHA, BETA, GAMMA = "198.51.100.2", "203.0.113.2", "203.0.113.3"  # the exchangers of the providers
OURS, INBOUND = "192.0.2.10", "192.0.2.20"  # our egress source; our listener for what comes back
TOKEN, PASSWORD = "test-api-token-1234567890", "test-smtp-password-123"
SEEDS = {"alpha": "seed@alpha.test", "beta": "seed@beta.test"}
MAILBOX = "reports@gamma.test"  # where reports are routed to that our listener does not get
USERS = {
    "ann@alpha.test": "secret",
    "bob@beta.test": "secret",
    "eve@gamma.test": "secret",
    MAILBOX: "secret",
    **dict.fromkeys(SEEDS.values(), "secret"),
}

RECORDS = f"""\
alpha.test. MX 10 mx1.alpha.test.
mx1.alpha.test. A {ALPHA}
beta.test. MX 10 mx1.beta.test.
mx1.beta.test. A {BETA}
gamma.test. MX 10 mx1.gamma.test.
mx1.gamma.test. A {GAMMA}
sender.test. MX 10 rp.sender.test.
rp.sender.test. MX 10 in.sender.test.
in.sender.test. A {INBOUND}
mta1.sender.test. A {OURS}
10.2.0.192.in-addr.arpa. PTR mta1.sender.test.
sender.test. TXT "v=spf1 ip4:{OURS} -all"
rp.sender.test. TXT "v=spf1 ip4:{OURS} -all"
_dmarc.sender.test. TXT "v=DMARC1; p=reject; rua=mailto:dmarc@rp.sender.test"
receiver.test. A {ALPHA}
receiver.test. TXT "v=spf1 ip4:{INBOUND} -all"
provider.test. A {ALPHA}
"""

CONFIG = f"""\
data_dir = "var"
[storage]
url = "sqlite:///var/penstock.db"
[[sending_domains]]
name = "sender.test"
return_path = "rp.sender.test"
[[sending_domains.dkim]]
selector = "ps1"
key_file = "rsa-sha256.pem"
[[sending_domains.dkim]]
selector = "ps1e"
algorithm = "ed25519-sha256"
key_file = "ed25519-sha256.pem"
[[sources]]
name = "mta1"
bind = "{OURS}"
ehlo = "mta1.sender.test"
[[streams]]
name = "transactional"
kind = "transactional"
priority = 0
unsubscribe = false
[[streams]]
name = "bulk"
per_day = 0
per_week = 0
[http]
public_url = "http://127.0.0.1:8025"
[[http.tokens]]
name = "ops"
token_file = "token"
[submission]
require_tls = false
[[submission.users]]
name = "crm"
password_file = "password"
[inbound]
host = "{INBOUND}"
port = 25
dmarc_address = "dmarc@rp.sender.test"
feedback_address = "fbl@rp.sender.test"
mailbox_poll_seconds = 0.5
[[report_mailboxes]]
name = "routed"
host = "127.0.0.1"
port = 143
security = "none"
user = "{MAILBOX}"
password_file = "seed"
processed_folder = "Processed"
[dns]
nameservers = ["127.0.0.1"]
[warmup]
enabled = false
[[reports.receivers]]
reporter = "receiver.test"
providers = ["other:mx1.alpha.test", "other:mx1.beta.test", "gmail", "mailru"]
[alerts]
alertmanagers = ["{{alertmanager}}"]
post_interval_seconds = 1
[seeds]
poll_seconds = 0.5
quiet_seconds = 1
[[seeds.mailboxes]]
mailbox = "{SEEDS["alpha"]}"
provider = "gmail"
host = "127.0.0.1"
port = 143
security = "none"
user = "{SEEDS["alpha"]}"
password_file = "seed"
[[seeds.mailboxes]]
mailbox = "{SEEDS["beta"]}"
provider = "mailru"
host = "127.0.0.1"
port = 143
security = "none"
user = "{SEEDS["beta"]}"
password_file = "seed"
"""
