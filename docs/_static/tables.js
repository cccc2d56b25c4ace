// On a narrow page the cells of a table stand below each other; site.css writes the name of its
// column before each cell, which it reads here.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table.table")) {
    const names = [...table.querySelectorAll("thead th")].map((th) => th.innerText.trim());
    for (const cell of table.querySelectorAll("tbody td")) {
      const name = names[cell.cellIndex];
      if (name && cell.innerText.trim()) cell.dataset.column = name;
    }
  }
});
