"""Three assertions on what lfkit says, and signals sent once something has happened.

The assertions pin facts, not sentences: the name of what is meant, the value that was
given, or what would be right. How a sentence is built around them is free to change.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from lfkit.errors import InputError


@contextmanager
def assert_refused(
    error: type[Exception] = InputError,
    *,
    names: object = (),
    values: object = (),
    allowed: object = (),
) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Check that a block raises an error that names these facts.

    Parameters
    ----------
    names : what is wrong: a parameter, a file, a function.
    values : what it was.
    allowed : what it may be, or what to do.
    """
    with pytest.raises(error) as caught:
        yield caught
    _assert_facts(str(caught.value), names, values, allowed)


def assert_notes(
    said: str | Iterable[str],
    *,
    names: object = (),
    values: object = (),
    allowed: object = (),
) -> None:
    """Check that one of some notes names all these facts.

    Parameters
    ----------
    said : a text, or several of which one must.
    """
    texts = [said] if isinstance(said, str) else list(said)
    facts = [*_several(names), *_several(values), *_several(allowed)]
    assert any(not _missing(text, facts) for text in texts), (
        f"none of these names {facts}: {texts}"
    )


def assert_exit(
    finished: object,
    code: int,
    *,
    names: object = (),
    values: object = (),
    allowed: object = (),
) -> None:
    """Check how a command ended, and the facts in what it said.

    Parameters
    ----------
    finished : with `code`, `out` and `err`.
    code : 0 says it on the standard output, all others on the other one.
    """
    out, err = finished.out, finished.err  # type: ignore[attr-defined]
    assert finished.code == code, err or out  # type: ignore[attr-defined]
    assert "Traceback" not in err, err
    # A panel breaks lines where a word ends, and draws its frame between.
    said = " ".join((err if code else out).replace("│", " ").split())
    _assert_facts(said, names, values, allowed)


def _assert_facts(text: str, names: object, values: object, allowed: object) -> None:
    for kind, facts in (("names", names), ("values", values), ("allowed", allowed)):
        missing = _missing(text, _several(facts))
        assert not missing, f"{kind} {missing} are missing in: {text}"


def _several(facts: object) -> list[str]:
    """Several facts; a tuple of numbers alone is a shape, one fact."""
    if isinstance(facts, list) or (
        isinstance(facts, tuple) and not all(isinstance(fact, int) for fact in facts)
    ):
        return [str(fact) for fact in facts]
    return [] if facts == () else [str(facts)]


def _missing(text: str, facts: list[str]) -> list[str]:
    """The facts that are not there as words of their own."""
    said = _numberless(text)
    return [fact for fact in facts if not re.search(_as_words(fact), said)]


def _numberless(text: str) -> str:
    """The text without the number of pytest's folder, which is no fact."""
    return re.sub(r"pytest-\d+/", "pytest/", text)


def _as_words(fact: str) -> str:
    fact = _numberless(fact)
    first = r"(?<!\w)" if re.match(r"\w", fact) else ""
    last = r"(?!\w)" if re.search(r"\w$", fact) else ""
    return first + re.escape(fact) + last


def signal_when(
    process: subprocess.Popen[str],
    happened: Callable[[], object],
    number: signal.Signals,
) -> bool:
    """Send a process a signal once something has happened; False: it ended before."""
    while not happened():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        return False
    process.send_signal(number)
    return True


def kill_when(process: subprocess.Popen[str], happened: Callable[[], object]) -> bool:
    """Kill a process once something has happened; False: it ended before."""
    alive = signal_when(process, happened, signal.SIGKILL)
    return process.wait() == -signal.SIGKILL and alive
