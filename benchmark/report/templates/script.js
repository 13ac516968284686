"use strict";
// Without this script the page shows the same, unsorted and unfiltered.

function cellValue(row, index) {
  const text = row.cells[index].dataset.value;
  return text !== "" && !isNaN(text) ? Number(text) : text;
}

function compare(one, other) {
  if (one === "" || other === "") return 0;
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function sortBy(table, index) {
  const heading = table.tHead.rows[0].cells[index];
  const sorted = heading.getAttribute("aria-sort");
  // Best first, then the other way round.
  const direction = (sorted || heading.dataset.best !== "descending" ? sorted === "ascending" : true) ? -1 : 1;
  for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
  const rows = Array.from(table.tBodies[0].rows, (row) => [cellValue(row, index), row]);
  // What has no value stays last whichever way the column is sorted.
  rows.sort(([one], [other]) => (one === "") - (other === "") || direction * compare(one, other));
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  Array.from(table.tHead.rows[0].cells).forEach((cell, index) => {
    cell.querySelector("button").addEventListener("click", () => sortBy(table, index));
    if ("first" in cell.dataset) sortBy(table, index);
  });
}

for (const form of document.querySelectorAll("form.filter")) {
  const table = form.parentElement.querySelector("table.leaderboard");
  const { shots, steps, more } = form.elements;
  const apply = () => {
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const wanted = steps.value === "most" ? "most" in row.dataset : !steps.value || row.dataset.steps === steps.value;
      // What uses no shots, or takes no steps either, is the same at all of them.
      const unshot = row.dataset.shots === "0";
      const still = unshot && row.dataset.steps === "0" && "most" in row.dataset;
      row.hidden = !still && !(wanted && (!shots.value || unshot || row.dataset.shots === shots.value));
      shown += !row.hidden;
    }
    table.classList.toggle("brief", !more.checked);
    form.querySelector("output").textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
  };
  const first = shots.querySelector("[data-first]");
  if (first) shots.value = first.value;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
  // Where there is room for all columns, none is held back.
  more.checked = true;
  apply();
  const { scrollWidth, clientWidth } = table.parentElement;
  if (scrollWidth > clientWidth) { more.checked = false; apply(); }
}

// Legends: the chosen series in front, the others faint.
for (const area of document.querySelectorAll(".focusable")) {
  area.addEventListener("click", (event) => {
    const button = event.target.closest(".legend button");
    if (!button) return;
    const { series } = button.dataset;
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const key of area.querySelectorAll(".legend button")) if (key.dataset.series === series) key.setAttribute("aria-pressed", on);
    for (const group of area.querySelectorAll("g[data-series]")) if (group.dataset.series === series) group.classList.toggle("chosen", on);
    area.classList.toggle("focused", area.querySelector("[aria-pressed=true]") !== null);
  });
}

// On a phone the fronts would push all else out of sight.
if (matchMedia("(max-width: 40rem)").matches) for (const one of document.querySelectorAll(".fronts")) one.open = false;

// One voice at a time.
document.addEventListener("play", (event) => {
  for (const player of document.querySelectorAll("audio")) if (player !== event.target && !player.paused) player.pause();
}, true);

// Print everything unfolded.
const folded = [];
window.addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) { one.open = true; folded.push(one); }
});
window.addEventListener("afterprint", () => { for (const one of folded.splice(0)) one.open = false; });

// Load the clips' lengths only once their section is open.
for (const one of document.querySelectorAll("details.speech")) {
  const read = () => { if (one.open) for (const player of one.querySelectorAll("audio")) player.preload = "metadata"; };
  one.addEventListener("toggle", read);
  read();
}
