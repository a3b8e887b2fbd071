"""Every command and snippet of the README and of the pages in docs/ runs.

Some pages have files of their own, `test_*_docs.py`. In a page, blocks are
`console` (commands behind `$`, and what they print), `python` (a file, where the first
line is its name; else run as it stands), and `text` and `sh`, which are not run.
"""

import gzip
import os
import re
import runpy
import shlex
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
ELSEWHERE = {  # named in the first lines of those files
    page
    for path in Path(__file__).parent.glob("test_*_docs.py")
    for page in re.findall(r"docs/(\w+\.md)", path.read_text().split('"""')[1])
}
# Begun with, so that their runs are there for the others.
FIRST = ["few_seeds.md", "tutorial.md"]
PAGES = [
    "README.md",
    *sorted(
        (f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
        key=lambda page: (Path(page).name not in FIRST, page),
    ),
]
BLOCKS = {
    page: re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)
    for page in PAGES
}
DEMO = "lfkit apply digits --lfs lf_library.digits --seeds-per-class 20 --out demo-run"
# A few steps, and no baselines, show that a command runs; more is tested elsewhere.
SHORTER = {
    "apply": ["--no-baselines", "--no-sheet"],
    "active": ["--steps", "20"],
    "evaluate": ["--judge-steps", "20"],
}


def commands_of(page):
    """Give the commands of a page, without what they print."""
    texts = [text for kind, text in BLOCKS[page] if kind == "console"]
    lines = [line for text in texts for line in text.splitlines()]
    return [line[2:].split("  #")[0].strip() for line in lines if line[:2] == "$ "]


def files_of(page):
    """Give the files of a page by name: snippets that begin with their name."""
    found = [re.match(r"# ((?:my|make|named|prompted|network)_\w+\.py)\n", text)
             for kind, text in BLOCKS[page] if kind == "python"]  # fmt: skip
    return {each[1]: each.string for each in found if each}


def _write_idx(path, array):
    header = struct.pack(">HBB", 0, 8, array.ndim)
    header += struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), 1))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory, digits):
    """Lay out what commands find: photos, labels, votes, a data set."""
    place = tmp_path_factory.mktemp("pages")
    images, labels = digits
    rng = np.random.default_rng(0)
    (place / "photos").mkdir()
    for i in range(12):
        night = i % 2
        size = (40 + 5 * i, 60, 3)
        pixels = rng.integers(0, 40, size) if night else rng.integers(120, 200, size)
        if not night:
            pixels[:, :, 2] = 230  # a blue sky
        picture = Image.fromarray(pixels.astype(np.uint8))
        picture.save(place / "photos" / f"{i:02}.png")
    rows = "".join(f"{i:02}.png,{('day', 'night')[i % 2]}\n" for i in range(6))
    (place / "my_labels.csv").write_text("image_id,label\n" + rows)
    rows = "".join(f"{i:02}.png,{('day', 'night')[i % 2]}\n" for i in range(6, 12))
    (place / "checked.csv").write_text("image_id,label\n" + rows)
    shutil.copytree(place / "photos", place / "more_photos")
    images, labels = images[:300], labels[:300]
    np.savez(place / "digits.npz", images=images, labels=labels)
    np.save(place / "votes.npy", np.stack([labels, labels], axis=1))
    made = np.roll(images, 1, axis=2)  # as if a generator had made them
    np.savez(place / "made.npz", images=made, proba=np.eye(10)[labels])
    # The real loader on a small file of the same format: digits, enlarged.
    large = np.repeat(np.repeat(images[..., 0], 3, axis=1), 3, axis=2)
    large = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    folder = place / "fashion-mnist"
    folder.mkdir()
    _write_idx(folder / "train-images-idx3-ubyte.gz", large)
    _write_idx(folder / "train-labels-idx1-ubyte.gz", labels.astype(np.uint8))
    return place


@pytest.fixture
def workplace(laid_out, monkeypatch):
    """Give the folder that the pages share; their runs stay there."""
    monkeypatch.setenv("LFKIT_DATA", str(laid_out))
    monkeypatch.chdir(laid_out)
    for name, text in files_of("docs/rules.md").items():
        Path(name).write_text(text)
    return laid_out


@pytest.fixture
def run_command(lfkit):
    """Run a command as a page shows it; it must end well."""

    def run(command):
        command = re.sub(r"--steps \d+", "--steps 20", command)
        program, *arguments = shlex.split(re.sub(r" -n \d+", " -n 200", command))
        if program == "python":
            runpy.run_path(arguments[0], run_name="__main__")
            return ""
        assert program == "lfkit", command
        more = SHORTER.get(arguments[0], [])
        if "--classifier" in arguments:
            more = ["--classifier-steps", "20"]
        if "--useful" in arguments:
            more = ["--learner-steps", "2"]
        if "--steps" in arguments:
            more = []
        if {"lf_library.fashion", "--seeds-per-class"} & {*arguments}:  # a few of many
            more = [*more, "--kinds", "image-processing"]
        arguments = ["digits.npz" if a == "digits" else a for a in arguments]
        done = lfkit(*arguments, *more)
        assert done.code == 0, f"{command}\n{done.err}"
        return done.out

    return run


@pytest.fixture
def begun(workplace, run_command):
    """See to it that there are the runs that most pages go on with."""
    if not Path("demo-run/summary.json").exists():
        run_command(DEMO)
    if not Path("run/summary.json").exists():
        run_command(
            "lfkit apply photos --lfs my_lfs.py --size 64 --color rgb --out run"
        )


@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if Path(page).name not in ELSEWHERE
        and {"console", "python"} & {kind for kind, _ in BLOCKS[page]}
    ],
)
def test_every_command_and_snippet_of_a_page_runs(
    page, workplace, begun, run_command, tmp_path, monkeypatch
):
    name = Path(page).name
    if name in ("tutorial.md", "crowd_votes.md"):  # they bring photographs
        monkeypatch.chdir(tmp_path)
    if name == "crowd_votes.md":
        Path("make_photos.py").write_text(
            files_of("docs/tutorial.md")["make_photos.py"]
        )
        run_command("python make_photos.py")
    for file, text in files_of(page).items():
        Path(file).write_text(text)
        if file.endswith("_lfs.py"):  # it can be loaded, with what it imports
            run_command(f"lfkit list lfs --lfs {file}")
    for command in commands_of(page):
        if command != DEMO:
            run_command(command)
    names = {"__name__": "page"}
    for kind, text in BLOCKS[page]:
        if kind == "python" and text not in files_of(page).values():
            exec(text, names)


def test_a_run_holds_the_files_that_are_promised(workplace, lfkit):
    lfkit("apply", "photos", "--lfs", "my_lfs.py", "--size", 64, "--out", "held")
    lfkit("report", "held")
    lfkit("evaluate", "held")
    page = (ROOT / "docs" / "data.md").read_text()
    section = page.split("## What a run holds")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.+?`) \|", section, re.M)
    promised = [name for row in rows for name in re.findall(r"`([\w.]+/?)`", row)]
    assert len(promised) == 11
    for name in promised:
        assert (workplace / "held" / name).exists(), name


def test_the_rules_tell_day_from_night(workplace, run_command):
    import pandas as pd

    run_command("lfkit apply photos --lfs my_lfs.py --size 64 --out told")
    labels = pd.read_csv("told/labels.csv")["label"].tolist()
    assert labels == ["day", "night"] * 6


def test_the_two_commands_are_in_the_makefile_and_ci_runs_the_second():
    makefile = (ROOT / "Makefile").read_text()
    shell = next(text for kind, text in BLOCKS["README.md"] if kind == "sh")
    commands = re.findall(r"^make (\w+)", shell, re.MULTILINE)
    assert commands == ["demo", "test"]
    for command in commands:
        assert f"\n{command}:" in makefile
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page):
    text = (ROOT / page).read_text()
    made = {"reference", "notebooks"}  # by docs/site.py; its own test follows the links
    for link in re.findall(r"\]\(([^)#]+)", text):
        if not link.startswith("http") and link.split("/")[0] not in made:
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path, monkeypatch):
    pytest.importorskip("mkdocs_autorefs")
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 35
    for path in pages:
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*>", path.read_text())
        outside = [
            tag for tag in loaded if re.search(r'(?:src|href)="(?:https?:)?//', tag)
        ]
        assert not outside, path
        named = re.findall(r">([\w/]+\.md)</a>", path.read_text())
        assert not named, path  # a link says where it leads, not to which file
    commands = (tmp_path / "reference" / "commands.html").read_text()
    assert "`" not in commands
    assert "--seeds-per-class" in commands
    assert "Draw N labeled images per class" in commands
    assert "predict_proba" in (tmp_path / "reference" / "lfkit.html").read_text()
