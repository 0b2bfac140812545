"""`python -m paraph`: the same as the `paraph` command."""

from paraph.cli.main import main

main()
