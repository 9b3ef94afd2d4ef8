"""A whole and right installation for `penstock doctor`: settings, key files and the zone that fits them."""

from __future__ import annotations

from pathlib import Path

from config.model import ApiToken, DkimKey, Http, InboundListener, Seed, Seeds, SendingDomain, Settings, Source
from sender.dkim import new_key

IP = "192.0.2.10"


async def open_port(host: str, port: int, bind: str) -> str:
    return ""


async def closed_port(host: str, port: int, bind: str) -> str:
    return f"{host}: no answer within 10 s"


class Installation:
    """A whole and right configuration in a folder, with the zone that fits it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pem, record = new_key("ed25519-sha256")
        key = self.secret("p1.pem", pem.decode())
        self.settings = Settings(
            sending_domains=[
                SendingDomain(
                    name="news.example",
                    return_path="b.news.example",
                    dkim=[DkimKey(selector="p1", algorithm="ed25519-sha256", key_file=key)],
                )
            ],
            sources=[Source(name="s1", ehlo="mta.news.example", bind=IP)],
            http=Http(
                public_url="https://mail.news.example",
                tokens=[ApiToken(name="admin", token_file=self.secret("admin.token", "secret"))],
            ),
            inbound=InboundListener(host=IP, port=25, dmarc_address="dmarc@b.news.example"),
            seeds=Seeds(
                mailboxes=[
                    Seed(
                        mailbox="a@mailhaus.example",
                        provider="mailhaus",
                        host="imap.mailhaus.example",
                        user="a",
                        password_file=self.secret("seed", "pw"),
                    )
                ]
            ),
        )
        self.zone = f"""
            b.news.example TXT v=spf1 ip4:{IP} -all
            b.news.example MX 10 mta.news.example
            _mta-sts.b.news.example TXT v=STSv1; id=1
            _smtp._tls.b.news.example TXT v=TLSRPTv1; rua=mailto:tls@news.example
            news.example MX 10 mta.news.example
            p1._domainkey.news.example TXT {record}
            _dmarc.news.example TXT v=DMARC1; p=reject; rua=mailto:dmarc@b.news.example
            mta.news.example A {IP}
            {IP} PTR mta.news.example
            mail.news.example A 192.0.2.11
            gmail.com MX 5 gmail-smtp-in.l.google.com
        """

    def secret(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path
