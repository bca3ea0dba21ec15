"""What ends a run before its last epoch."""


class LostPeerError(Exception):
    """Another process ended without a word."""


class NonFiniteError(ArithmeticError):
    """The loss or a gradient became infinite or no number."""


class PeerError(Exception):
    """Another process failed, and says so itself."""


class StoppedError(Exception):
    """A signal asked the run to stop, and its state was saved."""

    def __init__(self, signal_number: int):
        super().__init__(signal_number)
        self.signal_number = signal_number
