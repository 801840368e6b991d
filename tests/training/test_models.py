"""The model builders: shapes, and that nothing is downloaded."""

import pytest

torch = pytest.importorskip("torch")

from lambdas.shared.errors import ConfigError  # noqa: E402
from training.classifier import build_classifier  # noqa: E402
from training.detector import build_detector  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError(f"download of {arguments}")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)


def test_classifier_gives_one_logit_for_each_label():
    model = build_classifier(3).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert sum(parameter.numel() for parameter in model.parameters()) == 17_553_995


def test_classifier_starts_from_a_backbone_with_another_number_of_classes(tmp_path):
    path = tmp_path / "backbone.pth"
    donor = build_classifier(5)
    torch.save(donor.state_dict(), path)
    model = build_classifier(2, backbone_weights=path)
    assert torch.equal(model.conv_stem.weight, donor.conv_stem.weight)
    assert model.classifier.weight.shape == (2, 1792)


def test_classifier_refuses_weights_of_another_architecture(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ConfigError, match="no EfficientNet-B4"):
        build_classifier(2, backbone_weights=path)


def test_classifier_names_are_checked():
    with pytest.raises(ConfigError, match="efficientnet_b4, tf_efficientnet_b4"):
        build_classifier(2, name="resnet50")


def test_detector_has_a_score_for_each_label_and_background():
    model = build_detector(5, size=64, proposals=10, score_threshold=0.0).eval()
    with torch.no_grad():
        (found,) = model([torch.rand(3, 64, 64)])
    assert found["boxes"].shape == (len(found["scores"]), 4)
    assert 0 < len(found["scores"]) <= 40  # 10 proposals, 4 labels
    assert set(found["labels"].tolist()) <= {1, 2, 3, 4}
    assert float(found["boxes"].max()) <= 64


def test_detector_with_frozen_norms_has_no_statistics_to_train():
    free, frozen = build_detector(2, size=64), build_detector(2, size=64, frozen_norm=True)
    counters = [name for name in free.state_dict() if name.endswith("num_batches_tracked")]
    assert len(counters) == 53
    assert set(free.state_dict()) - set(frozen.state_dict()) == set(counters)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 500}, "multiple of 32"),
        ({"size": 0}, "multiple of 32"),
        ({"size": 64, "proposals": 0}, "expected 1 to 5000"),
    ],
)
def test_detector_checks_its_numbers(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build_detector(2, **arguments)


def test_detector_needs_a_label_beside_background():
    with pytest.raises(ConfigError, match="at least one label"):
        build_detector(1, size=64)
