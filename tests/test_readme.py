"""Every command and snippet of the README runs, and its figures are the tool's."""

import gzip
import re
import shlex
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line.removeprefix("$ ").split("  #")[0].strip()
    for kind, text in BLOCKS
    if kind == "console"
    for line in text.splitlines()
    if line.startswith("$ ")
]
SNIPPETS = [text for kind, text in BLOCKS if kind == "python"]
# Those that begin with the name of the file they are.
FILES = {text[2:].split("\n")[0]: text for text in SNIPPETS if text.startswith("# my_")}


def _write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim)
    header += struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))


@pytest.fixture
def workplace(tmp_path, monkeypatch, digits):
    """Lay out what the README's commands find: photos, labels, votes, a data set."""
    images, labels = digits
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(12):
        night = i % 2
        size = (40 + 5 * i, 60, 3)
        pixels = rng.integers(0, 40, size) if night else rng.integers(120, 200, size)
        if not night:
            pixels[:, :, 2] = 230  # a blue sky
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture.save(tmp_path / "photos" / f"{i:02}.png")
    rows = "".join(f"{i:02}.png,{('day', 'night')[i % 2]}\n" for i in range(6))
    (tmp_path / "my_labels.csv").write_text("image_id,label\n" + rows)
    np.save(tmp_path / "votes.npy", np.stack([labels, labels], axis=1))
    made = np.roll(images[:400], 1, axis=2)  # as if a generator had made them
    np.savez(tmp_path / "made.npz", images=made, proba=np.eye(10)[labels[:400]])
    # The real loader on a small file of the same format: digits, enlarged.
    large = np.repeat(np.repeat(images[:500, :, :, 0], 3, axis=1), 3, axis=2)
    large = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    _write_idx(folder / "train-images-idx3-ubyte.gz", large)
    _write_idx(folder / "train-labels-idx1-ubyte.gz", labels[:500].astype(np.uint8))
    monkeypatch.setenv("LFKIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_readme_runs(lfkit, workplace):
    for name, text in FILES.items():
        (workplace / name).write_text(text)
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        # A few steps show that it runs; what it makes is tested elsewhere.
        program, *arguments = shlex.split(re.sub(r"--steps \d+", "--steps 60", command))
        assert program == "lfkit"
        done = lfkit(*arguments)
        assert done.code == 0, f"{command}\n{done.err}"
    section = README.split("## What you get")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \|", section, re.M)
    promised = [name for row in rows for name in re.findall(r"`([\w.]+/?)`", row)]
    assert len(promised) == 11
    for name in promised:
        assert (workplace / "run" / name).exists(), name


def test_the_rules_of_the_readme_tell_day_from_night(lfkit, workplace):
    import pandas as pd

    (workplace / "my_lfs.py").write_text(FILES["my_lfs.py"])
    lfkit("apply", "photos", "--lfs", "my_lfs.py", "--size", 64, "--out", "run")
    labels = pd.read_csv("run/labels.csv")["label"].tolist()
    assert labels == ["day", "night"] * 6


def test_the_panel_in_the_readme_is_what_the_demo_prints(lfkit, workplace):
    demo = next(text for kind, text in BLOCKS if kind == "console")
    command, *shown = demo.splitlines()
    printed = lfkit(*shlex.split(command.removeprefix("$ lfkit"))).out
    pattern = r"(accuracy|coverage|on the seeds|baseline) +([\d.]+) %"
    expected = re.findall(pattern, "\n".join(shown))
    found = re.findall(pattern, printed)
    assert [name for name, _ in expected] == [name for name, _ in found]
    assert len(expected) == 4
    for (name, figure), (_, again) in zip(expected, found, strict=True):
        # Other processors round differently: a few digits may change sides.
        assert float(figure) == pytest.approx(float(again), abs=1.0), name
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert command.removeprefix("$ ") in makefile


def test_the_python_of_the_readme_runs(workplace, capsys):
    (alone,) = [text for text in SNIPPETS if text not in FILES.values()]
    exec(alone, {"__name__": "readme"})
    printed = capsys.readouterr().out
    assert "thin_is_one" in printed
    assert "Emp. Acc." in printed


def test_the_two_commands_are_in_the_makefile_and_ci_runs_the_second():
    root = Path(__file__).parents[1]
    makefile = (root / "Makefile").read_text()
    commands = re.findall(
        r"^make (\w+)", next(t for k, t in BLOCKS if k == "sh"), re.MULTILINE
    )
    assert commands == ["demo", "test"]
    for command in commands:
        assert f"\n{command}:" in makefile
    assert "make test" in (root / ".ci" / "run").read_text()


def test_every_file_the_readme_names_is_there():
    root = Path(__file__).parents[1]
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        if not link.startswith("http"):
            assert (root / link).exists(), link
