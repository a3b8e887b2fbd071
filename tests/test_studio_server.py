"""The studio's server: who may come in, what it gives, and that nothing breaks it."""

import asyncio
import contextlib
import http.client
import json
import random
import socket
import string
import threading
import time
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest
from starlette.testclient import TestClient
from studio_stand import LFS

from lfkit.errors import InputError
from lfkit.studio.live_events import LiveEvents
from lfkit.studio.next_images import RANDOM
from lfkit.studio.page_state import class_keys
from lfkit.studio.server import PAGES, StudioServer, make_app
from lfkit.studio.studio_options import StudioOptions
from lfkit.studio.studio_session import StudioSession

TOKEN, PORT = "a-random-token", 8765
HOME = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    (folder / "my_lfs.py").write_text(LFS)
    options = StudioOptions(
        "digits", lfs=(str(folder / "my_lfs.py"),), out=folder / "run", preview=300
    )
    made = StudioSession(options)
    made.voting.pause_before_all_s = 0
    made.start()
    assert made.wait_for(
        lambda session: session.full is not None and session.looks is not None, 120
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def app(session):
    return make_app(session, TOKEN, PORT)


@pytest.fixture
def client(app):
    with TestClient(app, base_url=HOME) as made:
        assert made.get(f"/?token={TOKEN}").url.path == "/functions"
        yield made


def read_list(data):
    head, n = np.frombuffer(data[:8], "<i4")
    rows = np.frombuffer(data[8 + head : 8 + head + 4 * n], "<i4")
    rest = data[8 + head + 4 * n :]
    return json.loads(data[8 : 8 + head])["sections"], rows, rest


def test_nothing_is_given_without_the_token(app):
    with TestClient(app, base_url=HOME, follow_redirects=False) as strange:
        for path in ("/functions", "/api/state", "/static/studio.js", "/thumb/0.webp"):
            assert strange.get(path).status_code == 403
            assert strange.get(f"{path}?token=wrong").status_code == 403
            assert strange.get(f"/t/wrong{path}").status_code == 403
        assert strange.post("/api/undo", json={}).status_code == 403
        strange.cookies.set(f"lfkit-studio-{PORT}", "wrong")
        assert strange.get("/functions").status_code == 403
        found = strange.get(f"/images?sort=random&token={TOKEN}")
        assert found.headers["location"] == "/images?sort=random"
        cookie = found.headers["set-cookie"].lower()
        assert "samesite=strict" in cookie
        assert "httponly" in cookie


def test_a_frame_comes_in_by_its_path(app):
    with TestClient(app, base_url=HOME) as frame:
        for path in ("functions", "api/state", "static/grid.js", "thumb/0.webp"):
            assert frame.get(f"/t/{TOKEN}/{path}").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{PORT}"},
        {"Host": ""},
        {"Host": f"127.0.0.1.evil.example:{PORT}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{PORT + 1}"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_other_sites_and_hosts_are_refused(client, headers):
    assert client.get("/api/state", headers=headers).status_code == 403
    assert client.post("/api/undo", json={}, headers=headers).status_code == 403


def test_a_tunnel_may_end_at_another_port(client):
    other = f"localhost:{PORT + 235}"
    headers = {"Host": other, "Origin": f"http://{other}"}
    assert client.post("/api/undo", json={}, headers=headers).status_code == 200


def test_cookies_of_other_servers_do_not_lock_out(app):
    theirs = 'a={"x":1}; b=[1, 2]; c=x y; d'
    cookie = f"{theirs}; lfkit-studio-{PORT}={TOKEN}; e={{"
    with TestClient(app, base_url=HOME) as client:
        found = client.get("/api/state", headers={"Cookie": cookie})
        assert found.status_code == 200
        assert client.get("/api/state", headers={"Cookie": theirs}).status_code == 403


def test_pages_run_their_own_scripts_only(client):
    for page in PAGES:
        found = client.get(f"/{page}?name=little_ink_is_one")
        assert found.status_code == 200
        policy = found.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "<script>" not in found.text
        assert "style=" not in found.text
        assert "http://" not in found.text.replace("http://www.w3.org", "")
        assert "https://" not in found.text


def test_a_form_of_another_site_cannot_answer(client):
    body = json.dumps({"rows": [0], "label": 1})
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        found = client.post("/api/answer", content=body, headers={"Content-Type": kind})
        assert found.status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/..%2fserver.py",
        "/static/%2e%2e/server.py",
        "/../run.json",
        "/..%2frun.json",
        "/thumb/..%2f..%2frun.json",
        "/report.html/../../run.json",
        "/static//etc/passwd",
        "/%2fetc%2fpasswd",
        "//evil.example/",
    ],
)
def test_no_file_outside_is_served(session, path):
    server = StudioServer(session, 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        link.request(
            "GET",
            path,
            headers={"Cookie": f"lfkit-studio-{server.port}={server.token}"},
        )
        found = link.getresponse()
        assert found.status in (400, 404)
        body = found.read()
        assert b"StudioServer" not in body
        assert b"root:" not in body
        assert b"class_names" not in body
        link.close()
    finally:
        server.stop()
        thread.join(10)


def test_state_tells_functions_and_classes(client):
    state = client.get("/api/state").json()
    assert state["n"] == 1797
    assert state["classes"] == [*"0123456789"]
    assert state["keys"] == [*"0123456789"]
    assert [one["name"] for one in state["functions"]] == [
        "little_ink_is_one",
        "empty_middle_is_zero",
    ]
    assert state["scope"] == "all 1,797 images"
    assert state["problem"] is None


def test_lists_are_filtered_and_ordered(client, session):
    full = session.full
    _, rows, rest = read_list(
        client.get("/api/list?function=little_ink_is_one").content
    )
    assert rows.tolist() == np.flatnonzero(full.hard[:, 0] == 1).tolist()
    assert len(rest) == 5 * len(rows)
    quiet = read_list(
        client.get("/api/list?function=little_ink_is_one&vote=none").content
    )[1]
    assert len(quiet) + len(rows) == 1797
    ones = read_list(client.get("/api/list?class=1&sort=unsure").content)[1]
    assert (full.labels[ones] == 1).all()
    assert (np.diff(full.confidence[ones]) >= 0).all()
    for order in ("sure", "disagreement", "far", "near", "alike", "random"):
        found = read_list(client.get(f"/api/list?sort={order}").content)[1]
        assert sorted(found.tolist()) == list(range(1797))
    far = read_list(client.get("/api/list?class=0&sort=far").content)[1]
    near = read_list(client.get("/api/list?class=0&sort=near").content)[1]
    assert far[0] == near[-1]


def test_a_function_is_shown_by_its_images(client, session):
    sections, rows, _ = read_list(
        client.get("/api/function-images?name=little_ink_is_one").content
    )
    counts = {one["title"]: one["count"] for one in sections}
    voted = session.full.voted[:, 0]
    assert voted[rows[: counts["Votes here"]]].all()
    alike = rows[len(rows) - counts["Abstains, but looks alike"] :]
    assert len(alike) == 60
    assert not voted[alike].any()


def test_answers_go_to_the_file_and_back(client, session):
    path = session.options.answers
    body = {"rows": [5, 7], "label": "3", "why": "disputed"}
    given = client.post("/api/answer", json=body)
    assert given.json()["answers"] == 2
    text = path.read_text()
    assert text.splitlines()[0] == "image_id,label,who,when,why"
    assert "\n5,3," in text
    assert text.rstrip().endswith(",disputed")
    answered = read_list(client.get("/api/list?answers=answered").content)[1]
    assert answered.tolist() == [5, 7]
    assert client.get("/api/image?row=5").json()["answer"] == 3
    assert client.post("/api/undo", json={}).json() == {"rows": [5, 7], "answers": 0}
    assert path.read_text() == "image_id,label,who,when,why\n"


def test_each_browser_undoes_its_own_answers(app, client, session):
    def answer(browser, rows, label):
        body = {"rows": rows, "label": label, "why": "chosen"}
        assert browser.post("/api/answer", json=body).status_code == 200

    def undo(browser):
        return browser.post("/api/undo", json={}).json()["rows"]

    def labels():
        given = session.answers.given()
        return dict(zip(given.rows.tolist(), given.labels.tolist(), strict=True))

    other = TestClient(app, base_url=HOME)
    other.get(f"/?token={TOKEN}")
    answer(client, [5, 7], "3")
    answer(other, [7], "4")
    answer(other, [9], "6")
    # What another browser has answered since is left as it is.
    assert undo(client) == [5]
    assert labels() == {7: 4, 9: 6}
    assert undo(client) == []
    assert undo(other) == [9]
    assert undo(other) == [7]
    assert labels() == {7: 3}
    answer(client, [7], None)
    assert undo(other) == []
    answer(other, [11], "1")
    assert undo(client) == [7]
    answer(client, [7], None)
    assert session.undo() == [7]  # the last of anybody
    session.answer([7, 11], None, "test")


def test_what_to_look_at_next_marks_what_is_random(client):
    sections, rows, _ = read_list(client.get("/api/next").content)
    assert [one["is_random"] for one in sections].count(True) == 1
    assert sum(one["count"] for one in sections) == len(rows) == len(set(rows.tolist()))
    drawn = next(one for one in sections if one["is_random"])
    assert drawn["count"] == round(0.2 * len(rows))
    assert drawn["why"] == RANDOM


def test_only_what_the_server_drew_counts_as_random(client, session):
    sections, rows, _ = read_list(client.get("/api/next").content)
    assert sections[0]["is_random"]
    n = sections[0]["count"]
    drawn, others = rows[:n].tolist(), rows[n:].tolist()
    body = {"rows": rows.tolist(), "label": "3", "why": RANDOM}
    assert client.post("/api/answer", json=body).status_code == 200
    why = session.answers.why()
    assert [why[row] for row in drawn] == [RANDOM] * n
    assert [why[row] for row in others] == ["chosen"] * len(others)
    # Who changes an answer, on whatever page, does not take it out of the sample.
    body = {"rows": drawn[:2] + others[:1], "label": "4", "why": "chosen"}
    assert client.post("/api/answer", json=body).status_code == 200
    why = session.answers.why()
    assert [why[row] for row in drawn] == [RANDOM] * n
    assert client.post("/api/undo", json={}).status_code == 200
    again = read_list(client.get("/api/next").content)[1][:n].tolist()
    assert not set(again) & set(rows.tolist())
    assert client.post("/api/undo", json={}).json()["answers"] == 0


def test_classes_are_named_and_not_numbered(client, session):
    for label in (3, "no such class"):
        found = client.post("/api/answer", json={"rows": [5], "label": label})
        assert found.status_code == 400
    assert "load the page again" in found.json()["error"]
    data = client.get("/api/list").content
    head = json.loads(data[8 : 8 + int(np.frombuffer(data[:4], "<i4")[0])])
    assert head["classes"] == [*session.class_names]
    assert not len(session.answers)


def test_a_broken_file_of_answers_is_told_and_answers_are_refused(client, session):
    path = session.options.answers
    client.post("/api/answer", json={"rows": [5], "label": "3"})
    whole = path.read_text()
    path.write_text(whole.replace("5,3", "5,three"))
    try:
        # It may be read while it is empty, before the line is written.
        assert session.wait_for(
            lambda session: "'three'" in str(session.answers_problem), 30
        )
        state = client.get("/api/state").json()
        assert "Answers are not saved" in state["problem"]["message"]
        assert "'three'" in state["problem"]["message"]
        assert state["answers"] == 1
        found = client.post("/api/answer", json={"rows": [6], "label": "3"})
        assert found.status_code == 400
        assert "'three'" in found.json()["error"]
        assert "5,three" in path.read_text()
    finally:
        path.write_text(whole)
    assert session.wait_for(lambda session: not session.answers_problem, 30)
    assert client.get("/api/state").json()["problem"] is None
    client.post("/api/answer", json={"rows": [5], "label": None})


def test_pictures_are_kept_by_browsers(client):
    for path in ("/thumb/3.webp", "/big/3.webp"):
        found = client.get(path)
        assert found.headers["content-type"] == "image/webp"
        assert "immutable" in found.headers["cache-control"]
        assert found.content[:4] == b"RIFF"
    assert client.get("/thumb/1797.webp").status_code == 400


def test_the_map_and_what_sets_a_selection_apart(client, session):
    found = client.get("/api/map").content
    head, n = np.frombuffer(found[:8], "<i4")
    places = np.frombuffer(found[8 + head : 8 + head + 8 * n], "<f4")
    assert n == 1797
    assert 0 <= places.min() <= places.max() <= 1
    ones = np.flatnonzero(session.images.labels == 1)[:60].tolist()
    told = client.post("/api/apart", json={"rows": ones, "label": "1"}).json()["ranked"]
    assert told[0]["auc"] > 0.9
    compile(told[0]["snippet"], "snippet", "exec")


def test_the_report_is_apart_from_the_page(client):
    assert client.post("/api/report", json={}).json() == {"done": True}
    found = client.get("/report.html")
    assert found.status_code == 200
    assert found.headers["content-security-policy"].startswith("sandbox")


WORDS = [
    *(
        "",
        "0",
        "-1",
        "1797",
        "99999999999999999999",
        "nan",
        "1e9",
        "²",
        "\x00",
        "../..",
    ),
    *("none", "any", "random", "little_ink_is_one", "<script>", "%", "💥", "a" * 5000),
]
BODIES = [
    *(None, [], 3, "text", {}, {"rows": None}, {"rows": []}, {"rows": [[]]}),
    *({"rows": [True]}, {"rows": [2**70]}, {"rows": [-5], "label": "0"}),
    *({"rows": [0], "label": "x"}, {"rows": [0], "label": 10**9}),
    *({"rows": [0], "label": 1.5}, {"rows": [0], "label": True}),
    *({"rows": [0], "label": "0", "why": 7}, {"rows": [0] * 300_000, "label": "0"}),
    *({"rows": [1797], "label": "0"}, {"rows": [0], "label": -1}, {"rows": "0"}),
]


def test_no_request_breaks_the_server(client):
    rng = random.Random(0)
    gets = [
        *("/api/state", "/api/list", "/api/function", "/api/function-images"),
        *("/api/image", "/api/some", "/api/next", "/report.html", "/", "/functions"),
        *("/function", "/nothing", "/api/nothing", "/thumb/x.webp", "/thumb/-1.webp"),
        *(
            "/thumbs?rows=0,9999999",
            "/thumbs?rows=x",
            "/big/1797.webp",
            "/static/",
            "/static/nothing.js",
        ),
    ]
    names = ("class", "function", "vote", "seed", "sort", "row", "rows", "name")
    for _ in range(400):
        path = rng.choice(gets)
        asked = {name: rng.choice(WORDS) for name in rng.sample(names, 3)}
        found = client.get(path, params=asked, follow_redirects=False)
        assert found.status_code < 500, (path, asked)
    for path in ("/api/answer", "/api/undo", "/api/apart", "/api/report"):
        for body in BODIES:
            takes_any = path in ("/api/undo", "/api/report")
            of_answers = isinstance(body, dict) and "why" in body
            if isinstance(body, dict) and (
                takes_any or (of_answers and path != "/api/answer")
            ):
                continue
            found = client.post(path, json=body)
            assert found.status_code == 400, (path, str(body)[:80])
        for data in (b"", b"{", b"[" * 100_000, b"\xff\xfe"):
            kind = {"Content-Type": "application/json"}
            found = client.post(path, content=data, headers=kind)
            assert found.status_code == 400
        assert client.get(path).status_code == 405
    for _ in range(100):
        word = "".join(rng.choices(string.printable, k=12))
        assert client.get("/" + quote(word)).status_code < 500
    assert client.get("/api/state").status_code == 200


def test_twenty_pages_see_the_same_answers(session):
    server = StudioServer(session, 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    cookie = {"Cookie": f"lfkit-studio-{server.port}={server.token}"}
    links = []
    try:
        for _ in range(20):
            link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            link.request("GET", "/events", headers=cookie)
            links.append((link, link.getresponse()))
        end = time.monotonic() + 20
        while len(server.events) < 20 and time.monotonic() < end:
            time.sleep(0.02)
        session.answer([11], 2, "chosen")
        for _, stream in links:
            while True:
                line = stream.readline()
                assert line, "the stream has ended"
                if b'"answers"' in line:
                    break
            assert json.loads(line.removeprefix(b"data: "))["rows"] == [11]
        session.undo()
    finally:
        for link, stream in links:
            stream.close()
            link.close()
        server.stop()
        thread.join(10)
    assert not thread.is_alive()


def test_a_page_that_does_not_keep_up_is_told_so(session):
    async def told():
        events = LiveEvents(session)
        events.start()
        page = events.stream()
        await anext(page)
        for _ in range(200):
            session.publish({"event": "busy"})
        await asyncio.sleep(0)  # the events come in
        found = []
        with contextlib.suppress(TimeoutError):
            while True:
                line = await asyncio.wait_for(anext(page), 0.3)
                found.append(json.loads(line.removeprefix(b"data: ")))
        await page.aclose()
        events.stop()
        return found

    found = asyncio.run(told())
    assert 0 < len(found) < 200
    assert found[-1]["version"] == session.version
    assert any(event.get("lost") for event in found)


def test_a_port_in_use_is_said_in_a_sentence(session):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is in use"):
            StudioServer(session, port)


def test_any_docstring_can_be_sent(session, client, monkeypatch):
    one = replace(session.full.functions[0], doc="\ud800 ☃")
    outcome = replace(session.full, functions=(one, *session.full.functions[1:]))
    monkeypatch.setattr(session, "full", outcome)
    found = client.get("/api/state")
    assert found.status_code == 200
    assert found.json()["functions"][0]["doc"] == "\ud800 ☃"


def test_every_class_has_a_key_until_there_are_too_many():
    keys = class_keys(tuple(f"class {number}" for number in range(40)))
    given = [key for key in keys if key]
    assert len(given) == len(set(given)) == 35
    assert "u" not in given
    assert class_keys(("3", "7")) == ["3", "7"]


def test_why_an_image_is_asked_must_be_text(client):
    body = {"rows": [0], "label": "0", "why": 7}
    found = client.post("/api/answer", json=body)
    assert found.json() == {"error": "why must be text."}
