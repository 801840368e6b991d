"""BatchNorm's statistics, measured anew."""

import pytest

torch = pytest.importorskip("torch")


def network():
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())


def test_statistics_are_those_of_the_inputs_and_the_rest_stays() -> None:
    from training.norm_statistics import measure_norms

    model = network()
    convolution, norm = model[0], model[1]
    norm.running_mean.fill_(100)
    weights = convolution.weight.detach().clone()
    batches = [torch.rand(8, 1, 12, 12) * 3 for _ in range(6)]
    assert measure_norms(model, iter(batches)) == 6
    with torch.no_grad():
        maps = [convolution(batch) for batch in batches]
    mean = torch.stack([m.mean(dim=(0, 2, 3)) for m in maps]).mean(dim=0)
    variance = torch.stack([m.var(dim=(0, 2, 3)) for m in maps]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    torch.testing.assert_close(convolution.weight, weights)
    assert norm.momentum == 0.1
    assert not any(module.training for module in model.modules())


def test_without_inputs_nothing_changes() -> None:
    from training.norm_statistics import measure_norms

    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert measure_norms(model, []) == 0
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name])
