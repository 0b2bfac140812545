"""`python -m paraph.cli.demo.offline ...`: the `paraph` command in a process that has no network.

From its first moment on, whatever a socket would be needed for ends the process with an error.
"""

import sys


class NoNetwork(RuntimeError):
    """Something wanted a socket."""


def forbid() -> None:
    """Forbid sockets to this process, for good: an audit hook cannot be taken back (PEP 578)."""

    def refuse(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith("socket."):
            raise NoNetwork(f"{event}: this process has no network")

    sys.addaudithook(refuse)


if __name__ == "__main__":
    forbid()
    from paraph.cli.main import main

    main()
