"""Stand-ins for libraries of networks whose weights are no package's.

The parts of their interfaces that lfkit calls, with networks of a few weights.
"""

import sys
import types

import torch
from torch import nn

from lfkit.data.image_tensors import as_rgb
from lfkit.encoders.encoder import Encoder


class SmallNetwork(nn.Module):
    """Two convolutions with a rectifier in place, and squeeze-and-excitation."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Conv2d(3, 4, 3, stride=2)
        self.squeeze = nn.Conv2d(5, 5, 1)
        self.second = nn.Conv2d(4, 5, 3)
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator)
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}

    def forward(self, images):
        hidden = nn.functional.relu(self.second(self.first(images)), inplace=True)
        return hidden * self.squeeze(hidden.mean(dim=(2, 3), keepdim=True))


def install_torchvision(monkeypatch, tmp_path):
    """Put networks "small0" to "small8" there; returns where their weights must lie."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    shown = types.SimpleNamespace(mean=[0.5] * 3, std=[0.25] * 3)
    weights = types.SimpleNamespace(
        url="https://example.invalid/small-1234.pth", transforms=lambda: shown
    )
    library = types.ModuleType("torchvision")
    library.models = types.SimpleNamespace(
        list_models=lambda module: [f"small{i}" for i in range(9)],
        get_model_weights=lambda model: types.SimpleNamespace(DEFAULT=weights),
        get_model=lambda model, weights: SmallNetwork(),
    )
    monkeypatch.setitem(sys.modules, "torchvision", library)
    return tmp_path / "checkpoints" / "small-1234.pth"


def install_timm(monkeypatch, tmp_path):
    """Put networks "small..." there; returns library, hub, where weights may lie."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    library = types.ModuleType("timm")
    library.created = []

    def create_model(model, **settings):
        library.created.append(settings)
        return SmallNetwork()

    library.is_model = lambda model: model.startswith("small")
    library.create_model = create_model
    library.get_pretrained_cfg = lambda model: types.SimpleNamespace(
        url="https://example.invalid/small.pth", hf_hub_id="timm/small"
    )
    monkeypatch.setitem(sys.modules, "timm", library)
    return library, install_hub(monkeypatch), tmp_path / "checkpoints" / "small.pth"


class SmallClassifier(nn.Module):
    """A convolution, and a linear layer that gives logits of `n_classes`."""

    def __init__(self, n_classes):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first = nn.Conv2d(3, 6, 3, stride=2)
        self.last = nn.Linear(6, n_classes)
        for weight in self.parameters():
            weight.data = torch.randn(weight.shape, generator=generator)
        self.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}

    def pooled(self, images):
        return self.first(images).relu().mean(dim=(2, 3))

    def forward(self, images):
        return self.last(self.pooled(images))


class SmallTunable(Encoder):
    """Two convolutions of drawn weights, each row of places kept: 512 numbers.

    The second can be trained on. A step of it takes milliseconds.
    """

    is_tunable = True
    default_side = 8

    def __init__(self):
        super().__init__("small-tunable")

    def first_part(self, images):
        with torch.no_grad():
            return _drawn(nn.Conv2d(3, 16, 3, padding=1))(as_rgb(images, self.side))

    def last_part(self):
        last = _drawn(nn.Conv2d(16, 32, 3, stride=2, padding=1))
        return nn.Sequential(nn.ReLU(), last, nn.ReLU(), nn.Flatten())

    def _encode(self, images):
        return self.last_part()(self.first_part(images))


def _drawn(layer):
    generator = torch.Generator().manual_seed(2)
    for weight in layer.parameters():
        scale = weight[0].numel() ** -0.5
        weight.data = scale * torch.randn(weight.shape, generator=generator)
    return layer


class SmallClip(nn.Module):
    """Images and texts among each other: colors, and the names of colors."""

    def __init__(self):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.tensor(3.0))

    def encode_image(self, images):
        return images.mean(dim=(2, 3))

    def encode_text(self, tokens):
        return nn.functional.one_hot(tokens[:, 0], 3).float()


def install_open_clip(monkeypatch, tmp_path):
    """Put a network there, "Small", with weights "tag"; returns library and hub."""
    monkeypatch.setenv("HOME", str(tmp_path))
    library = types.ModuleType("open_clip")
    library.created = []

    def create_model(model, **settings):
        library.created.append({"model": model} | settings)
        return SmallClip()

    configs = {
        "Small": {"text_cfg": {}},
        "Fetched": {"text_cfg": {"hf_model_name": ""}},
    }
    known = {"hf_hub": "someone/small/", "url": "https://example.invalid/small.pt"}
    library.OPENAI_DATASET_MEAN, library.OPENAI_DATASET_STD = [0.5] * 3, [0.25] * 3
    library.create_model = create_model
    library.get_model_config = configs.get
    library.is_pretrained_cfg = lambda model, tag: model in configs and tag == "tag"
    library.get_pretrained_cfg = lambda model, tag: known
    library.get_tokenizer = lambda model: (
        lambda texts: torch.tensor(
            [[["red", "green", "blue"].index(text)] for text in texts]
        )
    )
    monkeypatch.setitem(sys.modules, "open_clip", library)
    return library, install_hub(monkeypatch)


def install_hub(monkeypatch):
    """Put a cache of Hugging Face there, `cached`, which is empty."""
    hub = types.ModuleType("huggingface_hub")
    hub.cached = {}
    hub.try_to_load_from_cache = lambda name, file: hub.cached.get((name, file))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return hub
