"use strict";
const root = document.documentElement;
try { root.dataset.theme = localStorage.getItem("lfkit-theme") || ""; } catch (e) { /* a file may have no storage */ }
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try { localStorage.setItem("lfkit-theme", root.dataset.theme); } catch (e) { /* likewise */ }
});
function openRow(row) {
  const detail = row.nextElementSibling;
  detail.hidden = !detail.hidden;
  row.classList.toggle("open", !detail.hidden);
}
for (const row of document.querySelectorAll("tr.opens")) {
  row.addEventListener("click", () => openRow(row));
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); openRow(row); }
  });
}
const valueOf = (cell) => cell.dataset.sort ?? cell.textContent.trim();
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => head.addEventListener("click", () => {
    const body = table.tBodies[0];
    const groups = [];
    for (const row of body.rows) {
      if (row.classList.contains("detail")) groups[groups.length - 1].push(row);
      else groups.push([row]);
    }
    const up = head.dataset.order === "down";
    for (const other of table.querySelectorAll("thead th")) delete other.dataset.order;
    head.dataset.order = up ? "up" : "down";
    groups.sort(([a], [b]) => {
      const x = valueOf(a.cells[column]), y = valueOf(b.cells[column]);
      const p = parseFloat(x), q = parseFloat(y);
      const order = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
      return up ? order : -order;
    });
    for (const group of groups) body.append(...group);
  }));
}
const filter = document.getElementById("filter");
if (filter) filter.addEventListener("input", () => {
  const wanted = filter.value.toLowerCase();
  for (const row of document.querySelectorAll(".functions tr.opens")) {
    row.hidden = !row.dataset.text.toLowerCase().includes(wanted);
    if (row.hidden) { row.nextElementSibling.hidden = true; row.classList.remove("open"); }
  }
});
const human = document.getElementById("human");
if (human) {
  const items = JSON.parse(human.querySelector("script").textContent);
  const answers = [];
  const show = () => {
    const item = items[answers.length];
    human.querySelector("img").src = item.src;
    human.querySelector(".label").textContent = item.label;
    human.querySelector(".where").textContent = `${answers.length + 1} of ${items.length}`;
    for (const slider of human.querySelectorAll("input")) { slider.value = 5; slider.nextElementSibling.value = 5; }
  };
  for (const slider of human.querySelectorAll("input"))
    slider.addEventListener("input", () => { slider.nextElementSibling.value = slider.value; });
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  human.querySelector(".next").addEventListener("click", () => {
    const item = items[answers.length];
    const [quality, match] = [...human.querySelectorAll("input")].map((slider) => slider.value);
    answers.push([quoted(item.item), quoted(item.source), quality, match].join(","));
    if (answers.length < items.length) { show(); return; }
    const text = "item,source,image_quality,label_match\n" + answers.join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "human-ratings.csv";
    link.textContent = "human-ratings.csv";
    human.replaceChildren("Thank you. Your answers: ", link);
    link.click();
  });
  show();
}
const links = [...document.querySelectorAll("nav a")];
if ("IntersectionObserver" in window) {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting)
      for (const link of links) link.classList.toggle("here", link.hash === `#${entry.target.id}`);
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of document.querySelectorAll("main section")) seen.observe(section);
}
