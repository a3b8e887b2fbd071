"""Shared by the tests: real digits, a folder to write into, the command line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

# Before numpy and torch are loaded, here and in the processes that tests start: each
# core has a worker of its own, and results depend on the number of threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

# A shell's background jobs ignore Ctrl-C, and so would all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that take longest, so that no worker is alone with one of them at the end.
LONGEST = [
    "test_docs",
    "test_train_command",
    "test_generators",
    "test_studio_session",
    "test_studio_runs",
    "test_lf_library",
    "test_studio_browser",
    "test_studio_map",
    "test_active_in_studio",
    "test_studio_figures",
    "test_scale_docs",
    "test_broken_training",
    "test_label_shards",
    "test_cli",
    "test_active",
    "test_templates",
    "test_damage",
    "test_methods",
    "test_resuming",
    "test_evaluate",
    "test_report",
    "test_gan_settings",
    "test_features",
    "test_refine_command",
    "test_refinement",
    "test_applier",
    "test_system_errors",
    "test_user_code",
    "test_ending_code",
    "test_kills",
    "test_freeze",
    "test_fine_tune",
    "test_examples",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@dataclass
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory):
    """Keep what the tests' user has run out of this user's home."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("state")
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def kept_host():
    """Make the imports of what votes in the studio once; they take seconds."""
    from lfkit.studio import voting_host

    voting_host.keep()
    yield
    voting_host.release()


@pytest.fixture
def lfkit(monkeypatch, capsys) -> Callable[..., Finished]:
    """Run the command line in this process."""
    from lfkit.cli.app import main

    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["lfkit", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images (1797, 8, 8, 1) uint8 and classes of scikit-learn's digits."""
    from lfkit.data.datasets import open_images

    source = open_images("digits")
    return source.read(np.arange(len(source))).pixels, np.asarray(source.labels)


@pytest.fixture(scope="session")
def digit_seeds(digits) -> np.ndarray:
    """Rows of ten digits per class."""
    _, labels = digits
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(labels == c))[:10] for c in range(10)]
    return np.sort(np.concatenate(rows))
