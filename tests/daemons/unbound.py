"""Unbound: a validating resolver before Knot, whose AD bit tells what DNSSEC proves."""

from __future__ import annotations

from pathlib import Path

import dns.exception
import dns.message
import dns.query

from tests.daemons.knot import Knot
from tests.daemons.process import Daemon, program

_CONFIG = """\
server:
  interface: {address}
  port: {port}
  do-ip6: no
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  num-threads: 1
  verbosity: 1
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor: "{anchor}"
  qname-minimisation: no
  harden-below-nxdomain: no
  cache-max-ttl: 1
  cache-max-negative-ttl: 1
  access-control: 127.0.0.0/8 allow
  local-zone: "test." nodefault
  local-zone: "127.in-addr.arpa." nodefault
remote-control:
  control-enable: no
stub-zone:
  name: "."
  stub-addr: {knot}@{knot_port}
  stub-prime: no
"""


class Unbound:
    """Answers at address:port from the return of the constructor on; `anchor` is the DS record that it trusts."""

    def __init__(self, folder: Path, knot: Knot, anchor: str, address: str = "127.0.0.1", port: int = 53) -> None:
        self.address, self.port = address, port
        (folder / "unbound.conf").write_text(
            _CONFIG.format(
                folder=folder, address=address, port=port, anchor=anchor, knot=knot.address, knot_port=knot.port
            )
        )
        argv = [program("unbound", "unbound"), "-d", "-p", "-c", str(folder / "unbound.conf")]
        self.daemon = Daemon(argv, folder / "log")
        self.daemon.await_that(self._answers, "Unbound")

    def _answers(self) -> bool:
        try:
            dns.query.udp(dns.message.make_query(".", "SOA"), self.address, port=self.port, timeout=0.3)
        except (OSError, dns.exception.DNSException):
            return False
        return True  # SERVFAIL is an answer too: that of a resolver with a wrong anchor

    def stop(self) -> None:
        self.daemon.stop()
