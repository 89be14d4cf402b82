from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.data.batches import Batch  # noqa: E402
from pipeline.explain.asking import (  # noqa: E402
    accuracy_on_corrupted,
    activation_maps,
    ask,
    images_of,
)
from pipeline.models.outputs import NetworkOutput  # noqa: E402
from pipeline.models.tapped import TappedNetwork  # noqa: E402

SIZE, CLASSES = 16, 3


class SmallNetwork(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Conv2d(3, 4, 3, stride=4, padding=1)
        self.head = torch.nn.Linear(4, CLASSES)

    def forward(self, images: Any) -> Any:
        return self.head(self.features(images).mean(dim=(2, 3)))


@pytest.fixture
def network() -> TappedNetwork:
    torch.manual_seed(0)
    return TappedNetwork(SmallNetwork(), (0.5,) * 3, (0.25,) * 3, SIZE).eval()


class Loader:
    """Twelve images of noise; gives those that are asked for, as a run's loader does."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(1)
        self.images = torch.randint(0, 256, (12, 3, SIZE, SIZE), dtype=torch.uint8, generator=random)
        self.labels = torch.arange(12) % CLASSES

    def evaluation_batches(self, split: str, geometry: Any, size: int, indices: np.ndarray) -> Any:
        assert split == "test"
        for start in range(0, len(indices), 5):
            rows = torch.from_numpy(indices[start : start + 5])
            yield Batch(self.images[rows], self.labels[rows], rows)


@pytest.fixture
def data() -> Any:
    return SimpleNamespace(loader=Loader(), geometry=None)


CPU = torch.device("cpu")


def test_answers_are_those_of_the_network(network: TappedNetwork, data: Any) -> None:
    indices = np.array([0, 3, 4, 7, 8, 11])
    logits, features = ask(network, data, indices, CPU)
    expected = network(data.loader.images[indices].float() / 255)
    assert logits == pytest.approx(expected.logits.detach().numpy(), abs=1e-5)
    assert features == pytest.approx(expected.pooled.detach().numpy(), abs=1e-5)


def test_activation_map_is_that_of_its_formula(network: TappedNetwork, data: Any) -> None:
    images = data.loader.images.float() / 255
    found = activation_maps(network, images)
    assert found is not None
    inner = network.network
    maps = inner.features((images - 0.5) / 0.25).detach().numpy()
    weight, bias = inner.head.weight.detach().numpy(), inner.head.bias.detach().numpy()
    for row in range(len(images)):
        answer = int((weight @ maps[row].mean(axis=(1, 2)) + bias).argmax())
        own = np.zeros(maps.shape[2:])
        for channel in range(4):  # M_k(x, y) = Σ_c w_kc · f_c(x, y)
            own += weight[answer, channel] * maps[row, channel]
        assert found[row] == pytest.approx((own - own.min()) / (own.max() - own.min()), abs=1e-4)


def test_network_without_activation_maps_has_none() -> None:
    def network(images: Any) -> NetworkOutput:
        return NetworkOutput(images.mean(dim=(2, 3)), images.mean(dim=(2, 3)))

    assert activation_maps(network, torch.rand(2, 3, 4, 4)) is None


def test_accuracy_without_corruption_is_the_network_s_own(network: TappedNetwork, data: Any) -> None:
    indices = np.arange(12)
    found = accuracy_on_corrupted({"student": network}, data, indices, CPU)["student"]
    answers = network(data.loader.images.float() / 255).logits.argmax(dim=1)
    assert found["clean"] == {"0": pytest.approx(float((answers == data.loader.labels).float().mean()))}
    assert len(found) == 7 and all(list(values) == ["1", "3", "5"] for kind, values in found.items() if kind != "clean")


def test_network_that_answers_by_brightness_fails_on_bright_images(data: Any) -> None:
    def network(images: Any) -> NetworkOutput:
        brightness = images.mean(dim=(1, 2, 3))
        logits = torch.stack([torch.full_like(brightness, 0.62), brightness, torch.zeros_like(brightness)], dim=1)
        return NetworkOutput(logits, logits)

    data.loader.labels = torch.zeros(12, dtype=torch.int64)
    found = accuracy_on_corrupted({"it": network}, data, np.arange(12), CPU)["it"]
    assert found["clean"]["0"] == 1.0  # noise is grey on average
    assert found["brightness"] == {"1": 1.0, "3": 0.0, "5": 0.0}  # .1, .2 and .4 brighter


def test_pictures_are_the_images_to_the_bit(data: Any) -> None:
    pictures, images = images_of(data, np.array([2, 9]), CPU)
    assert np.array_equal(pictures, data.loader.images[[2, 9]].permute(0, 2, 3, 1).numpy())
    assert torch.equal(images, data.loader.images[[2, 9]].float() / 255)
