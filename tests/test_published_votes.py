"""The benchmark on stored votes: what it reads, how it scores, what it prints."""

import json
import sys

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.common import draw_rows
from benchmarks.published_votes import CEILING, main
from benchmarks.seed_curve import ON_SEEDS
from benchmarks.vote_scores import bootstrap_interval, naive_bayes
from lfkit.aggregators import AGGREGATORS, MajorityVote
from lfkit.data.vote_files import write_votes
from lfkit.data.votes import Votes

FEW = "auto,majority-vote"


@pytest.fixture
def published(tmp_path, capsys):
    """Run the command on paths in the folder: what it prints, and its JSON."""

    def run(*arguments, models=FEW):
        options = [text for text in arguments if text[:2] == "--"]
        paths = [str(tmp_path / path) for path in arguments if path not in options]
        file = tmp_path / "figures.json"
        options += ["--models", models, "--json", str(file)]
        main([*paths, "--limit", "20", *options])
        return capsys.readouterr().out, json.loads(file.read_text())

    return run


def save(path, matrix, y, **more):
    np.savez(path, votes=np.asarray(matrix, np.int16), y=y, **more)


def easy(n, m=5, k=3):
    """Votes that are right two times in three, or abstain, and the classes."""
    rng = np.random.default_rng(n)
    truth = rng.integers(k, size=n)
    wrong = rng.integers(k, size=(n, m))
    matrix = np.where(rng.random((n, m)) < 0.5, truth[:, None], wrong)
    return np.where(rng.random((n, m)) < 0.2, -1, matrix), truth


@pytest.fixture
def folder(tmp_path):
    """One set of each kind."""
    folder = tmp_path / "sets"
    folder.mkdir()
    (folder / "README.md").write_text("what these are\n")
    matrix, truth = easy(60)
    save(folder / "plain.npz", matrix, truth, n_classes=3)
    soft = (np.eye(3)[matrix] * (matrix >= 0)[..., None]).astype(np.float16)
    save(folder / "soft.npz", matrix, truth, n_classes=3, soft=soft)
    votes = Votes(matrix, tuple("abcde"), 3)
    write_votes(folder / "wrench", votes, labels=truth)
    write_votes(folder / "crowd" / "crowd_labels.csv", votes, format="crowd-kit")
    gold = "".join(f"{row},{y}\n" for row, y in enumerate(truth))
    (folder / "crowd" / "gt.csv").write_text(f"task,label\n{gold}")
    return folder


def test_every_kind_of_set_and_every_member_has_its_place(folder, published):
    out, found = published("sets", models=",".join(AGGREGATORS))
    titles = ["crowd", "plain", "soft", "soft, with its soft votes", "wrench"]
    assert [*found["sets"]] == titles
    for title in titles:
        assert f"### {title}\n" in out
        assert [*found["sets"][title]["models"]] == [*AGGREGATORS, CEILING]
    # The same votes give the same figures, whatever the file.
    right = [each["models"]["majority-vote"]["accuracy"]
             for each in found["sets"].values()]  # fmt: skip
    assert right == [right[0]] * 5
    assert 0.7 < right[0] < 0.95
    last = out.split("### Accuracy of all models")[1]
    assert last.count("\n|") == 2 + len(AGGREGATORS) + 1


def test_peers_read_one_class_per_vote(folder, published):
    pytest.importorskip("crowdkit.aggregation")
    peer = "crowd-kit OneCoinDawidSkene"
    out, found = published("sets/soft.npz", models=peer)
    assert peer in found["sets"]["soft"]["models"]
    assert peer not in found["sets"]["soft, with its soft votes"]["models"]
    assert found["sets"]["soft"]["models"][peer]["accuracy"] > 0.7
    assert f"| {peer} | " in out


def test_tied_classes_count_by_their_share_and_silence_does_not_count(
    tmp_path, published
):
    save(tmp_path / "v.npz", [[0, 1], [1, 1], [-1, -1], [0, 0]], [0, 1, 0, -1])
    out, found = published("v.npz")
    assert found["sets"]["v"]["scored"] == 2
    plain = found["sets"]["v"]["models"]["majority-vote"]
    assert plain["accuracy"] == pytest.approx(0.75)
    assert plain["log_loss"] == pytest.approx(np.log(2) / 2)
    assert plain["ece"] == pytest.approx(0.25)  # one of .5 and one of 1, both right
    assert (
        "4 images, 2 functions, 2 classes; 3 images have a vote, on average 2.0" in out
    )
    assert "| majority-vote | **75.00** | 50.00 to 100.00 | 0.347 | 0.250 | " in out


def test_a_certain_error_does_not_fill_the_log_loss(tmp_path, published):
    save(tmp_path / "v.npz", [[0, 0], [1, 1]], [1, 1])
    _, found = published("v.npz")
    loss = found["sets"]["v"]["models"]["majority-vote"]["log_loss"]
    assert loss == pytest.approx(np.log(1000) / 2)


def test_bootstrap_intervals():
    assert bootstrap_interval(np.full(7, 0.5)) == pytest.approx((0.5, 0.5))
    assert bootstrap_interval(np.array([0.0, 1.0])) == (0, 1)
    found = bootstrap_interval(np.repeat([1.0, 0.0], [160, 40]))
    exact = binom.ppf([0.025, 0.975], 200, 0.8) / 200
    assert found == pytest.approx(exact, abs=0.006)


def test_naive_bayes_by_hand():
    votes = Votes(np.array([[0], [0], [-1], [1]]), ("a",), 2)
    proba = naive_bayes(votes, np.array([0, 1, 2]), np.array([0, 0, 1]))
    # Classes 3/5, 2/5; votes 0, 1, none: 3/5, 1/5, 1/5 of class 0; 1/4, 1/4, 2/4 of 1.
    joint = np.array([[9 / 25, 2 / 20], [3 / 25, 4 / 20], [3 / 25, 2 / 20]])
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(proba, expected[[0, 0, 1, 2]])


def test_the_ceiling_learns_from_other_images_only(tmp_path, published):
    # Each image has a function of its own: what it means can only be memorised.
    matrix = np.where(np.eye(10) > 0, 0, -1)
    save(tmp_path / "v.npz", matrix, [0, 1] * 5, n_classes=2)
    _, found = published("v.npz")
    assert found["sets"]["v"]["models"][CEILING]["accuracy"] == pytest.approx(0.5)


def test_the_ceiling_knows_what_each_vote_means(tmp_path, published):
    y = np.arange(30) % 3
    save(tmp_path / "v.npz", ((y + 1) % 3)[:, None], y)
    _, found = published("v.npz")
    models = found["sets"]["v"]["models"]
    assert (models["majority-vote"]["accuracy"], models[CEILING]["accuracy"]) == (0, 1)


def test_leads_are_paired(tmp_path, published, monkeypatch):
    class Wrong(MajorityVote):
        def fit_predict_proba(self, votes):
            return super().fit_predict_proba(votes)[:, ::-1]

    monkeypatch.setitem(AGGREGATORS, "auto", Wrong)
    save(tmp_path / "v.npz", [[0]] * 3 + [[1]], [0, 0, 0, 0], n_classes=2)
    out, _ = published("v.npz")
    # Three images lose a point of accuracy and one wins it.
    assert "| v | 25.00 | -50.00 (-100.00 to +50.00) | majority-vote | -50.00 (" in out


def test_seeds_reach_the_models_and_are_not_scored(tmp_path, published, monkeypatch):
    known = []

    class Recorder(MajorityVote):
        learns_from_seeds = True

        def fit_predict_proba(self, votes):
            known.append(votes)
            return super().fit_predict_proba(votes)

    monkeypatch.setitem(AGGREGATORS, "recorder", Recorder)
    matrix, truth = easy(40, k=2)
    truth[:3] = -1
    save(tmp_path / "v.npz", matrix, truth, n_classes=2)
    out, found = published("v.npz", "--seeds", models=f"{FEW},recorder")
    given = [votes for votes in known if votes.seed_rows is not None]
    assert [len(votes.seed_rows) for votes in given[:15]] == [2] * 5 + [4] * 5 + [
        10
    ] * 5
    assert len({tuple(votes.seed_rows) for votes in given[:5]}) > 1
    for votes in given:
        assert (votes.seed_labels == truth[votes.seed_rows]).all()
        assert (votes.seed_out_of_fold.hard == matrix[votes.seed_rows]).all()
    curve = found["seeds"]["v"]
    assert [*curve] == ["majority-vote", "auto", "recorder", ON_SEEDS]
    assert curve["recorder"] == curve["majority-vote"]
    assert "0" not in curve[ON_SEEDS]
    tables = out.split("### v, by seeds per class")[1]
    assert "| model | 0 | 1 | 2 | 5 | 20 |" in tables
    rest = truth.copy()
    rest[draw_rows(truth, 5, random_state=3)] = -1
    shares = MajorityVote().fit_predict_proba(Votes(matrix, tuple("abcde"), 2))
    best = shares >= shares.max(axis=1, keepdims=True) - 1e-9
    right = [best[i, y] / best[i].sum() for i, y in enumerate(rest)
             if y >= 0 and matrix[i].max() >= 0]  # fmt: skip
    assert curve["majority-vote"]["5"][3] == pytest.approx(np.mean(right))


def test_seeds_tell_what_votes_mean_until_none_is_left_to_score(tmp_path, published):
    y = np.arange(36) % 2
    save(tmp_path / "v.npz", np.stack([1 - y] * 3, axis=1), y)
    out, found = published("v.npz", "--seeds")
    curve = found["seeds"]["v"]
    assert curve["majority-vote"]["5"] == [0.0] * 5
    assert curve[ON_SEEDS]["5"] == [1.0] * 5
    assert f"| {ON_SEEDS} | - | 100.00 (100.00-100.00) | " in out
    assert "20" not in curve[ON_SEEDS]  # all 18 of each class are seeds


def test_models_that_fail_or_take_too_long_say_so(tmp_path, published, monkeypatch):
    class Endless(MajorityVote):
        def fit_predict_proba(self, votes):
            while True:
                pass

    class Broken(MajorityVote):
        def fit_predict_proba(self, votes):
            raise KeyError("no such worker")

    monkeypatch.setitem(AGGREGATORS, "endless", Endless)
    monkeypatch.setitem(AGGREGATORS, "broken", Broken)
    save(tmp_path / "v.npz", *easy(20))
    out, found = published("v.npz", "--limit=0.05", models=f"{FEW},endless,broken")
    assert "| endless | - | - | - | - | >0.05 |" in out
    assert "\n- broken: KeyError: 'no such worker'\n" in out
    assert found["sets"]["v"]["models"]["endless"]["reason"] == "out of time"


def test_peers_that_are_not_installed_are_named(tmp_path, published, monkeypatch):
    monkeypatch.setitem(sys.modules, "crowdkit", None)
    monkeypatch.setitem(sys.modules, "crowdkit.aggregation", None)
    save(tmp_path / "v.npz", *easy(20))
    out, _ = published("v.npz")
    assert "left out: " in out
    assert "crowd-kit DawidSkene, crowd-kit OneCoinDawidSkene, " in out
    with pytest.raises(SystemExit, match="there is no model 'crowd-kit GLAD' here; ch"):
        published("v.npz", models="crowd-kit GLAD")


def test_a_run_is_scored_on_the_images_that_are_no_seeds(tmp_path, lfkit, published):
    matrix, truth = easy(60)
    images = np.random.default_rng(0).integers(0, 255, (60, 4, 4), np.uint8)
    names = np.array(["a", "b", "c"])
    np.savez(tmp_path / "images.npz", images=images, labels=truth, class_names=names)
    np.save(tmp_path / "votes.npy", matrix)
    done = lfkit(
        *("apply", tmp_path / "images.npz", "--votes", tmp_path / "votes.npy"),
        *("--seeds-per-class", 4, "--no-sheet", "--no-baselines"),
        *("--out", tmp_path / "run"),
    )
    assert done.code == 0, done.err
    _, found = published("run")
    silent = (matrix < 0).all(axis=1).sum()
    assert [*found["sets"]] == ["run", "run, with its seeds"]
    for each in found["sets"].values():
        assert 60 - 12 - silent <= each["scored"] <= 60 - 12


@pytest.mark.parametrize(
    ("matrix", "y", "message"),
    [
        ([[0, 1]], None, r"v\.npz has no labels to score by\."),
        ([[0, 1]], [-1], "v has no image with a vote and a known class"),
    ],
)
def test_votes_that_cannot_be_scored(tmp_path, published, matrix, y, message):
    labels = {} if y is None else {"y": y}
    np.savez(tmp_path / "v.npz", votes=matrix, **labels)
    with pytest.raises(SystemExit, match=message):
        published("v.npz")


def test_a_folder_without_votes_is_refused(tmp_path, published):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="empty holds no run, no "):
        published("empty")
