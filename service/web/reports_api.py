"""Receivers' reports over HTTP: intake by upload, and the views over what was reported."""

from __future__ import annotations

from aiohttp import BodyPartReader, web

from core.errors import InvalidInput
from service.reports import Reports
from service.web.auth import caller_of

REPORTS = web.AppKey("reports", Reports)
MAX_FILES = 500


async def post_reports(request: web.Request) -> web.Response:
    """Take reports: one file or mail as the body (its name as ?filename=), or a form of files."""
    reports = request.app[REPORTS]
    by = caller_of(request)
    files: list[tuple[str, bytes]] = []
    if request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            if len(files) >= MAX_FILES:
                raise InvalidInput("body", f"holds more than {MAX_FILES} files", "Send them in several requests")
            if isinstance(part, BodyPartReader) and part.filename is not None:
                files.append((part.filename[:400], bytes(await part.read(decode=True))))
    else:
        files.append((request.query.get("filename", "")[:400], await request.read()))
    if not any(content for _, content in files):
        raise InvalidInput("body", "holds no report", "Send the report's file or mail as it is")
    rows = []
    for name, content in files:
        taken = await reports.intake.upload(content, name, by)
        rows.append(
            {
                "file": name, "stored": taken.stored, "repeated": taken.repeated, "records": taken.records,
                "messages": taken.messages, "refused": taken.refused[:20],
            }
        )  # fmt: skip
    return web.json_response({"files": rows, "stored": sum(int(str(row["stored"])) for row in rows)}, status=202)
