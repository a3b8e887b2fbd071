"""What the studio's tests share: functions for digits, a server, a real browser."""

import contextlib
import importlib.util
import shutil
import threading

import pytest

from lfkit.studio.server import StudioServer
from lfkit.studio.studio_session import StudioSession

LFS = '''
from lfkit import ABSTAIN, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@labeling_function(classes=[1])
def little_ink_is_one(image):
    """Little ink is a one."""
    return 1 if image.mean() < 66 else ABSTAIN


@labeling_function(classes=[0])
def empty_middle_is_zero(image):
    return 0 if image[3:5, 3:5].mean() < 40 else ABSTAIN
'''
LFS_WITH_A_FEATURE = '''
from lfkit import ABSTAIN, feature, labeling_function

CLASSES = [str(digit) for digit in range(10)]


@feature
def ink(image):
    return image.mean()


@labeling_function(classes=[1], features=[ink])
def little_ink_is_one(ink):
    """Little ink is a one."""
    return 1 if ink < 66 else ABSTAIN


@labeling_function(classes=[0])
def empty_middle_is_zero(image):
    return 0 if image[3:5, 3:5].mean() < 40 else ABSTAIN
'''
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NEEDS_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None,
        reason="playwright is not installed",
    ),
]
WIDTHS = {"phone": (390, 844), "desktop": (1360, 860)}
# A machine may be busy; a failure takes as long, not a success.
QUICK_MS, PATIENCE_S = 60_000, 180


@contextlib.contextmanager
def served(options, is_ready):
    """Serve a studio until the block ends, once its session is ready."""
    session = StudioSession(options)
    session.voting.pause_before_all_s = 0
    made = StudioServer(session, 0)
    session.start()
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    assert session.wait_for(is_ready, 120)
    yield made
    made.stop()
    thread.join(10)
    session.close()


@contextlib.contextmanager
def chromium():
    """Open the system's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        made = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()
