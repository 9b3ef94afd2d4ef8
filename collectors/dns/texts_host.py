"""Words of the findings about receiving hosts, addresses and transport security, in English and Russian."""

from __future__ import annotations

from collectors.dns.finding import Level, Text

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

# --- MX (RFC 5321, RFC 7505) ---------------------------------------------------------------------
MX_OK = Text("mx.ok", OK, ("mail is taken by {hosts}", "почту принимает {hosts}"))
MX_MISSING = Text(
    "mx.missing",
    PROBLEM,
    (
        "no host takes mail: bounces and complaints cannot come back",
        "почту никто не принимает: отказы и жалобы не вернутся",
    ),
    ("Publish: {subject} MX 10 {wanted}.", "Опубликуйте: {subject} MX 10 {wanted}."),
)
MX_IMPLICIT = Text(
    "mx.implicit",
    WARNING,
    ("there is no MX record, only an address", "записи MX нет, есть только адрес"),
    ("Publish: {subject} MX 10 {wanted}.", "Опубликуйте: {subject} MX 10 {wanted}."),
)
MX_NULL = Text(
    "mx.null",
    PROBLEM,
    ("the domain says that it takes no mail (null MX)", "домен объявил, что почту не принимает (null MX)"),
    ("Replace the null MX by: {subject} MX 10 {wanted}.", "Замените null MX на: {subject} MX 10 {wanted}."),
)
MX_NO_ADDRESS = Text(
    "mx.no_address",
    PROBLEM,
    ("the mail host {host} has no address", "у почтового сервера {host} нет адреса"),
    ("Publish an A or AAAA record for {host}", "Опубликуйте запись A или AAAA для {host}"),
)
MX_IS_ADDRESS = Text(
    "mx.is_address",
    PROBLEM,
    ("the MX record names the address {host} and no host", "в записи MX указан адрес {host}, а не имя"),
    ("Name a host that has this address", "Укажите имя, у которого есть этот адрес"),
)
FROM_NO_MX = Text(
    "from.no_mx",
    WARNING,
    ("nobody can answer mail from this domain: no MX", "на письма с этого домена нельзя ответить: нет MX"),
    (
        "Publish an MX record, so that replies and postmaster@ arrive",
        "Опубликуйте MX, чтобы доходили ответы и письма на postmaster@",
    ),
)

# --- addresses (RFC 1912, RFC 5321 section 4.1.4) ------------------------------------------------
PTR_OK = Text("ptr.ok", OK, ("PTR is {name}, confirmed forward", "PTR — {name}, подтверждён прямой записью"))
PTR_MISSING = Text(
    "ptr.missing",
    PROBLEM,
    ("the address has no PTR record", "у адреса нет записи PTR"),
    ("Ask the address's owner to set its PTR to {ehlo}", "Попросите владельца адреса завести PTR {ehlo}"),
)
PTR_UNCONFIRMED = Text(
    "ptr.unconfirmed",
    PROBLEM,
    ("PTR is {name}, which does not lead back to the address", "PTR — {name}, но это имя не ведёт обратно к адресу"),
    ("Publish: {name} {type} {subject}", "Опубликуйте: {name} {type} {subject}"),
)
PTR_GENERIC = Text(
    "ptr.generic",
    WARNING,
    ("PTR {name} looks like a line of customers", "PTR {name} похож на абонентскую линию"),
    ("Ask the address's owner to set its PTR to {ehlo}", "Попросите владельца адреса завести PTR {ehlo}"),
)
PTR_SEVERAL = Text(
    "ptr.several",
    WARNING,
    ("the address has {count} PTR records", "у адреса несколько записей PTR: {count}"),
    ("Keep one: {ehlo}", "Оставьте одну: {ehlo}"),
)
EHLO_OK = Text("ehlo.ok", OK, ("EHLO {ehlo} agrees with the address", "EHLO {ehlo} согласован с адресом"))
EHLO_BAD = Text(
    "ehlo.bad",
    PROBLEM,
    ("EHLO {ehlo} is no full host name", "EHLO {ehlo} — не полное имя узла"),
    ("Set ehlo of the source to a name such as mail.example.com", "Укажите в ehlo источника имя вида mail.example.com"),
)
EHLO_NO_ADDRESS = Text(
    "ehlo.no_address",
    PROBLEM,
    ("EHLO {ehlo} has no address", "у имени EHLO {ehlo} нет адреса"),
    ("Publish: {ehlo} {type} {ip}", "Опубликуйте: {ehlo} {type} {ip}"),
)
EHLO_ELSEWHERE = Text(
    "ehlo.elsewhere",
    PROBLEM,
    (
        "EHLO {ehlo} leads to {addresses} and not to this address",
        "EHLO {ehlo} ведёт на {addresses}, а не на этот адрес",
    ),
    (
        "Publish: {ehlo} {type} {subject}, or use the PTR's name as ehlo",
        "Опубликуйте: {ehlo} {type} {subject} или возьмите имя из PTR",
    ),
)
EHLO_NOT_PTR = Text(
    "ehlo.not_ptr",
    WARNING,
    ("EHLO is {ehlo}, the PTR is {name}", "EHLO — {ehlo}, а PTR — {name}"),
    (
        "Make them the same name: Gmail, Yandex and Mail.ru look at both",
        "Сделайте имена одинаковыми: Gmail, Яндекс и Mail.ru смотрят на оба",
    ),
)
ADDRESS_PRIVATE = Text(
    "address.private",
    WARNING,
    ("the source {ehlo} sends from the private address {subject}", "источник {ehlo} шлёт с частного адреса {subject}"),
    (
        "PTR and SPF are judged by the public address that it leaves from: check that one, or set bind to it",
        "PTR и SPF проверяются по внешнему адресу: проверьте его или укажите в bind",
    ),
)
ADDRESS_UNKNOWN = Text(
    "address.unknown",
    PROBLEM,
    ("no public address is known for the source {subject}", "для источника {subject} неизвестен внешний адрес"),
    ("Set bind to the address, and publish: {ehlo} A ADDRESS", "Укажите адрес в bind и опубликуйте: {ehlo} A АДРЕС"),
)

# --- MTA-STS (RFC 8461), TLS-RPT (RFC 8460) ------------------------------------------------------
MTA_STS_OK = Text("mta_sts.ok", OK, ("MTA-STS is announced (id {id})", "MTA-STS объявлена (id {id})"))
MTA_STS_MISSING = Text(
    "mta_sts.missing",
    WARNING,
    ("no MTA-STS policy is announced", "политика MTA-STS не объявлена"),
    (
        "When its hosts do TLS (inbound.tls_cert), serve a policy at "
        "https://mta-sts.{subject}/.well-known/mta-sts.txt, "
        'first with mode: testing, and publish: _mta-sts.{subject} TXT "v=STSv1; id=1"',
        "Когда узлы принимают по TLS (inbound.tls_cert), разместите политику на "
        "https://mta-sts.{subject}/.well-known/mta-sts.txt, сначала с mode: testing, и опубликуйте: "
        '_mta-sts.{subject} TXT "v=STSv1; id=1"',
    ),
)
MTA_STS_BAD = Text(
    "mta_sts.bad",
    PROBLEM,
    ("the MTA-STS record is wrong: {problem}", "запись MTA-STS неверна: {problem}"),
    (
        'Publish one record: _mta-sts.{subject} TXT "v=STSv1; id=1"',
        'Опубликуйте одну запись: _mta-sts.{subject} TXT "v=STSv1; id=1"',
    ),
)
TLS_RPT_OK = Text("tls_rpt.ok", OK, ("TLS reports go to {address}", "отчёты TLS уходят на {address}"))
TLS_RPT_MISSING = Text(
    "tls_rpt.missing",
    WARNING,
    ("nobody receives TLS reports", "отчёты TLS никто не получает"),
    (
        'Publish: _smtp._tls.{subject} TXT "v=TLSRPTv1; rua=mailto:{address}"',
        'Опубликуйте: _smtp._tls.{subject} TXT "v=TLSRPTv1; rua=mailto:{address}"',
    ),
)
TLS_RPT_BAD = Text(
    "tls_rpt.bad",
    PROBLEM,
    ("the TLS reporting record is wrong: {problem}", "запись TLS-RPT неверна: {problem}"),
    (
        'Publish one record: _smtp._tls.{subject} TXT "v=TLSRPTv1; rua=mailto:{address}"',
        'Опубликуйте одну запись: _smtp._tls.{subject} TXT "v=TLSRPTv1; rua=mailto:{address}"',
    ),
)
