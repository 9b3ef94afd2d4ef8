"""Logging of the service: one line a record on standard error, level from PENSTOCK_LOG (default INFO).

Recipients' addresses and secrets do not belong into logs: they live in the event log, behind the API's tokens.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings


def configure_logging() -> None:
    """Set up the root logger once."""
    level = os.environ.get("PENSTOCK_LOG", "INFO").upper()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level if level in logging.getLevelNamesMapping() else "INFO")
    # submission without TLS is allowed on loopback only and checked at start: no warning at each connection
    warnings.filterwarnings("ignore", message="Requiring AUTH while not requiring TLS")
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    # these speak of every connection and every job; their warnings are wanted, their chatter is not
    for noisy in ("apscheduler", "aiohttp.access", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # a run that is left out because the one before still goes on is the timetable's contract, not a warning
    logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
