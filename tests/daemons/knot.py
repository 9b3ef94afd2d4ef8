"""Knot DNS: one zone `.` holds every name of the test world, so that any other name is NXDOMAIN."""

from __future__ import annotations

from pathlib import Path

import dns.dnssec
import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rdataclass
import dns.rdatatype
import dns.update

from tests.daemons.process import Daemon, program

_HEAD = "$ORIGIN .\n$TTL 60\n@ SOA ns.test. host.test. 1 3600 600 86400 5\n@ NS ns.test.\nns.test. A 127.0.0.1\n"
_CONFIG = """\
server:
    rundir: {folder}
    listen: {address}@{port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: warning
database:
    storage: {folder}/db
    journal-db-max-size: 16M
    kasp-db-max-size: 16M
    timer-db-max-size: 4M
control:
    listen: {folder}/knot.sock
acl:
  - id: update
    address: 127.0.0.0/8
    action: [update]
policy:
  - id: tests
    algorithm: ecdsap256sha256
    single-type-signing: on
    nsec3: off
zone:
  - domain: .
    storage: {folder}
    file: root.zone
    acl: update
    zonefile-sync: -1
    journal-content: all
    zonefile-load: difference-no-serial
    dnssec-signing: {signing}
    dnssec-policy: tests
"""


class Knot:
    """Answers at address:port from the first return of the constructor on; `signed`: with DNSSEC."""

    def __init__(
        self, folder: Path, records: str, address: str = "127.0.0.1", port: int = 53, *, signed: bool = False
    ) -> None:
        self.address, self.port = address, port
        (folder / "db").mkdir(parents=True)
        (folder / "root.zone").write_text(_HEAD + records)
        signing = "on" if signed else "off"
        (folder / "knot.conf").write_text(_CONFIG.format(folder=folder, address=address, port=port, signing=signing))
        self.daemon = Daemon([program("knotd", "knot"), "-c", str(folder / "knot.conf")], folder / "log")
        # a bad zone leaves knotd up and answering SERVFAIL: an answer is asked for, not only a socket
        self.daemon.await_that(self._answers, "Knot")

    def _answers(self) -> bool:
        try:
            reply = dns.query.udp(dns.message.make_query(".", "SOA"), self.address, port=self.port, timeout=0.3)
        except (OSError, dns.exception.DNSException):
            return False
        return bool(reply.answer)

    def anchor(self) -> str:
        """The DS record of a signed zone's key: what a validating resolver must trust."""
        question = dns.message.make_query(".", "DNSKEY", want_dnssec=True)
        reply = dns.query.tcp(question, self.address, port=self.port, timeout=3)
        keys = reply.get_rrset(reply.answer, dns.name.root, dns.rdataclass.IN, dns.rdatatype.DNSKEY)
        assert keys is not None, f"the zone is not signed: {self.daemon.tail()}"
        return f". IN DS {dns.dnssec.make_ds(dns.name.root, keys[0], 'SHA256').to_text()}"

    def replace(self, name: str, kind: str, *values: str) -> None:
        """Change one record set by DNS UPDATE."""
        update = dns.update.UpdateMessage(".")
        update.delete(name, kind)
        for value in values:
            update.add(name, 60, kind, value)
        reply = dns.query.tcp(update, self.address, port=self.port, timeout=3)
        assert reply.rcode() == 0, reply

    def stop(self) -> None:
        self.daemon.stop()


def txt(value: str) -> str:
    """A TXT value as quoted strings of at most 250 octets."""
    return " ".join(f'"{value[i : i + 250]}"' for i in range(0, len(value), 250))
