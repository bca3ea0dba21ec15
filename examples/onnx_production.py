"""A network as an ONNX file, and a program that needs NumPy and ONNX Runtime alone to run it.

python examples/onnx_production.py
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnxruntime


def export(file: Path) -> None:
    """Where the network was trained. With a run folder: `trevsnn export RUN --to onnx`."""
    from trevsnn import create_model
    from trevsnn.data import load_dataset
    from trevsnn.deployment import export_onnx
    from trevsnn.models import weights_info

    data = load_dataset("digits")
    model = create_model("trevsnn_digits", num_classes=10).eval()  # give yours: it has learned nothing
    about = {"class_names": data.class_names, "preprocessing": asdict(data.preprocessing)}
    export_onnx(model, file, (32, 32), weights_info("trevsnn_digits", model.config, **about))


class Classifier:
    """Where it runs: no PyTorch and none of this library. Thread-safe, as sessions are."""

    def __init__(self, file: Path):
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        about = self.session.get_modelmeta().custom_metadata_map
        self.class_names = json.loads(about["class_names"])
        self.preprocessing = json.loads(about["preprocessing"])

    def __call__(self, pictures: np.ndarray) -> list[str]:
        """Grey pictures (N, H, W) of the network's size, 0 to 255 -> the class of each, in one run."""
        mean, std = (np.float32(self.preprocessing[name]) for name in ("mean", "std"))
        values = (pictures[:, None].astype(np.float32) / 255 - mean) / std
        (logits,) = self.session.run(["logits"], {"input": values})
        return [self.class_names[i] for i in logits.argmax(1)]


def main() -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export(file)
        return Classifier(file)(np.random.default_rng(0).integers(0, 256, (3, 32, 32)))


if __name__ == "__main__":
    print("three random pictures:", *main())
