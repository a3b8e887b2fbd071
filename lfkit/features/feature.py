"""The contract of a feature: numbers per image, computed once, read by many.

A feature is a function of images, or of other features. It may learn arrays from the
seed images (a dictionary, a small network): `fit` returns them, and the function
receives them as keyword arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from lfkit.data.image_source import MetadataField
from lfkit.data.image_tensors import to_unit_range
from lfkit.errors import DeclarationError
from lfkit.features.user_code.files import contents_of, declared_files
from lfkit.features.user_code.sealed_inputs import (
    Kept,
    Rows,
    as_plain,
    is_own,
    sealed_values,
)

if TYPE_CHECKING:
    import torch

    from lfkit.encoders import Encoder

# Narrow features are stored exactly: a count of 3001 must stay 3001, and above 2048
# float16 skips whole numbers. Wide ones are float16, half the disk and half the reads.
WIDEST_FLOAT32 = 8
# 256 images of 28x28. On one core 64 to 512 images a batch are equally fast; on two,
# small batches wait for the interpreter (0.19 against 0.10 ms an image for 64 and 256).
_BATCH_PIXELS = 2**18
_LARGEST_BATCH = 256


@dataclass(frozen=True, eq=False)
class Feature:
    """A named function from images, or from other features, to numbers.

    Call it on one (h, w, c) uint8 image, or on (n, h, w, c) of them, to see what it
    gives; `extract` computes several features together.

    Attributes
    ----------
    name : unique among the features of a run.
    fn : the function; positional arguments are the values of `of`.
    batched : True if `fn` takes float32 tensors with images along the first axis.
    of : the features it is computed from; (image,) by default.
    fit : learns named arrays from images (see `feature`); None if there is nothing to
        learn.
    learned : what `fit` gave; None before fitting, {} if there is nothing to learn.
    depends_on : files and folders whose content it reads when called.
    metadata : what it gives, if that is no number of pixels but known beside them.
    encoder : the network whose embedding it is, which refinement and baselines weigh by
        itself; None of all other features.
    """

    name: str
    fn: Callable[..., Any]
    batched: bool = False
    of: tuple[Feature, ...] = ()
    fit: Callable[..., Mapping[str, NDArray[Any]]] | None = None
    learned: Mapping[str, NDArray[Any]] | None = field(default_factory=dict)
    depends_on: tuple[Path, ...] = ()
    metadata: MetadataField | None = None
    encoder: Encoder | None = None

    @property
    def is_given(self) -> bool:
        """True of what is not computed: the image itself, and metadata."""
        return self is image or self.metadata is not None

    @property
    def is_fitted(self) -> bool:
        """True when it and all it is computed from have learned what they need."""
        return self.learned is not None and all(f.is_fitted for f in self.of)

    @property
    def fit_arguments(self) -> frozenset[str]:
        """What `fit` learns from: "labels" (of the seeds), "unlabeled" (images)."""
        if self.fit is None:
            return frozenset()
        parameters = inspect.signature(self.fit).parameters
        takes_any = any(
            p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()
        )
        unlabeled = {"unlabeled"} & set(parameters)
        # Who asks for no unlabeled images learns from the seeds; there is nothing else.
        labels = takes_any or "labels" in parameters or not unlabeled
        return frozenset(unlabeled | ({"labels"} if labels else set()))

    @property
    def learns_from_labels(self) -> bool:
        """True if it, or what it is computed from, learns from the seeds' labels."""
        return any("labels" in node.fit_arguments for node in ancestors([self]))

    @property
    def doc(self) -> str:
        """The first line of the function's docstring."""
        return (inspect.getdoc(self.fn) or "").split("\n")[0]

    def with_learned(
        self, learned: Mapping[str, NDArray[Any]], of: tuple[Feature, ...]
    ) -> Feature:
        """Return a copy that has learned these arrays, computed from fitted inputs."""
        return replace(self, learned=dict(learned), of=of)

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute it for one (h, w, c) image or for (n, h, w, c) images."""
        images = np.asarray(images)
        if images.ndim == 3:
            return np.asarray(extract([self], images[None])[self][0])
        return extract([self], images)[self]

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Let `image` be that of the process in which it is unpickled."""
        return "image" if self is image else super().__reduce_ex__(protocol)

    def identity(self) -> tuple[object, ...]:
        """Give what its values depend on; the name is not part of it."""
        if self.metadata is not None:
            return ("metadata", tuple(self.metadata))
        files = contents_of(f"feature {self.name!r}", self.depends_on)
        return (self.fn, self.batched, self.of, self.fit, self.learned, files)

    def __repr__(self) -> str:
        return f"Feature {self.name}"


def _identity(pixels: Any) -> Any:
    return pixels


image = Feature(name="image", fn=_identity)


@overload
def feature(function: Callable[..., Any], /) -> Feature: ...
@overload
def feature(
    *,
    name: str | None = None,
    batched: bool = False,
    of: Sequence[Feature] = (),
    fit: Callable[..., Mapping[str, NDArray[Any]]] | None = None,
    depends_on: Sequence[str | Path] = (),
) -> Callable[[Callable[..., Any]], Feature]: ...


def feature(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    batched: bool = False,
    of: Sequence[Feature] = (),
    fit: Callable[..., Mapping[str, NDArray[Any]]] | None = None,
    depends_on: Sequence[str | Path] = (),
) -> Feature | Callable[[Callable[..., Any]], Feature]:
    """Turn a function into a feature.

    Parameters
    ----------
    name : the function's own name if not given.
    batched : the function takes and returns float32 tensors, images along the first
        axis: `image` arrives as (n, c, h, w) in [0, 1], on any device. Otherwise it
        takes one image, (h, w, c) uint8, and returns a number or an array.
    of : features to compute it from; their values are its positional arguments.
    fit : a function that learns named arrays, which the feature's function receives by
        keyword, as tensors if it is batched. Its arguments say from what:
        `fit(*values, labels, rng)` from the seed images;
        `fit(*, unlabeled, rng)` from up to 2,048 images without labels, where
        `unlabeled` is a tuple of the inputs' values;
        `fit(*values, labels, rng, unlabeled)` from both. Nothing is fitted without
        seeds.
    depends_on : files or folders that it reads when called, relative to the file it is
        written in; when their content changes, it is computed again.

    >>> @feature
    ... def brightness(image):
    ...     return image.mean()
    >>> brightness(np.full((2, 2, 1), 51, np.uint8))
    array(51., dtype=float32)
    """
    inputs = as_features("of=", of) or (image,)
    for position, source in enumerate(inputs):
        if not isinstance(source, Feature):
            raise DeclarationError(
                f"of[{position}] of a feature is {source!r}, which is not a feature; "
                "pass the object that @feature made, not its name."
            )
        if source.metadata is not None:
            raise DeclarationError(
                f"a feature is computed from pixels, and cannot read {source.name!r}; "
                "read it in the labeling function: features=[...]."
            )

    def declare(fn: Callable[..., Any]) -> Feature:
        label = name or name_of("feature", fn)
        check_arity(f"feature {label!r}", fn, inputs)
        return Feature(
            name=label,
            fn=fn,
            batched=batched,
            of=inputs,
            fit=fit,
            learned=None if fit else {},
            depends_on=declared_files(f"feature {label!r}", fn, depends_on),
        )

    return declare if function is None else declare(function)


def as_features(option: str, features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Check that features come as a list."""
    if isinstance(features, Feature):
        raise DeclarationError(
            f"{option} takes a list of features, got {features!r} alone; write "
            f"{option}[...]."
        )
    return tuple(features)


def name_of(decorator: str, fn: Any) -> str:
    """Give a function's own name; a lambda or partial may have none."""
    if not callable(fn):
        raise DeclarationError(f"@{decorator} needs a function, got {fn!r}.")
    if not hasattr(fn, "__name__"):
        raise DeclarationError(
            f"@{decorator} finds no name in {fn!r}; give it one: name=..."
        )
    return str(fn.__name__)


def check_arity(what: str, fn: Callable[..., Any], inputs: Sequence[Feature]) -> None:
    """Check that a function takes one positional argument per feature."""
    kinds = inspect.Parameter
    parameters = inspect.signature(fn).parameters.values()
    if any(p.kind is kinds.VAR_POSITIONAL for p in parameters):
        return
    positional = [
        p
        for p in parameters
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    required = [p for p in positional if p.default is kinds.empty]
    if not len(required) <= len(inputs) <= len(positional):
        names = ", ".join(source.name for source in inputs)
        raise DeclarationError(
            f"{what} takes {len(positional)} positional arguments but is given "
            f"{len(inputs)} features ({names}); write one argument per feature, and "
            "keyword-only arguments (after *) for thresholds and learned arrays."
        )


def ancestors(features: Iterable[Feature]) -> list[Feature]:
    """List features and all they are computed from, inputs first.

    Without `image` and metadata, which nothing computes.
    """
    ordered: dict[Feature, None] = {}

    def visit(node: Feature) -> None:
        if node.is_given or node in ordered:
            return
        for source in node.of:
            visit(source)
        ordered[node] = None

    for node in features:
        visit(node)
    return list(ordered)


def batch_size(shape: tuple[int, int, int]) -> int:
    """Images per batch for this image size: a constant, so that results are too."""
    pixels = shape[0] * shape[1]
    fit = max(1, _BATCH_PIXELS // max(1, pixels))
    return min(_LARGEST_BATCH, 2 ** (fit.bit_length() - 1))


def as_stored(values: NDArray[Any]) -> NDArray[Any]:
    """Round (n, ...) values to the type they are stored in.

    Functions always see rounded values, so that a vote does not depend on whether its
    feature was computed just now or read from disk.
    """
    width = int(np.prod(values.shape[1:], dtype=np.int64))
    if width <= WIDEST_FLOAT32:
        return values.astype(np.float32)
    with np.errstate(over="ignore"):  # beyond 65504 becomes inf: counted as a fault
        return values.astype(np.float16)


def finite_rows(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which rows of (n, ...) values are whole: no NaN, nothing infinite."""
    each = tuple(range(1, values.ndim))
    return np.asarray(np.isfinite(values).all(axis=each))


class BatchedEvaluator:
    """Calls batched features on a device, where it keeps their learned arrays."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._learned: dict[Feature, dict[str, torch.Tensor]] = {}

    def __call__(self, node: Feature, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Evaluate one feature: (n, ...) float32, or whatever error `fn` raises."""
        import torch

        if node.learned is None:
            raise DeclarationError(
                f"feature {node.name!r} has not been fitted; it needs seed labels."
            )
        if node not in self._learned:
            self._learned[node] = {
                key: torch.as_tensor(np.asarray(value), device=self.device)
                for key, value in node.learned.items()
            }
        learned = self._learned[node]
        if not is_own(node.fn):  # others, and later calls, read these too
            learned = {key: value.clone() for key, value in learned.items()}
        with torch.no_grad():
            value = node.fn(*inputs, **learned)
        n = len(inputs[0])
        if not isinstance(value, torch.Tensor) or value.ndim < 1 or len(value) != n:
            got = (
                f"a tensor of shape {tuple(value.shape)}"
                if isinstance(value, torch.Tensor)
                else f"a {type(value).__name__}"
            )
            raise TypeError(
                f"batched feature {node.name!r} returned {got} for {n} images; "
                f"expected a tensor with {n} rows."
            )
        value = as_plain(value, self.device)
        # A copy of what it may change later: its input, or an array it keeps.
        place = value.untyped_storage().data_ptr()
        shared = [*inputs, *learned.values()]
        is_shared = any(t.untyped_storage().data_ptr() == place for t in shared)
        return value.to(torch.float32, copy=is_shared or not is_own(node.fn))


def call_per_image(
    node: Feature, inputs: Sequence[Any], learned: Mapping[str, NDArray[Any]]
) -> NDArray[np.float32]:
    """Evaluate a per-image feature on one image's inputs: float32, any shape.

    Parameters
    ----------
    learned : what the feature learned, in memory of its own.
    """
    if node.learned is None:
        raise DeclarationError(
            f"feature {node.name!r} has not been fitted; it needs seed labels."
        )
    value = node.fn(*inputs, **learned)
    if value is None:
        raise TypeError(
            f"feature {node.name!r} returned None; return a number or an array."
        )
    try:
        given = np.asarray(value)
        if given.dtype.kind not in "biufO":  # text, dates, complex numbers
            raise TypeError
        # A copy: a function may give the same array, with other numbers, once more.
        return np.array(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"feature {node.name!r} returned {value!r}, which is not a number or an "
            "array of them."
        ) from error


def extract(
    features: Sequence[Feature], images: NDArray[np.uint8], *, device: str = "cpu"
) -> dict[Feature, NDArray[np.float32]]:
    """Compute features of images in memory, each intermediate once per batch.

    Parameters
    ----------
    images : (n, h, w, c) uint8.

    Returns
    -------
    feature → (n, ...) float32, rounded as the vote store would round them.
    """
    import torch

    for node in features:
        if node.metadata is not None:
            raise DeclarationError(
                f"{node.name!r} is known of files, not of pixels; apply a labeling "
                "function that reads it to a folder of images."
            )
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype != np.uint8:
        raise DeclarationError(
            f"images must be (n, h, w, c) uint8, got {images.dtype} of shape "
            f"{images.shape}."
        )
    evaluate = BatchedEvaluator(device)
    order = ancestors(features)
    size = batch_size(images.shape[1:])
    parts: dict[Feature, list[NDArray[Any]]] = {node: [] for node in features}
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        n = len(batch)
        # Always full batches: a row's float sums must not depend on how many share it.
        padded = np.concatenate([batch, np.repeat(batch[-1:], size - n, axis=0)])
        tensors: dict[Feature, torch.Tensor] = {image: to_unit_range(padded, device)}
        kept = Kept()
        for node in order:
            if node.batched:
                inputs = [tensors[source] for source in node.of]
                own = is_own(node.fn)
                tensors[node] = evaluate(node, inputs if own else kept.show(inputs))
                if not own and kept.restore(inputs):
                    raise DeclarationError(
                        f"feature {node.name!r} writes over its input; work on a "
                        "clone() of it instead."
                    )
            else:
                reads = [_rows(tensors, batch, source) for source in node.of]
                learned = sealed_values(node.learned or {})
                rows = [
                    call_per_image(node, [column.rows[i] for column in reads], learned)
                    for i in range(n)
                ]
                if any(len(column.restore()) for column in reads):
                    raise DeclarationError(
                        f"feature {node.name!r} writes over its input; work on a copy "
                        "of it instead."
                    )
                full = _stacked(node, rows)[np.minimum(np.arange(size), n - 1)]
                tensors[node] = torch.from_numpy(full).to(device)
        for node in features:
            parts[node].append(tensors[node][:n].cpu().numpy())
    return {
        node: as_stored(np.concatenate(values)).astype(np.float32)
        if values
        else np.zeros((0,), np.float32)
        for node, values in parts.items()
    }


def _stacked(node: Feature, rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    shapes = list(dict.fromkeys(row.shape for row in rows))
    if len(shapes) > 1:
        raise TypeError(
            f"feature {node.name!r} returned shape {shapes[1]} after {shapes[0]} on "
            "another image; a feature has one shape."
        )
    return np.stack(rows)


def _rows(
    tensors: Mapping[Feature, torch.Tensor], pixels: NDArray[np.uint8], source: Feature
) -> Rows:
    n = len(pixels)
    if source is image:
        return Rows(pixels, np.ones(n, bool))
    return Rows(tensors[source][:n].cpu().numpy(), np.ones(n, bool))
