"""`penstock send`: inject from the command line, straight into the durable queue."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.errors import InvalidInput
from core.events import Door
from sender.intake import AnswerStatus, Injection, Intake, RecipientIn
from service.commands.campaign import add_options, run_campaign
from service.commands.common import add_config, desk, who
from service.commands.given import given_text


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    send = commands.add_parser("send", help="put a message into the queue; a running service sends it")
    send.add_argument("--stream", required=True, metavar="NAME", help="one of [[streams]]")
    send.add_argument("--campaign", default="", metavar="NAME", help="campaign inside the stream")
    send.add_argument("--pool", default="", help="sources to send from, in place of the stream's or domain's")
    send.add_argument(
        "--from", dest="sender", default="", metavar="ADDRESS", help="the From address, e.g. 'Shop <shop@example.com>'"
    )
    send.add_argument("--to", action="append", default=[], metavar="ADDRESS", help="may be given again")
    send.add_argument("--subject", default="", metavar="TEXT", help="subject (jinja2)")
    send.add_argument("--text", default="", help="text part (jinja2); '-' reads it from stdin")
    send.add_argument("--html", type=Path, metavar="FILE", help="html part (jinja2)")
    send.add_argument("--mime", type=Path, metavar="FILE", help="a whole RFC 5322 message instead of parts")
    add_options(send)
    add_config(send)
    send.set_defaults(run=run_send)


async def run_send(arguments: argparse.Namespace) -> int:
    """Inject; exit code 1 when no recipient was accepted."""
    if arguments.recipients is not None:
        return await run_campaign(arguments)
    if not arguments.to or arguments.template is not None:
        raise InvalidInput("--to", "nobody is named", "Give --to ADDRESS, or --template FILE with --recipients CSV")
    text = given_text(sys.stdin.buffer) if arguments.text == "-" else arguments.text
    html = arguments.html.read_text(encoding="utf-8") if arguments.html else ""
    async with desk(arguments.config) as d:
        intake = Intake(
            queue=d.stores.queue, suppressions=d.stores.suppressions, idempotency=d.stores.idempotency,
            clock=d.clock, settings=d.settings, frequencies=d.stores.choices,
        )  # fmt: skip
        answers = await intake.submit(
            Injection(
                stream=arguments.stream, campaign=arguments.campaign, pool=arguments.pool, sender=arguments.sender,
                door=Door.COMMAND, by=who(),
                recipients=tuple(RecipientIn(address=address) for address in arguments.to),
                mime=arguments.mime.read_bytes() if arguments.mime else None,
                parts={} if arguments.mime else {"subject": arguments.subject, "text": text, "html": html},
            )
        )  # fmt: skip
    for answer in answers:
        print(f"{answer.status}  {answer.address}  {answer.message_id or answer.reason}")
    return 0 if any(a.status is AnswerStatus.ACCEPTED for a in answers) else 1
