"""Cost of inference against the number of timesteps, as a picture."""

from collections.abc import Sequence
from itertools import cycle

from matplotlib.figure import Figure

from trevsnn._util.units import unit_of
from trevsnn.costs.energy import CONVENTIONS, PAPER
from trevsnn.costs.over_time import CostOverTime
from trevsnn.plots.over_time import Line, over_time_figure
from trevsnn.plots.style import CONTRAST

_RESNET = "spiking ResNet-34"
_STYLES = ("o-", "o--", "o-.")


def over_time_picture(points: Sequence[CostOverTime], model: str, title: str) -> Figure:
    """Operations and energy over T.

    Args:
        points: by T, ascending.
        model: name of the network.
        title: above the picture.
    """
    unit, scale = unit_of(max(point.energy[PAPER] for point in points))
    operations = [
        Line(_RESNET, [point.resnet_macs / 1e9 for point in points], CONTRAST),
        Line(model, [point.macs / 1e9 for point in points]),
        Line("without fusion", [(point.macs - point.fusion_macs) / 1e9 for point in points], style="o:"),
    ]
    energies = [Line(_RESNET, [point.resnet / scale for point in points], CONTRAST)]
    for name, style in zip(CONVENTIONS, cycle(_STYLES), strict=False):
        energies.append(Line(f"{model}, {name}", [point.energy[name] / scale for point in points], style=style))
    panels = {"GMAC per image": operations, f"{unit} per image": energies}
    return over_time_figure([point.timesteps for point in points], panels, title)
