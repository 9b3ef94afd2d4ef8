"""Which folders of a seed mailbox are looked into, and what lying in each means.

The junk folder is the one that the server marks `\\Junk` (RFC 6154).  Only where no folder is so marked, names decide:
they are localised, so the table holds what the providers call it.  Tabs that a provider keeps as folders below INBOX
are known by name too.  Every other folder (Sent, Trash, the owner's own) is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

JUNK_NAMES = frozenset(
    {
        "junk", "junk email", "junk e-mail", "junk mail", "spam", "bulk", "bulk mail", "bulkmail", "spamverdacht",
        "unerwünscht", "спам", "нежелательная почта", "сомнительные",
        "courrier indésirable", "indésirables", "pourriel", "correo no deseado", "correo basura",
        "posta indesiderata", "lixo eletrônico", "lixo eletrónico", "ongewenste e-mail", "ongewenst",
        "skräppost", "uønsket e-post", "uønsket mail", "roskaposti", "niechciane", "wiadomości-śmieci",
        "nevyžádaná pošta", "nevyžiadaná pošta", "levélszemét", "gereksiz", "önemsiz e-posta",
        "небажана пошта",
        "迷惑メール", "垃圾邮件", "垃圾郵件", "스팸메일함", "스팸", "דואר זבל", "البريد غير الهام",
    }
)  # fmt: skip
TAB_NAMES = frozenset(
    {
        "newsletters", "social", "news", "promotions", "updates", "forums", "receipts", "tomyself", "offers",
        "рассылки", "социальные сети", "новости", "чеки", "промоакции",
    }
)  # fmt: skip
MAX_FOLDERS = 2_000
MAX_LOOKED = 12
_UNSELECTABLE = frozenset({b"\\noselect", b"\\nonexistent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder to look into."""

    name: str
    junk: bool


def choose_folders(listed: Iterable[tuple[Sequence[bytes], bytes | None, str]]) -> list[Folder]:
    """INBOX first, then junk, then tabs.  `listed` as LIST gives it: flags, delimiter, name."""
    marked: list[str] = []
    named: list[str] = []
    tabs: list[str] = []
    inbox = "INBOX"
    for number, (flags, delimiter, name) in enumerate(listed):
        if number >= MAX_FOLDERS:
            break
        lower = {flag.lower() for flag in flags}
        if lower & _UNSELECTABLE:
            continue
        if name.upper() == "INBOX":
            inbox = name
            continue
        parts = name.split(delimiter.decode("ascii", "replace")) if delimiter else [name]
        last = parts[-1].strip().casefold()
        if b"\\junk" in lower or b"\\spam" in lower:
            marked.append(name)
        elif last in JUNK_NAMES:
            named.append(name)
        elif last in TAB_NAMES and len(parts) > 1 and parts[0].upper() == "INBOX":
            tabs.append(name)
    # a second folder that is merely called Spam beside the marked one is the owner's, not the filter's
    chosen = [Folder(name=inbox, junk=False)]
    chosen += [Folder(name=name, junk=True) for name in (marked or named)]
    chosen += [Folder(name=name, junk=False) for name in tabs]
    return chosen[:MAX_LOOKED]
