"""Threads of the libraries while label models are fitted, by several at once."""

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from lfkit.aggregators.inference.one_thread import one_thread


def threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {each["num_threads"] for each in threadpool_info() if "blas" in str(each)}


def test_threads_come_back_when_the_last_fit_ends():
    with threadpool_limits(2, "blas"):
        before = threads()
        # As two fits in two threads do: the one that began first ends first.
        one_thread.__enter__()
        one_thread.__enter__()
        assert threads() == {1}
        one_thread.__exit__()
        assert threads() == {1}
        one_thread.__exit__()
        assert threads() == before == {2}
