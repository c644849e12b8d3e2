// Sorting, filtering, choosing and stepping. The fragment holds the state of the page: `#main.sort=-nfr&main.q=lora`.
// Names from runs are only ever read as text.
"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const tables = [...document.querySelectorAll("table[data-sortable]")];
  const rowsOf = (table) => [...table.tBodies[0].rows];

  const remember = (key, value) => {
    if (value) state.set(key, value); else state.delete(key);
    const text = state.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  };

  const valueOf = (row, at) => {
    const cell = row.cells[at];
    if (!cell) return null;
    if (cell.dataset.v !== undefined) return cell.dataset.v === "" ? null : Number(cell.dataset.v);
    return cell.textContent.trim();
  };

  const sort = (table, key, down) => {
    const heads = [...table.tHead.rows[0].cells];
    const at = heads.findIndex((head) => head.dataset.key === key);
    if (at < 0) return false;
    const sign = down ? -1 : 1;
    const keyed = rowsOf(table).map((row) => [valueOf(row, at), row]);
    keyed.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
    });
    table.tBodies[0].append(...keyed.map(([, row]) => row));
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[at].setAttribute("aria-sort", down ? "descending" : "ascending");
    return true;
  };

  const filter = (table, text) => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rowsOf(table)) {
      const content = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => content.includes(word));
      shown += !row.hidden;
    }
    const told = document.getElementById(table.id + "-count");
    if (told) told.textContent = words.length ? `${shown} of ${rowsOf(table).length} rows` : "";
  };

  const choose = (select) => {
    for (const part of document.querySelectorAll(`[data-choice="${select.dataset.chooses}"]`)) {
      part.classList.toggle("chosen", part.dataset.value === select.value);
    }
  };

  for (const table of tables) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.dataset.first === "down";
        const now = head.getAttribute("aria-sort");
        const down = now ? now !== "descending" : first;
        sort(table, head.dataset.key, down);
        remember(table.id + ".sort", (down ? "-" : "") + head.dataset.key);
      });
    }
    const input = document.getElementById(table.id + "-filter");
    if (input) input.addEventListener("input", () => { filter(table, input.value); remember(table.id + ".q", input.value); });
  }
  const selects = [...document.querySelectorAll("select[data-chooses]")];
  for (const select of selects) select.addEventListener("change", () => { choose(select); remember(select.dataset.chooses, select.value); });

  const apply = () => {
    for (const table of tables) {
      const order = state.get(table.id + ".sort");
      if (order) sort(table, order.replace(/^-/, ""), order.startsWith("-"));
      const input = document.getElementById(table.id + "-filter");
      if (input) { input.value = state.get(table.id + ".q") || ""; filter(table, input.value); }
    }
    for (const select of selects) {
      const wanted = state.get(select.dataset.chooses);
      if ([...select.options].some((option) => option.value === wanted)) select.value = wanted;
      choose(select);
    }
  };
  apply();
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return;
    for (const key of [...state.keys()]) state.delete(key);
    for (const [key, value] of new URLSearchParams(location.hash.slice(1))) state.set(key, value);
    apply();
  });

  // A row of the table and its points in the plots light up together.
  for (const dot of document.querySelectorAll("svg a.dot")) {
    const id = dot.getAttribute("href").slice(1);
    const row = document.getElementById(id);
    const same = document.querySelectorAll(`svg a.dot[href="#${id}"]`);
    const light = (on) => { if (row) row.classList.toggle("lit", on); same.forEach((one) => one.classList.toggle("lit", on)); };
    for (const node of [dot, row].filter(Boolean)) {
      for (const on of ["mouseenter", "focusin"]) node.addEventListener(on, () => light(true));
      for (const off of ["mouseleave", "focusout"]) node.addEventListener(off, () => light(false));
    }
  }

  // Examples of flips, one at a time.
  for (const box of document.querySelectorAll(".examples")) {
    const items = [...box.querySelectorAll(".example")];
    const told = box.querySelector("output");
    const lost = Number(box.dataset.lost);
    let at = 0;
    const show = (next) => {
      at = (next + items.length) % items.length;
      items.forEach((item, index) => item.classList.toggle("chosen", index === at));
      if (told) told.textContent = lost > items.length ? `${at + 1} of the ${items.length} surest, of ${lost}` : `${at + 1} of ${items.length}`;
    };
    const [back, on] = box.querySelectorAll("button");
    if (back) back.addEventListener("click", () => show(at - 1));
    if (on) on.addEventListener("click", () => show(at + 1));
    show(0);
  }
})();
