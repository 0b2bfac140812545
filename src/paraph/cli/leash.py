"""`python -m paraph.cli.leash ARGUMENTS`: the `paraph` command, which ends when whoever started it is gone.

Its standard input is the leash: a pipe whose other end the starter holds. The system closes it however the starter
ends, by SIGKILL too, so nothing is left that holds a port or a data folder.
"""

import os
import signal
import threading
import time

from paraph.cli.main import main

GRACE = 10.0


def hold() -> None:
    """Stop this process, politely first, once standard input is closed."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=hold, name="leash", daemon=True).start()
    main()
