"""The benchmark that trains generators side by side runs from start to table."""

import pytest
from command_line import call

from benchmarks import joint, paper_tables

FEW = ["--steps", "4", "--samples", "64", "--judge-steps", "4", "--learner-steps", "4"]
FEW += ["--voted", "64"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("joint") / "run")
    data = ["digits", "--lfs", "lf_library.digits", "--seeds-per-class", "5"]
    call("apply", *data, "--with", "majority-vote", "--out", folder)
    return folder


@pytest.mark.slow
def test_rows_are_trained_scored_and_kept(run, tmp_path, capsys):
    out = tmp_path / "out"
    few = [*FEW, "--rows", "adp;vote;gan+dp, majority-vote"]
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


@pytest.mark.slow
@pytest.mark.parametrize("name", paper_tables.TABLES)
def test_each_table_of_the_paper_is_measured_once(
    name, run, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(paper_tables, "RIVALS", ("adp", "vote"))
    monkeypatch.setattr(paper_tables, "COUNTS", (3,))
    monkeypatch.setattr(paper_tables, "KINDS", ("deep",))
    monkeypatch.setattr(paper_tables, "LENGTHS", (2, 4))
    asked = [name, run, "--test", "digits", "--out", str(tmp_path), *FEW]
    capsys.readouterr()
    paper_tables.main(asked)
    table = capsys.readouterr().out
    assert table.count("| ") > 4
    assert "nan" not in table
    kept = (tmp_path / "rows.json").read_bytes()
    paper_tables.main(asked)
    assert (tmp_path / "rows.json").read_bytes() == kept
    assert capsys.readouterr().out == table
