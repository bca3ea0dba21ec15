"""What every package may use and none is about: checks, files, tables, messages."""
