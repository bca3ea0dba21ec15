"""What goes wrong while images are loaded."""


class LoadingError(OSError):
    """The processes that read images give no more batches."""


class LoadingWarning(UserWarning):
    """It takes long until the next batch comes."""


ENDED = "a process that reads images was ended, by lack of memory most likely: lower --workers"
