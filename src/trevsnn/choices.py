"""What can be chosen by name, as plain data: the command line shows it without importing PyTorch."""

from typing import Literal

DATASETS = (
    "cifar10",
    "cifar100",
    "digits",
    "events/cifar10dvs",
    "events/digits",
    "events/dvs128gesture",
    "events/folder",
    "events/nmnist",
    "imagefolder",
    "webdataset",
)
Device = Literal["auto", "cpu", "cuda"]
InputEncoding = Literal["shared", "grouped"]
Loss = Literal["intermediate", "tet"]
Memory = Literal["reversible", "packed", "stored"]
"""What a training step keeps for its backward pass."""
Optimizer = Literal["adamw", "lamb"]
Precision = Literal["fp32", "bf16", "fp16"]
Question = Literal["fusion", "residual_scale", "timesteps", "input_encoding", "aux_heads", "learn_decay"]
SpikeOp = Literal["comparison", "hard-sigmoid"]
SplitBy = Literal["number", "time"]
"""Whether the frames of a recording have the same number of events or last the same time."""
TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
