"""The application: its commands, and what becomes of errors.

The modules in `trevsnn.cli.commands` say what each command takes. PyTorch comes with the work of a command, so help and
mistakes of spelling do not wait for it.
"""

import io
import re
import signal
import sys
import warnings
from collections.abc import Sequence

from cyclopts import CycloptsError

from trevsnn import __version__
from trevsnn._util.files import in_words
from trevsnn.cli.commands.ablate import app as ablate
from trevsnn.cli.commands.compare import compare
from trevsnn.cli.commands.convert import convert
from trevsnn.cli.commands.energy import energy
from trevsnn.cli.commands.eval import evaluate_run
from trevsnn.cli.commands.export import export_run
from trevsnn.cli.commands.gradients import gradients
from trevsnn.cli.commands.memory import memory
from trevsnn.cli.commands.models import models
from trevsnn.cli.commands.predict import predict_images
from trevsnn.cli.commands.recipes import recipes
from trevsnn.cli.commands.report import report
from trevsnn.cli.commands.show import show
from trevsnn.cli.commands.train import app as train
from trevsnn.cli.help import PARAMETERS, TrainingHelp
from trevsnn.data.errors import ENDED, LoadingWarning
from trevsnn.training.errors import LostPeerError, NonFiniteError, PeerError, StoppedError

FAILED = 2
SIGNALLED = 128
_LONGEST = 2000
"""Characters of a message; where a file's content is quoted it may have thousands."""

app = TrainingHelp(
    name="trevsnn",
    help="Train and run temporal-reversible spiking neural networks.",
    version=__version__,
    default_parameter=PARAMETERS,
    suppress_keyboard_interrupt=False,
)
app.command(train)
app.command(ablate)
app.command(evaluate_run, name="eval")
app.command(predict_images, name="predict", usage="Usage: trevsnn predict [OPTIONS] RUN IMAGES...\n")
app.command(show)
app.command(recipes)
app.command(models)
app.command(memory)
app.command(energy)
app.command(gradients)
app.command(compare, usage="Usage: trevsnn compare [OPTIONS] [METHOD...]\n")
app.command(report)
app.command(convert)
app.command(export_run, name="export")


def _failed(message: str) -> int:
    line = " ".join(message.split())
    if len(line) > _LONGEST:
        line = f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 2 :]}"
    print(f"trevsnn: error: {line}", file=sys.stderr)
    return FAILED


def _in_a_line(message: Warning | str, category: type[Warning], *place: object, **_: object) -> str:
    """Our warnings without the place in the code; others as Python has them."""
    if issubclass(category, LoadingWarning):
        return f"trevsnn: warning: {message}\n"
    return _usual_format(message, category, *place)  # type: ignore[arg-type]


_usual_format = warnings.formatwarning


def _of_pytorch(error: RuntimeError) -> str | None:
    """What an error of PyTorch is to the user; None for a bug."""
    if type(error).__name__ == "OutOfMemoryError":
        return f"out of memory: lower --batch-size, or choose --memory reversible ({error})"
    # its handler of signals raises this one wherever the program is
    if re.match(r"DataLoader worker \(pid.*(killed by signal|exited unexpectedly)", str(error)):
        return f"{ENDED} ({error})"
    return None


def main(tokens: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 2 for bad input or a diverged run, 128 + its number for a
    signal: 130 after Ctrl-C, 143 after SIGTERM.

    A mistake of the user is one line on standard error. Any other exception is a bug and passes through.

    Args:
        tokens: the arguments without the program's name; those of the process by default.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is not a failure
    warnings.formatwarning = _in_a_line
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # Pillow's, of what is refused if it is too large
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except OSError as error:
        return _failed(in_words(error))
    except (CycloptsError, NonFiniteError, ValueError) as error:
        return _failed(str(error))
    except PeerError:  # which the other process has said
        return FAILED
    except LostPeerError as error:
        return _failed(str(error))
    except RuntimeError as error:
        message = _of_pytorch(error)
        if message is None:
            raise
        return _failed(message)
    except (KeyboardInterrupt, StoppedError) as stop:
        number = stop.signal_number if isinstance(stop, StoppedError) else signal.SIGINT
        print(f"trevsnn: interrupted{str(stop) and '; ' + str(stop)}", file=sys.stderr)
        return SIGNALLED + number
    return 0
