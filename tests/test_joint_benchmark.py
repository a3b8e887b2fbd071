"""The benchmark of generators keeps the rows it has."""

import json

import pytest

from benchmarks import joint


@pytest.mark.slow
def test_joint_benchmark_keeps_its_rows(lfkit, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "joint"
    lfkit("apply", "digits", "--lfs", "lf_library.digits", "--kinds", "heuristic",
          "--seeds-per-class", 20, "--out", run)  # fmt: skip
    arguments = [run, "--test", "digits", "--out", out, "--steps", 20, "--samples", 256]
    arguments += ["--judge-steps", 30]

    def call(*more):
        joint.main([str(part) for part in (*arguments, *more)])
        return capsys.readouterr().out

    call("--rows", "two-stage", "--train-only")
    assert not (out / "rows.json").exists()
    printed = call("--rows", "two-stage;paper, small, repaired")
    assert "| two-stage | 20 |" in printed
    rows = json.loads((out / "rows.json").read_text())
    assert len(rows) == 2
    assert all(score["protocol"] for row in rows.values() for score in row["scores"])
    before = (out / "rows.json").read_bytes()
    assert "| two-stage | 20 |" in call("--rows", "two-stage")
    assert (out / "rows.json").read_bytes() == before
