"""The process that votes for a page: it ends with its users, and may be killed."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
from studio_stand import LFS, PATIENCE_S

from lfkit.studio import voting_host
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.studio_session import StudioSession

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
JOB = {"job": "preview", "careful": False}


@pytest.fixture
def voting(tmp_path):
    file = tmp_path / "my_lfs.py"
    file.write_text(LFS)
    options = StudioOptions("digits", lfs=(str(file),), out=tmp_path / "run", preview=9)
    session = StudioSession(options)
    yield session.voting.quick
    session.close()


def begun():
    """Start a process that votes; gives its pipes, its number and its parent's."""
    voter = voting_host.fork()
    pid = json.loads(voter.answers.readline())["pid"]
    state = Path(f"/proc/{pid}/stat").read_text()
    return voter, pid, int(state.rpartition(")")[2].split()[1])


def is_gone(pid):
    until = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return not Path(f"/proc/{pid}").exists()


def test_the_shared_process_ends_with_its_last_user_and_its_forks_go_on(voting):
    voting_host.release()  # what is kept for all tests
    try:
        n_files = len(os.listdir("/proc/self/fd"))
        voting_host.keep()
        assert voting.run(JOB, patience_s=PATIENCE_S)["event"] == "done"
        voter, pid, host = begun()
        voter.inlet.close()
        voter.answers.close()
        assert is_gone(pid)
        voting_host.release()
        assert is_gone(host)
        assert voting.run(JOB, patience_s=PATIENCE_S)["event"] == "done"
        voting.close()
        assert len(os.listdir("/proc/self/fd")) == n_files
    finally:
        voting_host.keep()


@pytest.mark.slow
def test_a_process_that_cannot_fork_does_one_job(voting, monkeypatch):
    monkeypatch.setattr(voting_host, "CAN_FORK", False)
    n_files = len(os.listdir("/proc/self/fd"))
    found = voting.run(JOB, patience_s=PATIENCE_S)
    assert (found["event"], found["id"]) == ("done", 1)
    voting.close()
    assert len(os.listdir("/proc/self/fd")) == n_files
