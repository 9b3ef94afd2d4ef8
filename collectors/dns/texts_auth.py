"""Words of the findings about SPF, DKIM and DMARC, in English and Russian."""

from __future__ import annotations

from collectors.dns.finding import Level, Text

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

DNS_FAILED = Text(
    "dns.failed",
    WARNING,
    ("{name} cannot be looked up now: {problem}", "Сейчас не получить из DNS: {name}: {problem}"),
    (
        "Check the name servers under [dns] and run this again; nothing is known about the record",
        "Проверьте серверы имён в разделе [dns] и повторите; о записи ничего не известно",
    ),
)

# --- SPF (RFC 7208) ------------------------------------------------------------------------------
SPF_OK = Text(
    "spf.ok",
    OK,
    ("SPF covers every source ({lookups} look-ups of 10)", "SPF охватывает все адреса ({lookups} запросов из 10)"),
)
SPF_MISSING = Text(
    "spf.missing",
    PROBLEM,
    ("there is no SPF record", "нет записи SPF"),
    ('Publish: {subject} TXT "{record}"', 'Опубликуйте: {subject} TXT "{record}"'),
)
SPF_SEVERAL = Text(
    "spf.several",
    PROBLEM,
    (
        "there are {count} SPF records; receivers take that for an error",
        "записей SPF {count}; для получателя это ошибка",
    ),
    (
        "Merge them into one TXT record that begins with v=spf1",
        "Объедините их в одну запись TXT, начинающуюся с v=spf1",
    ),
)
SPF_SYNTAX = Text(
    "spf.syntax",
    PROBLEM,
    ("the SPF record of {domain} has an error: {problem}", "в записи SPF домена {domain} ошибка: {problem}"),
    ("Mend the term: the whole record counts as an error", "Исправьте: ошибочной считается вся запись"),
)
SPF_LOOKUPS = Text(
    "spf.lookups",
    PROBLEM,
    ("SPF needs {lookups} DNS look-ups, more than 10", "SPF требует запросов DNS: {lookups}, больше 10"),
    (
        "Replace include, a and mx by ip4 and ip6 terms, or give the return path a domain of its own",
        "Замените include, a и mx на ip4 и ip6 или выделите обратному адресу свой домен",
    ),
)
SPF_NEAR_LIMIT = Text(
    "spf.near_limit",
    WARNING,
    ("SPF needs {lookups} of 10 DNS look-ups", "SPF требует запросов DNS: {lookups} из 10"),
    (
        "One more include breaks it: replace some by ip4 and ip6 terms",
        "Ещё один include всё сломает: замените часть на ip4 и ip6",
    ),
)
SPF_VOIDS = Text(
    "spf.voids",
    PROBLEM,
    (
        "{voids} SPF terms name what does not exist, more than 2",
        "в никуда ведут больше двух элементов SPF: {voids}",
    ),
    ("Remove the terms that resolve to nothing", "Удалите элементы, которые ни во что не разрешаются"),
)
SPF_VOID = Text(
    "spf.void",
    WARNING,
    ("{voids} SPF terms name what does not exist", "часть элементов SPF ведёт в никуда: {voids}"),
    ("Remove them: three make the record an error", "Удалите их: три таких делают запись ошибочной"),
)
SPF_LOOP = Text(
    "spf.loop",
    PROBLEM,
    ("SPF includes itself through {domain}", "SPF включает сама себя через {domain}"),
    ("Remove that include or redirect", "Удалите этот include или redirect"),
)
SPF_INCLUDE = Text(
    "spf.include",
    PROBLEM,
    ("SPF includes {domain}, which has no SPF record", "SPF включает {domain}, где нет записи SPF"),
    ("Remove the include: it makes the whole record an error", "Удалите include: из-за него ошибочна вся запись"),
)
SPF_NOT_COVERED = Text(
    "spf.not_covered",
    PROBLEM,
    ("SPF gives {result} for our address {ip}", "SPF для нашего адреса {ip} даёт {result}"),
    ("Add {term} before the final all", "Добавьте {term} перед завершающим all"),
)
SPF_PASS_ALL = Text(
    "spf.pass_all",
    PROBLEM,
    (
        "SPF ends in +all: everybody may send as this domain",
        "SPF оканчивается на +all: от имени домена может слать кто угодно",
    ),
    ("End it in ~all or -all", "Завершите запись на ~all или -all"),
)
SPF_NO_ALL = Text(
    "spf.no_all",
    WARNING,
    ("SPF says nothing about other senders", "SPF ничего не говорит о прочих отправителях"),
    ("End the record in ~all or -all", "Завершите запись на ~all или -all"),
)
SPF_AFTER_ALL = Text(
    "spf.after_all",
    WARNING,
    ("SPF terms behind all are never read: {terms}", "Элементы SPF после all не читаются: {terms}"),
    ("Move them before all", "Перенесите их перед all"),
)
SPF_PTR = Text(
    "spf.ptr",
    WARNING,
    ("SPF uses ptr, which receivers may ignore", "SPF использует ptr, который получатели вправе не учитывать"),
    ("Replace it by ip4 or ip6 terms", "Замените его на ip4 или ip6"),
)
SPF_UNTESTED = Text(
    "spf.untested",
    WARNING,
    ("no address of ours is known, so SPF was not tried", "наш адрес неизвестен, поэтому SPF не проверена"),
    ("Set bind of the source, or an A record for its EHLO name", "Укажите bind источника или запись A для имени EHLO"),
)

# --- DKIM (RFC 6376, RFC 8463, RFC 8301) ---------------------------------------------------------
DKIM_OK = Text("dkim.ok", OK, ("the DKIM key is published ({kind})", "ключ DKIM опубликован ({kind})"))
DKIM_MISSING = Text(
    "dkim.missing",
    PROBLEM,
    ("the DKIM key is not published", "ключ DKIM не опубликован"),
    ("Publish: {subject} TXT {record}", "Опубликуйте: {subject} TXT {record}"),
)
DKIM_SEVERAL = Text(
    "dkim.several",
    PROBLEM,
    (
        "{count} TXT records stand at the selector; receivers pick any",
        "у селектора несколько записей TXT: {count}; получатель берёт любую",
    ),
    ("Keep only the record with our key", "Оставьте только запись с нашим ключом"),
)
DKIM_MISMATCH = Text(
    "dkim.mismatch",
    PROBLEM,
    ("another key is published than the one that signs", "опубликован не тот ключ, которым подписываются письма"),
    ("Publish: {subject} TXT {record}", "Опубликуйте: {subject} TXT {record}"),
)
DKIM_REVOKED = Text(
    "dkim.revoked",
    PROBLEM,
    ("the key is revoked (p= is empty)", "ключ отозван (p= пуст)"),
    (
        "Sign with another selector, or publish: {subject} TXT {record}",
        "Подписывайте другим селектором или опубликуйте: {subject} TXT {record}",
    ),
)
DKIM_SYNTAX = Text(
    "dkim.syntax",
    PROBLEM,
    ("the DKIM record cannot be read: {problem}", "запись DKIM не читается: {problem}"),
    ("Publish: {subject} TXT {record}", "Опубликуйте: {subject} TXT {record}"),
)
DKIM_KEY_TYPE = Text(
    "dkim.key_type",
    PROBLEM,
    ("the record says k={published}, the key is {ours}", "в записи k={published}, а ключ — {ours}"),
    ("Publish: {subject} TXT {record}", "Опубликуйте: {subject} TXT {record}"),
)
DKIM_TOO_SHORT = Text(
    "dkim.too_short",
    PROBLEM,
    (
        "the RSA key has {bits} bits; below 1024 it counts as no signature",
        "ключ RSA в {bits} бит; короче 1024 подпись не считается",
    ),
    ("Make a 2048-bit key under a new selector", "Создайте ключ в 2048 бит под новым селектором"),
)
DKIM_SHORT = Text(
    "dkim.short",
    WARNING,
    ("the RSA key has {bits} bits", "ключ RSA в {bits} бит"),
    ("Make a 2048-bit key under a new selector", "Создайте ключ в 2048 бит под новым селектором"),
)
DKIM_TESTING = Text(
    "dkim.testing",
    WARNING,
    ("the key is marked as a test (t=y)", "ключ помечен как пробный (t=y)"),
    (
        "Remove y from t=: some receivers treat the mail as unsigned",
        "Уберите y из t=: часть получателей сочтёт письма неподписанными",
    ),
)
DKIM_HASH = Text(
    "dkim.hash",
    PROBLEM,
    ("the record allows only h={hashes}, we sign with sha256", "запись допускает лишь h={hashes}, а подпись — sha256"),
    ("Remove h= or set h=sha256", "Уберите h= или укажите h=sha256"),
)
DKIM_SERVICE = Text(
    "dkim.service",
    PROBLEM,
    ("the key is not for e-mail (s={services})", "ключ не для почты (s={services})"),
    ("Remove s= or set s=email", "Уберите s= или укажите s=email"),
)
DKIM_WILDCARD = Text(
    "dkim.wildcard",
    WARNING,
    (
        "a wildcard answers for selectors that do not exist",
        "подстановочная запись отвечает за несуществующие селекторы",
    ),
    (
        "Remove the wildcard TXT under _domainkey: a revoked key would still seem to exist",
        "Уберите подстановочную запись TXT под _domainkey: отозванный ключ будет казаться живым",
    ),
)

# --- DMARC (RFC 9989) ----------------------------------------------------------------------------
DMARC_OK = Text("dmarc.ok", OK, ("DMARC policy is {policy}, from {place}", "политика DMARC: {policy}, из {place}"))
DMARC_MISSING = Text(
    "dmarc.missing",
    PROBLEM,
    ("there is no DMARC record here or above", "записи DMARC нет ни здесь, ни выше"),
    ('Publish: _dmarc.{subject} TXT "{record}"', 'Опубликуйте: _dmarc.{subject} TXT "{record}"'),
)
DMARC_SEVERAL = Text(
    "dmarc.several",
    PROBLEM,
    (
        "{place} holds {count} DMARC records, which count as none",
        "у {place} записей DMARC {count}, что равно их отсутствию",
    ),
    ("Keep one of them", "Оставьте одну"),
)
DMARC_SYNTAX = Text(
    "dmarc.syntax",
    PROBLEM,
    ("the DMARC record at {place} has an error: {problem}", "в записи DMARC у {place} ошибка: {problem}"),
    ('Publish: {place} TXT "{record}"', 'Опубликуйте: {place} TXT "{record}"'),
)
DMARC_NONE = Text(
    "dmarc.none",
    WARNING,
    ("the DMARC policy is none: forged mail is delivered", "политика DMARC — none: подделки доставляются"),
    (
        "When the reports show only our own sources failing nowhere, go to p=quarantine, then p=reject",
        "Когда отчёты покажут, что свои источники проходят проверку, перейдите на p=quarantine, затем p=reject",
    ),
)
DMARC_NO_REPORTS = Text(
    "dmarc.no_reports",
    WARNING,
    ("nobody receives DMARC reports (no rua)", "отчёты DMARC никто не получает (нет rua)"),
    ("Add rua=mailto:{address}", "Добавьте rua=mailto:{address}"),
)
DMARC_NOT_TO_US = Text(
    "dmarc.not_to_us",
    WARNING,
    ("DMARC reports go elsewhere: {addresses}", "отчёты DMARC уходят в другое место: {addresses}"),
    ("Add mailto:{address} to rua", "Добавьте mailto:{address} в rua"),
)
DMARC_UNAUTHORISED = Text(
    "dmarc.unauthorised",
    PROBLEM,
    ("{target} has not agreed to take reports about {subject}", "{target} не давал согласия на отчёты о {subject}"),
    ('Publish: {name} TXT "v=DMARC1"', 'Опубликуйте: {name} TXT "v=DMARC1"'),
)
DMARC_TESTING = Text(
    "dmarc.testing",
    WARNING,
    ("the DMARC policy is a test (t=y): receivers do not apply it", "политика DMARC пробная (t=y): её не применяют"),
    ("Remove t=y when the reports are clean", "Уберите t=y, когда отчёты станут чистыми"),
)
DMARC_OLD_TAGS = Text(
    "dmarc.old_tags",
    WARNING,
    (
        "the DMARC record has tags that RFC 9989 dropped: {tags}",
        "в записи DMARC есть теги, отменённые RFC 9989: {tags}",
    ),
    ("Remove them; instead of pct=0 write t=y", "Уберите их; вместо pct=0 пишите t=y"),
)
DMARC_SPF_UNALIGNED = Text(
    "dmarc.spf_unaligned",
    WARNING,
    (
        "SPF cannot align: the return path {return_path} lies outside {subject} (aspf={mode})",
        "SPF не даёт выравнивания: обратный адрес {return_path} вне {subject} (aspf={mode})",
    ),
    (
        "Put the return path below the From domain, and use aspf=r; else DMARC rests on DKIM alone",
        "Поместите обратный адрес под домен From и используйте aspf=r; иначе DMARC держится на одном DKIM",
    ),
)
