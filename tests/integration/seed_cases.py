"""The mailboxes of the placement test: where each lies, what its host does with the copy, what must be said of it."""

from __future__ import annotations

from dataclasses import dataclass

SMTP, HTTP, TOKENS = 2541, 8041, 2590
MARKED = (
    "Junk", "Spam", "[Gmail]/Spam", "[Gmail]/Спам", "Bulk Mail", "Junk Email", "Спам", "Quatsch", "A & B",
    "Courrier indésirable", "迷惑メール", "垃圾邮件", "스팸", "דואר זבל", "البريد غير الهام", "Ανεπιθύμητα", "अवांछित",
    "INBOX/Müll", "Пошта/Нежелательная",
)  # fmt: skip
NAMED = (
    "Junk", "Spam", "Bulk Mail", "Junk E-mail", "Спам", "Нежелательная почта", "Unerwünscht", "Courrier indésirable",
    "Correo no deseado", "Lixo Eletrônico", "Skräppost", "Roskaposti", "Nevyžádaná pošta", "Levélszemét", "İstenmeyen",
    "Thư rác", "迷惑メール", "垃圾邮件", "스팸", "דואר זבל", "[Gmail]/Спам", "Mail/Ανεπιθύμητα",
)  # fmt: skip
GMAIL = {"[Gmail]/Spam": "Junk", "[Gmail]/All Mail": "All", "[Gmail]/Sent Mail": "Sent", "[Gmail]/Trash": "Trash"}
RESULTS = "Authentication-Results: mx.host.test;\r\n spf=pass smtp.mailfrom=x; dkim=pass header.d=y (dmarc=fail)\r\n"


@dataclass(kw_only=True)
class Case:
    """One mailbox: where it lies, what its host does with the copy, and what must be said of it."""

    user: str
    host: str
    wants: str  # outcome
    folders: tuple[str, ...] = ("",)  # that the copy is filed in; () swallows it
    has: tuple[str, ...] = ()  # folders besides
    secret: str = 'password_file = "seed"'
    settings: str = ""
    login: bool = False  # is called dead

    @property
    def address(self) -> str:
        return f"{self.user}@{self.host}.test"


def oauth(name: str, mechanism: str = "auto") -> str:
    return (
        f'[seeds.mailboxes.oauth2]\ntoken_url = "http://127.0.0.1:{TOKENS}/token"\nclient_id = "penstock"\n'
        f'client_secret_env = "SEED_CLIENT_SECRET"\nrefresh_token_file = "{name}.refresh"\nmechanism = "{mechanism}"\n'
    )


def all_cases() -> list[Case]:
    found = [
        Case(user=f"marked{i}", host="modern", wants="spam", folders=(name,), has=("Work", "Sent"))
        for i, name in enumerate(MARKED)
    ]
    found += [
        Case(user=f"named{i}", host="plain", wants="spam", folders=(name,), has=("Work",))
        for i, name in enumerate(NAMED)
    ]
    found += [Case(user=f"inbox{i}", host="modern", wants="inbox", has=("Spam",)) for i in range(4)]
    found += [
        # what lies in another folder that is merely called so, beside the marked one, is the owner's
        Case(user="both", host="modern", wants="spam", folders=("Quatsch",), has=("Spam-Archiv", "Junk2")),
        Case(user="gmail", host="modern", wants="inbox", folders=("", "[Gmail]/All Mail"), has=tuple(GMAIL)),
        Case(user="gmailspam", host="modern", wants="spam", folders=("[Gmail]/Spam",), has=tuple(GMAIL)),
        Case(user="archived", host="modern", wants="absent", folders=("[Gmail]/All Mail",), has=tuple(GMAIL)),
        Case(user="tab", host="modern", wants="tab", folders=("INBOX/Newsletters",), has=("Spam",)),
        Case(user="owntab", host="modern", wants="tab", folders=("Реклама",), settings='tabs = ["Реклама"]\n'),
        Case(user="ownjunk", host="plain", wants="spam", folders=("Kiste",), settings='junk = ["Kiste"]\n'),
        Case(user="prefix1", host="prefixed", wants="spam", folders=("Спам",)),
        Case(user="prefix2", host="prefixed", wants="spam", folders=("Junk",)),
        Case(user="prefix3", host="prefixed", wants="inbox"),
        Case(user="big", host="modern", wants="inbox", has=("Spam",)),
        Case(user="bigjunk", host="modern", wants="spam", folders=("Spam",)),
        Case(user="rebuilt", host="modern", wants="inbox", has=("Spam",)),
        Case(user="gone", host="modern", wants="absent", folders=(), has=("Spam",)),
        Case(user="refused", host="modern", wants="rejected"),
        Case(user="later", host="modern", wants="deferred"),
        Case(user="graylisted", host="modern", wants="inbox"),
        Case(user="dead1", host="modern", wants="unknown", secret='password_file = "wrong"', login=True),
        Case(user="dead2", host="plain", wants="unknown", secret='password_env = "SEED_WRONG"', login=True),
        Case(user="revoked", host="tokens", wants="unknown", secret=oauth("revoked"), login=True),
        Case(user="xoauth", host="tokens", wants="inbox", secret=oauth("xoauth", "xoauth2")),
        Case(user="auto", host="tokens", wants="spam", folders=("Junk",), secret=oauth("auto")),
        Case(user="early", host="tokens", wants="inbox", secret=oauth("early")),
        Case(user="bearer", host="bearer", wants="inbox", secret=oauth("bearer")),
        Case(user="replaced", host="bearer", wants="spam", folders=("Junk",), secret=oauth("replaced", "oauthbearer")),
        Case(user="narrow1", host="narrow", wants="inbox"),
        Case(user="narrow2", host="narrow", wants="spam", folders=("Junk",)),
        Case(user="silent", host="silent", wants="unknown", folders=()),
        Case(user="closed", host="closed", wants="unknown", folders=()),
        *(Case(user=f"shaky{i}", host="shaky", wants="inbox") for i in range(3)),
        *(Case(user=f"shakyspam{i}", host="shaky", wants="spam", folders=("Spam",)) for i in range(2)),
    ]
    return found


PORTS = {"modern": 3993, "plain": 3144, "prefixed": 3995, "tokens": 3996, "bearer": 3997, "narrow": 3998,
         "shaky": 3999, "silent": 3890, "closed": 3891}  # fmt: skip


def settings_of(cases: list[Case]) -> str:
    text = (
        f'data_dir = "var"\n[storage]\nurl = "sqlite:///var/penstock.db"\n'
        f'[[sending_domains]]\nname = "sender.test"\nreturn_path = "rp.sender.test"\n'
        f'[[sources]]\nname = "mta1"\nehlo = "mta1.sender.test"\n[http]\nport = {HTTP}\n'
        "[submission]\nenabled = false\n[inbound]\nenabled = false\n[blocklists]\nenabled = false\n"
        "[records]\nenabled = false\n[warmup]\nenabled = false\n"
        f'[delivery]\nport = {SMTP}\ntls = "off"\nmta_sts = false\n[seeds]\npoll_seconds = 1\nquiet_seconds = 1\n'
        "window_hours = 8\n"
    )
    for case in cases:
        tls = case.host in ("modern", "prefixed", "tokens", "bearer", "narrow", "shaky")
        security = "tls" if tls else "starttls" if case.host == "plain" else "none"
        trusted = (
            f'ca_file = "{"modern" if case.host == "shaky" else case.host}/cert.pem"\n' if security != "none" else ""
        )
        text += (
            f'[[seeds.mailboxes]]\nmailbox = "{case.address}"\nprovider = "gmail"\nhost = "127.0.0.1"\n'
            f'port = {PORTS[case.host]}\nsecurity = "{security}"\n{trusted}user = "{case.user}"\n'
            f'authserv_ids = ["mx.host.test"]\n{case.settings}{case.secret}\n'
        )
    return text
