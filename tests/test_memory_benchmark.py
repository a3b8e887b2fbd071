"""`python -m benchmarks.memory`: what is measured, and that it goes on after a stop."""

import json

import pytest

from benchmarks import memory


def row(n, peak, own):
    return {"votes": "hard", "images": n, "peak": peak, "own": own, "on_disk": 0,
            "seconds": 1.0}  # fmt: skip


def test_done_points_are_printed_and_not_measured_again(tmp_path, monkeypatch, capsys):
    done = [row(1000, 300_000_000, 200_000_000), row(2000, 300_400_000, 200_200_000)]
    (tmp_path / "results.json").write_text(json.dumps(done))
    monkeypatch.setattr(
        "sys.argv",
        ["memory", "--votes", "hard", "--images", "1000", "2000", "--folder",
         str(tmp_path)],
    )  # fmt: skip
    memory.main()
    told = capsys.readouterr().out
    assert "| 2,000 | 300 | 200 | 0 | 1 |" in told
    assert "peak: 300 MB and 400 bytes an image; 4.30 GB at 10,000,000" in told
    assert "own: 200 MB and 200 bytes an image; 2.20 GB at 10,000,000" in told


@pytest.mark.slow
@pytest.mark.parametrize("votes", memory.FUNCTIONS)
def test_a_point_is_measured_in_a_process_of_its_own(votes, tmp_path):
    found = memory.measure(tmp_path, votes, 300)
    assert found["images"] == 300
    assert found["peak"] > found["own"] > 50e6  # Python, numpy and torch
    assert found["on_disk"] > 0
    assert list(tmp_path.iterdir()) == []
