"""The figures of a GPU: in small, on whatever there is."""

import json

import pytest

from benchmarks import gpu
from lfkit.generators import GENERATORS


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Every part in small; one of them is broken."""
    folder = tmp_path_factory.mktemp("gpu")

    def broken(device, sizes):
        yield gpu.Row("machine", "first", device, 1.0, "")
        raise RuntimeError("no such kernel")

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(gpu.PARTS, "machine", (broken, 1))
        gpu.main(["--out", str(folder), "--small"])
    return folder


def test_every_part_has_its_figures_and_a_broken_one_its_reason(small):
    found = json.loads((small / "gpu.json").read_text())
    rows = [gpu.Row(**row) for row in found["rows"]]
    failed = [row for row in rows if row.value is None]
    assert [(row.part, row.note) for row in failed] == [
        ("machine", "RuntimeError: no such kernel")
    ]
    of_part = {name: [r for r in rows if r.part == name] for name in gpu.PARTS}
    assert all(of_part.values())
    assert all(row.value > 0 for row in rows if row.unit.endswith("/s"))
    timed = {row.what for row in of_part["generators"] if row.unit == "steps/s"}
    assert timed == set(GENERATORS)
    table = (small / "gpu.md").read_text()
    assert all(row.what in table and row.unit in table for row in rows)


def test_what_has_no_time_left_is_said():
    rows = [*gpu.measured("generators", "cpu", gpu.SMALL, until=0)]
    assert [row.note for row in rows] == ["", "no time was left"]


@pytest.mark.slow
def test_a_part_that_hangs_or_ends_is_a_row(tmp_path, monkeypatch):
    assert gpu.in_a_process("machine", tmp_path, 60)[0].part == "machine"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "torch.py").write_text("raise SystemExit('no torch')")
    (row,) = gpu.in_a_process("votes", tmp_path, 60)
    assert (row.value, "no torch" in row.note) == (None, True)
