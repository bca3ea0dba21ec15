"""The options of all networks as options of a command: made from the networks' own configurations."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import fields, make_dataclass
from functools import cache
from typing import Any

from trevsnn.cli.parameters import as_option, in_words
from trevsnn.models.config import CONFIGS
from trevsnn.training.config import NETWORK_OPTIONS

NetworkOptions: Any = make_dataclass(
    "NetworkOptions",
    [(name, as_option(hint | None), None) for name, hint in NETWORK_OPTIONS.items()],
    namespace={"__module__": __name__},  # else cyclopts takes it for a type of Python's
    frozen=True,
    kw_only=True,
)
"""Every option of a network, None where its own value holds."""

_OF_NAMED_NETWORKS = {"timesteps", "channels", "kernel_size", "depth", "blocks", "stem_stride", "embed_dims"}
"""Options that named networks have other values of."""


def help_of(name: str) -> str:
    """What the configurations say of an option; where some say something else, of which networks."""
    return " ".join(_described()[name])


@cache
def _described() -> Mapping[str, list[str]]:
    from docstring_parser import parse_from_object  # it reads source code, which only the help needs

    found: defaultdict[str, list[str]] = defaultdict(list)
    for part in dict.fromkeys(part for config in CONFIGS for part in config.__mro__[:-1]):
        about = parse_from_object(part)
        networks = (about.short_description or "").removeprefix("Options of ").partition(",")[0].rstrip(".")
        for option in about.params:
            text = option.description or ""
            known = found[option.arg_name]
            if text not in known:
                known.append(f"Of {networks}: {text[0].lower()}{text[1:]}" if known else text)
    return found


def default_of(name: str) -> Callable[[Any], str]:
    """In words: the value that all configurations have, else that networks have their own."""
    first, *others = {item.default for config in CONFIGS for item in fields(config) if item.name == name}
    own = "the network's own" if others or name in _OF_NAMED_NETWORKS else in_words(first)
    return lambda given: own if given is None else in_words(given)
