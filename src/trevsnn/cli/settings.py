"""Settings of `trevsnn train` from a file: --config FILE, or the run folder of --resume RUN."""

from pathlib import Path

from cyclopts import App, ArgumentCollection
from cyclopts.config import Dict

from trevsnn.training import RunFolder, load_config


def settings_from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill the options that the command line leaves open from the file that it names."""
    resume, file = _value(arguments, "--resume"), _value(arguments, "--config")
    if resume and file:
        raise ValueError("--resume takes its settings from the run; leave --config out")
    if resume:
        run = RunFolder(resume)
        dataset, values = run.read_config()
        source = str(run.config)
    elif file:
        dataset, values = load_config(file)
        source = str(Path(file))
    else:
        return
    wanted = _value(arguments, "DATA")
    if dataset is not None and wanted is not None and wanted != dataset:
        raise ValueError(f"{source} is for the dataset {dataset!r}, not {wanted!r}")
    options = {name.replace("_", "-"): value for name, value in values.items()}
    Dict(options, source=source, use_commands_as_keys=False)(app, commands, arguments)


def _value(arguments: ArgumentCollection, name: str) -> str | None:
    """What the command line gives for an option or argument."""
    argument = arguments.get(name, None)
    return argument.tokens[0].value if argument is not None and argument.tokens else None
