"""What each command takes, and its help. Nothing here imports PyTorch, so the help does not wait for it; the work is in
the module of the same name in `trevsnn.cli`, which is imported when there is some."""
