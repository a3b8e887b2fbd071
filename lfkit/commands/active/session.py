"""The steps of `lfkit active`, round by round; what is done already is read back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfkit.aggregators.aggregate import aggregate
from lfkit.commands.active.annotations import (
    ANSWERS,
    SHEET,
    TASKS,
    Answers,
    Questions,
    read_answers,
    read_guesses,
    write_answers,
    write_csv,
    write_guesses,
)
from lfkit.commands.active.answered_run import accuracies, with_answers
from lfkit.commands.active.asked_images import ASKED
from lfkit.commands.active.options import ActiveOptions
from lfkit.commands.active.oracles import QueryBatch, collect_answers
from lfkit.commands.active.query_strategies import best, scores
from lfkit.commands.active.results import (
    ActiveSummary,
    LabeledCounts,
    RoundSummary,
    WaitingFor,
)
from lfkit.commands.make_generator import ACTIVE, make_generator, params_of
from lfkit.commands.training import train_on
from lfkit.commands.training_data import (
    LoadedImages,
    load_images_of,
    training_data_of,
    with_code,
)
from lfkit.data.image_source import content_groups
from lfkit.data.labels import same_content
from lfkit.data.progress import Progress
from lfkit.data.votes import ABSTAIN
from lfkit.errors import DataError, InputError, RunError
from lfkit.generators import GENERATORS, JointGenerator
from lfkit.nn import distributed
from lfkit.nn.compute import best_device
from lfkit.runs.apply_options import BASELINE
from lfkit.runs.resume import SETTINGS, check_same_settings, save_settings
from lfkit.runs.run import Run, load_run
from lfkit.runs.run_files import image_keys, save_labels

SEEDS = "seeds.csv"  # in RUN/active: all that is known for certain
_SCORED_AT_ONCE = 1024
_ANEW = "--restart to begin anew: answers are kept under another name"
_LEAST_KEPT = 0.9  # share of the labels; below it a note warns


class Session:
    """Rounds of questions about the images of one run.

    Attributes
    ----------
    run : before any answer.
    folder : RUN/active.
    last : where the last generator goes.
    """

    def __init__(
        self,
        options: ActiveOptions,
        say: Callable[[str], None],
        progress: Progress | None,
    ) -> None:
        if distributed().count > 1:
            raise InputError(
                "lfkit active runs in one process; start it without a launcher."
            )
        self.options, self._say, self._progress = options, say, progress
        self.settings = options.generator_settings()
        self.generator = make_generator(options.generator, self.settings)
        if self.generator.n_domains > 1:
            raise InputError(
                f"{options.generator} makes images of two domains, and `lfkit active` "
                "works on one run; use `adp`."
            )
        run = load_run(options.run)
        self.run = with_code(run, options.lfs, trust_code=options.trust_code)
        self.folder = options.run / "active"
        self.last = options.run / "models" / f"{options.generator}{ACTIVE}"
        self.ids: list[str] = self.run.index.column("image_id").to_pylist()
        self.names = self.run.config.class_names
        self.notes: list[str] = []
        self._n_answered = 0  # rounds, in earlier calls
        self._check()

    def _check(self) -> None:
        """Refuse what makes no sense for this run, before anything is begun."""
        options, run = self.options, self.run
        self.generator.check(has_functions=bool(run.config.options.lfs))
        if run.config.options.aggregator == BASELINE:
            raise RunError(
                f"the labels of {options.run} are those of a plain classifier, and "
                "answers join votes; run `lfkit apply` without --with baseline first."
            )
        if getattr(self.generator, "real_labels", "model") == "true":
            raise InputError(
                "with real_labels=true every true label is known, and none has to be "
                "asked for; set it to model or seeds."
            )
        if options.oracle == "studio" and not run.config.options.lfs:
            raise InputError(
                f"the votes of {options.run} came from a file, and the studio shows "
                "functions; give --oracle csv or label-studio."
            )
        if options.oracle == "data" and (run.truth < 0).all():
            raise DataError(
                f"the images of {options.run} have no true labels to answer with; give "
                "--oracle csv, studio or label-studio, and people answer."
            )
        n_left = len(self.pool(Answers.none()))
        if options.budget > n_left:
            raise InputError(
                f"--budget is {options.budget}, but only {n_left} images are left to "
                "ask about."
            )

    def begin(self) -> None:
        """Keep the settings; refuse to go on with others than the session's first."""
        options = self.options
        if options.restart:
            self._set_aside()
        settings = {
            "generator": options.generator,
            "params": params_of(self.generator),
            "budget": options.budget,
            "per_round": options.round_sizes[0],
            "query": options.query,
            "quota": options.quota,
            "oracle": options.oracle,
            "material": _fingerprint(self.run),
        }
        if check_same_settings(self.folder, settings, _ANEW) is None:
            if self.last.exists() or any(self.folder.glob("round-*")):
                raise RunError(f"{self.folder} has lost its {SETTINGS}; give {_ANEW}.")
            save_settings(self.folder, settings)
        self._n_answered = int(self._answers().rounds.max(initial=0))
        if self.run.config.options.refine:
            self.note(
                "the run's labels were refined; labels with answers are by votes and "
                "answers alone. To refine them: the same `lfkit apply` with another "
                f"--out and --seed-labels {self.folder / SEEDS}"
            )

    def summary(
        self,
        rounds: tuple[RoundSummary, ...],
        now: Run,
        waiting: WaitingFor | None,
    ) -> ActiveSummary:
        """Report all rounds.

        Parameters
        ----------
        now : the run with all answers.
        """
        options = self.options
        kept = ("labels.parquet", "labels.csv", ANSWERS, SEEDS)
        paths = [self.folder / name for name in kept] + [self.last / "grid.png"]
        return ActiveSummary(
            generator=options.generator,
            query=options.query,
            oracle=options.oracle,
            budget=options.budget,
            asked=sum(each.asked for each in rounds),
            rounds=rounds,
            accuracy=rounds[-1].accuracy if rounds else None,
            labeled=LabeledCounts(_n_labeled(self.run), _n_labeled(now)),
            refined_before=self.run.config.options.refine,
            waiting=waiting,
            notes=tuple(self.notes),
            trained=None if waiting else self.last.name,
            files=tuple(str(path) for path in paths if path.exists()),
        )

    def _set_aside(self) -> None:
        """Forget an earlier options; what people answered is kept."""
        if self.last.exists():
            shutil.rmtree(self.last)
        if not self.folder.exists():
            return
        held = self.folder.glob("round-*/*")
        if not any(path.name in (SHEET, TASKS, ASKED) for path in held):
            # Killed halfway, nothing of it may be taken for a new options's.
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
        keys = image_keys(self.run.index)
        usable = ~self.run.given & ~same_content(keys, answers.rows)
        if self.options.oracle == "data":
            usable &= self.run.truth >= 0
        first, _ = content_groups(keys)
        return np.sort(first[usable[first]])

    def choose(self, number: int, size: int, now: Run) -> Questions:
        """Choose the images of a round, by a generator that knows all answers so far.

        Parameters
        ----------
        now : the run with the answers before this round.
        """
        table = self._round(number) / "guesses.csv"
        chosen_before = read_guesses(table)
        if chosen_before is not None:
            return chosen_before
        folder = self._round(number) / self.options.generator
        generator = self.train(now, folder, f"round {number}")
        answers = self._answers()
        pool = self.pool(answers.where(answers.rounds < number))
        pool = pool[self._images.readable[pool]]
        if len(pool) < size:
            self.note(f"round {number} asks about {len(pool)} images: none is left")
        proba = self._proba(generator, pool, f"round {number}: scoring")
        guesses = proba.argmax(axis=1)
        chosen = best(
            scores(self.options.query, proba, [generator.random_state, number]),
            guesses,
            size,
            proba.shape[1] if self.options.quota else None,
        )
        questions = Questions(
            tuple(self.ids[row] for row in pool[chosen]),
            tuple(self.names[label] for label in guesses[chosen]),
            tuple(round(float(each), 6) for each in proba[chosen].max(axis=1)),
        )
        # To go on, a training that is done needs its state no more.
        shutil.rmtree(folder / "state", ignore_errors=True)
        write_guesses(table, questions)
        return questions

    def take_answers(self, number: int, questions: Questions) -> None:
        """See that a round is answered.

        Raises
        ------
        Waiting : people have not answered all of it.
        """
        answers = self._answers()
        if (answers.rounds == number).any() or not questions.ids:
            return
        rows = self._rows(questions)
        if self.options.oracle == "data":
            labels = self.run.truth[rows]
        else:
            before = frozenset(self.ids[row] for row in answers.rows)
            source = self.run.open_images()
            batch = QueryBatch(questions, rows, source, self.ids, before, number)
            labels = collect_answers(
                self.options, self._round(number), batch, self.names, self.note
            )
        joined = answers.joined(Answers(rows, labels, np.full(len(rows), number)))
        write_answers(self.folder / ANSWERS, joined, self.ids, self.names)

    def labeled(self, number: int) -> Run:
        """Label the run anew by the answers of the rounds up to this one."""
        answers = self._answers()
        answers = answers.where(answers.rounds <= number)
        if not len(answers.rows):
            return self.run
        return with_answers(self.run, answers.rows, answers.labels)

    def save(self, number: int, now: Run) -> None:
        """Keep labels, and what is known for certain: seeds of an `lfkit apply`."""
        if number < self._n_answered:
            return  # a later round's are there already
        names, votes = self.names, now.votes
        save_labels(self.folder, self.ids, now.labels, class_names=names)
        if votes.seed_rows is not None and votes.seed_labels is not None:
            each = zip(votes.seed_rows, votes.seed_labels, strict=True)
            lines = [(self.ids[row], names[label]) for row, label in each]
            write_csv(self.folder / SEEDS, ("image_id", "label"), lines)

    def round_summary(
        self, number: int, questions: Questions, now: Run
    ) -> RoundSummary:
        """Count the answers of a round, and score the labels with them."""
        answers, names = self._answers(), self.names
        answers = answers.where(answers.rounds == number)
        guess_of = dict(zip(questions.ids, questions.guesses, strict=True))
        right = [
            guess_of.get(self.ids[row]) == names[label]
            for row, label in zip(answers.rows, answers.labels, strict=True)
        ]
        counts = np.bincount(answers.labels, minlength=len(names))
        return RoundSummary(
            round=number,
            asked=len(answers.rows),
            guesses_right=float(np.mean(right)) if right else None,
            classes=dict(zip(names, counts.tolist(), strict=True)),
            largest_share=float(counts.max() / max(1, counts.sum())),
            accuracy=accuracies(self.run, now, self._majority),
        )

    def warn_of_lost_labels(self, now: Run) -> None:
        """Note it when many images have lost their label."""
        before, after = _n_labeled(self.run), _n_labeled(now)
        if after < _LEAST_KEPT * before:
            self.note(
                f"{after:,} images have a label now, {before:,} had one before: "
                "functions look weaker on the images that were asked about than they "
                "may be on all; --query random --no-quota is fair to them"
            )

    def train(self, now: Run, folder: Path, when: str) -> JointGenerator:
        """Train on a run's labels, or read back what was trained.

        Parameters
        ----------
        when : stands before each stage of the progress.
        """
        name = self.options.generator
        if not (folder / "config.json").exists():
            generator = make_generator(name, self.settings)
            real_labels = getattr(generator, "real_labels", "model")
            train_on(
                training_data_of(now, self._images, real_labels),
                generator,
                name,
                folder,
                class_names=self.names,
                say=self._say,
                progress=lambda stage, done, total: self._show(
                    f"{when}: {stage}", done, total
                ),
            )
        return GENERATORS[name].load(folder, device=best_device())

    def note(self, text: str) -> None:
        """Say something, and keep it for the summary."""
        self.notes.append(text)
        self._say(text)

    @cached_property
    def _images(self) -> LoadedImages:
        return load_images_of(self.run, self._progress)

    @cached_property
    def _majority(self) -> NDArray[np.int64]:
        balance = self.run.config.options.class_balance
        return aggregate(self.run.votes, "majority-vote", balance).labels

    def _proba(
        self, generator: JointGenerator, rows: NDArray[np.int64], stage: str
    ) -> NDArray[np.float64]:
        """Let a generator name images: (len(rows), k)."""
        proba = np.empty((len(rows), len(self.names)))
        for start in range(0, len(rows), _SCORED_AT_ONCE):
            part = slice(start, start + _SCORED_AT_ONCE)
            proba[part] = generator.predict_proba(self._images.pixels[rows[part]])
            self._show(stage, start + len(rows[part]), len(rows))
        return proba

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
        return read_answers(self.folder / ANSWERS, self.ids, self.names)


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
