"""The application: its commands, and what becomes of errors."""

import io
import re
import signal
import sys
import warnings
from collections.abc import Sequence

import torch
from cyclopts import CycloptsError, Parameter
from PIL import Image

from trevsnn import __version__
from trevsnn._util.files import in_words
from trevsnn.cli.ablate import ablate, base_settings_from_file
from trevsnn.cli.compare import compare
from trevsnn.cli.convert import convert
from trevsnn.cli.energy import energy
from trevsnn.cli.eval import evaluate_run
from trevsnn.cli.export import export_run
from trevsnn.cli.gradients import gradients
from trevsnn.cli.help import TrainingHelp
from trevsnn.cli.memory import memory
from trevsnn.cli.models import models
from trevsnn.cli.predict import predict_images
from trevsnn.cli.recipes import recipes
from trevsnn.cli.report import report
from trevsnn.cli.settings import settings_from_file
from trevsnn.cli.show import show
from trevsnn.cli.train import train_run
from trevsnn.data.loading import LoadingWarning
from trevsnn.training import NonFiniteError, StoppedError
from trevsnn.training.processes import LostPeerError, PeerError

FAILED = 2
SIGNALLED = 128
_LONGEST = 2000
"""Characters of a message; where a file's content is quoted it may have thousands."""

_PARAMETERS = Parameter(negative_iterable=())  # no --empty-OPTION

app = TrainingHelp(
    name="trevsnn",
    help="Train and run temporal-reversible spiking neural networks.",
    version=__version__,
    default_parameter=_PARAMETERS,
    suppress_keyboard_interrupt=False,
)
_train = TrainingHelp(
    name="train", config=settings_from_file, default_parameter=_PARAMETERS, suppress_keyboard_interrupt=False
)
_train.default(train_run)
app.command(_train)
_ablate = TrainingHelp(
    name="ablate", config=base_settings_from_file, default_parameter=_PARAMETERS, suppress_keyboard_interrupt=False
)
_ablate.default(ablate)
app.command(_ablate)
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


def main(tokens: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code: 0, 2 for bad input or a diverged run, 128 + its number for a
    signal: 130 after Ctrl-C, 143 after SIGTERM.

    A mistake of the user is one line on standard error. Any other exception is a bug and passes through.

    Args:
        tokens: the arguments without the program's name; those of the process by default.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no failure
    warnings.formatwarning = _in_a_line
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # what is too large is refused
    try:
        app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except OSError as error:
        return _failed(in_words(error))
    except (CycloptsError, NonFiniteError, ValueError) as error:
        return _failed(str(error))
    except torch.OutOfMemoryError as error:
        return _failed(f"out of memory: lower --batch-size, or choose --memory reversible ({error})")
    except PeerError:  # which the other process has said
        return FAILED
    except LostPeerError as error:
        return _failed(str(error))
    except RuntimeError as error:  # PyTorch's handler of signals raises it wherever the program is
        if not re.match(r"DataLoader worker \(pid.*(killed by signal|exited unexpectedly)", str(error)):
            raise
        return _failed(
            f"a process that reads images was ended, by lack of memory most likely: lower --workers ({error})"
        )
    except (KeyboardInterrupt, StoppedError) as stop:
        number = stop.signal_number if isinstance(stop, StoppedError) else signal.SIGINT
        print(f"trevsnn: interrupted{str(stop) and '; ' + str(stop)}", file=sys.stderr)
        return SIGNALLED + number
    return 0
