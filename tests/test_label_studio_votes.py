"""Votes and seeds of people, as Label Studio exports them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lfkit.data.image_names import find_images
from lfkit.data.vote_files import read_votes
from lfkit.errors import LfkitError

NAMES = ["7.png", "a&b #1.png", "dark one.png", "sub/10%.png", "sub/ünïcode+.png"]
LEVELS = [20, 30, 10, 230, 220]
DARK, BRIGHT = "dark/black", "bright & <white>"
TRUTH = [DARK, DARK, DARK, BRIGHT, BRIGHT]
QUICK = ["--size", 8, "--no-baselines", "--no-sheet"]
RULES = f"""
from lfkit import labeling_function

CLASSES = [{DARK!r}, {BRIGHT!r}]


@labeling_function(classes=[0, 1])
def level(image):
    return int(image.mean() > 100)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos with space")
    (folder / "sub").mkdir()
    for name, level in zip(NAMES, LEVELS, strict=True):
        Image.fromarray(np.full((8, 8, 3), level, np.uint8)).save(folder / name)
    return folder


def annotation(who, *choices, control="label", cancelled=False):
    value = {"choices": [*choices]}
    result = [{"from_name": control, "type": "choices", "value": value}]
    return {
        "completed_by": who,
        "was_cancelled": cancelled,
        "result": result if choices else [],
    }


def task(place, *annotations, **data):
    return {"data": {"image": place, **data}, "annotations": [*annotations]}


def saved(path, tasks):
    path.write_text(json.dumps(tasks, ensure_ascii=False), encoding="utf-8")
    return path


def votes_by_name(path, **more):
    """What each annotator said of each image, by name."""
    file = read_votes(path, **more)
    return {
        name: {
            who: file.class_names[vote]
            for who, vote in zip(file.votes.names, row, strict=True)
            if vote >= 0
        }
        for name, row in zip(file.ids, file.votes.hard.tolist(), strict=True)
    }


def test_predictions_that_people_accept_come_back_on_the_same_images(
    lfkit, photos, tmp_path
):
    (tmp_path / "rules.py").write_text(RULES)
    run, tasks = tmp_path / "run", tmp_path / "tasks.json"
    lfs = ["--lfs", tmp_path / "rules.py", *QUICK]
    assert lfkit("apply", photos, *lfs, "--out", run).code == 0
    assert lfkit("export", run, "--as", "label-studio", "--out", tasks).code == 0
    exported = json.loads(tasks.read_text(encoding="utf-8"))
    for each in exported:
        (guess,) = each["predictions"]
        each["annotations"] = [
            {"completed_by": {"id": 3, "email": "a@b.org"}, "result": guess["result"]}
        ]
    # With the ids that lfkit gave, and with the places of Label Studio alone.
    without = [{**t, "data": {"image": t["data"]["image"]}} for t in exported]
    for name, tasks in (("own", exported), ("places", without)):
        path = saved(tmp_path / f"{name}.json", tasks[1:])  # one is not labeled yet
        out = tmp_path / name
        done = lfkit("apply", photos, "--votes", path, *QUICK, "--out", out, "--json")
        assert done.code == 0, done.err
        summary = json.loads(done.out)
        assert [lf["name"] for lf in summary["functions"]] == ["a@b.org"]
        notes = " ".join(summary["notes"])
        assert "4 predictions are left out: no person made them" in notes
        assert f"images without a vote in {name}.json: 1" in notes
        rows = pq.read_table(out / "labels.parquet").to_pylist()
        unlabeled = without[0]["data"]["image"]
        assert unlabeled.endswith("7.png")
        expected = dict(zip(NAMES, TRUTH, strict=True)) | {"7.png": None}
        assert {r["image_id"]: r["label"] or None for r in rows} == expected


def test_each_annotator_is_a_voter_and_what_is_no_vote_is_counted(tmp_path):
    path = saved(
        tmp_path / "project.json",
        [
            task("/data/local-files/?d=all/a.png", annotation(1, "cat"),
                 annotation(2, "dog"), annotation(3, "dog", cancelled=True)),
            task("s3://bucket/b.png", annotation(1, "dog"), annotation(1, "cat"),
                 annotation(2, "dog", "cat"), annotation({"id": 4}, "cat")),
            task("https://host/c%20d.png?token=x", annotation(1), annotation(2, "cat")),
            {**task("e.png"), "predictions": [{"result": []}, 12]},
        ],
    )  # fmt: skip
    assert votes_by_name(path) == {
        "all/a.png": {"annotator_1": "cat", "annotator_2": "dog"},
        "s3://bucket/b.png": {"annotator_4": "cat"},
        "/c d.png": {"annotator_2": "cat"},
    }
    assert read_votes(path).notes == (
        "annotations that are left out: 1 cancelled, 1 without a choice, 1 of several "
        "classes",
        "2 predictions are left out: no person made them",
        "two classes by one person count as no vote: annotator_1 on s3://bucket/b.png",
    )


def test_json_min_says_the_same(tmp_path):
    rows = [
        {"image": "a.png", "id": 1, "choice": "cat", "annotator": 1},
        {"image": "a.png", "id": 1, "choice": "dog", "annotator": 2},
        {"image": "b.png", "id": 2, "choice": {"choices": ["x", "y"]}, "annotator": 1},
    ]
    path = saved(tmp_path / "min.json", rows)
    votes = {"annotator_1": "cat", "annotator_2": "dog"}
    assert votes_by_name(path) == {"a.png": votes}


def test_a_project_of_several_questions_is_asked_by_the_name_of_one(tmp_path):
    both = annotation(1, "cat")
    both["result"] += annotation(1, "blurred", control="quality")["result"]
    path = saved(tmp_path / "two.json", [task("a.png", both)])
    with pytest.raises(LfkitError, match=r"several choices \(label, quality\); say "):
        read_votes(path)
    asked = path.with_name("two.json:quality")
    assert votes_by_name(asked) == {"a.png": {"annotator_1": "blurred"}}


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ([task("a.png")], "nobody has chosen a class in it; export it"),
        ([task("data:image/png;base64,AA", annotation(1, "x"))], "task 1 has neither"),
    ],
)
def test_exports_without_votes_are_told(tmp_path, tasks, sentence):
    with pytest.raises(LfkitError, match=sentence):
        read_votes(saved(tmp_path / "no.json", tasks))


def test_images_elsewhere_are_counted_and_none_at_all_is_refused(
    lfkit, photos, tmp_path
):
    ours, other = task("x/7.png", annotation(1, "a")), task("y.png", annotation(1, "b"))
    apply = ["apply", photos, *QUICK, "--out", tmp_path / "run", "--votes"]
    done = lfkit(*apply, saved(tmp_path / "some.json", [ours, other]), "--json")
    assert done.code == 0, done.err
    notes = " ".join(json.loads(done.out)["notes"])
    assert "images of some.json that the data has not: 1, such as y.png" in notes
    done = lfkit(*apply, saved(tmp_path / "none.json", [other]))
    assert done.code != 0
    assert "no votes on the images of" in done.err
    twice = [ours, task("z/7.png", annotation(2, "a"))]
    done = lfkit(*apply, saved(tmp_path / "twice.json", twice))
    assert "in two ways" in " ".join(done.err.split())


def test_as_seeds_the_majority_decides_and_ties_are_named(lfkit, photos, tmp_path):
    (tmp_path / "rules.py").write_text(RULES)
    people = [
        task("7.png", annotation(1, DARK), annotation(2, DARK), annotation(3, BRIGHT)),
        task("dark one.png", annotation(1, DARK), annotation(2, BRIGHT)),
        task("1/0a1b2c3d-ünïcode.png", annotation(1, BRIGHT)),
    ]
    path = saved(tmp_path / "people.json", people)
    apply = ["apply", photos, "--lfs", tmp_path / "rules.py", *QUICK, "--json"]
    out = tmp_path / "run"
    done = lfkit(*apply, "--seed-labels", path, "--out", out)
    assert done.code == 0, done.err
    assert "images without a label, since people are tied: 1, dark one.png" in " ".join(
        json.loads(done.out)["notes"]
    )
    rows = pq.read_table(out / "labels.parquet").to_pylist()
    seeds = {row["image_id"]: row["label"] for row in rows if row["seed"]}
    assert seeds == {"7.png": DARK, "sub/ünïcode+.png": BRIGHT}
    tied = saved(tmp_path / "tied.json", people[1:2])
    done = lfkit(*apply, "--seed-labels", tied, "--out", tmp_path / "no")
    assert "gives no image a label: nobody chose one, or all are tied" in " ".join(
        done.err.split()
    )


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("cat/1.png", 0),
        ("/root/cat/1.png", 0),
        ("cat\\1.png", 0),
        ("1.png", -1),  # two have that name
        ("other/1.png", -1),
        ("2.png", 2),
        ("/data/upload/4/00ff00aa-a_cat_1.png", 3),
        ("/data/upload/4/00ff00aa-2.png", 2),
        ("", -1),
    ],
)
def test_images_are_found_by_their_places_elsewhere(name, row):
    ids = ["cat/1.png", "dog/1.png", "dog/2.png", "a cat (1).png"]
    assert find_images([name], ids) == [row]


def test_seeds_name_an_image_in_one_way_and_as_some_class(lfkit, photos, tmp_path):
    (tmp_path / "rules.py").write_text(RULES)
    lfs = ["--lfs", tmp_path / "rules.py", *QUICK, "--out", tmp_path / "run"]

    def refusal(*tasks):
        path = saved(tmp_path / "people.json", [*tasks])
        done = lfkit("apply", photos, *lfs, "--seed-labels", path)
        assert done.code != 0
        return " ".join(done.err.split())

    one, other = "/x/dog/7.png", "/x/cat/7.png"
    said = refusal(task(one, annotation(1, DARK)), task(other, annotation(2, BRIGHT)))
    assert f"names image '7.png' in two ways, '{one}' and '{other}'; keep one" in said
    said = refusal(task("7.png", annotation(1, "None")))
    assert "gives no image a label: what people chose, such as 'None', means" in said


def test_an_export_may_end_in_capitals_and_an_object_is_none(lfkit, photos, tmp_path):
    (tmp_path / "rules.py").write_text(RULES)
    lfs = ["--lfs", tmp_path / "rules.py", *QUICK, "--out", tmp_path / "run"]
    path = saved(tmp_path / "P.JSON", [task("7.png", annotation(1, DARK))])
    assert votes_by_name(path) == {"7.png": {"annotator_1": DARK}}
    asked = path.with_name("P.JSON:label")
    done = lfkit("apply", photos, *lfs, "--seed-labels", asked)
    assert done.code == 0, done.err
    saved(path, {"tasks": []})
    done = lfkit("apply", photos, *lfs, "--seed-labels", path)
    assert "holds no list of tasks; export from Label Studio" in " ".join(
        done.err.split()
    )


def test_a_place_that_is_no_url_is_a_path(tmp_path):
    path = saved(tmp_path / "odd.json", [task("http://[bad/1.png", annotation(1, "a"))])
    assert votes_by_name(path) == {"http://[bad/1.png": {"annotator_1": "a"}}
