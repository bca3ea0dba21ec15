"""`trevsnn recipes`: all of it; it needs no PyTorch."""

from trevsnn.cli.output import say
from trevsnn.training.recipes import list_recipes, read_recipe


def recipes(*names: str) -> None:
    """List the recipes that come with trevsnn, or print some of them.

    Args:
        names: Recipes to print; all are listed by default.
    """
    if names:
        print("\n".join(read_recipe(name) for name in names), end="")
        return
    width = max(map(len, list_recipes()))
    for name in list_recipes():
        about = read_recipe(name).partition("\n")[0].lstrip("# ")
        say(f"{name:{width}}  {about}")
