"""training/loop.py and optimisation.py on a task small enough to compare bit for bit."""

import json
import os
import re
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from lambdas.shared.errors import ConfigError  # noqa: E402
from training import loop  # noqa: E402
from training.batches import Batch  # noqa: E402
from training.checkpointing import load_plain  # noqa: E402
from training.config import TrainingConfig  # noqa: E402
from training.journal import Journal, metric_line  # noqa: E402
from training.loop import InterruptedTrainingError  # noqa: E402
from training.optimisation import (  # noqa: E402
    FINAL_RATE,
    NonFiniteLossError,
    Optimisation,
    RunningMean,
    autocast_type,
    choose_device,
    one_cycle,
)
from training.sagemaker_jobs import metric_definitions  # noqa: E402

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


class FakeBatches:
    """Numbers that follow from (seed, epoch, position), as the real ones do."""

    per_epoch = 5
    studies = tuple(range(10))

    def training_batch(self, position, *, order, seed, epoch, augment):
        assert sorted(order) == list(self.studies)
        generator = np.random.default_rng((seed, epoch, position))
        images = torch.from_numpy(generator.normal(size=(4, 6)).astype(np.float32))
        return Batch(studies=(), images=images, boxes=(), box_labels=())


class FakeTask:
    """Dropout and BatchNorm: both have state that a careless resume loses."""

    figure = "score"
    file_name = "fake.pth"
    backbone = "0."

    def __init__(self, scores=(), break_at=None, end_at=None):
        torch.manual_seed(1)
        self.trained = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)
        )
        self.batches = FakeBatches()
        self.scores = list(scores)
        self.calls = 0
        self.break_at, self.end_at = break_at, end_at

    def loss(self, batch):
        self.calls += 1
        if self.calls == self.break_at:
            raise KeyboardInterrupt  # as a kill: nothing is saved any more
        if self.calls == self.end_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return (self.trained(batch.images) - batch.images.sum(dim=1, keepdim=True)).square().mean()

    def validate(self):
        score = self.scores.pop(0) if self.scores else float(self.trained[0].weight.sum())
        return {"score": score}

    def model_file(self):
        return {"model_state_dict": self.trained.state_dict()}


def _config(folder, **given):
    values = {"epochs": 4, "ema_decay": 0.8, "patience": 0, "checkpoint_steps": 2} | given
    return TrainingConfig(model_dir=folder, learning_rate=0.05, **values)


def _weights(folder):
    return load_plain(folder / "fake.pth")["model_state_dict"]


@pytest.mark.parametrize("killed_at", [1, 4, 5, 6, 13, 20])  # within, at the end of, past an epoch
@pytest.mark.parametrize("checkpoint_steps", [1, 3, 100])
def test_a_killed_run_ends_bit_for_bit_as_one_that_was_not(tmp_path, killed_at, checkpoint_steps):
    whole, killed = (
        _config(tmp_path / name, checkpoint_steps=checkpoint_steps) for name in ("whole", "killed")
    )
    loop.run(FakeTask(), whole, device=CPU)
    with pytest.raises(KeyboardInterrupt):
        loop.run(FakeTask(break_at=killed_at), killed, device=CPU)
    torch.manual_seed(99)  # another process starts from another state
    loop.run(FakeTask(), killed, device=CPU)
    for name, value in _weights(tmp_path / "whole").items():
        assert torch.equal(value, _weights(tmp_path / "killed")[name]), name
    curves = [json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("whole", "killed")]
    assert curves[0] == curves[1]


def test_sigterm_saves_the_step_it_came_in(tmp_path):
    config = _config(tmp_path, checkpoint_steps=100)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedTrainingError, match="asked to end at step 7"):
        loop.run(FakeTask(end_at=7), config, device=CPU)
    assert load_plain(config.state_dir / "training_state.pt")["optimisation"]["steps"] == 7
    assert signal.getsignal(signal.SIGTERM) == before
    task = FakeTask()
    loop.run(task, config, device=CPU)
    assert task.calls == 20 - 7


def test_a_finished_run_is_not_repeated(tmp_path):
    loop.run(FakeTask(), _config(tmp_path), device=CPU)
    task = FakeTask()
    path = loop.run(task, _config(tmp_path), device=CPU)
    assert task.calls == 0
    assert path.exists()


def test_resuming_with_other_settings_is_refused(tmp_path):
    loop.run(FakeTask(), _config(tmp_path, epochs=1), device=CPU)
    with pytest.raises(ConfigError, match=r"other settings \(epochs 1 -> 2\)"):
        loop.run(FakeTask(), _config(tmp_path, epochs=2), device=CPU)


def test_training_stops_when_validation_no_longer_improves_and_keeps_the_best(tmp_path):
    config = _config(tmp_path, epochs=9, patience=2)
    task = FakeTask(scores=[0.5, 0.8, float("nan"), 0.7, 0.9])
    path = loop.run(task, config, device=CPU)
    assert task.calls == 4 * 5
    saved = load_plain(path)
    assert saved["metrics"]["validation_score"] == 0.8
    assert saved["metrics"]["epoch"] == 2
    best = load_plain(config.state_dir / "best_weights.pt")
    assert torch.equal(saved["model_state_dict"]["0.weight"], best["0.weight"])


def test_the_model_file_says_what_made_it(tmp_path):
    saved = load_plain(loop.run(FakeTask(), _config(tmp_path, max_steps=7), device=CPU))
    assert saved["config"]["max_steps"] == 7
    assert saved["metrics"]["step"] in {5.0, 7.0}
    assert [row["step"] for row in saved["history"]] == [5.0, 7.0]
    assert saved["code_version"]
    written = json.loads((tmp_path / "config.json").read_text())
    assert written == saved["config"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (
        (tmp_path / "metrics.csv").read_text().startswith("epoch,step,train_loss,validation_score")
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_spoils_no_weight(tmp_path, value):
    task = FakeTask()
    before = {name: tensor.clone() for name, tensor in task.trained.state_dict().items()}
    task.loss = lambda batch: task.trained[0].weight.sum() * value
    with pytest.raises(NonFiniteLossError, match=r"the loss is (nan|-?inf) at step 1 "):
        loop.run(task, _config(tmp_path), device=CPU)
    for name, tensor in task.trained.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_rate_rises_and_falls_as_one_cycle():
    rates = [one_cycle(step, total=100, warmup=0.1) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 11)
    assert np.argmax(rates) == 10
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx((1 + FINAL_RATE) / 2)
    assert rates[100] == pytest.approx(FINAL_RATE)
    assert one_cycle(0, total=1, warmup=0.0) > 0  # a run of one step learns too


def test_the_backbone_learns_slower_and_norms_do_not_decay():
    task = FakeTask()
    config = TrainingConfig(learning_rate=1.0, backbone_rate_scale=0.1, weight_decay=0.5)
    groups = Optimisation(
        task.trained, config, device=CPU, total_steps=10, backbone="0."
    ).optimizer.param_groups
    found = {
        (group["lr"], group["weight_decay"]): sorted(tuple(p.shape) for p in group["params"])
        for group in groups
    }
    assert found == {
        (0.1, 0.5): [(8, 6)],
        (0.1, 0.0): [(8,)],
        (1.0, 0.5): [(1, 8)],
        (1.0, 0.0): [(1,), (8,), (8,)],
    }


def test_the_running_mean_follows_the_weights_and_is_swapped_in_for_a_while():
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 0.0)
    mean = RunningMean(model, 0.9)
    nn.init.constant_(model.weight, 1.0)
    mean.update(model)
    # the first decay is (1 + 1) / (10 + 1)
    assert mean.mean["weight"].item() == pytest.approx(1 - 2 / 11)
    with mean.swapped_in(model):
        assert model.weight.item() == pytest.approx(1 - 2 / 11)
    assert model.weight.item() == 1.0


def test_precision_follows_the_device():
    assert autocast_type("auto", CPU) is torch.float32
    assert autocast_type("bf16", CPU) is torch.bfloat16
    if not torch.cuda.is_available():
        assert choose_device("auto") == CPU
        with pytest.raises(ConfigError, match="sees no GPU"):
            choose_device("cuda")


def test_metric_lines_are_what_sagemaker_looks_for(capsys):
    journal = Journal(figure="auroc", total_steps=10, batch_size=2)
    journal.add_step(0.5, step=1, epoch=0, rate=1e-3)
    assert journal.add_epoch(
        {"auroc": 0.97123456, "loss": 1e-07, "ece": float("nan")}, epoch=0, step=1
    )
    shown = capsys.readouterr().out
    assert "validation_auroc=0.971235;\n" in shown
    found = {}
    for definition in metric_definitions("classifier"):
        values = re.findall(definition["Regex"], shown)
        if values:
            found[definition["Name"]] = [float(value) for value in values]
    # a figure that is not a number is no data point
    assert found == {
        "train:loss": [0.5],
        "validation:auroc": [0.971235],
        "validation:loss": [1e-07],
    }


def test_a_metric_line_is_not_taken_for_another():
    loss = next(d for d in metric_definitions("classifier") if d["Name"] == "validation:loss")
    assert re.findall(loss["Regex"], metric_line("train_validation_loss", 0.5)) == []
