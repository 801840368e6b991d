"""training/checkpointing.py: whole files, plain types, and weights in the shapes people have."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from lambdas.shared.errors import ConfigError  # noqa: E402
from training import checkpointing  # noqa: E402
from training.checkpointing import (  # noqa: E402
    load_auxiliary,
    load_matching,
    load_plain,
    random_state,
    restore_random_state,
    save_whole,
)


class Small(nn.Module):
    """A backbone under a prefix and a head."""

    def __init__(self, labels=2):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
        self.head = nn.Linear(3, labels)


def _other_values(model):
    return {name: value + 1 for name, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"model_state_dict": weights, "config": {"epochs": 3}},
        lambda weights: {"state_dict": {f"module.{k}": v for k, v in weights.items()}},
        lambda weights: {"model": weights},
    ],
    ids=["plain", "model_state_dict", "module. prefixes", "model"],
)
def test_weights_load_in_every_usual_shape(wrap, tmp_path):
    source = _other_values(Small())
    save_whole(tmp_path / "w.pth", wrap(source))
    model = Small()
    loaded, total = load_matching(model, str(tmp_path / "w.pth"))
    assert loaded == total
    for name, value in model.state_dict().items():
        assert torch.equal(value, source[name]), name


def test_a_backbone_alone_goes_below_its_prefix(tmp_path):
    body = _other_values(Small().body)
    save_whole(tmp_path / "w.pth", body)
    model = Small()
    head = model.head.weight.clone()
    load_matching(model, str(tmp_path / "w.pth"), prefix="body.")
    assert torch.equal(model.body[0].weight, body["0.weight"])
    assert torch.equal(model.head.weight, head)


def test_a_head_of_another_number_of_labels_is_left_out(tmp_path):
    source = _other_values(Small(labels=5))
    save_whole(tmp_path / "w.pth", source)
    model = Small(labels=2)
    load_matching(model, str(tmp_path / "w.pth"), optional="head.")
    assert torch.equal(model.body[0].bias, source["body.0.bias"])
    with pytest.raises(ConfigError, match=r"first head\.weight"):
        load_matching(model, str(tmp_path / "w.pth"))


def test_frozen_norms_file_without_counts_loads(tmp_path):
    source = {k: v for k, v in _other_values(Small()).items() if "num_batches" not in k}
    save_whole(tmp_path / "w.pth", source)
    model = Small()
    load_matching(model, str(tmp_path / "w.pth"))
    assert torch.equal(model.body[1].running_mean, source["body.1.running_mean"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"other.weight": 1}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ("absent", "no file"),
        (b"not a checkpoint", "cannot be loaded"),
    ],
)
def test_other_files_get_one_clear_sentence(content, expected, tmp_path):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content != "absent":
        save_whole(path, content)
    with pytest.raises(ConfigError, match=expected):
        load_matching(Small(), str(path))


def test_weights_of_another_architecture_are_named(tmp_path):
    save_whole(tmp_path / "w.pth", nn.Linear(4, 4).state_dict())
    with pytest.raises(ConfigError, match="does not fit: 8 tensors are missing"):
        load_matching(Small(), str(tmp_path / "w.pth"))


def test_code_in_a_weights_file_is_never_run(tmp_path):
    torch.save(Small(), tmp_path / "pickled.pth")  # a whole module, as torch.save(model) gives
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_matching(Small(), str(tmp_path / "pickled.pth"))


def test_weights_come_from_s3(tmp_path, monkeypatch):
    source = _other_values(Small())
    save_whole(tmp_path / "w.pth", source)
    stored = {"s3://models/w.pth": (tmp_path / "w.pth").read_bytes()}
    monkeypatch.setattr(checkpointing, "read_file", stored.__getitem__)
    model = Small()
    load_matching(model, "s3://models/w.pth")
    assert torch.equal(model.head.weight, source["head.weight"])


def test_an_auxiliary_head_goes_on_where_it_fits(tmp_path):
    head, other = nn.Linear(3, 2), nn.Linear(3, 2)
    file = {"model_state_dict": {}, "auxiliary_state_dict": other.state_dict()}
    save_whole(tmp_path / "w.pth", file)
    assert load_auxiliary(head, str(tmp_path / "w.pth"))
    assert torch.equal(head.weight, other.weight)
    assert not load_auxiliary(nn.Linear(3, 5), str(tmp_path / "w.pth"))


def test_a_kill_while_saving_leaves_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    save_whole(path, {"step": 1})

    def die(value, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(KeyboardInterrupt):
        save_whole(path, {"step": 2})
    assert load_plain(path) == {"step": 1}


def test_random_numbers_go_on_where_they_stopped():
    torch.manual_seed(3)
    state = random_state()
    first = torch.rand(4)
    restore_random_state(state)
    assert torch.equal(torch.rand(4), first)
