// The run's report, written anew when asked for.

import { on, post } from "./studio.js";

const note = document.getElementById("report-note");
const make = document.getElementById("make");
const frame = document.getElementById("report-frame");
const told = note.textContent;
let isMade = false;

async function write() {
  isMade = true;
  make.disabled = true;
  note.textContent = "The report is written…";
  try {
    await post("api/report", {});
    frame.src = `report.html?at=${Date.now()}`;
    frame.hidden = false;
    note.textContent = told;
  } catch (error) {
    note.textContent = error.message;
  }
  make.disabled = false;
}

make.addEventListener("click", write);
on("state", (state) => {
  if (state.has_all && !isMade) write();
  else if (!state.has_all) note.textContent = "The report comes when all images have labels.";
});
