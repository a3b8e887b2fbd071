"""`lfkit active`: ask for the labels of a few images, chosen by a generator."""

from __future__ import annotations

from collections.abc import Callable

from lfkit.commands.active.options import ActiveOptions
from lfkit.commands.active.oracles import Waiting
from lfkit.commands.active.results import ActiveSummary, WaitingFor
from lfkit.commands.active.session import Session
from lfkit.data.progress import Progress


def active(
    options: ActiveOptions,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress | None = None,
) -> ActiveSummary:
    """Spend a budget of labels on the images that a trained generator chooses.

    All is kept in RUN/active, the last generator in RUN/models/NAME-active: the same
    call goes on from there, and ends with the same files as if never stopped.

    Parameters
    ----------
    say : takes remarks, one at a time.
    """
    session = Session(options, say, progress)
    session.begin()
    run, rounds, waiting = session.run, [], None
    try:
        for number, size in enumerate(options.round_sizes, start=1):
            questions = session.choose(number, size, run)
            session.take_answers(number, questions)
            run = session.labeled(number)
            rounds.append(session.round_summary(number, questions, run))
            session.save(number, run)
        session.warn_of_lost_labels(run)
        session.train(run, session.last, "at last")
    except Waiting as stop:  # for people
        waiting = WaitingFor(str(stop.file), stop.n_asked, stop.n_missing, str(stop))
    return session.summary(tuple(rounds), run, waiting)
