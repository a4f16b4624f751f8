"""The command line."""

from dosegrad.cli.app import main

__all__ = ["main"]
