"""Shards are labeled each by itself, are never lost, and no kill leaves half a file."""

import gc
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from assertions import assert_notes
from PIL import Image

import lfkit as lfkit_package
from lfkit.aggregators import AGGREGATORS
from lfkit.commands.apply import ApplyOptions, apply
from lfkit.labeling.engine.function_evaluator import cpu_count

FUNCTIONS = """
import faulthandler, os, time
import torch
from lfkit import ABSTAIN, NearestMean, OneOf, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature(batched=True)
def rows_of_ink(images):
    return images.mean(dim=(1, 3))


@feature(batched=True)
def columns_of_ink(images):
    return images.mean(dim=(1, 2))


@feature(batched=True)
def quarters_of_ink(images):
    return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)


def tells(source, name):
    @labeling_function(
        classes=list(range(10)),
        features=[source],
        thresholds={"rule": NearestMean(source)},
        batched=True,
        name=name,
    )
    def function(values, *, rule):
        return rule(values).argmax(dim=1)

    return function


@labeling_function(classes=[0, 8], features=[quarters_of_ink], batched=True)
def little_inside_is_round(ink):
    empty = ink[:, [5, 6, 9, 10]].mean(dim=1) < 0.45
    return empty[:, None].expand(-1, 2)


LFS = [
    tells(rows_of_ink, "rows_tell"),
    tells(columns_of_ink, "columns_tell"),
    tells(quarters_of_ink, "quarters_tell"),
    little_inside_is_round,
]
"""
# White images are marked: what a function does there is what a corner says.
FAULTY = (
    FUNCTIONS
    + """
@labeling_function(classes=[1])
def some_images_hang(image):
    if image[0, 0].max() == 201:
        time.sleep(3600)
    return ABSTAIN


@labeling_function(classes=[1])
def some_images_raise(image):
    if image[0, 0].max() == 202:
        raise ValueError("not this one")
    return ABSTAIN


@labeling_function(classes=[1])
def tells_its_process(image):
    if "LFKIT_PROCESSES" in os.environ:
        with open(os.environ["LFKIT_PROCESSES"], "a") as file:
            print(os.getpid(), file=file)
    return ABSTAIN


LFS += [some_images_hang, some_images_raise, tells_its_process]
"""
)
DEADLY = (
    FUNCTIONS
    + """
@labeling_function(classes=[1], batched=True)
def some_batches_kill(images):
    if (images[:, 0, 0, 0] * 255 > 202.5).any() and "LFKIT_DEADLY" in os.environ:
        faulthandler._sigsegv()
    return torch.full((len(images),), -1)


LFS += [some_batches_kill]
"""
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, digits):
    """Labelers by name, made of 300 digits, and 70 other digits in several forms."""
    folder = tmp_path_factory.mktemp("a place with späces")
    images, labels = digits
    np.savez(folder / "known.npz", images=images[:300], labels=labels[:300])
    for name, text in (("plain", FUNCTIONS), ("faulty", FAULTY), ("deadly", DEADLY)):
        (folder / f"{name}.py").write_text(text)
        asked = {"seeds_per_class": 8, "baselines": False, "sheet": False}
        asked["aggregator"] = "dawid-skene"
        spec, run = str(folder / f"{name}.py"), folder / f"run {name}"
        data = str(folder / "known.npz")
        # Without a limit few images need no processes, which take seconds to start.
        apply(ApplyOptions(data, lfs=(spec,), out=run, lf_timeout=None, **asked))
        assert not json.loads((run / "faults.json").read_text())["functions"]
        _command("freeze", run, "--out", folder / name)
    (folder / "bilder mit räumen" / "b").mkdir(parents=True)
    pictures = {}
    for row, image in enumerate(images[300:370, :, :, 0]):
        name = f"{'b/' if row % 2 else ''}ziffer é {row:02}.png"
        Image.fromarray(image).save(folder / "bilder mit räumen" / name)
        pictures[name] = (folder / "bilder mit räumen" / name).read_bytes()
    _write_tars(folder / "tars", pictures, 3)
    _write_parquets(folder / "tables", pictures, 2)
    np.savez(folder / "array.npz", images=images[300:370])
    return folder


def _command(*arguments, code=0, **how):
    """Run the command line in this process."""
    from lfkit.cli.app import app

    with pytest.raises(SystemExit) as stop:
        app([str(a) for a in arguments], **how)
    assert int(stop.value.code or 0) == code


def _write_tars(folder, pictures, n):
    folder.mkdir()
    for number in range(n):
        with tarfile.open(folder / f"shard {number}.tar", "w") as archive:
            for name in sorted(pictures)[number::n]:
                member = tarfile.TarInfo(name)
                member.size = len(pictures[name])
                archive.addfile(member, io.BytesIO(pictures[name]))


def _write_parquets(folder, pictures, n):
    folder.mkdir()
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for number in range(n):
        cells = [{"bytes": pictures[k], "path": k} for k in sorted(pictures)[number::n]]
        pq.write_table(
            pa.table({"image": pa.array(cells, kind)}), folder / f"{number}.parquet"
        )


def _label(lfkit, data, labeler, out, *more, code=0):
    done = lfkit("label", data, "--labeler", labeler, "--out", out, *more)
    assert done.code == code, done.err + done.out
    return done


def _parts(out):
    return {path.name: path.read_bytes() for path in Path(out).glob("*.parquet")}


def _read(out):
    tables = [
        pd.read_parquet(path) for path in sorted(Path(out).glob("part-?????.parquet"))
    ]
    return pd.concat(tables, ignore_index=True)


def test_files_tars_tables_and_arrays_of_the_same_images_get_the_same_labels(
    place, lfkit, tmp_path, digits
):
    trust = "--trust-code"
    expected = lfkit_package.load_labeler(place / "plain", trust_code=True)(
        digits[0][300:370]
    )
    by_id = {}
    for data in ("bilder mit räumen", "tars", "tables", "array.npz"):
        out = tmp_path / data
        _label(lfkit, place / data, place / "plain", out, trust, "--shard-size", 30)
        found = _read(out)
        assert len(found) == 70
        assert found["problem"].isna().all()
        by_id[data] = found.set_index("image_id").sort_index()
    assert len(list((tmp_path / "tars").glob("*.parquet"))) == 3
    assert len(list((tmp_path / "tables").glob("*.parquet"))) == 2
    files = by_id.pop("bilder mit räumen")
    array = by_id.pop("array.npz")
    for other in by_id.values():
        pd.testing.assert_frame_equal(files, other)
    names = [f"p_{digit}" for digit in range(10)]
    row_of = [int(name[-6:-4]) for name in files.index]
    ordered = array.set_index(array.index.astype(int)).sort_index()
    np.testing.assert_allclose(
        files[names].to_numpy(), expected.proba[row_of], atol=1e-6
    )
    np.testing.assert_allclose(ordered[names].to_numpy(), expected.proba, atol=1e-6)


def test_patterns_of_names_lists_and_urls_name_the_same_images(
    place, lfkit, tmp_path, monkeypatch
):
    import fsspec

    _label(lfkit, place / "tars", place / "plain", tmp_path / "a", "--trust-code")
    pattern = str(place / "tars" / "*.tar")
    _label(lfkit, pattern, place / "plain", tmp_path / "b", "--trust-code")
    memory = fsspec.filesystem("memory")
    for path in (place / "tars").iterdir():
        memory.pipe_file(f"/tärs/{path.name}", path.read_bytes())
    out = "memory://results/here"
    _label(lfkit, "memory://tärs", place / "plain", out, "--trust-code")
    assert _parts(tmp_path / "a") == _parts(tmp_path / "b")
    for name, data in _parts(tmp_path / "a").items():
        assert memory.cat_file(f"/results/here/{name}") == data
    again = _label(
        lfkit, "memory://tärs", place / "plain", out, "--trust-code", "--json"
    )
    assert json.loads(again.out)["done_before"] == 3
    listing = place / "list.csv"
    rows = sorted(p for p in (place / "bilder mit räumen").rglob("*.png"))
    listing.write_text("path\n" + "".join(f"{p.relative_to(place)}\n" for p in rows))
    _label(lfkit, listing, place / "plain", tmp_path / "c", "--trust-code")
    assert len(_read(tmp_path / "c")) == 70


def test_a_second_call_does_nothing_and_what_is_lost_is_made_again(
    place, lfkit, tmp_path
):
    out = tmp_path / "out"
    asked = ("--trust-code", "--shard-size", 20, "--json")
    data = place / "bilder mit räumen"
    first = json.loads(_label(lfkit, data, place / "plain", out, *asked).out)
    assert (first["shards"], first["labeled_now"], first["images"]) == (4, 4, 70)
    before, times = _parts(out), {p: p.stat().st_mtime_ns for p in out.iterdir()}
    second = json.loads(_label(lfkit, data, place / "plain", out, *asked).out)
    assert (second["labeled_now"], second["done_before"], second["images"]) == (
        0,
        4,
        70,
    )
    assert second["classes"] == first["classes"]
    assert {p: p.stat().st_mtime_ns for p in out.iterdir()} == times
    (out / "part-00001.json").unlink()
    (out / "part-00002.parquet").write_bytes(before["part-00002.parquet"][:-9])
    (out / "part-00003.json").write_text("{")
    third = json.loads(_label(lfkit, data, place / "plain", out, *asked).out)
    assert third["labeled_now"] == 3
    assert _parts(out) == before
    held = json.loads((out / "part-00000.json").read_text())
    assert held["images"] == 20
    assert held["files"]["part-00000.parquet"]["bytes"] == len(
        before["part-00000.parquet"]
    )


def test_parts_of_the_work_and_limits_come_to_the_same(place, lfkit, tmp_path):
    asked = ("--trust-code", "--shard-size", 10, "--votes")
    data = place / "bilder mit räumen"
    _label(lfkit, data, place / "plain", tmp_path / "whole", *asked)
    plan = _label(lfkit, data, place / "plain", tmp_path / "parts", *asked, "--dry-run")
    assert "7 shards" in plan.out
    assert not (tmp_path / "parts").exists()
    for part in ("1/3", "2/3", "3/3"):
        more = ("--shards", part, "--limit", 1)
        _label(lfkit, data, place / "plain", tmp_path / "parts", *asked, *more)
    assert len(_parts(tmp_path / "parts")) == 3
    for part in ("1/3", "2/3", "3/3"):
        _label(
            lfkit, data, place / "plain", tmp_path / "parts", *asked, "--shards", part
        )
    assert _parts(tmp_path / "parts") == _parts(tmp_path / "whole")
    table = _read(tmp_path / "whole")
    assert table["vote_rows_tell"].between(0, 9).all()
    round_ones = table["set_votes"].map(len) > 0
    assert 0 < round_ones.mean() < 1
    for (name, classes), *more in table["set_votes"][round_ones]:
        assert (name, [*classes], more) == ("little_inside_is_round", [0, 8], [])
    assert (table["vote_little_inside_is_round"] == -1).all()
    done = lfkit("label", data, "--labeler", "x", "--out", "y", "--shards", "4/3")
    assert done.code == 2
    assert "4/3" in done.err


def test_what_is_wrong_with_an_image_or_a_function_loses_no_other_image(
    place, lfkit, tmp_path, digits
):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for row, image in enumerate(digits[0][300:312, :, :, 0]):
        changed = image.copy()
        changed[0, 0] = {3: 201, 5: 202}.get(row, changed[0, 0])
        Image.fromarray(changed).save(folder / f"{row:02}.png")
    whole = (folder / "07.png").read_bytes()
    (folder / "07.png").write_bytes(whole[: len(whole) // 2])
    (folder / "08.png").write_bytes(b"")
    (folder / "09.png").unlink()
    (folder / "09.png").symlink_to(folder / "nowhere")
    out = tmp_path / "out"
    asked = ("--trust-code", "--shard-size", 6, "--lf-timeout", 1, "--json")
    found = json.loads(_label(lfkit, folder, place / "faulty", out, *asked).out)
    assert (found["images"], found["unreadable"], found["shards"]) == (12, 3, 2)
    assert found["faults"] == {
        "some_images_hang": {"timed out": 1},
        "some_images_raise": {"raised ValueError": 1},
    }
    table = _read(out).set_index("image_id")
    lost = table.loc[["07.png", "08.png", "09.png"]]
    assert lost["problem"].str.len().min() > 5
    assert lost["label"].isna().all()
    assert lost["p_0"].isna().all()
    assert table.drop(lost.index)["p_0"].notna().all()
    held = json.loads((out / "part-00000.json").read_text())
    assert set(held["faults"]) == {"some_images_hang", "some_images_raise"}


def test_processes_of_per_image_functions_go_on_from_shard_to_shard(
    place, lfkit, tmp_path, digits, monkeypatch
):
    np.save(tmp_path / "some.npy", digits[0][300:360])
    monkeypatch.setenv("LFKIT_PROCESSES", str(tmp_path / "processes"))
    asked = ("--trust-code", "--shard-size", 15, "--lf-timeout", 30)
    _label(lfkit, tmp_path / "some.npy", place / "faulty", tmp_path / "out", *asked)
    seen = (tmp_path / "processes").read_text().split()
    assert len(seen) == 60
    assert os.getpid() not in map(int, seen)
    assert len(set(seen)) <= cpu_count()
    gc.collect()
    # They end with the command, whose labeler is gone.
    assert not [pid for pid in {*seen} if Path("/proc", pid).exists()]


def test_a_shard_that_cannot_be_read_fails_alone(place, lfkit, tmp_path):
    folder = tmp_path / "tars"
    folder.mkdir()
    for number in range(3):
        data = (place / "tars" / f"shard {number}.tar").read_bytes()
        cut = data[: 512 * 3 + 100] if number == 1 else data
        (folder / f"{number}.tar").write_bytes(cut)
    out = tmp_path / "out"
    asked = ("--trust-code", "--json")
    found = json.loads(_label(lfkit, folder, place / "plain", out, *asked, code=3).out)
    assert list(found["failed"]) == [str(folder / "1.tar")]
    assert found["labeled_now"] == 2
    (folder / "1.tar").write_bytes((place / "tars" / "shard 1.tar").read_bytes())
    again = json.loads(_label(lfkit, folder, place / "plain", out, *asked).out)
    assert (again["done_before"], again["labeled_now"]) == (2, 1)


def test_another_labeler_or_other_data_is_refused(place, lfkit, tmp_path):
    out = tmp_path / "out"
    _label(lfkit, place / "tars", place / "plain", out, "--trust-code")
    for data, labeler, more in (
        ("tars", "faulty", ()),
        ("tables", "plain", ()),
        ("tars", "plain", ("--votes",)),
    ):
        asked = ("--labeler", place / labeler, "--out", out, "--trust-code", *more)
        for how in ((), ("--dry-run",)):
            done = lfkit("label", place / data, *asked, *how)
            assert done.code == 2
            assert str(out) in done.err.replace("\n", "")
    done = lfkit("label", place / "tars", "--labeler", place / "plain", "--out", place)
    assert done.code == 2
    for strange in (tmp_path, tmp_path / "nothing"):
        done = lfkit("label", place / "tars", "--labeler", strange, "--out", "x")
        assert done.code == 2
        assert "labeler.json" in done.err


def test_what_came_to_a_folder_since_is_labeled_and_nothing_else(
    place, lfkit, tmp_path
):
    folder, out = tmp_path / "tars", tmp_path / "out"
    shutil.copytree(place / "tars", folder)
    (folder / "shard 1.tar").rename(tmp_path / "later.tar")
    asked = ("--trust-code", "--patterns", "--json")
    _label(lfkit, folder, place / "plain", out, *asked)
    before = {path: path.stat().st_mtime_ns for path in out.glob("part-*")}
    (tmp_path / "later.tar").rename(folder / "shard 1.tar")
    found = json.loads(_label(lfkit, folder, place / "plain", out, *asked).out)
    assert (found["done_before"], found["labeled_now"]) == (2, 1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    held = json.loads((out / "part-00002.json").read_text())
    assert held["name"] == str(folder / "shard 1.tar")
    assert _read(out)["image_id"].nunique() == len(_read(out)) == 70
    patterns = ("aggregate", out / "*.patterns.parquet", "--out", tmp_path / "new")
    assert lfkit(*patterns).code == 0  # those of all three
    again = json.loads(_label(lfkit, folder, place / "plain", out, *asked).out)
    assert (again["done_before"], again["labeled_now"]) == (3, 0)
    (folder / "shard 0.tar").unlink()
    done = lfkit("label", folder, "--labeler", place / "plain", "--out", out, *asked)
    assert done.code == 2


def test_images_that_are_cut_may_only_come_behind_the_others(place, lfkit, tmp_path):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    shutil.copytree(place / "bilder mit räumen" / "b", folder)
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 35
    for name in names[25:]:
        (folder / name).rename(tmp_path / name)
    asked = ("--trust-code", "--shard-size", 10, "--json")
    _label(lfkit, folder, place / "plain", out, *asked)
    for name in names[26:]:
        (tmp_path / name).rename(folder / name)
    found = json.loads(_label(lfkit, folder, place / "plain", out, *asked).out)
    assert (found["done_before"], found["labeled_now"], found["images"]) == (2, 2, 34)
    assert _read(out)["image_id"].tolist() == names[:25] + names[26:]
    (tmp_path / names[25]).rename(folder / f"a {names[25]}")
    done = lfkit("label", folder, "--labeler", place / "plain", "--out", out, *asked)
    assert done.code == 2
    assert "CSV" in done.err
    # One shard of another folder is no growth either.
    for data, code in ((folder, 0), (place / "bilder mit räumen", 2)):
        small = ("--labeler", place / "plain", "--out", tmp_path / "one", *asked[:1])
        assert lfkit("label", data, *small).code == code


def test_the_last_of_cut_shards_may_change_and_is_listed_as_it_is(
    place, lfkit, tmp_path
):
    folder, out = tmp_path / "pictures", tmp_path / "out"
    shutil.copytree(place / "bilder mit räumen" / "b", folder)
    *_, second, last = sorted(path.name for path in folder.iterdir())
    (folder / second).rename(tmp_path / second)
    asked = ("--trust-code", "--shard-size", 10, "--json")
    _label(lfkit, folder, place / "plain", out, *asked)
    (tmp_path / second).rename(folder / second)  # before the last
    found = json.loads(_label(lfkit, folder, place / "plain", out, *asked).out)
    assert (found["done_before"], found["labeled_now"], found["images"]) == (3, 1, 35)
    assert _read(out)["image_id"].tolist()[-2:] == [second, last]
    _label(lfkit, folder, place / "plain", tmp_path / "whole", *asked)
    assert _parts(out) == _parts(tmp_path / "whole")
    held, whole = (
        json.loads((where / "label.json").read_text())["shards"]
        for where in (out, tmp_path / "whole")
    )
    assert held == whole


def test_an_array_that_is_written_anew_is_labeled_again(place, lfkit, tmp_path, digits):
    out, data = tmp_path / "out", tmp_path / "some.npy"
    asked = ("--trust-code", "--shard-size", 5, "--json")
    for first, n_now in ((300, 2), (400, 2)):
        np.save(data, digits[0][first : first + 10])
        found = json.loads(_label(lfkit, data, place / "plain", out, *asked).out)
        assert (found["done_before"], found["labeled_now"]) == (0, n_now)
        os.utime(data, ns=(0, 0))
    _label(lfkit, data, place / "plain", tmp_path / "whole", *asked)
    assert _parts(out) == _parts(tmp_path / "whole")


def test_what_killed_writers_left_is_removed_but_not_what_is_being_written(
    place, lfkit, tmp_path
):
    out = tmp_path / "out"
    _label(lfkit, place / "tars", place / "plain", out, "--trust-code")
    old, new = (out / f".part-00000.json.{n}.partial.json" for n in (1, 2))
    for path in (old, new):
        path.write_text("{")
    os.utime(old, (0, 0))
    _label(lfkit, place / "tars", place / "plain", out, "--trust-code")
    assert not old.exists()
    assert new.exists()


def test_a_machine_that_begins_at_the_same_time_is_not_refused(
    place, lfkit, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    _label(lfkit, place / "tars", place / "plain", tmp_path / "a", "--trust-code")
    text = (tmp_path / "a" / "label.json").read_text()
    out.mkdir()
    listed = os.listdir

    def begins_meanwhile(folder="."):
        if str(folder) == str(out):
            (out / "label.json").write_text(text)
        return listed(folder)

    monkeypatch.setattr(os, "listdir", begins_meanwhile)
    _label(lfkit, place / "tars", place / "plain", out, "--trust-code")
    assert _parts(out) == _parts(tmp_path / "a")


def test_code_of_others_is_not_run_unasked(place, lfkit, tmp_path):
    done = lfkit("label", place / "tars", "--labeler", place / "plain", "--out", "x")
    assert done.code == 2
    assert "--trust-code" in done.err
    assert not Path("x").exists()


def _start(*arguments, **environment):
    command = [sys.executable, "-m", "lfkit", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _end(process):
    try:
        return process.communicate(timeout=300)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_kills_leave_no_half_file_and_the_next_call_goes_on(
    place, lfkit, tmp_path, digits
):
    out, data = tmp_path / "killed", tmp_path / "some.npy"
    np.save(data, digits[0][300:330])
    asked = ("--trust-code", "--shard-size", 2)
    _label(lfkit, data, place / "plain", tmp_path / "whole", *asked)
    arguments = ("label", data, "--labeler", place / "plain", "--out", out, *asked)
    process = _start(*arguments)
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if len(list(out.glob("part-*.json"))) >= 3:
            break
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    n_done = len(list(out.glob("part-*.json")))
    for path in out.glob("*.parquet"):
        pq.read_table(path)
    assert 3 <= n_done < 15
    found = json.loads(_label(lfkit, data, place / "plain", out, *asked, "--json").out)
    assert found["done_before"] == n_done
    assert found["images"] == 30
    assert _parts(out) == _parts(tmp_path / "whole")


def _where_one_process_dies(place, lfkit, tmp_path, digits):
    """Give what to ask for, and the files that are made all the same."""
    images = digits[0][300:340].copy()
    images[25, 0, 0] = 203
    np.save(tmp_path / "marked.npy", images)
    whole = tmp_path / "whole"
    asked = ("--trust-code", "--shard-size", 20)
    _label(lfkit, tmp_path / "marked.npy", place / "deadly", whole, *asked)
    expected = _parts(whole)
    del expected["part-00001.parquet"]
    arguments = ("label", tmp_path / "marked.npy", "--labeler", place / "deadly")
    more = ("--out", tmp_path / "out", *asked, "--max-shard-retry", 1, "--json")
    return (*arguments, *more), expected


def test_other_processes_give_the_same_and_outlive_one_that_dies(
    place, lfkit, tmp_path, digits, monkeypatch
):
    asked, expected = _where_one_process_dies(place, lfkit, tmp_path, digits)
    monkeypatch.setenv("LFKIT_DEADLY", "1")
    done = lfkit(*asked, "--workers", 2)
    assert done.code == 3, done.err
    (failed,) = json.loads(done.out)["failed"]
    assert "20" in failed
    assert _parts(tmp_path / "out") == expected


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
def test_a_cluster_gives_the_same_and_outlives_one_that_dies(
    place, lfkit, tmp_path, digits
):
    asked, expected = _where_one_process_dies(place, lfkit, tmp_path, digits)
    process = _start(*asked, "--engine", "ray", "--workers", 1, LFKIT_DEADLY="1")
    said, told = _end(process)
    assert process.returncode == 3, told
    (failed,) = json.loads(said)["failed"]
    assert "20" in failed
    assert _parts(tmp_path / "out") == expected


@pytest.fixture
def bucket(monkeypatch):
    """A bucket of a real S3 server on this machine, by its URL."""
    server_of = pytest.importorskip("moto.server", reason="moto is not installed")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (
        ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    files.mkdir("shards-here")
    yield files, "s3://shards-here"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_shards_and_results_may_lie_in_a_bucket(place, lfkit, tmp_path, bucket):
    files, url = bucket
    files.put(str(place / "tars"), f"{url}/tars", recursive=True)
    here, out = tmp_path / "here", f"{url}/results"
    _label(lfkit, place / "tars", place / "plain", here, "--trust-code")
    asked = (f"{url}/tars/*.tar", place / "plain", out, "--trust-code", "--json")
    for number, before in (("1/2", 0), ("2/2", 0), ("1/1", 3)):
        done = _label(lfkit, *asked, "--shards", number)
        assert json.loads(done.out)["done_before"] == before
    files.rm(f"{out}/part-00001.json")  # as if it had been killed before the last file
    files.invalidate_cache()
    assert json.loads(_label(lfkit, *asked).out)["labeled_now"] == 1
    files.invalidate_cache()
    for name, data in _parts(here).items():
        assert files.cat_file(f"{out}/{name}") == data


@pytest.mark.parametrize("aggregator", ["auto", "label-model", "dawid-skene"])
def test_a_fit_on_patterns_is_that_on_all_images(
    place, lfkit, tmp_path, digits, aggregator
):
    images, out = digits[0][300:800], tmp_path / "out"
    np.save(tmp_path / "many.npy", images)
    asked = ("--trust-code", "--shard-size", 150, "--patterns")
    _label(lfkit, tmp_path / "many.npy", place / "plain", out, *asked)
    assert len(list(out.glob("*.patterns.parquet"))) == 4
    counts = [pq.read_table(p)["count"].to_numpy() for p in out.glob("*.patterns.*")]
    assert sum(map(sum, counts)) == 500
    assert sum(map(len, counts)) < 500
    new = tmp_path / "labeler"
    pattern = out / "*.patterns.parquet"
    done = lfkit("aggregate", pattern, "--with", aggregator, "--out", new, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"] == 500
    before = lfkit_package.load_labeler(place / "plain", trust_code=True)
    after = lfkit_package.load_labeler(new, trust_code=True)
    votes = before.label(images).votes
    assert votes.allowed is not None
    refitted = after.model.aggregator
    config = json.loads((place / "run plain" / "run.json").read_text())
    run = apply_votes(place)
    assert len(config["seed_images"]) == len(run.seed_labels)
    whole = AGGREGATORS[aggregator]().fit(
        replace(
            votes, seed_labels=run.seed_labels, seed_out_of_fold=run.seed_out_of_fold
        )
    )
    np.testing.assert_array_equal(
        refitted.predict_proba(votes), whole.predict_proba(votes)
    )
    assert (after(images).labels == before(images).labels).mean() > 0.7


def test_patterns_of_some_shards_only_are_refused(place, lfkit, tmp_path):
    out, new = tmp_path / "out", tmp_path / "labeler"
    asked = ("--trust-code", "--shard-size", 24, "--patterns")
    _label(lfkit, place / "array.npz", place / "plain", out, *asked, "--limit", 2)
    every = ("aggregate", out / "*.patterns.parquet", "--out", new)
    done = lfkit(*every)
    assert done.code == 2
    assert "1 of 3" in done.err.replace("\n", " ")
    _label(lfkit, place / "array.npz", place / "plain", out, *asked)
    one = lfkit("aggregate", out / "part-00000.patterns.parquet", "--out", new)
    assert one.code == 2
    assert "2 of 3" in one.err.replace("\n", " ")
    assert not new.exists()
    assert lfkit(*every).code == 0


def test_a_fit_on_patterns_keeps_no_confidence_of_the_model_before(
    place, lfkit, tmp_path
):
    from lfkit.runs.reading import read_sealed, sealed

    old, out, new = tmp_path / "old", tmp_path / "out", tmp_path / "new"
    shutil.copytree(place / "plain", old)
    record = read_sealed(old / "labeler.json", "")
    (old / "labeler.json").write_bytes(sealed(record | {"least_confidence": 0.99}))
    _label(lfkit, place / "array.npz", old, out, "--trust-code", "--patterns")
    done = lfkit("aggregate", out / "*.patterns.parquet", "--out", new, "--json")
    assert done.code == 0, done.err
    assert_notes(json.loads(done.out)["notes"], names=["--target-precision"])
    assert json.loads((new / "labeler.json").read_text())["least_confidence"] is None


def apply_votes(place):
    """Give the votes of the run that was frozen."""
    from lfkit.runs.run import load_run

    return load_run(place / "run plain").votes


def test_soft_votes_and_foreign_files_are_no_patterns(place, lfkit, tmp_path):
    pq.write_table(pa.table({"count": [1]}), tmp_path / "a.patterns.parquet")
    for name in ("a.patterns.parquet", "none.patterns.parquet"):
        done = lfkit("aggregate", tmp_path / name, "--out", tmp_path / "labeler")
        assert done.code == 2
        assert name in done.err.replace("\n", "")
    assert not (tmp_path / "labeler").exists()
