"""Words of the findings about BIMI (a brand's logo beside its mail), in English and Russian.

Nothing here is a problem: mail is delivered without a logo as well.
"""

from __future__ import annotations

from collectors.dns.finding import Level, Text

OK, WARNING = Level.OK, Level.WARNING

BIMI_OK = Text("bimi.ok", OK, ("BIMI: the record is good, the logo is {logo}", "BIMI: запись верна, логотип — {logo}"))
BIMI_DECLINED = Text("bimi.declined", OK, ("BIMI is declined by the record", "запись отказывается от BIMI"))
BIMI_SEVERAL = Text(
    "bimi.several",
    WARNING,
    ("{count} BIMI records: receivers take none", "записей BIMI {count}: получатели не примут ни одной"),
    ("Keep one TXT record that begins with v=BIMI1", "Оставьте одну запись TXT, начинающуюся с v=BIMI1"),
)
BIMI_SYNTAX = Text(
    "bimi.syntax",
    WARNING,
    ("the BIMI record cannot be read: {problem}", "запись BIMI не читается: {problem}"),
    ('Publish: {subject} TXT "{record}"', 'Опубликуйте: {subject} TXT "{record}"'),
)
BIMI_NO_LOGO = Text(
    "bimi.no_logo",
    WARNING,
    ("the BIMI record names no logo", "запись BIMI не называет логотипа"),
    ("Give the https address of an SVG Tiny PS file in l=", "Укажите в l= https-адрес файла SVG Tiny PS"),
)
BIMI_ADDRESS = Text(
    "bimi.address",
    WARNING,
    ("the BIMI tag {tag}= is no https address: {value}", "тег BIMI {tag}= не https-адрес: {value}"),
    ("Write {tag}=https://…; other schemes are not fetched", "Напишите {tag}=https://…; иное не загружают"),
)
BIMI_NOT_SVG = Text(
    "bimi.not_svg",
    WARNING,
    ("the BIMI logo is no .svg file: {value}", "логотип BIMI — не файл .svg: {value}"),
    ("Only SVG Tiny PS is shown; convert it", "Показывают только SVG Tiny PS; преобразуйте файл"),
)
BIMI_NO_MARK = Text(
    "bimi.no_mark",
    WARNING,
    (
        "the BIMI record has no certificate (a=): Gmail and Apple show no logo without one",
        "в записи BIMI нет сертификата (a=): Gmail и Apple без него логотип не показывают",
    ),
    (
        "Get a mark certificate (VMC or CMC) and name its PEM file in a=; Yahoo shows the logo without",
        "Получите сертификат (VMC или CMC) и укажите его PEM в a=; Yahoo показывает логотип и так",
    ),
)
BIMI_POLICY = Text(
    "bimi.policy",
    WARNING,
    (
        "BIMI is published but DMARC does not hold: {why}; no receiver shows the logo",
        "BIMI опубликован, но DMARC не строгий: {why}; логотип не покажет никто",
    ),
    (
        "Raise DMARC to p=quarantine or p=reject for all mail, subdomains too",
        "Поднимите DMARC до p=quarantine или p=reject для всей почты, включая поддомены",
    ),
)
BIMI_UNSERVED = Text(
    "bimi.unserved",
    WARNING,
    ("{url} of the BIMI record is not served: {problem}", "{url} из записи BIMI не отдаётся: {problem}"),
    ("Serve it over https, without a redirect, to everybody", "Отдавайте его по https, без переадресации, всем"),
)
BIMI_LOGO = Text(
    "bimi.logo",
    WARNING,
    ("the BIMI logo {url} will not be shown: {why}", "логотип BIMI {url} не покажут: {why}"),
    (
        'Save it as SVG Tiny PS: version="1.2" baseProfile="tiny-ps", a <title>, no script, below 32 kB',
        'Сохраните как SVG Tiny PS: version="1.2" baseProfile="tiny-ps", <title>, без скриптов, до 32 кБ',
    ),
)
BIMI_MARK = Text(
    "bimi.mark",
    WARNING,
    ("the mark certificate {url} is of no use: {why}", "сертификат {url} не годится: {why}"),
    ("Renew it with its issuer and serve the whole chain as PEM", "Обновите его у издателя и отдавайте всю цепочку"),
)
BIMI_SERVED = Text("bimi.served", OK, ("BIMI: logo and certificate are served", "BIMI: логотип и сертификат отдаются"))
