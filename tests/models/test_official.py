"""The public code's recorded numbers, and the conversion of its weights."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tolerances import assert_close

from trevsnn import TRevSNN, convert_official, intermediate_supervision_loss
from trevsnn.models import infer_official_config
from trevsnn.models.official import SMALLEST_DECAY, official_name

VECTORS = sorted((Path(__file__).parent.parent / "conformance").glob("*.npz"))


@pytest.fixture(scope="module", params=VECTORS, ids=lambda path: path.stem)
def recorded(request):
    with np.load(request.param) as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file.files}


def part(recorded, folder):
    return {name.removeprefix(folder): value for name, value in recorded.items() if name.startswith(folder)}


@pytest.fixture
def model(recorded):
    theirs = part(recorded, "param/")
    model = TRevSNN(infer_official_config(theirs))
    model.load_state_dict(convert_official(theirs))
    model.set_intermediate_supervision()
    return model


def test_there_are_recordings():
    assert len(VECTORS) == 2


def test_the_configuration_is_read_off_the_weights(model, recorded):
    *channels, timesteps, kernel_size, num_classes = recorded["meta"].tolist()
    config = model.config
    assert config.channels == tuple(channels)
    assert (config.timesteps, config.kernel_size, config.num_classes) == (timesteps, kernel_size, num_classes)
    assert config.aux_heads


def test_eval_logits_of_every_head(model, recorded):
    model.eval()
    model.training = True  # the network itself, so that all heads answer; its layers are in eval mode
    for i, logits in enumerate(model(recorded["input"])):
        assert_close(logits, recorded[f"eval_logits/{i}"], "recorded")
    deployed = model.eval()(recorded["input"])
    assert_close(deployed, recorded["eval_logits/3"], "recorded")
    assert_close(model.fold()(recorded["input"]), deployed, "folded")


# Gradients are compared in float64: one potential of official_k5_t4 is -5e-10, closer to the edge of the surrogate
# window than fp32 resolves, and on which side it falls depends on the number of threads (1.4e-4 in the stem).
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("memory", ["stored", "reversible"])
def test_a_training_step(model, recorded, memory, dtype):
    model.set_memory(memory)
    outputs = model.to(dtype).train()(recorded["input"].to(dtype))
    loss = intermediate_supervision_loss(outputs, recorded["target"].long())
    loss.backward()
    assert_close(loss.detach(), recorded["loss"], "recorded")
    for i, logits in enumerate(outputs):
        assert_close(logits.detach(), recorded[f"train_logits/{i}"], "recorded")

    statistics = part(recorded, "buffer_after_one_train_forward/")
    for name, buffer in model.named_buffers():
        if (theirs := official_name(name, model.config)) in statistics:
            assert_close(buffer.to(dtype), statistics.pop(theirs), "recorded", name)
    assert not statistics, "every recorded statistic has been compared"

    if dtype == torch.float32:
        return
    gradients = part(recorded, "grad/")
    for name, p in model.named_parameters():
        expected = gradients.pop(official_name(name, model.config), torch.zeros(()))
        # the decays of step 0 multiply nothing: no recording, a gradient of 0
        assert_close(p.grad, expected.reshape(p.shape) if expected.dim() else 0 * p, "recorded gradients", name)
    assert not gradients, "every recorded gradient has been compared"


@pytest.mark.parametrize(
    "options",
    [
        {"timesteps": 1, "aux_heads": False},
        {"timesteps": 8, "aux_heads": False, "channels": (4, 6)},
        {"timesteps": 12, "kernel_size": 7, "channels": (4, 6)},
        {"timesteps": 3, "channels": (4, 6, 8)},
        {"in_chans": 2, "num_classes": 3},
    ],
    ids=str,
)
def test_any_shape_converts_back(build, options):
    model = build(**options)
    theirs = {official_name(name, model.config): value for name, value in model.state_dict().items()}
    for name, value in theirs.items():
        if re.search(r"alpha\d+$|gamma$", name):
            theirs[name] = value.reshape(1, -1, 1, 1)
    assert infer_official_config(theirs) == model.config
    ours = convert_official(theirs)
    assert ours.keys() == model.state_dict().keys()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in ours.items())


@pytest.fixture
def theirs(build):
    model = build()
    return {official_name(name, model.config): value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"model": s},
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: s,
        lambda s: [s, {"step": 1}],
        lambda s: (3, {"model": s}),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_whole_checkpoints_are_accepted(theirs, wrap, prefix):
    converted = convert_official(wrap({prefix + name: value for name, value in theirs.items()}))
    assert all(torch.equal(value, converted[name]) for name, value in convert_official(theirs).items())


def test_the_average_is_preferred(theirs):
    average = {name: value + 1 if value.is_floating_point() else value for name, value in theirs.items()}
    converted = convert_official({"model": theirs, "state_dict_ema": average})
    assert torch.equal(converted["stem.conv1.weight"], theirs["stem.down1.0.weight"] + 1)


def test_decays_keep_the_smallest_size_of_the_public_code(theirs):
    theirs["subnet1.alpha0"][:3] = torch.tensor([1e-5, -1e-5, -0.5])
    converted = convert_official(theirs)["grid.decays.1.0"]
    torch.testing.assert_close(converted[:3], torch.tensor([SMALLEST_DECAY, -SMALLEST_DECAY, -0.5]))


def test_every_wrong_entry_is_named(theirs):
    theirs["surprise"] = torch.zeros(1)
    del theirs["stem.down2.0.bias"]
    theirs["subnet1.level2.blocks.0.pwconv1.bias"] = torch.zeros(7)
    theirs["subnet2.level0.blocks.1.pwconv2_reuse.gain"] += 1
    with pytest.raises(ValueError, match="not a state dict of the public T-RevSNN code") as error:
        convert_official(theirs)
    for part in (
        "unknown surprise",
        "missing stem.down2.0.bias",
        "subnet1.level2.blocks.0.pwconv1.bias has shape (7,), expected (48,)",
        "subnet2.level0.blocks.1.pwconv2_reuse.gain differs from subnet0.level0.blocks.1.pwconv2_reuse.gain",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("foreign", [{}, {"weight": torch.zeros(3)}, {"model": {}}], ids=str)
def test_foreign_dictionaries_are_refused(foreign):
    with pytest.raises(ValueError, match=r"missing stem\.down1\.0\.weight"):
        convert_official(foreign)


def test_messages_stay_short(theirs):
    numbers = {name: value.numpy() for name, value in theirs.items()}
    with pytest.raises(ValueError, match=r"no plain tensor is (\S+ ){5}and \d+ more \(ndarray\)$"):
        convert_official(numbers)
    with pytest.raises(ValueError, match=r"(unknown [^;]*; ){11}unknown .* and 9\d more$"):
        convert_official(theirs | {f"surprise.{i}": torch.zeros(1) for i in range(108)})


@pytest.mark.parametrize("value", [3, "x", None, torch.zeros(8).to_sparse(), torch.zeros(8, device="meta")], ids=str)
def test_entries_that_are_no_tensors_are_named(theirs, value):
    theirs["subnet0.alpha0"] = value
    with pytest.raises(ValueError, match=r"no plain tensor is subnet0\.alpha0"):
        convert_official(theirs)


def test_what_is_no_dictionary_is_refused():
    with pytest.raises(ValueError, match="not int"):
        convert_official(1)  # type: ignore[arg-type]
