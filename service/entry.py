"""Where the console script `penstock` begins: Ctrl-C ends the process without a traceback while it still loads.

Loading takes some 0.2 s, in which Python would answer SIGINT with a traceback through whatever module it was in.
Until `service.cli.main` runs a command, the signal has its plain effect: the process ends by it, and nothing has begun.
A SIGINT that is ignored (a job behind `&` in a script) stays ignored.
"""

import signal


def main() -> int:
    """Load the command line and run it."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.cli import main as run_command  # only now: this is what takes the time

    return run_command()
