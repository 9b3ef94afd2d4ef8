"""Words of `penstock doctor` about files, listeners and the way out, in English and Russian."""

from __future__ import annotations

from collectors.dns.checks import Level, Text

OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

SECRETS_OK = Text("files.ok", OK, ("{count} secret files can be read", "файлы с секретами ({count}) читаются"))
SECRET_UNREADABLE = Text(
    "files.unreadable",
    PROBLEM,
    ("the file of {key} {problem}", "файл из {key}: {problem}"),
    ("{remedy}", "{remedy}"),
)
SECRET_OPEN = Text(
    "files.open",
    WARNING,
    ("the file of {key} can be read by others (mode {mode})", "файл из {key} доступен посторонним (права {mode})"),
    ("chmod 600 {subject}", "chmod 600 {subject}"),
)
NO_DKIM = Text(
    "dkim.no_keys",
    PROBLEM,
    (
        "no DKIM key: Gmail, Yahoo and Microsoft refuse unsigned bulk mail",
        "нет ключа DKIM: Gmail, Yahoo и Microsoft отвергнут рассылку",
    ),
    (
        "Add [[sending_domains.dkim]] with a selector and a key file (`penstock init` makes them)",
        "Добавьте [[sending_domains.dkim]] с селектором и файлом ключа (их создаёт `penstock init`)",
    ),
)
KEY_BAD = Text(
    "dkim.key_bad",
    PROBLEM,
    ("the DKIM key of {name} cannot be used: {problem}", "ключ DKIM для {name} непригоден: {problem}"),
    ("{remedy}", "{remedy}"),
)
KEY_OTHER_KIND = Text(
    "dkim.key_kind",
    PROBLEM,
    ("algorithm says {algorithm}, the key is {kind}", "в algorithm указано {algorithm}, а ключ — {kind}"),
    (
        "Set algorithm to the key's kind, or name the right key_file",
        "Укажите в algorithm вид ключа или другой key_file",
    ),
)
PORT25_OK = Text(
    "port25.ok",
    OK,
    ("port {port} is open on the way out (spoke to {host})", "исходящий порт {port} открыт (ответил {host})"),
)
PORT25_CLOSED = Text(
    "port25.closed",
    PROBLEM,
    (
        "no mail host could be reached on port {port}: {problem}",
        "ни один почтовый сервер не ответил на порту {port}: {problem}",
    ),
    (
        "Ask the hosting provider to open outgoing port {port}; many close it until asked",
        "Попросите хостинг открыть исходящий порт {port}: многие закрывают его до запроса",
    ),
)
SOURCE_UNBINDABLE = Text(
    "source.unbindable",
    PROBLEM,
    (
        "this machine cannot send from {bind}: {problem}",
        "эта машина не может отправлять с {bind}: {problem}",
    ),
    (
        "Give the machine the address (`ip addr add {bind} dev …`), or mend `bind` in [[sources]]",
        "Добавьте машине адрес (`ip addr add {bind} dev …`) или исправьте `bind` в [[sources]]",
    ),
)
RELAY_OK = Text(
    "relay.ok",
    OK,
    ("the relay {subject} at {where} takes us in", "релей {subject} ({where}) принимает нас"),
)
RELAY_REFUSES = Text(
    "relay.refuses",
    PROBLEM,
    (
        "the relay {subject} at {where} would take no mail: {problem}",
        "релей {subject} ({where}) не взял бы почту: {problem}",
    ),
    (
        "Mend host, port, security, user or the password's file in [[relays]], or what is wrong at the relay",
        "Исправьте host, port, security, user или файл пароля в [[relays]] либо сам релей",
    ),
)
PORT25_UNKNOWN = Text(
    "port25.unknown",
    WARNING,
    (
        "port {port} was not tried: no mail host could be looked up",
        "порт {port} не проверен: ни один почтовый сервер не найден",
    ),
    ("Check the name servers under [dns] and run this again", "Проверьте серверы имён в разделе [dns] и повторите"),
)
PUBLIC_URL = Text(
    "http.public_url",
    PROBLEM,
    (
        "unsubscribe links lead to {subject}: one-click (RFC 8058) needs https on a public name",
        "ссылки отписки ведут на {subject}: отписке в один клик (RFC 8058) нужен https и публичное имя",
    ),
    (
        "Put a TLS proxy before [http] and set http.public_url to its https address",
        "Поставьте перед [http] прокси с TLS и укажите его адрес https в http.public_url",
    ),
)
INBOUND_OFF = Text(
    "inbound.off",
    PROBLEM,
    (
        "the inbound listener is off: bounces and complaints are lost",
        "приём входящих выключен: отказы и жалобы теряются",
    ),
    ("Set inbound.enabled = true", "Укажите inbound.enabled = true"),
)
INBOUND_LOCAL = Text(
    "inbound.local",
    WARNING,
    (
        "the inbound listener stands at {subject}; mail for the return path goes to port 25 of its MX",
        "приём входящих слушает {subject}, а почта на обратный адрес идёт на порт 25 его MX",
    ),
    (
        "Forward port 25 of the MX to it, or set inbound.host and inbound.port = 25",
        "Перенаправьте на него порт 25 с MX или укажите inbound.host и inbound.port = 25",
    ),
)
NO_DMARC_ADDRESS = Text(
    "inbound.no_dmarc",
    WARNING,
    ("no address for DMARC reports is set", "не указан адрес для отчётов DMARC"),
    (
        "Set inbound.dmarc_address, e.g. dmarc@{return_path}, and name it in rua=",
        "Укажите inbound.dmarc_address, например dmarc@{return_path}, и впишите его в rua=",
    ),
)
NO_SEEDS = Text(
    "seeds.none",
    WARNING,
    (
        "no seed mailbox: inbox or spam folder, nobody will know",
        "нет контрольных ящиков: не узнать, входящие это или спам",
    ),
    (
        "Add [[seeds.mailboxes]], one for each large provider",
        "Добавьте [[seeds.mailboxes]] у каждого крупного провайдера",
    ),
)
UNSUBSCRIBE_OK = Text(
    "unsubscribe.ok", OK, ("unsubscribe links lead to this service", "ссылки отписки ведут на этот сервис")
)
UNSUBSCRIBE_UNREACHABLE = Text(
    "unsubscribe.unreachable",
    WARNING,
    (
        "{subject}, where unsubscribe links lead, does not answer as Penstock: {problem}",
        "{subject}, куда ведут ссылки отписки, не отвечает как Penstock: {problem}",
    ),
    (
        "Start the service, and let the proxy pass /u/ and /healthz on to [http]",
        "Запустите сервис и передавайте в прокси /u/ и /healthz на [http]",
    ),
)
ROLES_OK = Text("roles.ok", OK, ("{host} takes mail for {addresses}", "{host} принимает почту для {addresses}"))
ROLE_REFUSED = Text(
    "roles.refused",
    PROBLEM,
    ("{host} refuses mail for {address}: {reply}", "{host} не принимает почту для {address}: {reply}"),
    (
        "Make the mailbox and read it: RFC 2142, and every large provider, asks for it",
        "Заведите ящик и читайте его: этого требуют RFC 2142 и все крупные провайдеры",
    ),
)
ROLES_UNKNOWN = Text(
    "roles.unknown",
    WARNING,
    (
        "whether postmaster@ and abuse@ take mail is not known: {problem}",
        "принимают ли postmaster@ и abuse@ почту, неизвестно: {problem}",
    ),
    ("Send both a mail by hand and see that it arrives", "Отправьте на оба адреса письмо и проверьте, что оно дошло"),
)
STS_SERVED = Text(
    "mta_sts.served",
    OK,
    (
        "the MTA-STS policy is served ({mode}) and lists every MX",
        "политика MTA-STS отдаётся ({mode}), все MX в ней есть",
    ),
)
MX_SILENT = Text(
    "mx.silent",
    WARNING,
    (
        "{host}, which takes the bounces of {subject}, cannot be asked: {problem}",
        "{host}, куда приходят отказы для {subject}, не удалось опросить: {problem}",
    ),
    (
        "Start the service there and let port 25 through; try again from a network that lets port 25 out",
        "Запустите там сервис и откройте порт 25; проверьте из сети, где исходящий порт 25 открыт",
    ),
)
MX_NO_TLS = Text(
    "mx.no_tls",
    PROBLEM,
    (
        "{demand} demands TLS of {host}, which does none ({problem}): senders that honour it do not deliver",
        "{demand} требует TLS от {host}, а его там нет ({problem}): соблюдающие это отправители не доставят",
    ),
    (
        "Set inbound.tls_cert and inbound.tls_key (or TLS of the host before it), or withdraw the announcement",
        "Укажите inbound.tls_cert и inbound.tls_key (или включите TLS на узле перед ним) либо снимите объявление",
    ),
)
STS_CERTIFICATE = Text(
    "mta_sts.certificate",
    PROBLEM,
    (
        "the certificate of {host} is not good for MTA-STS ({problem}): senders that honour it do not deliver",
        "сертификат {host} не годится для MTA-STS ({problem}): соблюдающие её отправители не доставят",
    ),
    (
        "Give the host a certificate of a public authority with its name in it, or set mode: testing meanwhile",
        "Поставьте сертификат публичного центра на имя узла, а пока укажите mode: testing",
    ),
)
STS_UNSERVED = Text(
    "mta_sts.unserved",
    PROBLEM,
    (
        "an MTA-STS policy is announced but {url} gives none: {problem}",
        "политика MTA-STS объявлена, но {url} её не отдаёт: {problem}",
    ),
    (
        "Serve the policy there over HTTPS with a valid certificate, or remove the _mta-sts record",
        "Отдавайте политику по этому адресу по HTTPS с действительным сертификатом или уберите запись _mta-sts",
    ),
)
STS_MX = Text(
    "mta_sts.mx",
    PROBLEM,
    (
        "the MTA-STS policy does not list the MX {hosts}: senders that honour it will not deliver",
        "в политике MTA-STS нет MX {hosts}: отправители, которые её соблюдают, не доставят почту",
    ),
    (
        "Add a line 'mx: {hosts}' to the policy and change the record's id",
        "Добавьте в политику 'mx: {hosts}' и смените id записи",
    ),
)
