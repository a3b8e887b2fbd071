"""`lfkit report`: one page, whole, true, and without an error in a browser."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from lfkit.data.datasets import open_images
from lfkit.report import sections
from lfkit.runs.reading import sealed

LFS = """
from lfkit import ABSTAIN, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature
def ink(image):
    return image.mean()


@labeling_function(classes=[1], features=[ink])
def little_ink_is_one(ink):
    "Little ink <makes> a one."
    return 1 if ink < 70 else ABSTAIN


@labeling_function(classes=[0])
def empty_middle_is_zero(image):
    return 0 if image[3:5, 3:5].max() < 60 else ABSTAIN


@labeling_function(classes=[0, 8], features=[ink])
def much_ink_is_eight(ink):
    return 8 if ink > 85 else ABSTAIN
"""
# "strange" is what `lfkit diagnose --images` finds: tests/test_image_checks.py.
OF_REFINEMENT_AND_GENERATORS = {"refinement", "generators", "scores", "human-test"}
SECTIONS = [
    kind.name
    for kind in sections.SECTIONS
    if kind.name not in OF_REFINEMENT_AND_GENERATORS | {"strange"}
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def generated(folder):
    """Digits with noise, and a training's log beside them."""
    images = open_images("digits")
    rows = np.arange(200)
    pixels = images.read(rows).pixels.astype(float)
    noise = np.random.default_rng(0).normal(0, 20, pixels.shape)
    noisy = (pixels + noise).clip(0, 255).astype(np.uint8)
    proba = 0.82 * np.eye(10)[images.labels[:200]] + 0.018
    path = folder / "noisy.npz"
    np.savez(path, images=noisy, proba=proba)
    return path


def run_of(lfkit, folder, name, *options, data="digits"):
    (folder / "lfs.py").write_text(LFS)
    out = folder / name
    done = lfkit(
        *("apply", data, "--lfs", folder / "lfs.py", "--out", out),
        *("--no-sheet", "--no-baselines", "--json", *options),
    )
    assert done.code == 0, done.err
    return out


@pytest.fixture
def run(lfkit, folder):
    return run_of(lfkit, folder, "run", "--seeds-per-class", "10")


def reported(lfkit, run, *options):
    done = lfkit("report", run, *options, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    return found["sections"], (run / "report.html").read_text()


def test_a_page_has_the_sections_that_the_run_can_fill(lfkit, run):
    shown, page = reported(lfkit, run)
    assert {"overview", "data", "labels", "errors", "confidence"} < set(shown)
    assert shown == SECTIONS
    assert re.findall(r'<section id="([a-z-]+)">', page) == SECTIONS
    assert 'href="#generators"' not in page
    assert "little_ink_is_one" in page


def test_a_page_needs_no_network_and_escapes_what_users_wrote(lfkit, run):
    _, page = reported(lfkit, run)
    assert not re.search(r"""(src|href)=["'](https?:)?//""", page)
    assert "url(" not in page
    assert "@import" not in page
    assert "Little ink &lt;makes&gt; a one." in page


def test_figures_are_those_of_the_run(lfkit, run):
    _, page = reported(lfkit, run)
    accuracy = json.loads((run / "summary.json").read_text())["accuracy"]["of_all"]
    assert f"<b>{100 * accuracy:.1f} %</b><span>accuracy of the labels</span>" in page
    cells = re.findall(r'title="0 labeled as ([^:]+): ([\d,]+)"', page)
    assert sum(int(count.replace(",", "")) for _, count in cells) == 168  # 178 zeros


def test_without_true_classes_nothing_is_scored(lfkit, folder):
    images = open_images("digits")
    path = folder / "unknown.npz"
    np.savez(path, images=images.read(np.arange(100)).pixels)
    run = run_of(lfkit, folder, "blind", data=str(path))
    shown, page = reported(lfkit, run)
    assert "errors" not in shown
    assert "confidence" not in shown
    assert 'class="tile right"' not in page


def test_generated_images_are_shown_with_their_nearest_real_ones(lfkit, run, generated):
    shown, page = reported(lfkit, run, "--generated", generated)
    assert shown == [*SECTIONS, "generators", "human-test"]
    part = page[page.index('<section id="generators">') :]
    # Noise of 20 levels is what separates them from the digits they were made of.
    gaps = [
        float(gap) for gap in re.findall(r"<figcaption>(0\.\d+)</figcaption>", part)
    ]
    assert len(gaps) == 20
    assert 0.03 < np.mean(gaps) < 0.1
    items = json.loads(re.search(r"json\">(\[.*?\])</script>", part, re.S)[1])
    assert {item["source"] for item in items} == {"real", "noisy"}


def test_the_log_of_a_generator_is_drawn_as_curves(lfkit, run, generated):
    model = run / "models" / "toy"
    model.mkdir(parents=True)
    shutil.copy(generated, model / "samples.npz")
    lines = [
        json.dumps({"step": s, "loss_d": 1 / (1 + s), "share": 0.5}) for s in range(9)
    ]
    (model / "log.jsonl").write_text("\n".join([*lines, '{"step": 9, "lo']))
    trust = {"names": ["one_hole", "two_holes"], "theta": [0.25, 0.75]}
    trust["phi"] = [[1.0, 0.2], [0.2, 1.0]]
    (model / "trust.json").write_text(json.dumps(trust))
    try:
        _, page = reported(lfkit, run)
    finally:
        shutil.rmtree(run / "models")
    assert 'aria-label="loss_d"' in page
    assert 'aria-label="share"' in page
    assert page.index("two_holes</td>") < page.index("one_hole</td>")
    assert "75.0 %" in page


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"pixels": np.zeros(3)}, "holds pixels; expected `images`"),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "proba": np.ones((2, 10))},
            "proba of row 0 is",
        ),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "proba": np.full((2, 4), 0.25)},
            "has labels of 4 classes; the run has 10",
        ),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": [0, 12]},
            "has labels from 0 to 12; the run has the classes 0..9",
        ),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": ["a", "b"]},
            "has `labels` of type <U1; expected whole numbers, the classes",
        ),
        (
            {
                "images": np.zeros((2, 8, 8), np.uint8),
                "labels": [0, 1],
                "confidence": [0.5],
            },
            "has a `confidence` of shape (1,); expected one number for each of the 2",
        ),
        (
            {"images": np.zeros((2, 8, 8)), "labels": [0, 1]},
            "its images are float64 of shape (2, 8, 8)",
        ),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "proba": np.full((3, 10), 0.1)},
            "has 2 images and labels of shape (3, 10)",
        ),
    ],
)
def test_a_wrong_file_of_images_is_refused(lfkit, run, folder, arrays, said):
    path = folder / "wrong.npz"
    np.savez(path, **arrays)
    done = lfkit("report", run, "--generated", path)
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize("damage", ["text", "cut", "empty", "array", "missing"])
def test_a_file_that_is_no_archive_is_refused(lfkit, run, folder, generated, damage):
    path = folder / f"{damage}.npz"
    if damage == "array":
        np.save(folder / "array.npy", np.zeros(3))
        (folder / "array.npy").rename(path)
    elif damage != "missing":
        whole = generated.read_bytes()
        content = {"text": b"no archive", "cut": whole[: len(whole) // 2], "empty": b""}
        path.write_bytes(content[damage])
    done = lfkit("report", run, "--generated", path)
    assert done.code == 2
    assert "cannot be read" in done.err
    assert "expected an .npz with `images` and `proba`" in done.err


def test_scores_of_label_models_are_kept_until_the_labels_change(lfkit, run):
    reported(lfkit, run)
    path = run / "scores.json"
    before = path.stat().st_mtime_ns
    reported(lfkit, run)
    assert path.stat().st_mtime_ns == before
    found = json.loads(path.read_text())
    found["labels"]["of"] = "of other labels"
    path.write_bytes(sealed(found))
    reported(lfkit, run)
    assert json.loads(path.read_text())["labels"]["of"] != "of other labels"


def test_scores_of_an_older_lfkit_are_made_anew(lfkit, run):
    reported(lfkit, run)
    path = run / "scores.json"
    found = json.loads(path.read_text())
    del found["checksum"]
    found["labels"]["rows"][0]["accuracy"] = -1.0
    path.write_text(json.dumps(found | {"format": 1}))
    reported(lfkit, run)
    assert json.loads(path.read_text())["labels"]["rows"][0]["accuracy"] != -1.0


def test_baselines_and_stages_are_not_shown_beside_other_true_labels(lfkit, folder):
    out, data = folder / "refined", folder / "few.npz"
    images = open_images("digits")
    few = np.arange(300)
    np.savez(data, images=images.read(few).pixels, labels=images.labels[few])
    (folder / "lfs.py").write_text(LFS)
    done = lfkit(
        *("apply", data, "--lfs", folder / "lfs.py", "--out", out),
        *("--seeds-per-class", "5", "--refine", "--stages", "lda", "--no-sheet"),
        *("--json",),
    )
    assert done.code == 0, done.err
    stored = json.loads((out / "summary.json").read_text())
    baselines = [
        f"{100 * baseline['accuracy']:.1f} %" for baseline in stored["baselines"]
    ]
    stages = [f"{100 * s['accuracy']:.1f} %" for s in stored["refinement"]["stages"]]
    assert baselines
    assert stages
    _, page = reported(lfkit, out)
    refinement = page[page.index('<section id="refinement">') :]
    for found, share in zip(stored["baselines"], baselines, strict=True):
        is_baseline = found["name"] == stored["baseline"]
        assert is_baseline == (f"<span>baseline: {found['name']}</span>" in page)
        assert f"<td>{share}</td>" in page
    assert all(f"<td>{share}</td>" in refinement for share in stages)
    assert "not scored by the true labels given here" not in page

    path = folder / "truth.csv"
    path.write_text("image_id,label\n" + "".join(f"{i},0\n" for i in range(100)))
    shown, page = reported(lfkit, out, "--labels", path)
    assert "refinement" in shown
    overview = page[page.index('<section id="overview">') :].split("</section>")[0]
    refinement = page[page.index('<section id="refinement">') :].split("</section>")[0]
    assert "baseline:" not in overview
    assert 'class="verdict' not in overview
    assert "trained on the seeds alone" not in overview
    assert (
        "Baselines are left out: these classifiers were not scored by the true labels "
        "given here." in overview
    )
    assert "The stages were not scored by the true labels given here." in refinement
    assert not any(f"<td>{share}</td>" in refinement for share in stages)
    assert "all images of known class" not in refinement
    held_out = stored["refinement"]["stages"][0]["held_out"]
    assert f"<td>{100 * held_out:.1f} %</td>" in refinement


PROBE = """
<script>
window.faults = [];
window.addEventListener("error", (event) => faults.push(event.message));
for (const kind of ["error", "warn"])
  console[kind] = (...said) => faults.push(said.join(" "));
</script>
"""
USE = """
<script>
for (const row of document.querySelectorAll("tr.opens")) row.click();
for (const head of document.querySelectorAll("table.sortable th")) {
  head.click();
  head.click();
}
const open = document.querySelectorAll("tr.detail:not([hidden])").length;
document.getElementById("theme").click();
const box = document.getElementById("filter");
box.value = "little_ink"; box.dispatchEvent(new Event("input"));
const left = document.querySelectorAll(".functions tr.opens:not([hidden])").length;
const next = document.querySelector("#human .next");
const items = JSON.parse(document.querySelector("#human script").textContent).length;
for (let i = 0; i < items; i++) next.click();
const sheet = [...document.querySelectorAll("#human a")].map((link) => link.download);
document.title = "found " + JSON.stringify({
  faults, open, left, sheet, theme: document.documentElement.dataset.theme,
  wide: document.documentElement.scrollWidth - window.innerWidth,
  width: window.innerWidth,
});
</script>
"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it_without_an_error(lfkit, run, generated, tmp_path, width):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("no chromium; Debian's package chromium brings it")
    _, page = reported(lfkit, run, "--generated", generated)
    page = page.replace("<head>", "<head>" + PROBE, 1).replace(
        "</body>", USE + "</body>"
    )
    # Headless windows are not narrower than 500 pixels; a frame is.
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "frame.html").write_text(
        f'<iframe src="page.html" style="width:{width}px;height:900px;border:0" '
        'onload="document.title = this.contentDocument.title"></iframe>'
    )
    done = subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--allow-file-access-from-files", "--window-size=1400,1000"),
            *("--virtual-time-budget=5000", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--dump-dom", (tmp_path / "frame.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(re.search(r"<title>found (.*?)</title>", done.stdout, re.S)[1])
    assert found["faults"] == []
    assert found["width"] == width
    assert found["wide"] <= 0  # nothing sticks out to the right
    assert found["open"] >= 3
    assert found["left"] == 1
    assert found["sheet"] == ["human-ratings.csv"]
    assert found["theme"] in ("light", "dark")
