"""Where the console script `penstock` begins: Ctrl-C ends the process at once, without a traceback.

Loading takes some 0.2 s, in which Python would answer SIGINT with a traceback through whatever module it was in.
The signal has its plain effect instead, until `service.cli.main` begins the service, which stops in order.
A SIGINT that is ignored (a job behind `&` in a script) stays ignored.
"""

import signal


def main() -> int:
    """Load the command line and run it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.cli import main as run_command  # only now: this is what takes the time

    return run_command()
