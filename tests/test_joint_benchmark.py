"""The benchmarks of generators run, resume and print every column."""

import json
import re

import pytest

from benchmarks import generation, joint, paper_claims


@pytest.mark.slow
def test_generation_benchmark_compares_every_format(capsys):
    generation.main(["-n", "600", "--formats", "npz,folder"])
    printed = capsys.readouterr().out
    assert re.search(r"\| forward pass alone \|.*100 % \|", printed)
    assert len(re.findall(r"\| (?:npz|folder) \|.* \d+ % \|", printed)) == 2


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


@pytest.mark.slow
def test_claims_of_the_paper_are_checked_row_by_row(lfkit, tmp_path, capsys):
    run = tmp_path / "run"
    lfkit("apply", "digits", "--lfs", "lf_library.digits", "--seeds-per-class", 20,
          "--out", run)  # fmt: skip
    arguments = [run, "--test", "digits", "--out", tmp_path / "claims", "--steps", 20]
    arguments += ["--samples", 256, "--judge-steps", 30]
    arguments += ["--rows", "as printed;3 functions;deep only"]
    paper_claims.main([str(part) for part in arguments])
    printed = capsys.readouterr().out
    assert re.search(r"\| 3 functions \| 20 \| 3 \|", printed)
    assert "| as printed | 20 |" in printed
    assert "| deep only | 20 |" in printed
