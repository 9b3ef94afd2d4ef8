"""The first `penstock.toml` of one's own domain, as `penstock init DOMAIN` writes it.

Contract: `starter(domain)` loads without an error, and with `check=True` too once the files that it names under
`keys/` exist (DKIM keys, the API token, the password of the submission user).  Everything that is not needed for a
first message is there as a remark, with its default.  The full reference is docs/configuration.md.
"""

from __future__ import annotations

import json

from core.address import normal_domain
from core.errors import InvalidInput

_STARTER = """\
# Penstock: settings for @domain@. Every key and its default: docs/configuration.md
# Relative paths count from this file's folder. Secrets stay in files of their own (*_file).
# After a change: `penstock config check`, then restart.

node = "node1"      # name of this process among several that share one database
data_dir = "var"    # the embedded database and the token keys

# [storage]         # many nodes share one PostgreSQL (password in ~/.pgpass):
# url = "postgresql+psycopg://penstock@db.@domain@/penstock"

# --- Who we are ------------------------------------------------------------------------------
[[sending_domains]]
name = "@domain@"               # the DKIM d= domain; From addresses lie in it or below it
return_path = "bounces.@domain@"  # bounces come here: its MX must be this service ([inbound])

[[sending_domains.dkim]]        # publish TXT p1._domainkey.@domain@ (`penstock doctor` shows it)
selector = "p1"
algorithm = "rsa-sha256"
key_file = "keys/p1.pem"

[[sending_domains.dkim]]        # a second, small signature; receivers that do not know Ed25519 use the first
selector = "p2"
algorithm = "ed25519-sha256"
key_file = "keys/p2.pem"

[[sources]]                     # one address that mail leaves from; several make a pool
name = "mta1"
ehlo = "mta1.@domain@"          # A record -> the address; PTR of the address -> this name
# bind = "192.0.2.10"           # local address; left out, the system chooses

# --- Kinds of mail ---------------------------------------------------------------------------
# Transactional streams go on while automatic pauses hold marketing back.
[[streams]]
name = "transactional"
kind = "transactional"
priority = 0                    # 0 is sent first
unsubscribe = false

[[streams]]
name = "triggered"
priority = 3

[[streams]]
name = "bulk"
priority = 5
track_opens = true              # a pixel and counted links; no stream has them unless it says so
track_clicks = true
# title_en = "News"             # its name on recipients' pages

# [[topics]]                    # what recipients may choose on their page (docs/recipients.md)
# name = "offers"
# stream = "bulk"
# title_en = "Offers"
# title_ru = "Предложения"

# --- Doors -----------------------------------------------------------------------------------
[http]                          # API, dashboard, unsubscribe page
host = "127.0.0.1"              # put a TLS proxy in front
port = 8025
public_url = "https://mail.@domain@"  # as recipients reach it: stands in every unsubscribe link

[[http.tokens]]
name = "admin"
token_file = "keys/api-admin.token"
scope = "admin"                 # admin, inject or read

[submission]                    # SMTP door for applications
host = "127.0.0.1"
port = 1587
require_tls = false             # allowed on loopback only; else give tls_cert and tls_key
# tls_cert = "keys/tls.crt"
# tls_key = "keys/tls.key"

[[submission.users]]
name = "app"
password_file = "keys/smtp-app.password"

[inbound]                       # bounces, complaints, DMARC reports arrive here as mail
host = "0.0.0.0"
port = 1025                     # the world comes to port 25: forward it here, or set 25 and grant CAP_NET_BIND_SERVICE
# tls_cert = "keys/mx.crt"      # STARTTLS; needed before an MTA-STS policy or a TLSA record names this host
# tls_key = "keys/mx.key"
dmarc_address = "dmarc@bounces.@domain@"  # name it in rua= of _dmarc.@domain@
feedback_address = "fbl@bounces.@domain@"  # name it when you enrol in feedback loops

# --- Sending ---------------------------------------------------------------------------------
[delivery]
tls = "opportunistic"           # opportunistic or required
first_retry_minutes = 10
max_retry_hours = 6

[warmup]
enabled = true
# plans = ["plans/own.toml"]    # left out: the shipped plan 'conservative'; see `penstock warmup preview`

# [monitor]
# rules = "rules.toml"          # left out: the shipped rules

# --- Who is told -----------------------------------------------------------------------------
[alerts]
language = "en"                 # en or ru
# alertmanagers = ["http://127.0.0.1:9093"]

# [[alerts.webhooks]]
# name = "chat"
# url = "https://chat.@domain@/hooks/penstock"
# secret_file = "keys/chat.secret"  # signs the X-Penstock-Signature header

# [[alerts.mails]]
# name = "ops"
# to = ["ops@@domain@"]         # better an address that this service does not deliver to itself
# sender = "penstock@@domain@"

# --- Seed mailboxes: where does our mail land? -----------------------------------------------
# [[seeds.mailboxes]]
# mailbox = "penstock.seed1@gmail.com"
# provider = "gmail"
# host = "imap.gmail.com"
# user = "penstock.seed1@gmail.com"
# password_file = "keys/seed1.password"  # or password_env, or [seeds.mailboxes.oauth2]; see docs/placement.md

# --- What others say about you (docs/feeds.md) -----------------------------------------------
# Blocklists and our own DNS records are watched without further settings; use a resolver of your own under [dns].
# [[blocklists.keys]]
# name = "spamhaus_dqs"
# key_file = "keys/spamhaus.key"

# [[feeds]]
# name = "gpt"
# kind = "google"               # google, snds or mailru
# secret_file = "keys/google-postmaster.json"
# subjects = ["@domain@"]

# [tls_reports]                  # tell recipient domains that ask for it how TLS with them went (RFC 8460)
# enabled = true
# contact = "postmaster@@domain@"

# --- Time series (optional, never needed for a decision) -------------------------------------
# [metrics]
# influx_url = "http://127.0.0.1:8086"
# influx_token_file = "keys/influx.token"
"""


def starter(domain: str) -> str:
    """The text of a first settings file.  Raises InvalidInput when `domain` is no domain one can send from."""
    name = normal_domain(domain)
    if "." not in name or name.rpartition(".")[2].isdigit():
        raise InvalidInput("domain", f"{json.dumps(domain)} is no mail domain", "Write it as example.com")
    # the longest name that the file makes of it must still be a host name
    normal_domain(f"bounces.{name}")
    return _STARTER.replace("@domain@", name)
