"""`trevsnn convert`."""

from pathlib import Path

from trevsnn._util.suggest import in_a_line
from trevsnn.cli.output import say
from trevsnn.models import (
    NetworkConfig,
    convert_official,
    create_model,
    infer_official_config,
    list_models,
    save_weights,
    weights_info,
)
from trevsnn.models.checkpoint import Foreign, read_checkpoint
from trevsnn.models.found_weights import find_weights
from trevsnn.models.network import TRevSNN
from trevsnn.models.official import FIRST_WEIGHT


def convert(source: Path, destination: Path, /) -> None:
    """See `trevsnn.cli.commands.convert`."""
    if not destination.parent.is_dir():
        raise ValueError(f"the folder {str(destination.parent)!r} of the destination does not exist")
    if destination.is_dir():
        raise ValueError(f"destination {str(destination)!r} is a folder; give the name of a file")
    if destination.exists() and destination.samefile(source):
        raise ValueError(f"destination {str(destination)!r} is the source itself; give another name")
    checkpoint = read_checkpoint(source)
    if not isinstance(checkpoint, dict | Foreign | list | tuple):
        raise ValueError(f"checkpoint {str(source)!r} holds {type(checkpoint).__name__}, not a dictionary of tensors")
    found = find_weights(checkpoint, FIRST_WEIGHT)
    try:
        config, state = infer_official_config(checkpoint), convert_official(checkpoint)
        model = TRevSNN(config)  # as large as the state is
        model.load_state_dict(state)
    except (ValueError, RuntimeError) as error:  # of sizes that no tensor has
        raise ValueError(f"{str(source)!r}: {in_a_line(error)}") from error
    known = {name: create_model(name).config for name in list_models()}
    names = [n for n, c in known.items() if isinstance(c, NetworkConfig) and c.channels == config.channels]
    name = names[0] if names else "trevsnn_tiny"  # all options are written, so any name builds the network
    save_weights(model, destination, weights_info(name, config))
    say(f"weights    {found.place or 'the checkpoint itself'}, {len(found.tensors)} tensors")
    if found.left:
        say(f"left aside {', '.join(found.left)}")
    say(
        f"{destination}: {name}, channels {config.channels}, {config.timesteps} timesteps, {config.num_classes} classes"
    )
