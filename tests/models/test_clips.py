"""Networks that see a new frame at each step."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
import torch
from helpers import assert_same_gradients, excite, gradients
from tolerances import assert_close

from trevsnn import StreamingClassifier, create_model, temporal_efficient_training_loss
from trevsnn.data import FramePreprocessing
from trevsnn.data.events import Events
from trevsnn.layers import Stem
from trevsnn.models import TRevSNN, count_macs

OPTIONS = {"channels": (4, 4, 8, 8), "num_classes": 5, "kernel_size": 3}


def build(timesteps=4, **options):
    torch.manual_seed(0)
    model = excite(create_model("trevsnn_dvs", **{**OPTIONS, **options}, timesteps=timesteps))
    model.set_intermediate_supervision()
    return model


def clip(timesteps=4, batch=3, size=32):
    return torch.randn(timesteps, batch, 2, size, size, generator=torch.Generator().manual_seed(1))


def backward(model, x):
    outputs = model(x)
    temporal_efficient_training_loss(outputs, torch.arange(x.shape[1]) % 5).backward()
    return outputs


@pytest.mark.parametrize("timesteps", [1, 2, 8])
@pytest.mark.parametrize("stem_sharing", [True, False])
@pytest.mark.parametrize("memory", ["reversible", "packed"])
def test_every_memory_setting_has_the_gradients_of_stored(timesteps, stem_sharing, memory):
    results = []
    for setting in ("stored", memory):
        model, x = build(timesteps, stem_sharing=stem_sharing, memory=setting), clip(timesteps).requires_grad_()
        outputs = backward(model, x)
        results.append((outputs, gradients(model), x.grad))
    (outputs, expected, dx), (actual_outputs, actual, actual_dx) = results
    assert all(torch.equal(a, b) for a, b in zip(outputs, actual_outputs, strict=True))
    assert torch.equal(dx, actual_dx)
    assert_same_gradients(actual, expected, "decay" if memory == "reversible" else None)


def test_shapes_in_training_and_testing():
    model, x = build(), clip()
    assert [tuple(logits.shape) for logits in model(x)] == [(3, 5)] * 4
    assert model.eval()(x).shape == (3, 5)
    assert model.forward_features(x).shape == (3, 8, 2, 2)
    torch.testing.assert_close(model.forward_head(model.forward_features(x)), model(x))
    assert build(aux_heads=False)(x).shape == (3, 5)


def test_logits_are_the_mean_of_the_steps():
    model, x, steps = build().eval(), clip(), []
    with torch.no_grad():
        with model.grid.observe(lambda state: steps.append(state.spikes())):
            logits = model(x)
        torch.testing.assert_close(torch.stack([model.forward_head(spikes) for spikes in steps]).mean(0), logits)


def test_one_stem_for_all_steps_or_one_each():
    def stems(model):
        return [module for module in model.modules() if isinstance(module, Stem)]

    assert len(stems(build())) == 1
    assert len(stems(build(stem_sharing=False))) == 4


def test_every_frame_counts_and_their_order_too():
    model, x = build().eval(), clip()
    logits = model(x)
    for t in range(4):
        other = x.clone()
        other[t] = 0
        assert not torch.equal(model(other), logits)
    assert not torch.equal(model(x.flip(0)), logits)


def test_folded_logits_are_the_same():
    for stem_sharing in (True, False):
        model = build(stem_sharing=stem_sharing).double()
        with torch.no_grad():
            model.train()(clip().double())
        model.eval()
        folded = model.fold()
        assert_close(folded(clip().double()), model(clip().double()), "folded")
        with pytest.raises(ValueError, match="folded already"):
            folded.fold()


def test_published_shape():
    model = create_model("trevsnn_dvs")
    assert (model.config.channels, model.config.timesteps, model.config.in_chans) == ((32, 64, 128, 256), 8, 2)
    assert model.config.input_shape(3, 128, 128) == (8, 3, 2, 128, 128)
    assert count_macs(model, (2, 128, 128)) > 1e8


def test_saved_and_loaded(tmp_path):
    model = build(stem_sharing=False).eval()
    model.save_pretrained(tmp_path / "saved")
    assert torch.equal(TRevSNN.from_pretrained(tmp_path / "saved")(clip()), model(clip()))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 2, 32, 32), r"must have 5 dimensions \(T, N, in_chans, H, W\)"),
        ((4, 3, 3, 32, 32), "has 3 channels, in_chans=2"),
        ((3, 3, 2, 32, 32), "has 3 frames, timesteps=4"),
        ((4, 3, 2, 4, 4), "4 x 4 pixels is too small"),
    ],
)
def test_inputs_that_do_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        build()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_encoding": "grouped"}, "input_encoding='grouped' is for images"),
        ({"frames": False, "stem_sharing": False}, "stem_sharing=False is for clips"),
        ({"frames": "yes"}, "frames='yes' must be True or False"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        create_model("trevsnn_dvs", **OPTIONS, **options)


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("options", [{}, {"fusion": False, "residual_scale": False, "learn_decay": False}], ids=str)
def test_streaming_ends_with_the_logits_of_the_clip(folded, options):
    model, x = build(**options).eval(), clip()
    model = model.fold() if folded else model
    classify = StreamingClassifier(model)
    logits = [classify(frame) for frame in x]
    assert_close(logits[-1], model(x), "order")
    assert all(not torch.equal(a, b) for a, b in pairwise(logits))
    classify.reset()
    assert torch.equal(classify(x[0]), logits[0])


def test_streaming_of_raw_events_by_windows():
    """Windows of a recording one by one give what its frames by time do."""
    preprocessing = FramePreprocessing(input_size=(2, 32, 32), sensor_size=(64, 64), timesteps=4, split_by="time")
    generator = np.random.default_rng(0)
    t = np.sort(np.r_[0, generator.integers(0, 4000, 998), 4000])
    events = Events(t + 77, *(generator.integers(0, limit, 1000) for limit in (64, 64, 2)))
    model, duration = build(timesteps=4).eval(), 1000
    classify = StreamingClassifier(model, preprocessing.frame)
    *windows, last = events.windows(duration)
    assert (len(windows), len(last)) == (4, 1), "the last event is the end of the last frame"
    windows[3] = events.between(77 + 3 * duration, 77 + 4 * duration + 1)
    logits = [classify(window) for window in windows]
    clip = preprocessing.transform()(events).unsqueeze(1)
    assert_close(logits[-1], model(clip), "order")
    classify.reset()
    assert classify(events[:0]).isfinite().all(), "a window may be empty"
    with pytest.raises(ValueError, match="x from 64 to 64 do not fit a sensor of 64 x 64"):
        classify(Events(*np.array([[1], [64], [0], [0]])))


def test_streaming_is_saved_and_goes_on_elsewhere(tmp_path):
    model, x = build().eval(), clip()
    first, second = StreamingClassifier(model), StreamingClassifier(model)
    for frame in x[:2]:
        first(frame)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt"))
    for frame in x[2:]:
        assert torch.equal(first(frame), second(frame))


def test_streaming_keeps_nothing_of_earlier_frames():
    classify, x = StreamingClassifier(build(timesteps=8)), clip(8)
    sizes = []
    for frame in x:
        classify(frame)
        state = classify.state_dict()
        sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in [*state["membranes"], state["rates"]]))
    assert len(set(sizes)) == 1


def test_streaming_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="this network is for images"):
        StreamingClassifier(create_model("trevsnn_digits"))
    with pytest.raises(ValueError, match="has no classifier"):
        StreamingClassifier(create_model("trevsnn_dvs", channels=(4, 4, 8, 8), num_classes=0))
    classify = StreamingClassifier(build(timesteps=1))
    with pytest.raises(ValueError, match="has 3 channels"):
        classify(torch.zeros(1, 3, 32, 32))
    classify(torch.zeros(1, 2, 32, 32))
    with pytest.raises(ValueError, match=r"the clip is over after 1 frames; call reset\(\)"):
        classify(torch.zeros(1, 2, 32, 32))


def test_streaming_refuses_a_frame_of_another_clip():
    classify = StreamingClassifier(build(timesteps=3).eval())
    before = classify(torch.rand(2, 2, 32, 32))
    for frame, message in [
        (torch.rand(1, 2, 32, 32), r"frame has a batch of 1, the clip one of 2; call reset\(\)"),
        (torch.rand(0, 2, 32, 32), "is a batch of nothing; give at least one sample"),
        (torch.rand(2, 2, 32, 40), r"frame has 32 x 40 pixels, the clip 32 x 32; call reset\(\)"),
        (torch.rand(2, 2, 32, 32).double(), r"dtype torch.float64, the network torch.float32; give frame.to"),
        (torch.ones(2, 2, 32, 32, dtype=torch.uint8), r"dtype torch.uint8, the network torch.float32; give frame.to"),
        (torch.rand(2, 2, 32, 32, device="meta"), "frame is on meta, the network on cpu"),
        (np.zeros((2, 2, 32, 32), np.float32), "frame is of type ndarray; give a tensor"),
    ]:
        with pytest.raises(ValueError, match=message):
            classify(frame)
    assert classify.steps == 1, "what is refused is no step"
    classify.model.train()
    with pytest.raises(ValueError, match=r"training mode; call its eval\(\)"):
        classify(torch.rand(2, 2, 32, 32))
    classify.model.eval()
    after = classify(torch.rand(2, 2, 32, 32, requires_grad=True))
    assert not after.requires_grad
    classify.reset()
    assert classify(torch.rand(1, 2, 40, 32)).shape == (1, before.shape[1])


def test_streaming_shows_what_is_not_finite():
    classify, x = StreamingClassifier(build().eval()), clip()
    x[1, 0] = torch.nan
    logits = [classify(frame) for frame in x]
    assert logits[0].isfinite().all()
    for row in logits[1:]:
        assert row[0].isnan().all()
        assert row[1:].isfinite().all()
    assert torch.equal(logits[-1].isnan(), classify.model(x).isnan())


def test_streaming_state_of_another_network_is_refused():
    classify, other = StreamingClassifier(build().eval()), StreamingClassifier(build(channels=(4, 8)).eval())
    other(torch.rand(1, 2, 32, 32))
    with pytest.raises(ValueError, match=r"the state has no membranes, rates; give a state_dict\(\)"):
        classify.load_state_dict({"steps": 1})
    with pytest.raises(ValueError, match=r"after 1 steps and with \[4, 8, 8\] channels, is of another network"):
        classify.load_state_dict(other.state_dict())
    classify.load_state_dict(StreamingClassifier(other.model).state_dict())
    assert classify.steps == 0
    copied = deepcopy(other)
    assert torch.equal(copied(frame := torch.rand(1, 2, 32, 32)), other(frame))


def test_streams_in_threads_need_a_classifier_each():
    model, x = build().eval(), clip()

    def run(frames):
        classify = StreamingClassifier(model)
        return [classify(frame) for frame in frames]

    with ThreadPoolExecutor(4) as pool:
        for logits in pool.map(run, [x] * 4):
            assert all(map(torch.equal, logits, run(x)))
    started, go_on = Event(), Event()

    def slow(frame):
        started.set()
        go_on.wait(60)
        return frame

    classify = StreamingClassifier(model, slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(classify, x[0])
        started.wait(60)
        with pytest.raises(ValueError, match="another thread is at work on a frame of this clip"):
            classify(x[1])
        go_on.set()
        first.result()
    assert classify.steps == 1
