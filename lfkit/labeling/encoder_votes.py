"""What labeling functions have in common that read an encoder and need no seeds."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lfkit.errors import DeclarationError
from lfkit.labeling.labeling_function import LabelingFunction, labeling_function

if TYPE_CHECKING:
    from lfkit.encoders import Encoder


def texts_by_class(
    what: str,
    texts: Mapping[str, str | Sequence[str]],
    classes: Sequence[str],
) -> dict[int, tuple[str, ...]]:
    """Check texts given for classes by name: class number → its texts, in order.

    Parameters
    ----------
    what : who takes them, for errors.
    texts : class → one text or several.
    classes : the names of all classes, in order.
    """
    if isinstance(classes, str) or len(set(classes)) != len(classes):
        raise DeclarationError(
            f"{what} needs classes=[...], the different names of all classes in order, "
            f"got {classes!r}."
        )
    numbers = {str(label): number for number, label in enumerate(classes)}
    found: dict[int, tuple[str, ...]] = {}
    for label, given in texts.items():
        if label not in numbers:
            raise DeclarationError(
                f"{what} was given the class {label!r}, which is not among classes"
                f"{nearest(label, numbers)}."
            )
        several = (given,) if isinstance(given, str) else tuple(given)
        if not several or not all(isinstance(text, str) for text in several):
            raise DeclarationError(
                f"{what} needs a text or a list of texts for class {label!r}, got "
                f"{given!r}; leave a class out that it is not to vote for."
            )
        found[numbers[label]] = several
    if not found:
        raise DeclarationError(f"{what} was given no class; name at least one.")
    return dict(sorted(found.items()))


def nearest(word: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Give the end of a sentence about an unknown word: what comes close to it.

    >>> nearest("cta", ["cat", "dog"])
    "; the nearest is 'cat'"
    """
    lower = {name.lower(): name for name in reversed([*known])}
    close = difflib.get_close_matches(word.lower(), lower, n=5)
    holding = [name for name in lower if word.lower() in name or name in word.lower()]
    found = [lower[name] for name in dict.fromkeys([*close, *holding])][:5]
    if not found:
        return ""
    verb = "is" if len(found) == 1 else "are"
    return f"; the nearest {verb} {', '.join(map(repr, found))}"


def encoder_function(
    encoder: Encoder,
    vote: Callable[..., Any],
    classes: Sequence[int],
    name: str,
) -> LabelingFunction:
    """Make a soft function of a vote that reads what one pass of an encoder gives."""
    from lfkit.features.encoded import encoder_features

    return labeling_function(
        name=name,
        classes=classes,
        features=[encoder_features(encoder).encoded],
        kind="deep",
        soft=True,
        batched=True,
    )(vote)
