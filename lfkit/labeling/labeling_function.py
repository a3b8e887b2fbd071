"""`@labeling_function`: a rule that names a class for some images, or abstains."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import MetadataField
from lfkit.data.image_tensors import to_unit_range
from lfkit.data.votes import ABSTAIN
from lfkit.errors import DeclarationError, FaultError
from lfkit.features.feature import (
    Feature,
    as_features,
    check_arity,
    extract,
    finite_rows,
    image,
    name_of,
)
from lfkit.features.user_code.calling import Calling, text_of
from lfkit.features.user_code.files import contents_of, declared_files
from lfkit.features.user_code.sealed_inputs import Rows, sealed_values
from lfkit.labeling.one_of import OneOf
from lfkit.labeling.thresholds.threshold import Threshold
from lfkit.labeling.vote_checks import check_of, checked_answer

KINDS = ("heuristic", "image-processing", "deep")


@dataclass(frozen=True, eq=False)
class LabelingFunction:
    """A rule with the classes it may name, the features it reads, what it learns.

    Call it on one (h, w, c) uint8 image to see its vote: a class, a set of classes or
    -1, or, if soft, one weight per declared class.

    Attributes
    ----------
    name : unique in a run; reads as a claim one can doubt.
    fn : the rule; positional arguments are the features' values, keywords thresholds.
    classes : the classes it may vote for; None if it did not say (Snorkel's).
    features : the features it reads; (image,) by default.
    thresholds : keyword → Threshold.
    kind : "heuristic", "image-processing" or "deep".
    soft : it returns one weight per declared class; all zeros = abstain.
    batched : it takes and returns tensors, images along the first axis.
    depends_on : files and folders whose content it reads when called.
    """

    name: str
    fn: Callable[..., Any]
    classes: tuple[int, ...] | None
    features: tuple[Feature, ...] = (image,)
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    kind: str = "heuristic"
    soft: bool = False
    batched: bool = False
    depends_on: tuple[Path, ...] = ()

    @property
    def needs_seeds(self) -> bool:
        """True while a feature, or a threshold without default, is unfitted."""
        defaults = {
            p.name
            for p in inspect.signature(self.fn).parameters.values()
            if p.default is not inspect.Parameter.empty
        }
        return not all(f.is_fitted for f in self.features) or any(
            t.learned is None and key not in defaults
            for key, t in self.thresholds.items()
        )

    @property
    def learns_from_labels(self) -> bool:
        """True if a feature or a threshold learns from the seeds' labels."""
        return bool(self.thresholds) or any(
            node.learns_from_labels for node in self.features
        )

    @property
    def metadata(self) -> tuple[MetadataField, ...]:
        """What it reads beside the pixels."""
        found = (source.metadata for source in self.features)
        return tuple(what for what in found if what is not None)

    @property
    def doc(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.fn) or "").split("\n")[0]

    @property
    def keywords(self) -> dict[str, Any]:
        """The fitted thresholds' values; unfitted ones are left to their defaults.

        Each time they are made anew, of arrays that nobody else holds.
        """
        return {
            key: threshold.with_learned(
                {name: np.array(array) for name, array in threshold.learned.items()}
            ).value
            for key, threshold in self.thresholds.items()
            if threshold.learned is not None
        }

    def fitted(
        self, features: Iterable[Feature], thresholds: Mapping[str, Threshold]
    ) -> LabelingFunction:
        """Return a copy that reads fitted features and has fitted thresholds."""
        return replace(self, features=tuple(features), thresholds=dict(thresholds))

    def __call__(self, pixels: NDArray[np.uint8]) -> int | OneOf | NDArray[np.float32]:
        """Vote on one (h, w, c) uint8 image."""
        # Loads pyarrow, which worker processes need not.
        from lfkit.data.datasets.array_source import as_source

        if self.needs_seeds:
            raise DeclarationError(
                f"labeling function {self.name!r} needs seed labels to fit what it "
                "reads; apply it with LFApplier and seeds first."
            )
        if self.metadata:
            raise DeclarationError(
                f"labeling function {self.name!r} reads {self.metadata[0]}, which an "
                f"array of pixels does not have; call {self.name}.fn with a value, or "
                "apply it to a folder of images."
            )
        checked = as_source(np.asarray(pixels)[None])
        try:
            with Calling():
                return self._vote(checked.read(np.zeros(1, np.int64)).pixels)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a user's function may raise anything
            raise FaultError(
                f"labeling function {self.name!r} failed on image '0': {text_of(error)}"
            ) from error

    def _vote(self, pixels: NDArray[np.uint8]) -> int | OneOf | NDArray[np.float32]:
        """Vote on (1, h, w, c) pixels, given to the function as a run gives them."""
        read = [source for source in self.features if source is not image]
        values: dict[Feature, NDArray[Any]] = {image: pixels}
        values |= extract(read, pixels) if read else {}
        check = check_of(self.soft, self.classes, np.iinfo(np.int16).max)
        vote: int | OneOf | NDArray[np.float32]
        if not all(finite_rows(values[source]).all() for source in read):
            vote = check(np.zeros(len(self.classes or ())) if self.soft else ABSTAIN)
        elif self.batched:
            vote = check(self._batched_answer(values))
        else:
            rows = [Rows(values[source], np.ones(1, bool)) for source in self.features]
            given = [each.rows[0] for each in rows]
            vote = check(self.fn(*given, **sealed_values(self.keywords)))
        return vote

    def _batched_answer(self, values: Mapping[Feature, NDArray[Any]]) -> Any:
        import torch

        tensors = [
            to_unit_range(values[source])
            if source is image
            else torch.from_numpy(np.array(values[source]))
            for source in self.features
        ]
        with torch.no_grad():
            found = self.fn(*tensors, **self.keywords)
        row = checked_answer(self.soft, self.classes, found, 1, "cpu")[0].numpy()
        if row.dtype == np.bool_:
            named = np.asarray(self.classes)[row].tolist()
            return OneOf(*named) if named else ABSTAIN
        return row if self.soft else int(row)

    def identity(self) -> tuple[object, ...]:
        """Give what its votes depend on; neither name nor kind is part of it."""
        return (
            self.fn,
            self.classes,
            self.features,
            dict(self.thresholds),
            self.soft,
            self.batched,
            contents_of(f"labeling function {self.name!r}", self.depends_on),
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> LabelingFunction:
        """Give itself: nothing in it changes.

        Functions copied one by one, as scikit-learn's `clone` does, would no longer
        share their features.
        """
        return self

    def __repr__(self) -> str:
        return f"LabelingFunction {self.name}"


def labeling_function(
    *args: Any,
    classes: Iterable[int] | None = None,
    features: Sequence[Feature] = (image,),
    thresholds: Mapping[str, Threshold] | None = None,
    kind: str = "heuristic",
    soft: bool = False,
    batched: bool = False,
    name: str | None = None,
    depends_on: Sequence[str | Path] = (),
) -> Callable[[Callable[..., Any]], LabelingFunction]:
    """Turn a function into a labeling function.

    It returns one of its classes, `OneOf[...]` for a set of them, or ABSTAIN.

    Parameters
    ----------
    classes : the classes it may vote for, 0..k-1. Required.
    features : what it reads, as objects; their values are the positional arguments.
        Without any it reads the image, (h, w, c) uint8. Names of files, EXIF tags and
        columns of tables are in `lfkit.metadata`.
    thresholds : keyword → a threshold fitted on the seed labels. A keyword's default
        is the unfitted threshold; without a default the function needs seeds.
    kind : "heuristic", "image-processing" or "deep"; ablations select by it.
    soft : it returns one weight per declared class, in their order; they are scaled to
        sum to one; all zeros = abstain.
    batched : it takes features of many images as float32 tensors, images along the
        first axis, and returns (n,) classes, (n, len(classes)) weights if it is soft,
        or (n, len(classes)) bool for sets of classes, all False = abstain.
    name : the function's own name if not given.
    depends_on : files or folders that it reads when called, relative to the file it is
        written in; when their content changes, it votes again.

    >>> @labeling_function(classes=[1])
    ... def bright_is_one(image):
    ...     return 1 if image.mean() > 128 else ABSTAIN
    >>> bright_is_one(np.full((8, 8, 1), 200, np.uint8))
    1
    """
    if args:
        raise DeclarationError(
            "missing parentheses: write @labeling_function(classes=[...]) above the "
            "function."
        )
    if classes is None:
        raise DeclarationError(
            "@labeling_function needs classes=[...], the classes the function may "
            "vote for."
        )

    def declare(fn: Callable[..., Any]) -> LabelingFunction:
        label = name or name_of("labeling_function", fn)
        what = f"labeling function {label!r}"
        declared = _check_classes(what, classes)
        inputs = as_features("features=", features) or (image,)
        for position, source in enumerate(inputs):
            if not isinstance(source, Feature):
                raise DeclarationError(
                    f"features[{position}] of {what} is {source!r}, which is not a "
                    "feature; pass the object that @feature made, not its name."
                )
        check_arity(what, fn, inputs)
        if batched and any(source.metadata for source in inputs):
            raise DeclarationError(
                f"{what} reads metadata, which is no tensor; leave out batched=True."
            )
        _check_thresholds(what, fn, thresholds or {})
        if kind not in KINDS:
            raise DeclarationError(
                f"kind of {what} is {kind!r}; choose one of {', '.join(KINDS)}."
            )
        return LabelingFunction(
            name=label,
            fn=fn,
            classes=declared,
            features=inputs,
            thresholds=dict(thresholds or {}),
            kind=kind,
            soft=soft,
            batched=batched,
            depends_on=declared_files(what, fn, depends_on),
        )

    return declare


def from_snorkel(lf: Any) -> LabelingFunction:
    """Wrap a Snorkel LabelingFunction; its data point is the (h, w, c) image.

    Any negative vote abstains, as in Snorkel.
    """
    return LabelingFunction(name=lf.name, fn=SnorkelCall(lf), classes=None)


class SnorkelCall:
    """Calls a Snorkel labeling function and reads any negative vote as abstain.

    It holds the function's parts, not the object: importing Snorkel, which imports
    torch, would cost every worker process seconds.
    """

    def __init__(self, lf: Any) -> None:
        self._f, self._resources, self._pre = lf._f, lf._resources, lf._pre

    def __call__(self, pixels: NDArray[np.uint8]) -> Any:
        """Vote on one image."""
        point: Any = pixels
        for preprocessor in self._pre:
            point = preprocessor(point)
            if point is None:
                raise ValueError("Preprocessor should not return None")
        vote = self._f(point, **self._resources)
        is_number = isinstance(vote, (int, np.integer)) and not isinstance(vote, bool)
        return ABSTAIN if is_number and vote < 0 else vote


def is_snorkel(candidate: object) -> bool:
    """Recognise Snorkel's LabelingFunction without importing Snorkel."""
    return any(
        base.__name__ == "LabelingFunction" and base.__module__.startswith("snorkel.")
        for base in type(candidate).__mro__
    )


def _check_classes(what: str, classes: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(classes, Iterable):
        raise DeclarationError(
            f"classes of {what} is {classes!r}; give a list: classes=[{classes!r}]."
        )
    declared = tuple(classes)
    for label in declared:
        whole = isinstance(label, (int, np.integer)) and not isinstance(label, bool)
        if not whole or label < 0:
            raise DeclarationError(
                f"classes of {what} contain {label!r}; classes are whole numbers "
                "0..k-1."
            )
    if not declared:
        raise DeclarationError(f"{what} declares no class; name at least one.")
    if len(set(declared)) != len(declared):
        raise DeclarationError(f"classes of {what} name a class twice: {declared}.")
    return tuple(int(label) for label in declared)


def _check_thresholds(
    what: str, fn: Callable[..., Any], thresholds: Mapping[str, Threshold]
) -> None:
    parameters = inspect.signature(fn).parameters
    takes_any = any(
        p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
    )
    for key, threshold in thresholds.items():
        if not isinstance(threshold, Threshold):
            raise DeclarationError(
                f"threshold {key!r} of {what} is {threshold!r}; use Quantile, "
                "BestPrecision, Likelihood, NearestMean or another Threshold."
            )
        if getattr(threshold.feature, "metadata", None) is not None:
            raise DeclarationError(
                f"threshold {key!r} of {what} is fitted on {threshold.feature.name!r}, "
                "which is no number of an image; fit it on a feature of the pixels."
            )
        if key not in parameters and not takes_any:
            raise DeclarationError(
                f"{what} has a threshold {key!r} but no argument of that name; write "
                f"def {fn.__name__}(..., *, {key})."
            )
