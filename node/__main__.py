"""`python -m node` is `tocsin`, for whoever has a checkout and no command on the PATH."""

from node.cli import main

main()
