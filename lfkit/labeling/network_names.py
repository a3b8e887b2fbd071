"""Votes by the names of classes that a frozen network was trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from lfkit.errors import DeclarationError
from lfkit.labeling.encoder_votes import encoder_function, nearest, texts_by_class
from lfkit.labeling.labeling_function import LabelingFunction

if TYPE_CHECKING:
    import torch

    from lfkit.encoders import Encoder


def network_classes(
    network: str | Encoder = "efficientnet-lite0", search: str = ""
) -> tuple[str, ...]:
    """List the classes that a network was trained on, whose names `names_of` takes.

    A class may have several names, with commas between; any of them will do.

    Parameters
    ----------
    search : only those that have this in a name, upper or lower case.

    >>> network_classes("efficientnet-lite0", search="zebra")
    ('zebra',)
    """
    from lfkit.encoders import open_encoder

    known = _known(open_encoder(network))
    return tuple(line for line in known if search.lower() in line.lower())


def names_of(
    network: str | Encoder | Callable[..., Any],
    names: Mapping[str, str | Sequence[str]],
    *,
    classes: Sequence[str],
    at_least: float = 0.0,
    side: int | None = None,
    download: bool = False,
    name: str | None = None,
) -> LabelingFunction:
    """Vote for the classes whose names a frozen network finds in the image.

    The weight of a class is the mean of the softmax over the network's classes that are
    named for it: as if each class were as frequent as every other, however many names
    it has. It is soft and needs no seeds.

    Parameters
    ----------
    network : an encoder that has classes of its own, such as "efficientnet-lite0".
    names : class → names among `network_classes(network)`. A star stands for any
        letters ("*terrier"), and ImageNet has groups, such as "all dogs", "all birds".
    classes : the names of all classes of the run, in order (CLASSES).
    at_least : abstain where the softmax over all that is named sums up to less.
    side : working size in pixels, if not the encoder's own.
    download : fetch weights that are not on disk.
    name : of the labeling function, if not the network's with `_names`.

    >>> names_of("efficientnet-lite0", {"cat": "all house cats", "dog": ["all dogs"]},
    ...          classes=["cat", "dog"])
    LabelingFunction efficientnet_lite0_192_names
    """
    from lfkit.encoders import open_encoder
    from lfkit.features.encoded import feature_name

    encoder = open_encoder(network, side=side, download=download)
    if not 0 <= at_least <= 1:
        raise DeclarationError(f"names_of needs at_least from 0 to 1, got {at_least}.")
    named = texts_by_class("names_of", names, classes)
    found = {label: _members(encoder, named[label]) for label in named}
    _check_apart(encoder, {str(classes[label]): found[label] for label in found})
    belongs = np.zeros((len(_known(encoder)), len(found)), np.float32)
    for column, members in enumerate(found.values()):
        belongs[members, column] = 1
    # A network that is unsure spreads over its 118 dogs: by the sum of the softmax .60
    # of 2,048 photographs of CIFAR-10 are right, by the mean .70 (ten clothes: .54,
    # .55). The sum divided by the share of its classes is a likelihood.
    n_named = belongs.sum(axis=0)

    def vote(encoded: torch.Tensor) -> torch.Tensor:
        """Weigh each class by what a frozen network finds of its names."""
        import torch

        softmax = encoder.logits_of(encoded).softmax(dim=1)  # (n, K)
        sums = softmax @ torch.from_numpy(belongs).to(softmax.device)  # (n, k)
        means = sums / torch.from_numpy(n_named).to(softmax.device)
        return means * (sums.sum(dim=1, keepdim=True) >= at_least)

    label = name or f"{feature_name(encoder)}_names"
    return encoder_function(encoder, vote, [*found], label)


def _known(encoder: Encoder) -> tuple[str, ...]:
    if not encoder.class_names:
        raise DeclarationError(
            f"encoder {encoder.name!r} has no class names; choose one trained on named "
            'classes, such as "efficientnet-lite0".'
        )
    return encoder.class_names


def _members(encoder: Encoder, entries: Sequence[str]) -> list[int]:
    """Find the network's classes that entries name: their numbers, each once."""
    found: dict[int, None] = {}
    for entry in entries:
        found |= dict.fromkeys(_named(encoder, entry))
    return [*found]


def _named(encoder: Encoder, entry: str) -> Sequence[int]:
    from lfkit.encoders.imagenet_classes import GROUPS, imagenet_classes

    known = _known(encoder)
    groups = GROUPS if known == imagenet_classes() else {}
    if entry in groups:
        return [number for part in groups[entry] for number in part]
    names = [line.split(", ") for line in known]
    if "*" in entry:
        found = [
            number
            for number, several in enumerate(names)
            if any(fnmatchcase(one.lower(), entry.lower()) for one in several)
        ]
        if found:
            return found
    # The first of its names counts before the others, and letter by letter before any
    # case: "Cardigan" is a dog, "cardigan" a garment, "missile" no projectile.
    for same in (_is_line, _is_first, _is_one, _is_one_in_any_case):
        found = [i for i in range(len(known)) if same(known[i], names[i], entry)]
        if len(found) > 1:
            choices = " or ".join(repr(known[number]) for number in found)
            raise DeclarationError(
                f"{entry!r} names several classes of {encoder.name!r}; write {choices}."
            )
        if found:
            return found
    if groups and entry.lower().startswith("all "):
        raise DeclarationError(
            f"there is no group {entry!r} of {encoder.name!r}'s classes; choose from "
            f"{', '.join(groups)}."
        )
    every = [*groups, *(one for several in names for one in several)]
    raise DeclarationError(
        f"{encoder.name!r} knows no class {entry!r}{nearest(entry, every)}; "
        "network_classes(...) and `lfkit list classes --search WORD` list them all."
    )


def _is_line(line: str, names: Sequence[str], entry: str) -> bool:
    return line == entry


def _is_first(line: str, names: Sequence[str], entry: str) -> bool:
    return names[0] == entry


def _is_one(line: str, names: Sequence[str], entry: str) -> bool:
    return entry in names


def _is_one_in_any_case(line: str, names: Sequence[str], entry: str) -> bool:
    return entry.lower() in [one.lower() for one in names]


def _check_apart(encoder: Encoder, found: Mapping[str, Sequence[int]]) -> None:
    owner: dict[int, str] = {}
    for label, members in found.items():
        for number in members:
            if number in owner:
                raise DeclarationError(
                    f"names_of gives {encoder.class_names[number]!r} to class "
                    f"{owner[number]!r} and to {label!r}; leave it to one of them."
                )
            owner[number] = label
