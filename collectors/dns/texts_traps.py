"""Words of the findings about records that look right and are not read as they were meant, in English and Russian."""

from __future__ import annotations

from collectors.dns.finding import Level, Text

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

# --- SPF (RFC 7208) ------------------------------------------------------------------------------
SPF_UNREAD = Text(
    "spf.unread",
    PROBLEM,
    (
        "a TXT record looks like SPF and is not read as such: {seen}",
        "запись TXT похожа на SPF, но ею не считается: {seen}",
    ),
    (
        'An SPF record begins with v=spf1 and a space. Publish: {subject} TXT "{record}"',
        'Запись SPF начинается с v=spf1 и пробела. Опубликуйте: {subject} TXT "{record}"',
    ),
)
SPF_LONG = Text(
    "spf.long",
    WARNING,
    (
        "the SPF record has {size} bytes, more than fit a small answer",
        "запись SPF в {size} байт не помещается в короткий ответ",
    ),
    (
        "Keep it below 450 bytes (RFC 7208 section 3.4): some receivers never ask again by TCP",
        "Уложитесь в 450 байт (RFC 7208, раздел 3.4): не все переспрашивают по TCP",
    ),
)
SPF_STRANGERS = Text(
    "spf.strangers",
    PROBLEM,
    ("SPF lets any address pass: {domain} is behind it", "SPF пропускает любой адрес: причина — {domain}"),
    ("Remove that term or include", "Удалите этот элемент или include"),
)
SPF_WIDE = Text(
    "spf.wide",
    WARNING,
    ("the SPF term {term} lets {count} addresses pass", "элемент SPF {term} пропускает адресов: {count}"),
    ("Name only the addresses that send for you", "Перечислите только те адреса, с которых вы шлёте"),
)
SPF_EQUALS = Text(
    "spf.equals",
    PROBLEM,
    (
        "receivers pass over the SPF term {term}: it has = for a colon",
        "элемент SPF {term} не действует: вместо двоеточия стоит =",
    ),
    ("Write {name}: instead of {name}=", "Напишите {name}: вместо {name}="),
)
SPF_REDIRECT = Text(
    "spf.redirect",
    WARNING,
    ("redirect={domain} is never read beside all", "redirect={domain} рядом с all не читается"),
    ("Write include:{domain} before all, or remove all", "Напишите include:{domain} перед all или уберите all"),
)
SPF_FLAT = Text(
    "spf.flat",
    WARNING,
    (
        "the look-ups of SPF lead to addresses that fit one record",
        "за запросами SPF стоят адреса, которые умещаются в одну запись",
    ),
    (
        'Without look-ups: {subject} TXT "{record}"; write it anew when your suppliers change theirs',
        'Без запросов: {subject} TXT "{record}"; обновляйте её, когда поставщики меняют свои',
    ),
)

# --- DKIM (RFC 6376) -----------------------------------------------------------------------------
DKIM_DOUBLED = Text(
    "dkim.doubled",
    PROBLEM,
    (
        "the DKIM key is published at {below}: the domain was appended to a name that held it already",
        "ключ DKIM опубликован по имени {below}: к имени, где домен уже был, он добавлен ещё раз",
    ),
    (
        "Give your DNS panel the name {relative} alone, or end the whole name in a dot. The record: {record}",
        "Укажите в панели DNS имя {relative} без домена или завершите полное имя точкой. Запись: {record}",
    ),
)
DKIM_ALIAS_EMPTY = Text(
    "dkim.alias_empty",
    PROBLEM,
    (
        "the DKIM key's name is an alias of {target}, where no key is published",
        "имя ключа DKIM — псевдоним {target}, где ключа нет",
    ),
    (
        "Remove the alias (CNAME) and publish: {subject} TXT {record}; or have {target} publish that record",
        "Уберите псевдоним (CNAME) и опубликуйте: {subject} TXT {record}; или пусть эту запись опубликует {target}",
    ),
)
DKIM_SEEN_MISSING = Text(
    "dkim.seen_missing",
    WARNING,
    (
        "reports show mail of {domain} signed with {selector}, whose key is not published",
        "отчёты показывают письма {domain} с подписью {selector}, ключ которой не опубликован",
    ),
    (
        "Find who signs so (penstock reports sources): publish the signer's key, or stop the signer",
        "Найдите, кто так подписывает (penstock reports sources): опубликуйте его ключ или остановите его",
    ),
)

# --- DMARC (RFC 9989) ----------------------------------------------------------------------------
DMARC_UNREAD = Text(
    "dmarc.unread",
    PROBLEM,
    ("the record at {place} is not read as DMARC: {seen}", "запись у {place} не считается записью DMARC: {seen}"),
    (
        'It has to begin with v=DMARC1; (capitals, first, with a semicolon). Publish: {place} TXT "{record}"',
        'Начало должно быть v=DMARC1; (заглавные, точка с запятой). Опубликуйте: {place} TXT "{record}"',
    ),
)
DMARC_MISPLACED = Text(
    "dmarc.misplaced",
    PROBLEM,
    (
        "the DMARC record stands at {subject}, where nobody looks",
        "запись DMARC стоит у {subject}, где её никто не ищет",
    ),
    ("Move it to _dmarc.{subject}", "Перенесите её в _dmarc.{subject}"),
)
DMARC_WEAKER_BELOW = Text(
    "dmarc.weaker_below",
    WARNING,
    (
        "subdomains are weaker protected: {tag}={below}, p={policy}",
        "поддомены защищены слабее: {tag}={below}, p={policy}",
    ),
    ("Remove {tag}, or set it to {policy}", "Уберите {tag} или укажите {policy}"),
)
DMARC_VALUE = Text(
    "dmarc.value",
    WARNING,
    (
        "DMARC {tag}={value} is no value of that tag and is ignored",
        "DMARC {tag}={value}: такого значения нет, тег не действует",
    ),
    ("Write one of: {allowed}", "Допустимо: {allowed}"),
)
DMARC_TAG = Text(
    "dmarc.tag",
    WARNING,
    ("DMARC knows no tag {tags}: it is ignored", "в DMARC нет тега {tags}: он не действует"),
    ("Check the spelling: rua, ruf, adkim, aspf, sp, np", "Проверьте написание: rua, ruf, adkim, aspf, sp, np"),
)
DMARC_URI = Text(
    "dmarc.uri",
    PROBLEM,
    ("{tag} names {seen}, which is no address for reports", "{tag} содержит {seen}, а это не адрес для отчётов"),
    ("Write {tag}=mailto:NAME@DOMAIN", "Напишите {tag}=mailto:ИМЯ@ДОМЕН"),
)
DMARC_TARGET = Text(
    "dmarc.target",
    PROBLEM,
    ("DMARC reports go to {target}, which takes no mail", "отчёты DMARC уходят в {target}, где почту не принимают"),
    (
        "Publish an MX record for {target}, or name another address",
        "Опубликуйте MX для {target} или укажите другой адрес",
    ),
)
DMARC_SUFFIX = Text(
    "dmarc.suffix",
    WARNING,
    (
        "receivers disagree on where {subject} belongs: {walk} by RFC 9989, {listed} by the public suffix list",
        "получатели по-разному видят, чей домен {subject}: по RFC 9989 {walk}, по списку суффиксов {listed}",
    ),
    (
        "With psd=n in the record of {listed}, or a return path and DKIM domain equal to the From domain, both agree",
        "С psd=n в записи {listed} или с обратным адресом и доменом DKIM, равными From, ответ будет один",
    ),
)
DMARC_PSD = Text(
    "dmarc.psd",
    PROBLEM,
    (
        "psd=y says that {subject} is a public suffix, like com",
        "psd=y объявляет {subject} публичным суффиксом, как com",
    ),
    ("Remove psd: nothing below would align with it", "Уберите psd: иначе поддомены не выравниваются"),
)

# --- hosts ---------------------------------------------------------------------------------------
MX_ALIAS = Text(
    "mx.alias",
    WARNING,
    ("the mail host {host} is an alias of {target}", "почтовый сервер {host} — псевдоним {target}"),
    (
        "Name {target} itself in the MX record (RFC 2181 section 10.3)",
        "Укажите в MX само имя {target} (RFC 2181, раздел 10.3)",
    ),
)
MX_PRIVATE = Text(
    "mx.private",
    PROBLEM,
    (
        "the mail host {host} has only the private address {address}",
        "у почтового сервера {host} только частный адрес {address}",
    ),
    ("Publish the address that the world reaches it by", "Опубликуйте адрес, по которому он доступен извне"),
)
NAME_IS_ALIAS = Text(
    "name.alias",
    PROBLEM,
    (
        "{subject} is an alias of {target}: records beside a CNAME are not seen",
        "{subject} — псевдоним {target}: записи рядом с CNAME не видны",
    ),
    ("Replace the CNAME by records of its own", "Замените CNAME собственными записями"),
)
EHLO_ALIAS = Text(
    "ehlo.alias",
    WARNING,
    ("EHLO {ehlo} is an alias of {target}", "EHLO {ehlo} — псевдоним {target}"),
    (
        "Use a name with an address record of its own (RFC 5321 section 2.3.5)",
        "Используйте имя с собственной записью адреса (RFC 5321, раздел 2.3.5)",
    ),
)
LINK_HOST = Text(
    "http.no_address",
    PROBLEM,
    ("links lead to {host}, which has no address", "ссылки ведут на {host}, а у этого имени нет адреса"),
    (
        "Publish: {host} A ADDRESS, or change http.public_url",
        "Опубликуйте: {host} A АДРЕС или измените http.public_url",
    ),
)

TLS_RPT_TARGET = Text(
    "tls_rpt.target",
    WARNING,
    ("TLS reports go to {target}, which takes no mail", "отчёты TLS уходят в {target}, где почту не принимают"),
    (
        "Publish an MX record for {target}, or name another address in _smtp._tls.{subject}",
        "Опубликуйте MX для {target} или укажите другой адрес в _smtp._tls.{subject}",
    ),
)
# --- DANE for mail to us (RFC 7672) --------------------------------------------------------------
DANE_OK = Text("dane.ok", OK, ("DANE is published for {host}", "для {host} опубликована DANE"))
DANE_UNUSABLE = Text(
    "dane.unusable",
    PROBLEM,
    ("no TLSA record of {host} can be used: {records}", "ни одна запись TLSA у {host} не годится: {records}"),
    (
        "Publish usage 3 (DANE-EE), selector 1, matching 1 of the present certificate, or remove the records",
        "Опубликуйте usage 3 (DANE-EE), selector 1, matching 1 для нынешнего сертификата или удалите записи",
    ),
)
DANE_MISMATCH = Text(
    "dane.mismatch",
    PROBLEM,
    (
        "the TLSA records of {host} do not fit its certificate ({why}): senders that honour DANE do not deliver",
        "записи TLSA у {host} не подходят к его сертификату ({why}): соблюдающие DANE отправители не доставят",
    ),
    (
        "Publish: _25._tcp.{host} TLSA {record}; at a renewal keep the key, or publish the new record first",
        "Опубликуйте: _25._tcp.{host} TLSA {record}; при обновлении сохраняйте ключ или сначала публикуйте запись",
    ),
)
STS_TESTING = Text(
    "mta_sts.testing",
    WARNING,
    ("the MTA-STS policy is only tested (mode: testing)", "политика MTA-STS лишь пробная (mode: testing)"),
    ("Set mode: enforce when the TLS reports are clean", "Укажите mode: enforce, когда отчёты TLS станут чистыми"),
)
STS_OFF = Text(
    "mta_sts.off",
    WARNING,
    ("the MTA-STS policy says mode: none: it protects nothing", "политика MTA-STS говорит mode: none: защиты нет"),
    (
        "Set mode: testing, later enforce, or remove the record",
        "Укажите mode: testing, затем enforce, или удалите запись",
    ),
)
STS_SHORT = Text(
    "mta_sts.short",
    WARNING,
    ("the MTA-STS policy is kept for {seconds} s only", "политика MTA-STS хранится лишь {seconds} с"),
    ("Set max_age to 604800 or more (RFC 8461 section 3.2)", "Укажите max_age от 604800 (RFC 8461, раздел 3.2)"),
)
