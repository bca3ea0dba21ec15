"""The command line: what each command takes is in `commands`, and what it does in the module of the same name here."""

from trevsnn.cli.app import app, main

__all__ = ["app", "main"]
