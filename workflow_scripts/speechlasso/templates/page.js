"use strict";
// Tables sort by the column whose head is pressed; without this script they read as they stand.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  const heads = [...table.tHead.querySelectorAll("th")];
  heads.forEach((head) => {
    const column = head.cellIndex;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const text = (row) => row.cells[column].textContent.trim();
      const number = (row) => parseFloat(row.cells[column].dataset.key ?? text(row));
      const all = [...body.rows];
      const filled = all.filter((row) => text(row) !== "");
      const numeric = filled.every((row) => !isNaN(number(row)));
      const compare = numeric
        ? (a, b) => number(a) - number(b)
        : (a, b) => text(a).localeCompare(text(b), undefined, { numeric: true });
      filled.sort((a, b) => (order === "ascending" ? compare(a, b) : compare(b, a)));
      // Empty cells come last in either order.
      body.append(...filled, ...all.filter((row) => text(row) === ""));
    });
  });
}
// Paper has nothing to unfold.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((one) => (one.open = true));
});
// One recording at a time.
document.addEventListener("play", (event) => {
  document.querySelectorAll("audio").forEach((one) => one !== event.target && one.pause());
}, true);
