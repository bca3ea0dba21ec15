"""An ONNX file against its network, on the same images."""

import onnxruntime
import pytest
import torch

from trevsnn.data.loading import Batch
from trevsnn.deployment import compare, export_onnx


@pytest.mark.parametrize("batches", [1, 2])
def test_both_see_every_image_once_after_a_first_time_that_is_not_timed(build, inputs, tmp_path, monkeypatch, batches):
    model = build()
    export_onnx(model, tmp_path / "x.onnx", (32, 32))
    pixels, labels = inputs(model), torch.tensor([0, 1, 2])
    with torch.no_grad():
        correct = (model(pixels).argmax(1) == labels).float().mean().item()
    ticks, times = [], []
    model.register_forward_hook(lambda *_: times.append(len(ticks)))

    def clock() -> float:
        ticks.append(1)
        return float(len(ticks))

    monkeypatch.setattr("trevsnn.deployment.comparison.perf_counter", clock)
    ours, files = compare(model, tmp_path / "x.onnx", [Batch(pixels, labels, [])] * batches)
    assert times == [0, *range(1, 4 * batches, 4)], "once before the clock starts, then once between two readings"
    assert (ours.seconds, files.seconds) == (batches, batches)
    assert torch.equal(ours.evaluation.confusion, files.evaluation.confusion)
    assert ours.evaluation.confusion.sum() == 3 * batches
    assert ours.evaluation.accuracy == pytest.approx(correct)
    assert files.evaluation.loss == pytest.approx(ours.evaluation.loss, rel=1e-5)


def test_the_file_runs_on_the_cpu_with_as_many_threads_as_pytorch(build, inputs, tmp_path, monkeypatch):
    model, asked, session = build(), [], onnxruntime.InferenceSession
    export_onnx(model, tmp_path / "x.onnx", (32, 32))

    def start(file, options, **others):
        asked.append((file, options.intra_op_num_threads, others))
        return session(file, options, **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    compare(model, tmp_path / "x.onnx", [Batch(inputs(model), torch.tensor([0, 1, 2]), [])])
    assert asked == [(str(tmp_path / "x.onnx"), torch.get_num_threads(), {"providers": ["CPUExecutionProvider"]})]
