"""Receivers' reports over HTTP: intake by upload, and the views over what was reported."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from core.clock import iso
from core.errors import InvalidInput
from core.lane import DAY
from core.reports import Dim, ReportHead, SourceName, Tally
from service.report_views import Views, dim_of, narrowed
from service.reports import Reports
from service.web.asked import number
from service.web.auth import caller_of, problem

REPORTS = web.AppKey("reports", Reports)
MAX_FILES = 500


async def post_reports(request: web.Request) -> web.Response:
    """Take reports: one file or mail as the body (its name as ?filename=), or a form of files."""
    reports = request.app[REPORTS]
    by = caller_of(request)
    files: list[tuple[str, bytes]] = []
    if request.content_type == "multipart/form-data":
        try:
            files += await _files(request)
        except (ValueError, HttpProcessingError) as error:
            raise InvalidInput("body", "is no form that can be read", "Send multipart/form-data (RFC 7578)") from error
    else:
        files.append((request.query.get("filename", "")[:400], await request.read()))
    if not any(content for _, content in files):
        raise InvalidInput("body", "holds no report", "Send the report's file or mail as it is")
    rows = []
    for name, content in files:
        taken = await reports.intake.upload(content, name, by, keep=True)
        rows.append(
            {
                "file": name, "stored": taken.stored, "repeated": taken.repeated, "records": taken.records,
                "messages": taken.messages, "refused": taken.refused[:20],
            }
        )  # fmt: skip
    return web.json_response({"files": rows, "stored": sum(int(str(row["stored"])) for row in rows)}, status=202)


async def _files(request: web.Request) -> list[tuple[str, bytes]]:
    files: list[tuple[str, bytes]] = []
    async for part in await request.multipart():
        if len(files) >= MAX_FILES:
            raise InvalidInput("body", f"holds more than {MAX_FILES} files", "Send them in several requests")
        if isinstance(part, BodyPartReader) and part.filename is not None:
            files.append((part.filename[:400], bytes(await part.read(decode=True))))
    return files


async def get_reports(request: web.Request) -> web.Response:
    """Stored aggregate reports, newest first; ?apart=1 shows those that do not count, with the reason."""
    limit = number(request, "limit", 50, 1000)
    heads = await request.app[REPORTS].stores.dmarc.heads(
        limit, before=number(request, "before", 0, 1 << 60, least=0),
        counting="apart" not in request.query,
    )  # fmt: skip
    more = heads[-1].number if heads and len(heads) == limit else None
    return web.json_response({"reports": [head_json(head) for head in heads], "next": more})


async def get_report(request: web.Request) -> web.Response:
    """One report whole."""
    number = request.match_info["id"]
    found = await request.app[REPORTS].stores.dmarc.whole(int(number)) if number.isdigit() else None
    if found is None:
        return problem(404, "id", "no report of that number is stored", "See GET /v1/reports")
    head, report = found
    return web.json_response(
        {**head_json(head), "records": [asdict(record) for record in report.records],
         "refused_records": list(report.refused), "notes": list(report.notes)}
    )  # fmt: skip


async def get_report_sources(request: web.Request) -> web.Response:
    """Sources by name with the evidence."""
    found = await _views(request).sources(_days(request, 30), request.query.get("domain", ""))
    return web.json_response({"sources": [{**name_json(name), **tally_json(tally)} for tally, name in found]})


async def get_report_timeline(request: web.Request) -> web.Response:
    """Alignment by day."""
    found = await _views(request).timeline(_days(request, 30), request.query.get("domain", ""))
    return web.json_response({"days": [{"date": date_of(int(t.key[0])), **tally_json(t)} for t in found]})


async def get_report_tally(request: web.Request) -> web.Response:
    """Any drill-down: ?by=source_ip,dkim_selector,reporter,day and a value for each part to narrow to."""
    by = [dim_of(name) for name in request.query.get("by", "source_ip").split(",") if name]
    where = [narrowed(dim, request.query[str(dim)]) for dim in Dim if str(dim) in request.query]
    found = await _views(request).drill(by, where, _days(request, 30), number(request, "limit", 200, 5000))
    rows = [{**{str(d): v for d, v in zip(by, t.key, strict=True)}, **tally_json(t)} for t in found]
    return web.json_response({"rows": rows})


async def get_report_readiness(request: web.Request) -> web.Response:
    """Is a stricter policy possible, and what would break?"""
    found = await _views(request).readiness(_days(request, 30))
    return web.json_response({"domains": [{**asdict(one), "loss": one.loss} for one in found]})


async def get_report_reconcile(request: web.Request) -> web.Response:
    """Reported beside our own deliveries."""
    found = await _views(request).reconcile(_days(request, 7))
    return web.json_response(
        {
            "lines": [
                {**asdict(one), "date": date_of(one.day), "difference": one.difference, "explained": one.explained}
                for one in found
            ]
        }
    )


async def get_report_selectors(request: web.Request) -> web.Response:
    """Selectors and since when nobody saw them."""
    return web.json_response({"selectors": [asdict(one) for one in await _views(request).selectors()]})


async def get_report_reporters(request: web.Request) -> web.Response:
    """Who reports, and how late."""
    return web.json_response(
        {"reporters": [asdict(one) for one in await _views(request).reporters(_days(request, 30))]}
    )


async def get_report_tls(request: web.Request) -> web.Response:
    """TLS reports beside our own attempts."""
    found = await _views(request).tls(_days(request, 30))
    return web.json_response({"reports": [{**asdict(one), "date": date_of(one.day)} for one in found]})


async def get_report_failures(request: web.Request) -> web.Response:
    """Failure reports; scope admin only."""
    found = await request.app[REPORTS].stores.other_reports.failures(number(request, "limit", 100, 1000))
    return web.json_response(
        {
            "failures": [
                {"id": one.number, "received": iso(one.received_at), "proven": one.provenance.counts,
                 "why": one.provenance.why, **asdict(one.report)}
                for one in found
            ]
        }
    )  # fmt: skip


def head_json(head: ReportHead) -> dict[str, Any]:
    """A report without its records."""
    return {
        "id": head.number, "reporter": head.reporter, "org": head.org, "domain": head.domain,
        "report_id": head.report_id, "begin": iso(head.begin), "end": iso(head.end),
        "received": iso(head.received_at), "trust": str(head.provenance.trust), "why": head.provenance.why,
        "policy": head.policy, "records": head.records, "messages": head.messages, "aligned": head.aligned,
        "refused": head.refused, "refused_messages": head.refused_messages,
    }  # fmt: skip


def name_json(name: SourceName) -> dict[str, str]:
    """What an address is called."""
    return {"ip": name.ip, "kind": str(name.kind), "name": name.name, "evidence": name.evidence, "ptr": name.ptr}


def tally_json(tally: Tally) -> dict[str, Any]:
    """Sums of a group."""
    return {
        "messages": tally.messages, "aligned": tally.aligned, "dkim": tally.dkim, "spf": tally.spf,
        "quarantined": tally.quarantined, "rejected": tally.rejected, "first": date_of(tally.first_day),
        "last": date_of(tally.last_day),
    }  # fmt: skip


def date_of(day: int) -> str:
    """'2026-11-25'."""
    return iso(day * DAY)[:10]


def _views(request: web.Request) -> Views:
    return Views(request.app[REPORTS])


def _days(request: web.Request, default: int) -> int:
    return number(request, "days", default, 400, least=0)


VIEWS = (
    ("/v1/reports", get_reports, "Stored DMARC reports; apart=1: those whose origin is not proven, and why"),
    ("/v1/reports/sources", get_report_sources, "Sources of mail in our name, by name with the evidence"),
    ("/v1/reports/timeline", get_report_timeline, "Alignment by day"),
    ("/v1/reports/tally", get_report_tally, "Drill-down by source, selector, reporter, day and every other part"),
    ("/v1/reports/readiness", get_report_readiness, "Which stricter DMARC policy is possible, and what would break"),
    ("/v1/reports/reconcile", get_report_reconcile, "Reported counts beside our own deliveries"),
    ("/v1/reports/selectors", get_report_selectors, "DKIM selectors, and which nobody saw for long"),
    ("/v1/reports/reporters", get_report_reporters, "Who reports, how completely and how late"),
    ("/v1/reports/tls", get_report_tls, "TLS reports beside our own attempts"),
    ("/v1/reports/failures", get_report_failures, "Failure reports about single messages (scope admin)"),
    ("/v1/reports/{id}", get_report, "One DMARC report whole"),
)
