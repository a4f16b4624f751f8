"""``python -m dosegrad``: the command line."""

from dosegrad.cli import main

main()
