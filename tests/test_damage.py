"""Damaged files of runs and generators: one sentence that names them."""

import itertools
import json
import shutil
from importlib.util import find_spec

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from assertions import assert_exit
from safetensors.numpy import load_file, save_file

from benchmarks.fuzz.campaign import KINDS, campaign, cases_of, tried
from benchmarks.fuzz.prepared import prepared
from lfkit.errors import RunError
from lfkit.generators.training.checkpoints import CheckpointFolder
from lfkit.runs.reading import read_log, read_sealed, sealed


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Photos, a finished run of them, and a generator trained in it."""
    return prepared(tmp_path_factory.mktemp("damage"))


@pytest.fixture
def run(home, tmp_path):
    return shutil.copytree(home / "run", tmp_path / "run")


def refused(done, *names):
    """Check that a command said, in one sentence, what is wrong."""
    assert_exit(done, 2)
    said = " ".join(done.err.split())
    for name in names:
        assert name in said


def nothing(path):
    path.write_bytes(b"")


def not_text(path):
    path.write_bytes(b"\xff\xfe{\x00}")


def a_list(path):
    path.write_text("[]")


def deep(path):
    path.write_text("[" * 100_000)


def half(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def folder(path):
    path.unlink()
    path.mkdir()


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 4  # before the footer of a Parquet file
    path.write_bytes(data)


OF_TEXT = [nothing, not_text, a_list, deep, half, folder]
OF_ARRAYS = [nothing, a_list, half, folder, flipped]
READ = [
    ("run.json", OF_TEXT, "analyze"),
    ("summary.json", [*OF_TEXT, flipped], "diagnose"),
    ("scores.json", [*OF_TEXT, flipped], "report"),
    ("images.parquet", OF_ARRAYS, "analyze"),
    ("labels.parquet", OF_ARRAYS, "analyze"),
    ("blocks.arrow", OF_ARRAYS, "analyze"),
    ("votes/*/*.npz", OF_ARRAYS, "analyze"),
    ("models/two-stage/config.json", OF_TEXT, "generate"),
    ("models/two-stage/config.json", OF_TEXT, "aggregate"),
    ("models/two-stage/weights.safetensors", OF_ARRAYS, "generate"),
    ("models/two-stage/settings.json", [*OF_TEXT, flipped], "train"),
    ("models/two-stage/samples.npz", OF_ARRAYS, "report"),
]


def some_of(spoils, number):
    """Choose two damages, other ones of each file; a checksum is each file's own."""
    others = [spoil for spoil in spoils if spoil is not flipped]
    first, second = (others[(number + turn) % len(others)] for turn in (0, 3))
    return first, flipped if flipped in spoils else second


FILES = [
    (name, spoil, command)
    for number, (name, spoils, command) in enumerate(READ)
    for spoil in some_of(spoils, number)
]


@pytest.mark.parametrize(
    ("name", "spoil", "command"),
    FILES,
    ids=[f"{name}-{spoil.__name__}-{command}" for name, spoil, command in FILES],
)
def test_a_damaged_file_is_named(lfkit, run, name, spoil, command):
    path = sorted(run.glob(name))[0]
    spoil(path)
    words = {
        "generate": ["generate", run, "-n", 4, "--out", run.parent / "new"],
        "aggregate": ["aggregate", run, "--with", "two-stage"],
        "train": ["train", run, "--with", "two-stage", "--steps", 20],
    }.get(command, [command, run])
    refused(lfkit(*words), path.name)


def edited(path, **values):
    found = json.loads(path.read_text())
    if "options" in values:
        values["options"] = found["options"] | values["options"]
    path.write_text(json.dumps(found | values))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"seed_images": ["nobody.png"] * 12}, "nobody.png"),
        ({"seed_labels": [7] * 12}, "a class is not among 0 to 1"),
        ({"seed_labels": [0]}, "12 seeds have 1 labels"),
        ({"n_images": 3}, "lists 40 images and run.json 3"),
        ({"class_names": ["left", "left"]}, "are no 2 names"),
        ({"shape": [8, 0, 1]}, "shape"),
        ({"lfs": 3}, "lfs"),
        ({"options": {"seed": -1}}, "seed"),
        ({"format": 1}, "has format 1"),
        ({"format": None}, "has format None"),
    ],
)
def test_a_wrong_run_json_says_what_is_wrong(lfkit, run, values, told):
    edited(run / "run.json", **values)
    refused(lfkit("analyze", run), "run.json", told)


def test_labels_of_other_images_are_no_labels(lfkit, run):
    path = run / "labels.parquet"
    table = pq.read_table(path)
    pq.write_table(table.take(pa.array(range(39, -1, -1))), path)
    refused(lfkit("aggregate", run, "--with", "two-stage"), "labels.parquet")
    pq.write_table(table.slice(0, 10), path)
    refused(lfkit("analyze", run), "labels.parquet")


def test_votes_of_another_function_are_not_taken(lfkit, run):
    one, other, *_ = sorted((run / "votes").iterdir())
    for path in one.iterdir():
        shutil.copy(path, other / path.name)
    refused(lfkit("analyze", run), "votes", "cannot be read")


def test_a_damaged_index_is_made_anew(lfkit, home, run):
    (run / "images.parquet").write_bytes(b"no table")
    done = lfkit("apply", home / "photos", "--lfs", home / "functions.py", "--out", run)
    assert done.code == 0, done.err
    assert lfkit("analyze", run).code == 0


def test_a_model_folder_may_have_any_name(lfkit, run):
    models = run / "models"
    shutil.copytree(models / "two-stage", models / "two-stage-backup")
    done = lfkit("generate", run, "-n", 4, "--out", run.parent / "both")
    refused(done, "two-stage, two-stage-backup", "--with")
    for name in ("two-stage", "two-stage-backup"):
        words = ["generate", run, "-n", 4, "--with", name, "--format", "npz"]
        assert lfkit(*words, "--out", run.parent / name).code == 0
    one, other = (
        run.parent / name / "generated.npz" for name in (words[5], "two-stage")
    )
    assert one.read_bytes() == other.read_bytes()


def test_an_unknown_generator_is_named(lfkit, run):
    path = run / "models" / "two-stage" / "config.json"
    config = json.loads(path.read_text())
    path.write_bytes(sealed(config | {"generator": "Later"}))
    done = lfkit("generate", run, "-n", 4, "--out", run.parent / "new")
    refused(done, "config.json", "'Later'", "TwoStage")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"prior": [0.2, 0.3, 0.5]}, "agreement has the shape (2,)"),
        ({"prior": [float("nan"), 1.0]}, "prior"),
        ({"prior": []}, "prior"),
        ({"shape": [8, 8]}, "config.json"),
        ({"params": {"plan": {"augment": ["odd"]}}}, "config.json"),
        ({"shape": [16, 16, 1]}, "weights.safetensors"),
        ({"settings": {}}, "agreement"),
        ({"params": {}}, "plan"),
        ({"format": 3}, "of format 3"),
    ],
)
def test_a_wrong_model_config_says_what_is_wrong(lfkit, run, values, told):
    path = run / "models" / "two-stage" / "config.json"
    path.write_bytes(sealed(json.loads(path.read_text()) | values))
    done = lfkit("generate", run, "-n", 4, "--out", run.parent / "new")
    refused(done, "two-stage", told)


def one_nan(tensors, name):
    tensors[name].reshape(-1)[0] = np.nan


def gone(tensors, name):
    del tensors[name]


def of_another_shape(tensors, name):
    tensors[name] = tensors[name].reshape(-1)


def of_another_type(tensors, name):
    tensors[name] = tensors[name].astype(np.float64)


def one_more(tensors, name):
    tensors[f"{name}.more"] = tensors[name]


@pytest.mark.parametrize(
    "spoil", [one_nan, gone, of_another_shape, of_another_type, one_more]
)
def test_wrong_weights_make_no_images(lfkit, run, spoil):
    path = run / "models" / "two-stage" / "weights.safetensors"
    tensors = load_file(path)
    spoil(tensors, next(n for n, v in tensors.items() if v.ndim > 1))
    save_file(tensors, path)
    new = run.parent / "new"
    refused(lfkit("generate", run, "-n", 4, "--out", new), "weights.safetensors")
    assert not new.exists()


def test_a_last_checkpoint_that_is_not_finite_is_not_gone_on_from(tmp_path):
    kept = CheckpointFolder(tmp_path)
    for step in (10, 20, 30):
        kept.save({"step": np.asarray(step), "w": np.full(3, step, np.float32)})
    path = tmp_path / "step-00000030.safetensors"
    tensors = load_file(path)
    tensors["w"][1] = np.nan
    save_file(tensors, path)
    assert kept.load()["step"] == 20
    data = bytearray((tmp_path / "step-00000020.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "step-00000020.safetensors").write_bytes(data)
    assert kept.load() is None


def test_a_log_is_read_as_far_as_it_is_whole(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(
        b'{"step": 10, "loss": 1.5}\n{"loss": 2}\n[3]\n\xff\xfe\n'
        b'{"step": 20, "loss": "high"}\n{"step": 30, "lo'
    )
    assert read_log(path) == [{"step": 10, "loss": 1.5}, {"step": 20}]
    assert read_log(tmp_path / "none.jsonl") == []


def test_a_training_goes_on_whatever_its_log_holds(lfkit, run):
    model = run / "models" / "two-stage"
    (model / "config.json").unlink()  # as if it was killed before its end
    (model / "log.jsonl").write_text('{"loss": 1}\nnull\n{"step": "x"}\n{"st')
    done = lfkit("train", run, "--with", "two-stage", "--steps", 20, *TOY)
    assert done.code == 0, done.err
    assert "two-stage is trained" in done.out


TOY = ["--set", "batch=8", "--set", "width=16", "--set", "z_dim=8"]
TOY += ["--set", "reader_steps=10"]


def test_what_is_sealed_is_read_back_and_nothing_else(tmp_path):
    path = tmp_path / "file.json"
    path.write_bytes(sealed({"share": 0.1, "names": ("a", "b"), "none": float("nan")}))
    assert read_sealed(path, "x") == {"share": 0.1, "names": ["a", "b"], "none": None}
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(RunError, match=r"file.json was changed .*; do this\."):
        read_sealed(path, "do this")


def test_questions_about_images_that_are_not_there_are_told(lfkit, run):
    words = ["active", run, "--with", "two-stage", "--budget", 4, "--per-round", 4]
    words += ["--steps", 10, "--oracle", "csv", *TOY]
    assert lfkit(*words).code == 0
    [path] = run.glob("active/*/guesses.csv")
    path.write_text(path.read_text().replace("\n", "\nnobody,left,0.5\n", 1))
    refused(lfkit(*words), "guesses.csv", "nobody")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "images"])
def test_damaged_at_random_nothing_breaks(home, kind):
    """A few of the 10,000 files of `make fuzz`."""
    few = itertools.islice(cases_of(kind, 1, 0, home.parent), 10)
    problems = [
        (case.damage, case.command, found["problem"], found["said"])
        for case in few
        if (found := tried(case))["problem"]
    ]
    assert not problems


@pytest.mark.slow
def test_the_fuzz_campaign_finds_nothing(home):
    kinds = [kind for kind in KINDS if find_spec(f"benchmarks.fuzz.{kind}")]
    found = campaign(kinds, files=200, minutes=10, seed=2, scratch=home.parent)
    assert not found.findings, "\n".join(found.lines())
    assert sum(found.files.values()) >= 200


def test_an_index_that_was_changed_is_not_believed(lfkit, home, run):
    before = (run / "labels.csv").read_bytes()
    path = run / "images.parquet"
    table = pq.read_table(path)
    keys = table["key"].to_pylist()
    place = table.column_names.index("key")
    pq.write_table(table.set_column(place, "key", pa.array(keys[1:] + keys[:1])), path)
    words = ["apply", home / "photos", "--lfs", home / "functions.py", "--out", run]
    refine = ["--refine", "--stages", "lda,diffuse"]
    done = lfkit(*words, "--seed-labels", home / "seeds.csv", *refine)
    assert done.code == 0, done.err
    assert (run / "labels.csv").read_bytes() == before


@pytest.mark.parametrize(
    "written", [[], 3, {"files": 3}, {"files": ["generated.npz"]}, {"images": 4}]
)
def test_a_wrong_manifest_of_generated_images_is_named(lfkit, home, run, written):
    out = shutil.copytree(home / "made", run.parent / "made")
    edited(out / "manifest.json", written=written)
    words = ["generate", run, "-n", 20, "--out", out, "--format", "npz"]
    refused(lfkit(*words), "manifest.json")


def test_a_call_that_was_stopped_leaves_no_labels_of_an_earlier_one(
    lfkit, home, run, monkeypatch
):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("lfkit.commands.apply.save_labels", stopped)
    words = ["apply", home / "photos", "--lfs", home / "functions.py", "--out", run]
    assert lfkit(*words, "--with", "dawid-skene").code == 130
    refused(lfkit("analyze", run), "summary.json", "stopped before its end")
