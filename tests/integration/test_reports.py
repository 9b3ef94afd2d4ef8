"""Reports on real mail: rspamd's report is reconciled with our own sending log, and a forgery moves nothing."""

from __future__ import annotations

import datetime
import smtplib
from typing import Any

import pytest

from tests.integration.conftest import World
from tests.integration.settings import ALPHA, INBOUND, OURS
from tests.waiting import wait_until

pytestmark = [pytest.mark.daemons, pytest.mark.timeout(400)]
_FORGED = (
    "From: dmarc@receiver.test\r\nTo: dmarc@rp.sender.test\r\nSubject: Report Domain: sender.test\r\n"
    "MIME-Version: 1.0\r\nContent-Type: text/xml\r\n\r\n<feedback><report_metadata><org_name>Receiver</org_name>"
    "<email>dmarc@receiver.test</email><report_id>{id}</report_id><date_range><begin>{begin}</begin><end>{end}</end>"
    "</date_range></report_metadata><policy_published><domain>sender.test</domain><p>none</p></policy_published>"
    "<record><row><source_ip>{ip}</source_ip><count>100000</count><policy_evaluated><disposition>reject</disposition>"
    "<dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>sender.test</header_from>"
    "</identifiers><auth_results></auth_results></record></feedback>\r\n"
)


def lines(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.call("GET", "/v1/reports/reconcile")["lines"]
    return found


def picture(world: World) -> list[Any]:
    views = ("sources", "timeline", "readiness", "reconcile", "selectors", "reporters", "tally?by=reporter,source_ip")
    return [world.call("GET", f"/v1/reports/{view}") for view in views] + [world.call("GET", "/v1/dmarc")]


def test_a_report_of_real_mail_is_reconciled_to_zero_and_a_forged_one_changes_nothing(world: World) -> None:
    sent = [world.inject("transactional", [address])[0] for address in ("ann@alpha.test", "bob@beta.test") * 5]
    for message_id in sent:
        world.wait_for(message_id, "Delivered")
    before = len(world.call("GET", "/v1/reports")["reports"])
    now = datetime.datetime.now(datetime.UTC)
    printed = world.rspamd.send_dmarc_reports(now.strftime("%Y%m%d"))
    wait_until(lambda: len(world.call("GET", "/v1/reports")["reports"]) > before, f"a stored report: {printed}")

    (report, *_) = world.call("GET", "/v1/reports")["reports"]
    assert (report["reporter"], report["trust"]) == ("receiver.test", "aligned"), report
    wait_until(lambda: lines(world), "a line")
    (line,) = [one for one in lines(world) if one["reporter"] == "receiver.test"]
    assert line["delivered"] == line["reported"] >= len(sent), f"{line} {report} {world.story(sent[0])}"
    assert (line["difference"], line["explained"], line["source"]) == (0, True, "mta1")
    assert {one["domain"] for one in line["signed"]} == {"sender.test"}, "this rspamd names no selector"
    assert sum(one["messages"] for one in line["signed"]) == line["reported"]
    (ours,) = [one for one in world.call("GET", "/v1/reports/sources")["sources"] if one["ip"] == OURS]
    assert (ours["kind"], ours["name"], ours["aligned"]) == ("ours", "mta1", ours["messages"])

    told, midnight = picture(world), int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp())
    for number, ip in enumerate((OURS, "203.0.113.66", "198.51.100.77")):
        forged = _FORGED.format(id=f"forged-{number}", begin=midnight, end=midnight + 86399, ip=ip)
        with smtplib.SMTP(INBOUND, 25, timeout=30, source_address=(ALPHA, 0)) as client:
            client.sendmail("dmarc@receiver.test", ["dmarc@rp.sender.test"], forged.encode())
    apart = world.call("GET", "/v1/reports?apart=1")["reports"]
    assert {one["report_id"] for one in apart} == {"forged-0", "forged-1", "forged-2"}
    assert all("SPF fail for receiver.test" in one["why"] for one in apart)
    assert picture(world) == told
