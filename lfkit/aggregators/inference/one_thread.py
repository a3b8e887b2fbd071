"""One thread for libraries that multiply matrices, while label models are fitted."""

from __future__ import annotations

import threading

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


class _OneThread:
    """A context: the first to enter, in any thread, sets it, the last takes it back.

    Products with k columns are too thin to share: on a busy 2-core machine, one thread
    took 6 s for a fit and two took 35 s. It also makes answers independent of the
    number of threads. To find the libraries takes 7 ms, and one fit may make fifty
    others.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_entered = 0
        self._limits: threadpool_limits | None = None

    def identity(self) -> str:
        """For keys of what is fitted: a lock cannot be hashed."""
        return "one thread"

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_entered:
                self._limits = threadpool_limits(1, "blas")
            self._n_entered += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_entered -= 1
            if not self._n_entered and self._limits is not None:
                self._limits.restore_original_limits()


one_thread = _OneThread()
