"""The command line, one file per command."""

from trevsnn.cli.app import app, main

__all__ = ["app", "main"]
