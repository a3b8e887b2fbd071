"""The benchmark that trains generators side by side runs from start to table."""

import pytest
from command_line import call

from benchmarks import joint


@pytest.mark.slow
def test_rows_are_trained_scored_and_kept(tmp_path, capsys):
    run, out = str(tmp_path / "run"), tmp_path / "out"
    data = ["digits", "--lfs", "lf_library.digits", "--seeds-per-class", "5"]
    call("apply", *data, "--with", "majority-vote", "--out", run)
    few = ["--steps", "4", "--samples", "64", "--judge-steps", "4"]
    few += ["--learner-steps", "4", "--rows", "adp;vote;gan+dp, majority-vote"]
    capsys.readouterr()
    joint.main([run, "--test", "digits", "--out", str(out), *few])
    table = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in table.splitlines()[4:7]] == [
        "adp",
        "vote",
        "gan+dp, majority-vote",
    ]
    kept = (out / "rows.json").read_bytes()
    # Of the same votes on the same images: no second training.
    assert len([*out.glob("*/state")]) == 2
    joint.main([run, "--test", "digits", "--out", str(out), *few])
    assert (out / "rows.json").read_bytes() == kept
    assert capsys.readouterr().out == table
