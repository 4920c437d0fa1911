"use strict";
// Everything here is comfort: without scripts the page shows all tables and static figures.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const data = JSON.parse(document.getElementById("figure-data").textContent);
  const narrow = () => window.innerWidth < 640;
  const font = { family: getComputedStyle(document.body).fontFamily, size: 13, color: "#1d2530" };

  // ---- switches: one protocol and one statistic at a time, for all tables of a task at once
  function addSwitch(host, before, group, words) {
    const panels = [...host.querySelectorAll(`[data-group="${group}"]`)];
    const choices = [...new Map(panels.map((panel) => [panel.dataset.choice, panel.dataset.words]))];
    if (choices.length < 2) return;
    const bar = document.createElement("div");
    bar.className = "switch";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", words);
    const show = (choice) => {
      for (const panel of panels) panel.classList.toggle("hidden", panel.dataset.choice !== choice);
      for (const button of bar.children) button.setAttribute("aria-pressed", String(button.dataset.to === choice));
      drawVisible();
    };
    for (const [choice, label] of choices) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.to = choice;
      button.textContent = label;
      button.addEventListener("click", () => show(choice));
      bar.append(button);
    }
    before.before(bar);
    show(choices[0][0]);
  }

  // ---- figures
  const dark = "#1d2530";
  const base = () => ({
    font, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
    margin: { l: narrow() ? 100 : 190, r: narrow() ? 12 : 30, t: 8, b: 48 },
    hoverlabel: { bgcolor: "#ffffff", bordercolor: "#566170", font: { color: dark, size: 12 } },
    dragmode: false,
  });
  const axis = (title, more) => ({ title: { text: title, font: { size: 13 } }, gridcolor: "#e3e6ea", linecolor: "#8a94a0", zeroline: false, automargin: true, exponentformat: "none", ...more });
  const config = { displayModeBar: false, displaylogo: false, showLink: false, responsive: true };
  const digits = (x) => (x === null || x === undefined ? "–" : x.toPrecision(3).replace("-", "−"));

  const rowHeight = (count) => Math.max(30, 16 * count + 12);

  function intervals(series, offset, count) {
    const y = series.labels.map((_, i) => -i - (offset - (count - 1) / 2) * (15 / rowHeight(count)));
    const known = (i) => series.low[i] !== null;
    return {
      type: "scatter", mode: "markers", name: series.name, x: series.value, y,
      marker: { color: series.colour, symbol: series.symbol, size: 10, line: { width: series.symbol.endsWith("open") || series.symbol === "x" ? 2 : 0 } },
      error_x: {
        type: "data", symmetric: false, thickness: 2, width: 0, color: series.colour,
        array: series.value.map((v, i) => (known(i) ? series.high[i] - v : 0)),
        arrayminus: series.value.map((v, i) => (known(i) ? v - series.low[i] : 0)),
      },
      hovertext: series.labels.map((label, i) => `${label}<br>${series.name}<br>${digits(series.value[i])} [${digits(series.low[i])}, ${digits(series.high[i])}]${series.note[i] ? "<br>" + series.note[i] : ""}`),
      hoverinfo: "text",
    };
  }

  function rows(labels, title, zero, height) {
    const layout = base();
    layout.height = height;
    layout.xaxis = axis(title, zero ? { zeroline: true, zerolinecolor: dark, zerolinewidth: 1.5, rangemode: "tozero" } : {});
    layout.yaxis = axis("", { tickvals: labels.map((_, i) => -i), ticktext: labels, range: [-labels.length + 0.4, 0.6], showgrid: false, tickfont: { size: narrow() ? 11 : 13 } });
    return layout;
  }

  function points(figure) {
    const labels = figure.series.flatMap((one) => one.labels);
    const traces = figure.series.map((one, i) => ({ ...intervals(one, 0, 1), y: [-i] }));
    const layout = rows(labels, figure.axis, false, 90 + 36 * labels.length);
    layout.showlegend = false;
    return { traces, layout };
  }

  function forest(figure, chosen) {
    const shown = figure.contrasts.filter((one, i) => (chosen === "reference" ? one.reference : i === Number(chosen)));
    const labels = [...new Set(shown.flatMap((one) => one.series.labels))];
    const traces = shown.map((one, i) => intervals(one.series, i, shown.length));
    const layout = rows(labels, figure.axis, true, 110 + rowHeight(shown.length) * labels.length);
    layout.showlegend = true;
    layout.legend = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" };
    layout.margin.t = 34;
    if (!narrow()) {
      layout.margin.r = 110;
      layout.annotations = shown.flatMap((one, i) => one.series.note.map((word, row) => ({
        text: word, x: 1.01, xref: "paper", xanchor: "left", y: traces[i].y[row], showarrow: false, font: { size: 12, color: one.series.colour },
      })));
    }
    return { traces, layout };
  }

  function draws(figure) {
    const layout = base();
    layout.height = 330;
    layout.margin.l = 64;
    layout.xaxis = axis("draw", { dtick: 1 });
    layout.yaxis = axis(figure.axis, {});
    layout.showlegend = true;
    layout.legend = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" };
    layout.margin.t = 34;
    const traces = figure.series.map((one) => ({
      type: "scatter", mode: "markers", name: one.name, x: one.x, y: one.y,
      marker: { color: one.colour, symbol: one.symbol, size: 10 },
      hovertext: one.x.map((x, i) => `${one.name}<br>draw ${x}: ${digits(one.y[i])}`), hoverinfo: "text",
    }));
    return { traces, layout };
  }

  function prepare(element) {
    const figure = data[element.dataset.figure];
    if (!figure || typeof Plotly === "undefined") return;
    const view = document.createElement("div");
    view.className = "interactive";
    view.setAttribute("aria-hidden", "true"); // the static picture and the tables carry the same content in words
    let chosen = figure.contrasts && figure.contrasts.some((one) => one.reference) ? "reference" : "0";
    const draw = () => {
      const { traces, layout } = figure.kind === "forest" ? forest(figure, chosen) : figure.kind === "draws" ? draws(figure) : points(figure);
      return Plotly.react(view, traces, layout, config);
    };
    if (figure.kind === "forest" && figure.contrasts.length > 1) {
      const tools = document.createElement("label");
      tools.className = "plot-tools";
      tools.textContent = "Compare ";
      const select = document.createElement("select");
      const options = figure.contrasts.map((one, i) => [String(i), one.label]);
      if (chosen === "reference") options.unshift(["reference", "every arm with the reference"]);
      for (const [value, text] of options) {
        const option = document.createElement("option");
        option.value = value;
        option.innerHTML = ""; // labels arrive escaped for plotly: decode through a parser that runs nothing
        option.textContent = new DOMParser().parseFromString(text, "text/html").documentElement.textContent;
        select.append(option);
      }
      select.addEventListener("change", () => { chosen = select.value; draw(); });
      tools.append(select);
      element.append(tools);
    }
    element.append(view);
    draw().then(() => {
      element.querySelector(".static").classList.add("unseen");
      element.classList.add("drawn");
    });
  }

  const waiting = new Set(document.querySelectorAll(".plot[data-figure]"));
  function drawVisible() {
    for (const element of [...waiting]) {
      if (element.offsetParent === null) continue; // hidden behind a switch: drawn when it is shown
      waiting.delete(element);
      prepare(element);
    }
  }

  for (const task of document.querySelectorAll(".task")) {
    const first = task.querySelector(".protocol");
    if (!first) continue;
    addSwitch(task, first, "protocol", "Hyperparameter protocol");
    addSwitch(task, first, "statistic", "Statistic");
  }
  drawVisible();

  // ---- the list of trials: sort by heading, filter by text
  const table = document.getElementById("trial-table");
  if (table) {
    const body = table.tBodies[0];
    const lines = [...body.rows];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const text = (row) => row.cells[column].textContent.trim().replace("−", "-");
        const numeric = (value) => (value !== "" && isFinite(value) ? Number(value) : NaN);
        lines.sort((a, b) => {
          const [x, y] = [numeric(text(a)), numeric(text(b))];
          const order = isNaN(x) || isNaN(y) ? text(a).localeCompare(text(b)) : x - y;
          return up ? order : -order;
        });
        body.append(...lines);
      });
    });
    const filter = document.getElementById("trial-filter");
    const count = document.getElementById("trial-count");
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of lines) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = words.length ? `${shown} of ${lines.length}` : "";
    });
  }
})();
