"""`trevsnn models`."""

from trevsnn.cli.output import JsonFile, check_json, show_table, write_json
from trevsnn.models import count_macs, create_model, list_models, parameter_counts


def models(*, json: JsonFile = None) -> None:
    """List the networks: parameters, multiply-accumulates of one image, time steps, input size.

    Args:
        json: Also write the table to this file.
    """
    check_json(json)
    rows = []
    for name in list_models():
        model = create_model(name)
        size: tuple[int, int, int] = model.default_cfg["input_size"]  # type: ignore[index]
        counts = parameter_counts(model)
        rows.append(
            {
                "name": name,
                "parameters_training": counts["training"],
                "parameters_deployed": counts["deployed"],
                "macs": count_macs(model, size),
                "timesteps": model.config.timesteps,
                "input_size": "x".join(map(str, size)),
            }
        )
    columns = {
        "name": "name",
        "parameters_training": "parameters",
        "parameters_deployed": "deployed",
        "macs": "MACs (M)",
        "timesteps": "timesteps",
        "input_size": "input",
    }
    write_json(rows, json)
    show_table([row | {"macs": round(row["macs"] / 1e6)} for row in rows], columns)
