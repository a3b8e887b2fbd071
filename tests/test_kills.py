"""Commands that are killed while they work end as if they had not been."""

import json
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.kills import COMMANDS, contents, kill_command
from benchmarks.kills_of_shards import ENGINES, kill_shards, prepare
from lfkit.runs.reading import sealed


def test_files_are_compared_without_times(tmp_path):
    for name, seconds in (("one", 1.5), ("other", 2.5)):
        run = tmp_path / name
        (run / "refined" / "key").mkdir(parents=True)
        stages = [{"name": "lda", "seconds": seconds}]
        summary = {"seconds": seconds, "refinement": {"stages": stages}}
        (run / "summary.json").write_bytes(sealed(summary))
        arrays = {"proba": np.ones(3), "seconds": np.asarray(seconds)}
        np.savez(run / "refined" / "key" / "stage.npz", **arrays)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    summary["chosen"] = "majority-vote"
    (run / "summary.json").write_text(json.dumps(summary))
    assert contents(tmp_path / "one") != contents(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_random_moments_a_command_ends_with_the_same_files(command, tmp_path):
    found = kill_command(command, 3, 1, tmp_path)
    assert found.kills == 3
    assert (found.different, found.failed, found.survivors) == ([], [], 0)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_shards_are_labeled_alike_after_twenty_kills(engine, tmp_path):
    if engine == "ray" and find_spec("ray") is None:
        pytest.skip("ray is not installed")
    prepare(tmp_path, n_shards=160)
    found = kill_shards(tmp_path, engine, 20, 0)
    assert found.kills.total() == 20
    assert (found.different, found.failed, found.survivors) == ([], "", [])
