"""Dovecot: mailboxes by LMTP and IMAP, full and missing ones too; moves to Junk and back mail real feedback reports."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.daemons.certificate import make_certificate
from tests.daemons.process import Daemon, accepts, program

IMAP, LMTP = 143, 24
_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
instance_name = penstock-test
protocols = imap lmtp
listen = {address}
disable_plaintext_auth = no
auth_mechanisms = plain login
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
ssl_dh =
mail_location = maildir:~/Maildir
first_valid_uid = 1
submission_host = {report_host}
passdb {{
  driver = passwd-file
  args = username_format=%u {folder}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/gone
  result_success = return-fail
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {folder}/full
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={folder}/mail/%u allow_all_users=yes
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "{junk}" {{
    auto = subscribe
    special_use = \\Junk
  }}
}}
service imap-login {{
  inet_listener imap {{
    address = {address}
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = {address}
    port = {lmtp}
  }}
}}
mail_plugins = quota
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
  postmaster_address = postmaster@mx.test
}}
protocol imap {{
  mail_plugins = $mail_plugins imap_sieve
}}
plugin {{
  sieve = file:~/sieve;active=~/.dovecot.sieve
  sieve_before = {folder}/sieve/filing.sieve
  sieve_plugins = sieve_imapsieve sieve_extprograms
  sieve_extensions = +special-use +vnd.dovecot.report
  sieve_report_from = "Feedback" <fbl@provider.test>
  imapsieve_mailbox1_name = {junk}
  imapsieve_mailbox1_causes = COPY APPEND
  imapsieve_mailbox1_before = file:{folder}/sieve/report.sieve
  imapsieve_mailbox2_name = *
  imapsieve_mailbox2_from = {junk}
  imapsieve_mailbox2_causes = COPY
  imapsieve_mailbox2_before = file:{folder}/sieve/rescue.sieve
  quota = count:User quota
  quota_vsizes = yes
}}
"""


class Dovecot:
    """Mailboxes `users` (name → password); mail whose To matches `junked` is filed as spam on arrival.

    Nobody knows the users `gone`; the mailboxes of `full` take no mail any more."""

    def __init__(
        self,
        folder: Path,
        users: Mapping[str, str],
        *,
        junk: str,
        junked: str,
        report_host: str,
        report_to: str,
        gone: Sequence[str] = (),
        full: Sequence[str] = (),
    ) -> None:
        self.address = "127.0.0.1"
        owner = pwd.getpwnam("nobody")
        os.chmod(folder, 0o755)
        for name in ("mail", "run", "sieve", "state"):
            (folder / name).mkdir()
        certificate, key = make_certificate(folder, "imap.test")
        (folder / "users").write_text("".join(f"{user}:{{PLAIN}}{word}::::::\n" for user, word in users.items()))
        (folder / "gone").write_text("".join(f"{user}:::::::\n" for user in gone))
        (folder / "full").write_text(
            "".join(
                f"{user}::{owner.pw_uid}:{owner.pw_gid}::{folder}/mail/{user}::userdb_quota_rule=*:bytes=1024\n"
                for user in full
            )
        )
        (folder / "sieve/filing.sieve").write_text(
            'require ["fileinto", "special-use", "mailbox", "envelope"];\n'
            f'if anyof (header :is "X-Spam" "Yes", envelope :is "to" "{junked}")\n'
            '{ fileinto :specialuse "\\\\Junk" "Junk"; stop; }\n'
        )
        (folder / "sieve/report.sieve").write_text(
            'require ["vnd.dovecot.report", "imapsieve"];\n'
            f'report :headers_only "abuse" "Reported as spam by the user." "{report_to}";\n'
        )
        (folder / "sieve/rescue.sieve").write_text(
            'require ["vnd.dovecot.report", "imapsieve"];\n'
            f'report :headers_only "not-spam" "Rescued from spam by the user." "{report_to}";\n'
        )
        (folder / "dovecot.conf").write_text(
            _CONFIG.format(
                folder=folder, address=self.address, certificate=certificate, key=key, uid=owner.pw_uid,
                gid=owner.pw_gid, junk=junk, imap=IMAP, lmtp=LMTP, report_host=report_host,
            )
        )  # fmt: skip
        for path in (folder / "mail", folder / "sieve", *(folder / "sieve").iterdir()):
            shutil.chown(path, owner.pw_uid, owner.pw_gid)
        self.log = folder / "log"
        self.daemon = Daemon(
            [program("dovecot", "dovecot-core dovecot-imapd dovecot-lmtpd dovecot-sieve"), "-c",
             str(folder / "dovecot.conf"), "-F"], folder / "stdout",
        )  # fmt: skip
        self.daemon.await_that(accepts(self.address, IMAP, greets=True), "Dovecot")

    def stop(self) -> None:
        self.daemon.stop()
