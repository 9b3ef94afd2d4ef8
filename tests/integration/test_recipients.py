"""A real browser in front of a running service: the page of topics, and a mail whose links lead through us.

The mail is injected, delivered to a mail host of this test over SMTP, opened and followed.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from config.load import load_settings
from core.clock import SystemClock
from core.events import Clicked, Delivered, Door, Event, Opened
from core.state import MxHost
from core.tokens import MessageId
from sender.intake import Injection, RecipientIn
from service.app import Service
from tests.daemons.browser import browser
from tests.ports import free_port
from tests.unit.service.running import SilentResolver

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
HTML = (
    '<html lang="en"><head><title>Offers</title></head><body><a id="go" href="{shop}/sale?a=1&amp;b=2">Sale</a> '
    '<a id="choose" href="{{{{ preferences_url }}}}">Choose</a></body></html>'
)


class OneHost(SilentResolver):
    """Every domain's mail goes to this machine."""

    async def mx(self, domain: str) -> list[MxHost]:
        return [MxHost(preference=10, host="mx.reader.test")]

    async def addresses(self, host: str) -> list[str]:
        return ["127.0.0.1"]


@contextmanager
def mail_host() -> Iterator[tuple[int, list[bytes]]]:
    """(port, what was delivered)."""
    taken: list[bytes] = []

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 mx.reader.test ESMTP\r\n")
            while line := self.rfile.readline(4096):
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    content = b""
                    while not content.endswith(b"\r\n.\r\n"):
                        content += self.rfile.readline(70_000)
                    taken.append(content[:-5].replace(b"\r\n..", b"\r\n."))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1], taken
        server.shutdown()
        thread.join()


def settings_text(port: int, smtp: int) -> str:
    return f"""\
data_dir = "var"
[[sending_domains]]
name = "example.com"
return_path = "rp.example.com"
[[sources]]
name = "a"
ehlo = "a.example.com"
[[streams]]
name = "transactional"
kind = "transactional"
unsubscribe = false
[[streams]]
name = "bulk"
title_en = "News"
title_ru = "Новости"
track_opens = true
track_clicks = true
[[topics]]
name = "offers"
stream = "bulk"
title_en = "Offers"
title_ru = "Предложения"
[[topics]]
name = "letter"
stream = "bulk"
title_en = "Letter"
title_ru = "Письмо"
[http]
port = {port}
public_url = "http://127.0.0.1:{port}"
[submission]
enabled = false
[inbound]
enabled = false
[delivery]
port = {smtp}
[warmup]
enabled = false
[blocklists]
enabled = false
[records]
enabled = false
"""


async def events_of(service: Service, message_id: str) -> list[Event]:
    return [logged.event for logged in await service.parts.stores.log.of_message(MessageId(message_id))]


async def until(service: Service, message_id: str, kind: type[Event], count: int = 1) -> list[Event]:
    """Events of that kind, once there are so many; the test's own time limit ends the wait."""
    while True:
        found = [event for event in await events_of(service, message_id) if isinstance(event, kind)]
        if len(found) >= count:
            return found
        await service.parts.stores.log.changed(1)


async def shop() -> tuple[web.AppRunner, str, list[str]]:
    """A shop that remembers what was asked of it, and who sent the visitor."""
    visits: list[str] = []

    async def page(request: web.Request) -> web.Response:
        visits.append(f"{request.path_qs} {request.headers.get('Referer', '')}".strip())
        return web.Response(text="<title>Shop</title>Welcome", content_type="text/html")

    app = web.Application()
    app.router.add_get("/sale", page)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner, f"http://127.0.0.1:{port}", visits


def open_and_follow(folder: Path, mail: Path) -> str:
    """The mail as a reader's program shows it; gives the title of where its link led."""
    with browser(folder) as driver:
        driver.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": FIREFOX})
        driver.get(mail.as_uri())
        driver.find_element(By.ID, "go").click()
        WebDriverWait(driver, 20).until(lambda d: d.title == "Shop")
        return str(driver.title)


def choose(folder: Path, address: str) -> tuple[str, list[str]]:
    """By keyboard alone, without script: leave one topic, take at most one a week, save; then the same in Russian."""
    with browser(folder) as driver:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        driver.get(address)
        named(driver)
        box = driver.find_element(By.CSS_SELECTOR, 'input[value="bulk/offers"]')
        assert box.is_selected()
        box.send_keys(Keys.SPACE)
        driver.find_element(By.CSS_SELECTOR, 'input[name="days:bulk"][value="7"]').send_keys(Keys.SPACE)
        driver.find_element(By.CSS_SELECTOR, 'button[name="save"]').send_keys(Keys.ENTER)
        # a key, unlike a click, does not wait for the page that it brings
        said = WebDriverWait(driver, 20).until(lambda d: d.find_element(By.CSS_SELECTOR, '[role="status"]')).text
        assert not driver.find_element(By.CSS_SELECTOR, 'input[value="bulk/offers"]').is_selected()
        assert driver.find_element(By.CSS_SELECTOR, 'input[name="days:bulk"][value="7"]').is_selected()
        driver.find_element(By.CSS_SELECTOR, "footer a").click()
        WebDriverWait(driver, 20).until(lambda d: d.find_element(By.CSS_SELECTOR, 'html[lang="ru"]'))
        labels = [label.text for label in driver.find_elements(By.TAG_NAME, "label")]
        assert driver.get_cookies() == []
        rows: list[dict[str, object]] = driver.get_log("browser")  # type: ignore[no-untyped-call]
        ours = [row for row in rows if address.partition("/p/")[0] in str(row["message"])]
        assert [row for row in ours if "favicon" not in str(row["message"])] == []
        return said, labels


def named(driver: webdriver.Chrome) -> None:
    """Every control has a name for a screen reader, and the words stand out from their ground."""
    for control in driver.find_elements(By.CSS_SELECTOR, "input, button, a"):
        assert control.accessible_name, control.get_attribute("outerHTML")
    button = driver.find_element(By.CSS_SELECTOR, 'button[name="save"]')
    assert contrast(button.value_of_css_property("color"), button.value_of_css_property("background-color")) >= 4.5


def contrast(one: str, other: str) -> float:
    """WCAG 2.2 contrast ratio of two CSS colours."""

    def luminance(colour: str) -> float:
        parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


async def test_a_mail_is_opened_followed_and_its_reader_chooses(tmp_path: Path) -> None:
    runner, shop_url, visits = await shop()
    port = free_port()
    with mail_host() as (smtp, taken):
        (tmp_path / "penstock.toml").write_text(settings_text(port, smtp), encoding="utf-8")
        service = await Service.build(load_settings(tmp_path / "penstock.toml"), SystemClock(), resolver=OneHost())
        try:
            await service.start()
            await journey(service, shop_url, visits, taken, tmp_path)
        finally:
            await service.stop()
            await runner.cleanup()


async def journey(service: Service, shop_url: str, visits: list[str], taken: list[bytes], folder: Path) -> None:
    message_id = await inject(service, shop_url, "offers")
    await until(service, message_id, Delivered)
    part = email.message_from_bytes(taken[0], policy=email.policy.default).get_body(("html",))
    assert part is not None
    html = str(part.get_content())
    assert shop_url not in html, "the link leads through us"
    (folder / "mail.html").write_text(html, encoding="utf-8")
    await asyncio.sleep(1.1)  # within a second of its delivery nobody reads a mail: the judge's own rule, in real time
    assert await asyncio.to_thread(open_and_follow, folder / "reader", folder / "mail.html") == "Shop"
    assert visits == ["/sale?a=1&b=2"], "once, and without telling where the reader comes from"
    (opened,) = await until(service, message_id, Opened)
    (clicked,) = await until(service, message_id, Clicked)
    assert isinstance(opened, Opened)
    assert isinstance(clicked, Clicked)
    assert (opened.actor, clicked.actor, clicked.first) == ("human", "human", True)
    assert clicked.target == f"{shop_url}/sale?a=1&b=2"
    address = re.search(r'id="choose" href="([^"]+/p/[a-z2-7]+)"', html)
    assert address is not None
    said, labels = await asyncio.to_thread(choose, folder / "chooser", address[1])
    assert said == "Saved."
    assert labels == ["Предложения", "Письмо", "Все письма", "Не чаще раза в неделю", "Не чаще раза в месяц"]
    entries = await service.parts.stores.suppressions.of_address("ann@reader.test")
    assert [entry.stream for entry in entries] == ["bulk/offers"]
    assert await service.parts.stores.choices.choices("ann@reader.test") == {"bulk": 7}
    assert await inject(service, shop_url, "offers") == ""
    assert await inject(service, shop_url, "letter") != ""
    assert await inject(service, shop_url, "letter") == "", "one a week"


async def inject(service: Service, shop_url: str, topic: str) -> str:
    """The message's id, '' when it was not taken over."""
    (answer,) = await service.parts.intake.submit(
        Injection(
            stream="bulk", topic=topic, door=Door.HTTP, sender="News <news@example.com>",
            parts={"subject": "Offers", "html": HTML.format(shop=shop_url)},
            recipients=(RecipientIn(address="ann@reader.test"),),
        )
    )  # fmt: skip
    return answer.message_id
