"""What a grid of runs consists of, and its table, with accuracies made up in place of training."""

from dataclasses import replace

import pytest
from runs import quiet_console

from trevsnn.models import create_model, save_weights
from trevsnn.studies import ablation
from trevsnn.studies.ablation import QUESTIONS, AblationRuns, plan_ablation
from trevsnn.studies.ablation_table import in_words, markdown_page, summarise, table_rows
from trevsnn.training import NonFiniteError, RunFolder, TrainConfig

SMALL = TrainConfig(epochs=2, batch_size=16, model="trevsnn_digits", channels=(8, 8), device="cpu")
ROW = dict.fromkeys(("epoch", "loss", "test_loss", "lr", "seconds", "images_per_second"), 1)
"""What metrics have besides the accuracy."""


def changes(variant, base=SMALL):
    before, after = base.by_name(), variant.config.by_name()
    return {name: value for name, value in after.items() if before.get(name) != value}


def test_one_factor_at_a_time_around_the_base(few_digits):
    planned = plan_ablation(SMALL, few_digits, QUESTIONS)
    assert {variant.name: changes(variant) for variant in planned.variants} == {
        "base": {},
        "fusion-off": {"fusion": False},
        "residual_scale-off": {"residual_scale": False},
        "timesteps-1": {"timesteps": 1, "depth": 8},
        "timesteps-2": {"timesteps": 2, "depth": 8},
        "timesteps-8": {"timesteps": 8, "depth": 8},
        "input_encoding-grouped": {"input_encoding": "grouped"},
        "aux_heads-off": {"aux_heads": False},
        "learn_decay-off": {"learn_decay": False},
    }
    assert list(planned.questions["timesteps"]) == ["1", "2", "4", "8"]
    for variants in planned.questions.values():
        assert [variant is planned.base for variant in variants.values()].count(True) == 1
    parameters = {variant.name: variant.parameters for variant in planned.variants}
    assert parameters["base"] - parameters["learn_decay-off"] == 4 * (8 + 8)
    assert not planned.left_out


def test_the_base_has_a_value_of_its_own_in_every_question(few_digits):
    base = replace(SMALL, fusion=False, timesteps=3, depth=5)
    questions = {name: QUESTIONS[name] for name in ("fusion", "timesteps")} | {"kernel_size": (5,), "channels": ((8,),)}
    planned = plan_ablation(base, few_digits, questions)
    names = {name: [variant.name for variant in variants.values()] for name, variants in planned.questions.items()}
    assert names == {
        "fusion": ["fusion-on", "base"],
        "timesteps": ["base", "timesteps-1", "timesteps-2", "timesteps-4", "timesteps-8"],
        "kernel_size": ["base", "kernel_size-5"],
        "channels": ["base", "channels-8"],
    }
    assert list(planned.questions["channels"]) == ["8 8", "8"]
    assert [v.config.model_options["depth"] for v in planned.questions["timesteps"].values()] == [5] * 5


def test_what_the_network_cannot_have_is_left_out_or_refused(few_digits):
    base = replace(SMALL, channels=(6, 8))
    planned = plan_ablation(base, few_digits, QUESTIONS, optional=True)
    assert planned.questions.keys() == QUESTIONS.keys() - {"input_encoding"}
    assert "choose a multiple of 4" in planned.left_out["input_encoding"]
    with pytest.raises(ValueError, match=r"question input_encoding: .* choose a multiple of 4"):
        plan_ablation(base, few_digits, {"input_encoding": ("shared", "grouped")})
    with pytest.raises(ValueError, match="no question can be asked"):
        plan_ablation(base, few_digits, {"input_encoding": ("shared", "grouped")}, optional=True)


def test_the_base_alone_is_trained_with_all_seeds(few_digits):
    planned = plan_ablation(SMALL, few_digits, {"augment": (True,)})
    assert planned.variants == [planned.base]
    assert list(planned.questions["augment"]) == ["on"]


def test_networks_of_other_families_are_compared(few_digits):
    pytest.importorskip("spikingjelly")
    models = {"model": ("trevsnn_digits", "ms_resnet_digits")}
    planned = plan_ablation(replace(SMALL, channels=None), few_digits, models)
    assert [variant.name for variant in planned.variants] == ["base", "model-ms_resnet_digits"]
    resnet = replace(SMALL, channels=None, model="ms_resnet_digits")
    with pytest.raises(ValueError, match="question fusion: 'fusion' is not an option of ms_resnet_digits"):
        plan_ablation(resnet, few_digits, QUESTIONS)


def test_weights_bring_their_network_into_every_variant(tmp_path, few_digits):
    network = create_model("trevsnn_digits", channels=(4, 8), timesteps=2, fusion=False)
    save_weights(network, tmp_path / "w.safetensors", network.described())
    base = replace(SMALL, channels=None, weights=tmp_path / "w.safetensors")
    planned = plan_ablation(base, few_digits, {"fusion": (True, False), "timesteps": (2, 4)})
    assert [variant.name for variant in planned.variants] == ["base", "fusion-on", "timesteps-4"]
    assert {variant.config.model_options["channels"] for variant in planned.variants} == {(4, 8)}
    assert [variant.config.model_options.get("depth") for variant in planned.variants] == [None, None, 4]


def test_summary_computed_by_hand():
    assert summarise({0: 0.5, 1: 0.75, 2: 1.0}, {0: 0.75, 1: 0.5, 3: 0.0}) == {
        "mean": 0.75,
        "lowest": 0.5,
        "highest": 1.0,
        "difference_mean": 0.0,
        "difference_lowest": -0.25,
        "difference_highest": 0.25,
    }
    assert set(summarise({}, {0: 1.0}).values()) == {None}


@pytest.fixture
def planned(few_digits):
    return plan_ablation(SMALL, few_digits, {"fusion": (True, False)})


@pytest.fixture
def made_up(monkeypatch):
    """Runs that come to these accuracies by epoch, by (folder, seed); None diverges."""

    def made_up(**outcomes):
        trained = []

        def train(config, dataset, run, resume, console):
            trained.append((run.path.parent.name, config.seed, resume))
            accuracies = outcomes[run.path.parent.name][config.seed]
            if accuracies is None:
                raise NonFiniteError("stopped at epoch 1")
            if not resume:
                run.path.mkdir(parents=True)
                run.create(config, dataset)
            run.write_metrics([ROW | {"test_accuracy": accuracy} for accuracy in accuracies])

        monkeypatch.setattr(ablation, "train", train)
        return trained

    return made_up


def test_seeds_first_then_the_table_of_the_last_epochs(tmp_path, planned, few_digits, made_up):
    trained = made_up(base={0: [0.9, 0.5], 7: [0.1, 0.25]}, **{"fusion-off": {0: [0.9, 0.25], 7: [0.9, 0.5]}})
    runs, seen = AblationRuns(planned, few_digits, tmp_path, (0, 7)), []
    for _ in runs.train(quiet_console()):
        seen.append([in_words(row)["seeds"] for row in table_rows(runs)])
    assert trained == [("base", 0, False), ("fusion-off", 0, False), ("base", 7, False), ("fusion-off", 7, False)]
    assert seen == [["1 of 2", "0 of 2"], ["1 of 2", "1 of 2"], ["2 of 2", "1 of 2"], ["2 of 2", "2 of 2"]]
    base, off = table_rows(runs)
    assert off["accuracies"] == {0: 0.25, 7: 0.5}
    assert (off["mean"], off["difference_mean"], off["difference_lowest"], off["difference_highest"]) == (
        0.375,
        0.0,
        -0.25,
        0.25,
    )
    assert in_words(off) | {"parameters": ""} == {
        "question": "fusion",
        "setting": "off",
        "mean": "37.50%",
        "range": "25.00% to 50.00%",
        "difference": "+0.00",
        "difference_range": "-25.00 to +25.00",
        "parameters": "",
        "seeds": "2 of 2",
    }
    assert (in_words(base)["setting"], in_words(base)["difference"]) == ("on (base)", "")
    page = markdown_page(runs, [base, off], "a machine")
    assert "| fusion | off | 37.50% | 25.00% to 50.00% | +0.00 | -25.00 to +25.00 |" in page
    for part in (
        "60 test images",
        "the runs with the seeds 0 and 7",
        "Trained on: a machine.",
        "epochs = 2",
        "trevsnn_digits",
    ):
        assert part in page
    assert "seed =" not in page


def test_finished_runs_are_not_trained_again_and_begun_ones_go_on(tmp_path, planned, few_digits, made_up):
    made_up(base={0: [0.5, 0.5]}, **{"fusion-off": {0: [0.5]}})
    list(AblationRuns(planned, few_digits, tmp_path, [0]).train(quiet_console()))
    trained = made_up(**{"fusion-off": {0: [0.5, 0.5]}})
    runs = AblationRuns(planned, few_digits, tmp_path, [0])
    runs.check()
    list(runs.train(quiet_console()))
    assert trained == [("fusion-off", 0, True)]


def test_a_run_that_diverges_is_noted_and_the_others_go_on(tmp_path, planned, few_digits, made_up):
    made_up(base={0: None, 1: [0.5, 0.5]}, **{"fusion-off": {0: [0.5, 0.75], 1: [0.5, 1.0]}})
    runs, console = AblationRuns(planned, few_digits, tmp_path, [0, 1]), quiet_console()
    list(runs.train(console))
    assert "warning: stopped at epoch 1\n" in console.file.getvalue()
    base, off = table_rows(runs)
    assert base["failures"] == {0: "stopped at epoch 1"}
    assert base["accuracies"] == {0: None, 1: 0.5}
    assert in_words(base)["seeds"] == "1 of 2, 1 diverged"
    assert (off["mean"], off["difference_mean"]) == (0.875, 0.5), "only seed 1 can be compared"
    assert "- base, seed 0: stopped at epoch 1\n" in markdown_page(runs, [base, off], "")


def test_folders_of_other_runs_are_refused(tmp_path, planned, few_digits):
    runs = AblationRuns(planned, few_digits, tmp_path, [0])
    folder = RunFolder(tmp_path / "base" / "seed-0")
    folder.path.mkdir(parents=True)
    folder.create(replace(SMALL, workers=1), few_digits)
    runs.check()
    for other in (replace(SMALL, epochs=9), replace(SMALL, weights=tmp_path)):
        folder.create(other, few_digits)
        (name,) = changes(planned.base, other)
        with pytest.raises(
            ValueError, match=rf"seed-0' holds another run: it was started with {name}=.* not .*--output"
        ):
            runs.check()
    folder.create(SMALL, replace(few_digits, name="others"))
    with pytest.raises(ValueError, match="dataset='others', not 'digits'"):
        runs.check()
    folder.config.unlink()
    with pytest.raises(ValueError, match="which a run would replace"):
        runs.check()
