"""The benchmark of other domains: nothing is judged by what it learned from."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import domains


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setattr(domains, "SMALL", domains.SMALL | {"width": 8, "batch": 8})
    small = {"COMPOSED": 1, "JUDGED": 1, "N_SAMPLES": 50, "TAUGHT_BY": 50}
    for name, value in {**small, "TAUGHT_STEPS": 2, "MOST_TESTED": 50}.items():
        monkeypatch.setattr(domains, name, value)


def test_judges_and_domains_share_no_digit():
    pair = domains.digits_pair(0)
    parts = [pair.source, pair.target, pair.source_judge]
    assert sum(len(part.labels) for part in parts) == 1797
    assert len(pair.target_judge.labels) == len(pair.source_judge.labels)
    seen = [{image.tobytes() for image in part.pixels} for part in parts]
    assert not seen[0] & seen[2]
    assert pair.target.pixels.shape[1:] == (32, 32, 3)
    again = domains.digits_pair(0)
    np.testing.assert_array_equal(again.target.pixels, pair.target.pixels)


def test_rows_of_another_source_are_kept_in_another_folder(tmp_path):
    places = set()
    for length in (600, 1500):
        options = SimpleNamespace(
            pair="digits", steps=400, source_steps=length, out=tmp_path
        )
        bench = SimpleNamespace(options=options, seed=0)
        places.add(domains.Bench.folder(bench, "transfer on all"))
    assert len(places) == 2


def test_rows_are_kept_and_not_trained_again(tmp_path, capsys, monkeypatch):
    asked = ["--steps", "2", "--source-steps", "2", "--images", "100", "--out",
             str(tmp_path), "--rows",
             "transfer, hold=0;two at once;taught: source, in any colors"]  # fmt: skip
    domains.main(asked)
    shown = capsys.readouterr().out
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert len(rows) == 3
    assert "both_equal" in [*rows.values()][1]
    assert {*[*rows.values()][2]} == {"taught", "minutes"}
    monkeypatch.setattr(domains, "Bench", None)  # nothing is left to do
    domains.main(asked)
    assert capsys.readouterr().out == shown


def test_what_teaches_without_a_generator_has_no_label_of_the_target(tmp_path):
    options = SimpleNamespace(pair="digits", photos=None, out=tmp_path)
    bench = domains.Bench(options, 0)
    source, target = bench.pair.source, bench.pair.target
    colored = bench.without_generator("taught: source, in any colors", target)
    assert colored.pixels.shape[1:] == target.pixels.shape[1:]
    assert sorted(colored.labels) == sorted(source.labels)
    hidden = domains.Images(target.pixels, np.zeros_like(target.labels))
    name = "taught: target, labels of a source classifier"
    named = bench.without_generator(name, hidden)
    assert 0.5 < np.mean(named.labels == target.labels) < 1
