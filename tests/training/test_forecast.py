from dataclasses import replace

import pytest

from trevsnn.training import Forecast, TrainConfig, forecast_run

CONFIG = TrainConfig(epochs=10, batch_size=16, channels=(4, 4, 8, 8), timesteps=1, device="cpu")


def test_forecast_adds_up(few_digits):
    forecast = forecast_run(CONFIG, few_digits)
    assert (forecast.steps_per_epoch, forecast.effective_batch) == (3, 16)
    assert forecast.parameters > 1000
    assert min(forecast.loading_images_per_second, forecast.training_images_per_second, forecast.test_seconds) > 0
    slower = min(forecast.loading_images_per_second, forecast.training_images_per_second)
    assert forecast.seconds == pytest.approx(10 * (48 / slower + forecast.test_seconds))
    assert forecast.memory[1] > 1e6


def test_slow_loading_is_noticed(few_digits):
    forecast = forecast_run(replace(CONFIG, effective_batch=48), few_digits)
    slow = Forecast(**{**forecast.__dict__, "loading_images_per_second": 1.0})
    assert slow.loading_is_slower
    assert not Forecast(**{**forecast.__dict__, "loading_images_per_second": 1e9}).loading_is_slower
