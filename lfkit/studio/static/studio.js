// What all pages share: the state, live changes, answers, the header, the keys' help.

import { setLook } from "./pictures.js";

const listeners = { state: [], answers: [], looks: [], full: [] };
export const store = { state: null };

export const on = (what, call) => listeners[what].push(call);
const emit = (what, value) => listeners[what]?.forEach((call) => call(value));

/** Make an element: h("p", {class: "faint"}, "text", other). Text is never markup. */
export function h(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export const count = (n) => n.toLocaleString("en");
export const share = (x, digits = 0) =>
  x === null || x === undefined ? "—" : `${(100 * x).toFixed(x > 0 && x < 0.01 ? 1 : digits)} %`;

/** Put figures into a <dl>: [[name, value, note], …]. */
export function figures(place, rows) {
  place.replaceChildren(
    ...rows.map(([name, value, note]) =>
      h("div", {}, h("dt", {}, name), h("dd", {}, value, note ? h("small", {}, note) : null)),
    ),
  );
}

export async function get(path) {
  const answer = await fetch(path, { credentials: "same-origin" });
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error || answer.statusText);
  return answer;
}

export async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(found.error || answer.statusText);
  return found;
}

let saidAt = 0;
export function say(text, ms = 3500) {
  const place = document.getElementById("said");
  place.textContent = text;
  place.classList.add("shown");
  const now = (saidAt = Date.now());
  setTimeout(() => saidAt === now && place.classList.remove("shown"), ms);
}

export const thumb = (row) => `thumb/${row}.webp?v=${store.state.pictures}`;
export const big = (row) => `big/${row}.webp?v=${store.state.pictures}`;

/** Label images at once, by the name of a class: its number may change. null takes answers back. */
export async function give(rows, name, why) {
  try {
    await post("api/answer", { rows: [...rows], label: name, why });
    const what = rows.length === 1 ? "image" : "images";
    say(`${count(rows.length)} ${what}: ${name ?? "answer taken back"}`);
    return true;
  } catch (error) {
    say(`Not saved: ${error.message}`, 30_000);
    return false;
  }
}

export async function undo() {
  try {
    const found = await post("api/undo", {});
    say(found.rows.length ? `Undone: ${count(found.rows.length)} ${found.rows.length === 1 ? "answer" : "answers"}` : "Nothing to undo");
    return found.rows;
  } catch (error) {
    say(error.message);
    return [];
  }
}

let loading = null;
let isStale = false;
export async function load() {
  if (loading) {
    isStale = true;
    return loading;
  }
  loading = (async () => {
    do {
      isStale = false;
      const before = store.state?.classes ?? [];
      store.state = await (await get("api/state")).json();
      // What is drawn, and what is chosen, is of other classes.
      if (before.length && before.join("\n") !== store.state.classes.join("\n")) location.reload();
      setLook(store.state.pictures);
    } while (isStale);
    loading = null;
    showHeader();
    emit("state", store.state);
  })().catch((error) => {
    loading = null;
    say(error.message);
  });
  return loading;
}

function showHeader() {
  const { state } = store;
  document.body.classList.toggle("small-images", state.side !== null && state.side < 64);
  const busy = Object.values(state.busy);
  const doing = document.getElementById("doing");
  const stages = busy.map(({ stage, done, total }) =>
    total > 1 ? `${stage} ${count(done)} of ${count(total)}` : stage,
  );
  doing.textContent = stages.length ? stages.join(" · ") : state.is_current ? "all images are up to date" : "";
  const answered = document.getElementById("answered");
  answered.textContent = `${count(state.answers)} ${state.answers === 1 ? "answer" : "answers"}`;
  answered.title = `in ${state.answers_file}`;
  showProblem(state.problem);
  const stale = document.getElementById("stale"); // on pages with labels of all images
  if (!stale) return;
  stale.hidden = !state.stale;
  stale.textContent = state.stale;
}

let shownProblem = "";
function showProblem(problem) {
  const place = document.getElementById("problem");
  const text = JSON.stringify(problem);
  if (text === shownProblem) return;
  shownProblem = text;
  place.hidden = !problem;
  place.classList.toggle("beginning", Boolean(problem?.is_beginning));
  if (!problem) return;
  const traces = problem.traceback ? [["", problem.traceback]] : Object.entries(problem.functions);
  place.replaceChildren(
    h("p", {}, problem.message),
    ...traces.map(([name, trace]) =>
      h("details", { open: traces.length === 1 && !name && (!problem.is_beginning || document.body.dataset.page === "functions") }, h("summary", {}, name || (problem.is_beginning ? "A first function" : "Traceback")), h("pre", { tabindex: "0" }, trace)),
    ),
  );
}

let missed = null;
function take(event) {
  if (event.event === "silent") {
    document.getElementById("doing").textContent = "the studio does not answer; is it still running?";
  } else if (event.event === "open") {
    load();
  } else if (event.lost) {
    // Others were lost before it: everything may have changed.
    load().then(() => ["answers", "full", "looks"].forEach((what) => emit(what, event)));
  } else if (event.event === "busy") {
    missed ??= setTimeout(() => {
      missed = null;
      load();
    }, 300);
  } else {
    load().then(() => emit(event.event === "functions" ? "full" : event.event, event));
  }
}

/** Follow the server's events; ends when the server refuses them. */
function follow(pass) {
  return new Promise((resolve) => {
    const events = new EventSource("events");
    events.onmessage = ({ data }) => pass(JSON.parse(data));
    events.onopen = () => pass({ event: "open" });
    events.onerror = () => {
      pass({ event: "silent" });
      if (events.readyState === EventSource.CLOSED) resolve();
    };
  });
}

// A browser opens six connections to a server at most, for all its tabs: one of them
// follows the events and passes them on. When it is closed, the next one takes over.
async function followTogether() {
  const others = new BroadcastChannel("lfkit-studio");
  others.onmessage = ({ data }) => take(data);
  const pass = (event) => {
    take(event);
    others.postMessage(event);
  };
  await navigator.locks.request("lfkit-studio-events", () => follow(pass));
}

const KEYS = [
  ["arrows", "move"], ["Shift + arrows, Shift + click", "select a range"], ["Ctrl + click", "add to the selection"],
  ["Ctrl + A", "select all"], ["Enter", "confirm the label shown"], ["Backspace", "take an answer back"],
  ["u", "undo"], ["Space", "look closer"], ["Esc", "close, or select nothing"], ["?", "these keys"],
];

export function showKeys() {
  const { classes = [], keys = [] } = store.state ?? {};
  const dialog = h("dialog", { class: "keys", "aria-labelledby": "keys-title" },
    h("h2", { id: "keys-title" }, "Keys"),
    h("dl", {}, ...classes.map((name, y) => [keys[y], name]).filter(([key]) => key).concat(KEYS)
      .flatMap(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])),
    h("form", { method: "dialog" }, h("button", { class: "button" }, "Close")),
  );
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

document.getElementById("help").addEventListener("click", showKeys);
document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || event.target.matches("input, select, textarea") || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  showKeys();
});

load();
// A frame in a notebook may not be allowed to share anything.
followTogether().catch(() => follow(take));
