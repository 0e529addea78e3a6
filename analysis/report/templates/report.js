"use strict";
(() => {
  const valueOf = (cell) => {
    if (!cell) return "";
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return cell.textContent.trim().toLowerCase();
  };
  // Missing values last, whichever way a column is sorted.
  const compare = (a, b, sign) => {
    if (a === "" || b === "") return a === b ? 0 : a === "" ? 1 : -1;
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    if (typeof a === "number") return -sign;
    if (typeof b === "number") return sign;
    return sign * a.localeCompare(b, undefined, { numeric: true });
  };
  document.querySelectorAll("table.sortable").forEach((table) => {
    table.querySelectorAll("th[data-sort]").forEach((head) => {
      // The words stay in the heading: browsers repeat a heading's text on every printed page, but no button's.
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `Sort by ${head.textContent.trim()}`);
      // Its arrow stays on the line of the last word.
      const words = head.textContent.trim().split(" ");
      const last = document.createElement("span");
      last.className = "last";
      last.append(words.pop(), "\u00a0", button);
      head.replaceChildren(...words.map((word) => `${word} `), last);
      head.addEventListener("click", () => {
        const ascending = head.getAttribute("aria-sort") !== "ascending";
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        const column = head.cellIndex;
        rows.sort((x, y) => compare(valueOf(x.cells[column]), valueOf(y.cells[column]), ascending ? 1 : -1));
        table.tBodies[0].append(...rows);
      });
    });
  });

  document.querySelectorAll("input[data-filter]").forEach((input) => {
    const table = document.getElementById(input.dataset.filter);
    const count = input.closest(".tool").querySelector(".count");
    const update = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      const all = table.tBodies[0].rows.length;
      count.textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
    };
    input.addEventListener("input", update);
    update();
    const box = table.closest(".scroll");
    const hint = () => { input.closest(".tool").querySelector(".wide").hidden = box.scrollWidth <= box.clientWidth; };
    addEventListener("resize", hint);
    hint();
  });

  document.querySelectorAll("button[data-csv]").forEach((button) => {
    button.addEventListener("click", () => {
      const table = document.getElementById(button.dataset.csv);
      const rows = [...table.rows].filter((row) => !row.hidden);
      const quoted = (cell) => `"${cell.textContent.trim().replace(/\s+/g, " ").replaceAll('"', '""')}"`;
      const text = rows.map((row) => [...row.cells].map(quoted).join(",")).join("\r\n");
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      link.download = `${button.dataset.csv}.csv`;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  });

  const box = document.getElementById("lightbox");
  const stage = box.querySelector(".stage");
  let view = { x: 0, y: 0, scale: 1 };
  const show = () => {
    const drawing = stage.firstElementChild;
    if (drawing) drawing.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  };
  const zoom = (factor, x, y) => {
    const scale = Math.min(Math.max(view.scale * factor, 0.5), 40);
    const real = scale / view.scale;
    view = { x: x - real * (x - view.x), y: y - real * (y - view.y), scale };
    show();
  };
  const reset = () => { view = { x: 0, y: 0, scale: 1 }; show(); };
  const open = (figure) => {
    stage.replaceChildren(figure.querySelector("svg").cloneNode(true));
    document.getElementById("lightbox-title").textContent = figure.querySelector("figcaption strong").textContent;
    reset();
    box.showModal();
  };
  document.querySelectorAll("figure.zoomable").forEach((figure) => {
    figure.querySelector(".enlarge").addEventListener("click", () => open(figure));
    figure.querySelector(".drawing").addEventListener("click", () => open(figure));
  });
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const frame = stage.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15, event.clientX - frame.left, event.clientY - frame.top);
  }, { passive: false });
  let dragged = null;
  stage.addEventListener("pointerdown", (event) => {
    dragged = { x: event.clientX - view.x, y: event.clientY - view.y };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    if (dragged) { view.x = event.clientX - dragged.x; view.y = event.clientY - dragged.y; show(); }
  });
  ["pointerup", "pointercancel"].forEach((name) => stage.addEventListener(name, () => { dragged = null; }));
  box.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.close !== undefined) box.close();
    else if (button.dataset.zoom === "0") reset();
    else zoom(Number(button.dataset.zoom), stage.clientWidth / 2, stage.clientHeight / 2);
  });
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    if (event.key in steps) {
      view.x += steps[event.key][0]; view.y += steps[event.key][1]; show(); event.preventDefault();
    } else if (event.key === "+" || event.key === "=") zoom(1.25, stage.clientWidth / 2, stage.clientHeight / 2);
    else if (event.key === "-") zoom(0.8, stage.clientWidth / 2, stage.clientHeight / 2);
    else if (event.key === "0") reset();
  });
  box.addEventListener("close", () => stage.replaceChildren());
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
})();
