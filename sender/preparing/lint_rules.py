"""What the lint can find, with its words in English and Russian.  The figures stand in `sender.preparing.lint`."""

from __future__ import annotations

from sender.preparing.finding import Level, Rule

PROBLEM, WARNING, NOTE = Level.PROBLEM, Level.WARNING, Level.NOTE

BROKEN = Rule(
    id="broken", level=PROBLEM, part="message",
    what=("{field}: {problem}", "{field}: {problem}"),
    remedy=("{remedy}", "{remedy}"),
)  # fmt: skip
VARIABLE_MISSING = Rule(
    id="variable_missing", level=PROBLEM, part="message",
    what=("The variable {name} is used, and the sample values lack it",
          "Переменная {name} используется, но её нет среди примеров значений"),
    remedy=("Give it for every recipient, or write {{{{ {name}|default('…') }}}}",
            "Передайте её для каждого получателя или напишите {{{{ {name}|default('…') }}}}"),
)  # fmt: skip
VARIABLE_UNUSED = Rule(
    id="variable_unused", level=NOTE, part="message",
    what=("The sample value {name} is used nowhere", "Значение {name} нигде не используется"),
    remedy=("Look for a misspelt name", "Проверьте, нет ли опечатки в имени"),
)  # fmt: skip
SUBJECT_MISSING = Rule(
    id="subject_missing", level=PROBLEM, part="subject",
    what=("There is no subject", "Нет темы"),
    remedy=("Write one", "Напишите тему"),
)  # fmt: skip
SUBJECT_LONG = Rule(
    id="subject_long", level=WARNING, part="subject",
    what=("The subject has {count} characters; phones show about 40, mail clients about {limit}",
          "В теме {count} символов; телефоны показывают около 40, почтовые программы около {limit}"),
    remedy=("Put what matters first and cut the rest", "Главное поставьте в начало, остальное сократите"),
)  # fmt: skip
SUBJECT_CAPITALS = Rule(
    id="subject_capitals", level=WARNING, part="subject",
    what=("The subject is written in CAPITALS", "Тема написана ЗАГЛАВНЫМИ буквами"),
    remedy=("Write as in a letter: spam filters count capitals",
            "Пишите как в обычном письме: спам-фильтры это учитывают"),
)  # fmt: skip
SUBJECT_MARKS = Rule(
    id="subject_marks", level=WARNING, part="subject",
    what=("The subject has several exclamation or question marks in a row",
          "В теме несколько знаков «!» или «?» подряд"),
    remedy=("One is enough", "Достаточно одного"),
)  # fmt: skip
PREHEADER_MISSING = Rule(
    id="preheader_missing", level=NOTE, part="preheader",
    what=("There is no preheader: mail clients show the first words of the body beside the subject",
          "Нет прехедера: рядом с темой будут показаны первые слова письма"),
    remedy=("Write one line of 40 to 100 characters", "Напишите строку в 40–100 символов"),
)  # fmt: skip
BODY_MISSING = Rule(
    id="body_missing", level=PROBLEM, part="message",
    what=("There is neither a text nor an html part", "Нет ни текстовой части, ни HTML"),
    remedy=("Write one", "Добавьте хотя бы одну"),
)  # fmt: skip
TEXT_MISSING = Rule(
    id="text_missing", level=NOTE, part="text",
    what=("There is no text part; it is made from the html", "Нет текстовой части; она будет сделана из HTML"),
    remedy=("Look at it with `penstock template preview`", "Посмотрите её: `penstock template preview`"),
)  # fmt: skip
TEXT_EMPTY = Rule(
    id="text_empty", level=WARNING, part="text",
    what=("The text part is empty", "Текстовая часть пуста"),
    remedy=("Write one, or give the html words that can be read", "Напишите её или добавьте в HTML читаемый текст"),
)  # fmt: skip
TOO_LARGE = Rule(
    id="too_large", level=PROBLEM, part="html",
    what=("The html has {size} bytes: Gmail cuts a message at {limit}, and what is cut off hides the unsubscribe link",
          "HTML занимает {size} байт: Gmail обрезает письмо на {limit}, и ссылка для отписки может пропасть"),
    remedy=("Remove unused styles and comments, move data out of the page", "Уберите лишние стили и комментарии"),
)  # fmt: skip
NEARLY_TOO_LARGE = Rule(
    id="nearly_too_large", level=WARNING, part="html",
    what=("The html has {size} bytes; Gmail cuts at {limit}, and longer values can reach that",
          "HTML занимает {size} байт; Gmail обрезает на {limit}, длинные значения могут до этого довести"),
    remedy=("Leave ten percent of room", "Оставьте десять процентов запаса"),
)  # fmt: skip
ALT_MISSING = Rule(
    id="alt_missing", level=WARNING, part="html",
    what=("{count} images have no alt text: {names}", "У изображений нет текста alt ({count}): {names}"),
    remedy=('Write alt="what it shows", or alt="" for decoration',
            'Напишите alt="что на картинке", для украшений alt=""'),
)  # fmt: skip
IMAGE_ONLY = Rule(
    id="image_only", level=WARNING, part="html",
    what=("Nearly all of it is images: {count} characters of text",
          "Почти всё письмо из картинок: текста {count} символов"),
    remedy=("Say it in words: many readers load no images, and filters distrust such mail",
            "Скажите это словами: многие не загружают картинки, а фильтры таким письмам не доверяют"),
)  # fmt: skip
LINK_INSECURE = Rule(
    id="link_insecure", level=WARNING, part="html",
    what=("Links without encryption (http://): {names}", "Ссылки без шифрования (http://): {names}"),
    remedy=("Use https://", "Используйте https://"),
)  # fmt: skip
LINK_DECEPTIVE = Rule(
    id="link_deceptive", level=PROBLEM, part="html",
    what=("A link says {words} and leads to {host}: filters take that for phishing",
          "Ссылка с текстом {words} ведёт на {host}: фильтры сочтут это фишингом"),
    remedy=("Write words in place of an address, or the address where it leads",
            "Напишите словами, а не адресом, или укажите настоящий адрес"),
)  # fmt: skip
LINK_EMPTY = Rule(
    id="link_empty", level=WARNING, part="html",
    what=("{count} links lead nowhere", "Ссылок без адреса: {count}"),
    remedy=("Give each an address", "Укажите адреса"),
)  # fmt: skip
ACTIVE_CONTENT = Rule(
    id="active_content", level=WARNING, part="html",
    what=("Mail clients remove these elements or distrust them: {names}",
          "Почтовые программы удаляют такие элементы или не доверяют им: {names}"),
    remedy=("Link to a page that has them", "Дайте ссылку на страницу с ними"),
)  # fmt: skip
UNSUBSCRIBE_MISSING = Rule(
    id="unsubscribe_missing", level=PROBLEM, part="html",
    what=("No visible link to unsubscribe in the {part} part", "В части {part} нет видимой ссылки для отписки"),
    remedy=("Add a link to {{{{ unsubscribe_url }}}}; Gmail, Yahoo and the law ask for it",
            "Добавьте ссылку на {{{{ unsubscribe_url }}}}: этого требуют Gmail, Yahoo и закон"),
)  # fmt: skip
UNSUBSCRIBE_SMALL = Rule(
    id="unsubscribe_small", level=WARNING, part="html",
    what=("The link to unsubscribe is {size} px small", "Ссылка для отписки мелкая: {size} px"),
    remedy=("Whoever cannot find it reports spam: use 10 px or more", "Кто её не найдёт, нажмёт «Спам»: от 10 px"),
)  # fmt: skip
ADDRESS_MISSING = Rule(
    id="address_missing", level=PROBLEM, part="message",
    what=("The sender's legal address is missing: {address}", "Нет юридического адреса отправителя: {address}"),
    remedy=("Put it into the footer", "Добавьте его в подвал письма"),
)  # fmt: skip
ADDRESS_UNSEEN = Rule(
    id="address_unseen", level=WARNING, part="message",
    what=("Nothing looks like the sender's legal postal address", "Не видно почтового адреса отправителя"),
    remedy=("Put company and address into the footer (CAN-SPAM, and the law in most countries)",
            "Укажите в подвале компанию и адрес (этого требует закон во многих странах)"),
)  # fmt: skip
CAPITALS = Rule(
    id="capitals", level=WARNING, part="message",
    what=("{count} words stand in CAPITALS: {names}", "Слов ЗАГЛАВНЫМИ буквами: {count} ({names})"),
    remedy=("Use bold where it matters", "Выделяйте важное жирным"),
)  # fmt: skip
EVERY = tuple(rule for rule in list(globals().values()) if isinstance(rule, Rule))
