"use strict";
// Everything here is comfort: without scripts the page shows every table and every figure.
// The state of switches, orders and filters stands in the address after the place: #trials?trials.q=failed
(() => {
  document.documentElement.classList.add("js");
  const [place, query] = location.hash.slice(1).split("?");
  const state = new URLSearchParams(query || "");
  const keep = (name, value) => {
    if (value) state.set(name, value);
    else state.delete(name);
    const here = location.hash.slice(1).split("?")[0];
    const text = state.toString();
    history.replaceState(null, "", `#${here}${text ? "?" + text : ""}`);
  };

  // ---- switches: one protocol and one statistic at a time, for all tables of a section at once. A table that
  // does not have the chosen statistic shows its first one.
  const switches = [];
  function addSwitch(host, before, group, words) {
    const panels = [...host.querySelectorAll(`[data-group="${group}"]`)];
    const serves = (panel, choice) => panel.dataset.choice.split(" ").includes(choice);
    const boxes = group === "statistic" ? [...new Set(panels.map((panel) => panel.parentElement))] : [host];
    const sets = boxes.map((box) => panels.filter((panel) => box === host || panel.parentElement === box));
    const several = sets.filter((own) => new Set(own.map((panel) => panel.dataset.choice)).size > 1);
    const choices = new Map();
    for (const panel of several.flat()) for (const one of panel.dataset.choice.split(" ")) choices.set(one, panel.dataset.words || one);
    if (choices.size < 2) return;
    const name = `${host.id}.${group}`;
    const bar = document.createElement("div");
    bar.className = "switch";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", words);
    const show = (choice) => {
      for (const own of several) {
        const shown = own.some((panel) => serves(panel, choice)) ? (panel) => serves(panel, choice) : (panel) => panel === own[0];
        for (const panel of own) panel.classList.toggle("hidden", !shown(panel));
      }
      for (const button of bar.children) button.setAttribute("aria-pressed", String(button.dataset.to === choice));
    };
    for (const [choice, label] of choices) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.to = choice;
      button.textContent = label;
      button.addEventListener("click", () => { show(choice); keep(name, choice); });
      bar.append(button);
    }
    before.before(bar);
    show(choices.has(state.get(name)) ? state.get(name) : [...choices.keys()][0]);
    switches.push({ panels: several.flat(), show });
  }
  for (const section of document.querySelectorAll("main > section[id]")) {
    const first = section.querySelector('[data-group="protocol"]');
    if (!first) continue;
    addSwitch(section, first, "protocol", "Hyperparameter protocol");
    addSwitch(section, first, "statistic", "Statistic");
  }

  // ---- a link may lead to something that a switch or a folded part hides
  function reveal(id) {
    const target = id && document.getElementById(id);
    if (!target) return;
    for (const { panels, show } of switches) {
      const panel = panels.find((one) => one.contains(target));
      if (panel) show(panel.dataset.choice.split(" ")[0]);
    }
    for (let box = target.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
    target.scrollIntoView();
  }
  window.addEventListener("hashchange", () => reveal(location.hash.slice(1).split("?")[0]));

  // ---- tables: order by heading, filter by words
  const number = (text) => (text !== "" && isFinite(text) ? Number(text) : NaN);
  const cell = (row, column) => (row.cells[column].dataset.value ?? row.cells[column].textContent).trim().replace("−", "-");
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const lines = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const said = document.getElementById(`${table.id}-said`);
    const sort = (column, down) => {
      for (const other of heads) other.removeAttribute("aria-sort");
      heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
      lines.sort((a, b) => {
        const [x, y] = [cell(a, column), cell(b, column)];
        const order = isNaN(number(x)) || isNaN(number(y)) ? x.localeCompare(y) : number(x) - number(y);
        return down ? -order : order;
      });
      body.append(...lines);
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        sort(column, down);
        keep(`${table.id}.sort`, `${column}${down ? "d" : "a"}`);
        if (said) said.textContent = `ordered by ${button.textContent}, ${down ? "descending" : "ascending"}`;
      });
    });
    const wanted = /^(\d+)([ad])$/.exec(state.get(`${table.id}.sort`) || "");
    if (wanted && heads[Number(wanted[1])]) sort(Number(wanted[1]), wanted[2] === "d");
    const filter = document.getElementById(`${table.id}-filter`);
    if (!filter) continue;
    const select = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of lines) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      said.textContent = words.length ? `${shown} of ${lines.length}` : "";
    };
    filter.value = state.get(`${table.id}.q`) || "";
    select();
    filter.addEventListener("input", () => { select(); keep(`${table.id}.q`, filter.value); });
    for (const link of document.querySelectorAll(`[data-filter="${table.id}"]`)) {
      link.addEventListener("click", () => { filter.value = link.dataset.words; select(); keep(`${table.id}.q`, filter.value); });
    }
  }
  reveal(place);

  // ---- paper shows what is folded where the style sheet asks for it
  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details.printed:not([open])")];
    for (const one of closed) one.open = true;
  });
  window.addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
})();
