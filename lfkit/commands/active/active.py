"""`lfkit active` in one call: train, ask for labels, take the answers, train again."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import aggregate
from lfkit.commands.active import annotation_files as files
from lfkit.commands.active.annotation_files import Questions
from lfkit.commands.active.answers import (
    ANSWERS,
    Answers,
    accuracies,
    read_answers,
    with_answers,
    write_answers,
)
from lfkit.commands.active.options import ActiveOptions
from lfkit.commands.active.oracles import QueryBatch, Waiting, collect_answers
from lfkit.commands.active.query_strategies import best, scores
from lfkit.commands.make_generator import ACTIVE, make_generator, params_of
from lfkit.commands.training import train_on
from lfkit.commands.training_data import (
    LoadedImages,
    load_images_of,
    training_data_of,
    with_code,
)
from lfkit.data.image_source import ImageSource, content_groups
from lfkit.data.labels import same_content
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN
from lfkit.errors import DataError, InputError, RunError
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.resume import SETTINGS, check_same_settings, save_settings
from lfkit.runs.run import Run, load_run
from lfkit.runs.run_files import image_keys, save_labels

SEEDS = "seeds.csv"  # in RUN/active: all that is known for certain
_SCORED_AT_ONCE = 1024
_ANEW = "--restart to begin anew: answers are kept under another name"
_LEAST_KEPT = 0.9  # of the labels; of fewer it is told


def learn_actively(
    run: Path,
    inquiry: ActiveOptions,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Do what `lfkit active` does; returns what its summary says.

    All is kept in RUN/active, the last generator in RUN/models/NAME-active: the same
    call goes on from there, and ends with the same files as if never stopped.
    """
    inquiry.check()
    generator = make_generator(inquiry.name, inquiry.settings)
    loaded = with_code(load_run(run), inquiry.lfs, trust_code=inquiry.trust_code)
    generator.check(has_functions=bool(loaded.config.options.lfs))
    if loaded.config.options.aggregator == BASELINE:
        raise RunError(
            f"the labels of {run} are those of a plain classifier, and answers join "
            "votes; run `lfkit apply` without --with baseline first."
        )
    if getattr(generator, "real_labels", "model") == "true":
        raise InputError(
            "with real_labels=true every true label is known, and none has to be asked "
            "for; set it to model or seeds."
        )
    if inquiry.oracle == "data" and (loaded.truth < 0).all():
        raise DataError(
            f"the images of {run} have no true labels to answer with; give --oracle "
            "csv or label-studio, and people answer."
        )
    found = _Loop(run, inquiry, loaded, say, progress)
    n_left = len(found.pool(Answers.none()))
    if inquiry.budget > n_left:
        raise InputError(
            f"--budget is {inquiry.budget}, but only {n_left} images are left to ask "
            "about."
        )
    asked = {
        "generator": inquiry.name,
        "params": params_of(generator),
        "budget": inquiry.budget,
        "per_round": inquiry.sizes()[0],
        "query": inquiry.query,
        "quota": inquiry.quota,
        "oracle": inquiry.oracle,
        "material": _fingerprint(loaded),
    }
    if inquiry.restart:
        found.set_aside()
    found.begin(asked)
    return found.summary()


class _Loop:
    """The rounds, one after another; what is done already is read back."""

    def __init__(
        self,
        run: Path,
        inquiry: ActiveOptions,
        loaded: Run,
        say: Callable[[str], None],
        progress: Progress | None,
    ) -> None:
        self.inquiry, self.loaded = inquiry, loaded
        self.folder = run / "active"
        self.last = run / "models" / f"{inquiry.name}{ACTIVE}"
        self.ids: list[str] = loaded.index.column("image_id").to_pylist()
        self.notes: list[str] = []
        self._say, self._progress = say, progress

    def summary(self) -> dict[str, Any]:
        """Go through the rounds, and say how it went."""
        inquiry, config = self.inquiry, self.loaded.config
        if config.options.refine:
            self.note(
                "the run's labels were refined; labels with answers are by votes and "
                "answers alone. To refine them: the same `lfkit apply` with another "
                f"--out and --seed-labels {self.folder / SEEDS}"
            )
        waiting: dict[str, Any] | None = None
        rounds: list[dict[str, Any]] = []
        now = self.loaded
        n_done = int(self._answers().rounds.max(initial=0))
        try:
            for number, size in enumerate(inquiry.sizes(), start=1):
                questions = self._questions(number, size, now)
                self._answer(number, questions)
                now = self._labeled(number)
                rounds.append(self._told(number, questions, now))
                if number >= n_done:
                    self._save(now)
            self._warn_of_lost(now)
            self._trained(now, self.last, "at last")
        except Waiting as stop:
            waiting = {
                "file": str(stop.file),
                "asked": stop.n_asked,
                "missing": stop.n_missing,
                "what": str(stop),
            }
        kept = ("labels.parquet", "labels.csv", ANSWERS, SEEDS)
        paths = [self.folder / name for name in kept] + [self.last / "grid.png"]
        return {
            "generator": inquiry.name,
            "query": inquiry.query,
            "oracle": inquiry.oracle,
            "budget": inquiry.budget,
            "asked": sum(each["asked"] for each in rounds),
            "rounds": rounds,
            "accuracy": rounds[-1]["accuracy"] if rounds else None,
            "labeled": {"before": _n_labeled(self.loaded), "after": _n_labeled(now)},
            "refined_before": config.options.refine,
            "waiting": waiting,
            "notes": self.notes,
            "trained": None if waiting else self.last.name,
            "files": [str(path) for path in paths if path.exists()],
        }

    def note(self, text: str) -> None:
        """Say something, and keep it for the summary."""
        self.notes.append(text)
        self._say(text)

    def begin(self, asked: Mapping[str, Any]) -> None:
        """Write down what is asked for; refuse to go on with something else."""
        if check_same_settings(self.folder, asked, _ANEW) is not None:
            return
        if self.last.exists() or any(self.folder.glob("round-*")):
            raise RunError(f"{self.folder} has lost its {SETTINGS}; give {_ANEW}.")
        save_settings(self.folder, asked)

    def set_aside(self) -> None:
        """Forget an earlier inquiry; what people answered is kept."""
        if self.last.exists():
            shutil.rmtree(self.last)
        if not self.folder.exists():
            return
        held = self.folder.glob("round-*/*")
        if not any(path.name in (files.SHEET, files.TASKS) for path in held):
            # Killed halfway, nothing of it may be taken for a new inquiry's.
            doomed = self.folder.with_name(".active-gone")
            shutil.rmtree(doomed, ignore_errors=True)
            self.folder.rename(doomed)
            shutil.rmtree(doomed)
            return
        number = 1
        while (kept := self.folder.with_name(f"active-{number}")).exists():
            number += 1
        self.folder.rename(kept)
        self.note(
            f"the earlier answers are kept in {kept}; `lfkit apply --seed-labels "
            f"{kept / SEEDS}` takes them as seeds"
            if (kept / SEEDS).exists()
            else f"what was asked earlier is kept in {kept}"
        )

    def pool(self, answers: Answers) -> NDArray[np.int64]:
        """Find the images to choose from: no copy of a seed, an answer, or another."""
        loaded = self.loaded
        keys = image_keys(loaded.index)
        fine = ~loaded.given & ~same_content(keys, answers.rows)
        if self.inquiry.oracle == "data":
            fine &= loaded.truth >= 0
        first, _ = content_groups(keys)
        return np.sort(first[fine[first]])

    @cached_property
    def _source(self) -> ImageSource:
        return self.loaded.open_images()

    @cached_property
    def _read(self) -> LoadedImages:
        return load_images_of(self.loaded, self._progress)

    def _questions(self, number: int, size: int, now: Run) -> Questions:
        """Choose the images of a round, by a generator that knows all answers so far.

        Parameters
        ----------
        now : the run with the answers before this round.
        """
        folder = self._round(number)
        known = files.read_guesses(folder / "guesses.csv")
        if known is not None:
            return known
        inquiry = self.inquiry
        path = folder / inquiry.name
        generator = self._trained(now, path, f"round {number}")
        answers = self._answers()
        pool = self.pool(answers.where(answers.rounds < number))
        pool = pool[self._read.readable[pool]]
        if len(pool) < size:
            self.note(f"round {number} asks about {len(pool)} images: none is left")
        proba = np.empty((len(pool), len(self.loaded.config.class_names)))
        for start in range(0, len(pool), _SCORED_AT_ONCE):
            part = slice(start, start + _SCORED_AT_ONCE)
            proba[part] = generator.predict_proba(self._read.pixels[pool[part]])
            self._show(f"round {number}: scoring", start + len(pool[part]), len(pool))
        guesses = proba.argmax(axis=1)
        chosen = best(
            scores(inquiry.query, proba, [generator.random_state, number]),
            guesses,
            size,
            proba.shape[1] if inquiry.quota else None,
        )
        names = self.loaded.config.class_names
        questions = Questions(
            tuple(self.ids[row] for row in pool[chosen]),
            tuple(names[label] for label in guesses[chosen]),
            tuple(round(float(sure), 6) for sure in proba[chosen].max(axis=1)),
        )
        # To go on, a training that is done needs its state no more.
        shutil.rmtree(path / "state", ignore_errors=True)
        files.write_guesses(folder / "guesses.csv", questions)
        return questions

    def _answer(self, number: int, questions: Questions) -> None:
        """See that a round is answered, or say what is missing."""
        answers = self._answers()
        if (answers.rounds == number).any() or not questions.ids:
            return
        rows, names = self._rows(questions), self.loaded.config.class_names
        if self.inquiry.oracle == "data":
            labels = self.loaded.truth[rows]
        else:
            before = frozenset(self.ids[row] for row in answers.rows)
            images = QueryBatch(questions, rows, self._source, self.ids, before, number)
            labels = collect_answers(
                self.inquiry, self._round(number), images, names, self.note
            )
        told = answers.joined(Answers(rows, labels, np.full(len(rows), number)))
        write_answers(self.folder / ANSWERS, told, self.ids, names)

    def _labeled(self, number: int) -> Run:
        """Label the run anew by the answers of the rounds up to this one."""
        answers = self._answers()
        answers = answers.where(answers.rounds <= number)
        if not len(answers.rows):
            return self.loaded
        return with_answers(self.loaded, answers.rows, answers.labels)

    def _save(self, now: Run) -> None:
        """Keep labels, and what is known for certain: seeds of an `lfkit apply`."""
        names, votes = self.loaded.config.class_names, now.votes
        save_labels(self.folder, self.ids, now.labels, class_names=names)
        if votes.seed_rows is not None and votes.seed_labels is not None:
            each = zip(votes.seed_rows, votes.seed_labels, strict=True)
            lines = [(self.ids[row], names[label]) for row, label in each]
            files.write_csv(self.folder / SEEDS, ("image_id", "label"), lines)

    @cached_property
    def _majority(self) -> NDArray[np.int64]:
        balance = self.loaded.config.options.class_balance
        return aggregate(self.loaded.votes, "majority-vote", balance).labels

    def _told(self, number: int, questions: Questions, now: Run) -> dict[str, Any]:
        """Say what was asked in a round, and what came of it."""
        answers, names = self._answers(), self.loaded.config.class_names
        answers = answers.where(answers.rounds == number)
        guess_of = dict(zip(questions.ids, questions.guesses, strict=True))
        right = [
            guess_of.get(self.ids[row]) == names[label]
            for row, label in zip(answers.rows, answers.labels, strict=True)
        ]
        counts = np.bincount(answers.labels, minlength=len(names))
        return {
            "round": number,
            "asked": len(answers.rows),
            "guesses_right": float(np.mean(right)) if right else None,
            "classes": dict(zip(names, counts.tolist(), strict=True)),
            "largest_share": float(counts.max() / max(1, counts.sum())),
            "accuracy": accuracies(self.loaded, now, self._majority),
        }

    def _warn_of_lost(self, now: Run) -> None:
        before, after = _n_labeled(self.loaded), _n_labeled(now)
        if after >= _LEAST_KEPT * before:
            return
        self.note(
            f"{after:,} images have a label now, {before:,} had one before: functions "
            "look weaker on the images that were asked about than they may be on all; "
            "--query random --no-quota is fair to them"
        )

    def _trained(self, now: Run, folder: Path, when: str) -> Any:
        """Train on a run's labels, or read back what was trained."""
        from lfkit.generators import GENERATORS
        from lfkit.nn.compute import best_device

        name, config = self.inquiry.name, self.loaded.config
        if not (folder / "config.json").exists():
            generator = make_generator(name, self.inquiry.settings)
            real_labels = getattr(generator, "real_labels", "model")
            train_on(
                training_data_of(now, self._read, real_labels),
                generator,
                name,
                folder,
                class_names=config.class_names,
                say=self._say,
                progress=lambda stage, done, total: self._show(
                    f"{when}: {stage}", done, total
                ),
            )
        return GENERATORS[name].load(folder, device=best_device())

    def _show(self, stage: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(stage, done, total)

    def _round(self, number: int) -> Path:
        return self.folder / f"round-{number:02d}"

    def _rows(self, questions: Questions) -> NDArray[np.int64]:
        row_of = {name: row for row, name in enumerate(self.ids)}
        strange = [name for name in questions.ids if name not in row_of]
        if strange:
            raise DataError(
                f"a guesses.csv in {self.folder} asks about {strange[0]!r}, which is "
                "no image of this run; delete that file: it is made anew."
            )
        return np.asarray([row_of[name] for name in questions.ids], np.int64)

    def _answers(self) -> Answers:
        names = self.loaded.config.class_names
        return read_answers(self.folder / ANSWERS, self.ids, names)


def _n_labeled(loaded: Run) -> int:
    return int((loaded.labels.labels != ABSTAIN).sum())


def _fingerprint(loaded: Run) -> str:
    """Name a run's images, votes and labels by their content."""
    digest = hashlib.blake2b(digest_size=16)
    votes, labels = loaded.votes, loaded.labels
    for array in (
        image_keys(loaded.index),
        votes.hard,
        votes.soft,
        votes.allowed,
        votes.seed_rows,
        votes.seed_labels,
        labels.labels,
        labels.proba,
    ):
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
        digest.update(b"/")
    return digest.hexdigest()
