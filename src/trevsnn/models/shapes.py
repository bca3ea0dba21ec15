"""What named networks of several families have in common: the inputs that they are made for, and MS-ResNets' shapes."""

from collections.abc import Mapping
from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

IMAGENET = {
    "num_classes": 1000,
    "input_size": (3, 224, 224),
    "crop_pct": 224 / 256,
    "interpolation": "bicubic",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
}
DIGITS = {"num_classes": 10, "input_size": (1, 32, 32), "crop_pct": 1.0, "mean": (0.5,), "std": (0.5,)}
CLIPS = {"num_classes": 10, "input_size": (2, 128, 128), "crop_pct": 1.0, "mean": (0.0, 0.0), "std": (1.0, 1.0)}

MS_RESNETS: Mapping[str, Mapping[str, Any]] = {
    "18": {"blocks": (2, 2, 2, 2)},
    "34": {},
    "_digits": {"channels": (32, 64, 128, 192), "blocks": (2, 2, 2, 2), "stem_stride": 1},
    "_dvs": {
        "channels": (32, 64, 128, 256),
        "blocks": (2, 2, 2, 2),
        "timesteps": 8,
        "frames": True,
        "in_chans": 2,
    },
}
"""Options of each, by the end of its name."""
