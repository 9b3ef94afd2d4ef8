"""Which folders of a seed mailbox are looked into, and what lying in each means.

The junk folder is the one that the server marks `\\Junk` (RFC 6154).  Only where no folder is so marked, names decide:
they are localised, so the table holds what the providers call it.  Tabs that a provider keeps as folders below INBOX
are known by name too.  Every other folder (Sent, Trash, the owner's own) is left alone.
"""

from __future__ import annotations

import unicodedata
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
        "迷惑メール", "垃圾邮件", "垃圾郵件", "垃圾信件", "广告邮件", "스팸메일함", "스팸", "스팸 메일함", "정크 메일",
        "דואר זבל", "ספאם", "البريد غير الهام", "البريد العشوائي", "رسائل غير مرغوب فيها", "هرزنامه",
        "correo no solicitado", "spam-verdacht", "junk-e-mail", "pourriels", "courriel indésirable",
        "correu brossa", "lixo electrónico", "correio eletrônico indesejado", "søppelpost", "spam-post",
        "ruslpóstur", "rämpspost", "mēstules", "šlamštas", "brukalas", "kéretlen levelek", "neželjena pošta",
        "neželena pošta", "mesaje nedorite", "нежелана поща", "непожелана пошта", "непажаданая пошта",
        "ανεπιθύμητα", "ανεπιθύμητη αλληλογραφία", "istenmeyen", "istenmeyen posta", "thư rác", "จดหมายขยะ",
        "อีเมลขยะ", "स्पैम", "जंक",
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
_OTHER_USE = frozenset({b"\\sent", b"\\drafts", b"\\trash", b"\\archive", b"\\all", b"\\flagged", b"\\important"})
_UNSELECTABLE = frozenset({b"\\noselect", b"\\nonexistent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """One folder to look into."""

    name: str
    junk: bool


def plain(name: str) -> str:
    """A folder's name for comparison: some servers and clients decompose letters, dot the capital I, or add spaces."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split()).replace(
        "\u0307", ""
    )


_JUNK = frozenset(plain(name) for name in JUNK_NAMES)
_TABS = frozenset(plain(name) for name in TAB_NAMES)


def choose_folders(
    listed: Iterable[tuple[Sequence[bytes], bytes | None, str]],
    *,
    tabs: Sequence[str] = (),
    junk: Sequence[str] = (),
) -> list[Folder]:
    """INBOX first, then junk, then tabs.  `listed` as LIST gives it: flags, delimiter, name.

    `tabs` and `junk` are the owner's words: whole names of folders, or their last parts."""
    own_tabs, own_junk = {plain(name) for name in tabs}, {plain(name) for name in junk}
    marked: list[str] = []
    named: list[str] = []
    found_tabs: list[str] = []
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
        last, whole = plain(parts[-1]), plain(name)
        if b"\\junk" in lower or b"\\spam" in lower:
            marked.append(name)
        elif {last, whole} & own_tabs or (last in _TABS and len(parts) > 1 and parts[0].upper() == "INBOX"):
            found_tabs.append(name)
        elif not lower & _OTHER_USE and ({last, whole} & own_junk or (last in _JUNK and not own_junk)):
            named.append(name)
    # a second folder that is merely called Spam beside the marked one is the owner's, not the filter's
    chosen = [Folder(name=inbox, junk=False)]
    chosen += [Folder(name=name, junk=True) for name in (marked or named)]
    chosen += [Folder(name=name, junk=False) for name in found_tabs]
    return chosen[:MAX_LOOKED]
