"""What an engine does: map a task over items, in whatever order they end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from lfkit.errors import LfkitError

Item = TypeVar("Item")
Result = TypeVar("Result")
_Item_in = TypeVar("_Item_in", contravariant=True)
_Result_out = TypeVar("_Result_out", covariant=True)


class Task(Protocol[_Item_in, _Result_out]):
    """Work on one item. It travels to other processes as a pickle, before `open`."""

    def open(self) -> None:
        """Load what all items share, if that is not done yet."""

    def __call__(self, item: _Item_in, /) -> _Result_out:
        """Do the work; whatever it writes must be the same when it is done twice."""


@dataclass(frozen=True)
class Ended(Generic[Item, Result]):
    """How one item ended.

    Attributes
    ----------
    result : what the task gave; None if it failed.
    failure : why it failed, in a sentence; "" if it did not.
    tries : how often it was begun.
    """

    item: Item
    result: Result | None
    failure: str = ""
    tries: int = 1


class Engine(ABC):
    """Runs a task on items. Items that fail do not stop the others.

    Parameters
    ----------
    most_tries : how often an item is begun whose process dies or whose task raises what
        may pass. Wrong input is not tried again.
    """

    def __init__(self, *, most_tries: int = 3) -> None:
        self.most_tries = max(1, most_tries)

    @abstractmethod
    def map(
        self, task: Task[Item, Result], items: Sequence[Item]
    ) -> Iterator[Ended[Item, Result]]:
        """Yield how each item ended, as soon as it has; few are under way at once."""


def is_final(error: BaseException) -> bool:
    """Whether an error would be the same the next time: the input is wrong."""
    return isinstance(error, LfkitError)


def sentence_of(error: BaseException) -> str:
    """Say what happened, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, LfkitError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
