"use strict";
// Draws the charts when they come into view, and filters and sorts what the page shows.
// Everything from the study reaches the page as text: no HTML is ever made from it here.
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const configurations = data.configurations;
  const charts = new Map(
    [...document.querySelectorAll("[data-chart]")].map((node) => [node.id, { node, drawn: false, ...data.charts[node.id] }])
  );
  const BUTTONS = [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: BUTTONS };
  const TITLE_PX = 40;
  const LEGEND_ROW_PX = 20;
  const PRINT_WIDTH_PX = 680;
  const PRINT_HEIGHT_PX = 330;
  const MOST_PRINTED = 60;
  let visible = configurations.map(() => true);

  // ---- charts ----

  // Text for Plotly, which would take <b> or <a href=...> in it for a tag.
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  // Arrays that run along the points of a trace.
  const ALONG = ["x", "y", "text", "hovertext", "base", "width"];

  function filtered(trace) {
    const meta = trace.meta || {};
    if (meta.experiments === undefined) return trace;
    if (!meta.named) {
      trace.hovertext = trace.hovertext.map((text, point) => `${plain(configurations[meta.experiments[point]].label)}<br>${text}`);
      meta.named = true;
    }
    const kept = [];
    meta.experiments.forEach((experiment, point) => { if (visible[experiment]) kept.push(point); });
    const result = { ...trace };
    for (const name of ALONG) {
      if (Array.isArray(trace[name])) result[name] = kept.map((point) => trace[name][point]);
    }
    return result;
  }

  // Curves are in the order of the ranking.
  function selected(traces) {
    const shown = traces.filter((t) => visible[t.meta.experiment] && !isBaseline(t)).slice(0, data.curves);
    return [...traces.filter(isBaseline).map((t) => styled(t, -1)), ...shown.map(styled)];
  }

  const isBaseline = (trace) => configurations[trace.meta.experiment].baseline;

  function styled(trace, place) {
    const { colors, dashes, symbols } = data.look;
    const look = place < 0
      ? { color: "#1a1a1a", dash: "solid", symbol: "x" }
      : { color: colors[place % colors.length], dash: dashes[place % dashes.length], symbol: symbols[place % symbols.length] };
    return {
      ...trace,
      name: plain(configurations[trace.meta.experiment].label),
      line: { color: look.color, dash: look.dash, width: 2 },
      marker: { color: look.color, symbol: look.symbol, size: 8 },
      hovertemplate: "%{fullData.name}<br>concurrency %{text}: %{y:.4~s}s at %{x:.4~s} tok/s<extra></extra>",
      hoverlabel: { namelength: -1 },
    };
  }

  function shownTraces(chart) {
    return chart.selects ? selected(chart.figure.data) : chart.figure.data.map(filtered);
  }

  function draw(chart) {
    const first = !chart.drawn;
    chart.drawn = true;
    const layout = { ...chart.figure.layout, uirevision: "kept", autosize: true };
    const done = first
      ? Plotly.newPlot(chart.node, shownTraces(chart), layout, CONFIG)
      : Plotly.react(chart.node, shownTraces(chart), layout, CONFIG);
    if (chart.selects) drawLegend(chart);
    return done;
  }

  function drawAll() {
    return Promise.all([...charts.values()].filter((chart) => !chart.drawn).map(draw));
  }

  function redraw() {
    return Promise.all([...charts.values()].filter((chart) => chart.drawn).map(draw));
  }

  function drawWhenSeen() {
    const observer = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const chart = charts.get(entry.target.id);
        if (entry.isIntersecting && !chart.drawn) draw(chart);
        if (chart.drawn) observer.unobserve(entry.target);
      }
    }, { rootMargin: "400px" });
    charts.forEach((chart) => observer.observe(chart.node));
  }

  // ---- the legend that all curves share ----

  const DASH_ARRAYS = { solid: "", dash: "9 4", dot: "2 4", dashdot: "9 4 2 4", longdash: "14 5" };
  const MARKS = {
    "circle": "M5 0A5 5 0 1 1-5 0A5 5 0 1 1 5 0Z", "square": "M-4.5-4.5H4.5V4.5H-4.5Z",
    "diamond": "M0-6L6 0L0 6L-6 0Z", "triangle-up": "M0-6L6 4.5H-6Z", "triangle-down": "M0 6L6-4.5H-6Z",
    "x": "M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z", "cross": "M-2-5.5H2V-2H5.5V2H2V5.5H-2V2H-5.5V-2H-2Z",
    "star": "M0-6.5L1.6-2H6.2L2.5 .8L3.9 5.3L0 2.6L-3.9 5.3L-2.5 .8L-6.2-2H-1.6Z",
  };

  function svg(name, attributes) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  }

  function drawLegend(chart) {
    const legend = document.getElementById("curves-legend");
    legend.replaceChildren(...selected(chart.figure.data).map((trace) => {
      const swatch = svg("svg", { width: 44, height: 16, viewBox: "-22 -8 44 16", "aria-hidden": "true" });
      swatch.append(
        svg("path", { d: "M-21 0H21", stroke: trace.line.color, "stroke-width": 2, "stroke-dasharray": DASH_ARRAYS[trace.line.dash] }),
        svg("path", { d: MARKS[trace.marker.symbol], fill: trace.marker.color })
      );
      const item = document.createElement("li");
      const text = document.createElement("span");
      text.textContent = configurations[trace.meta.experiment].label;
      item.append(swatch, text);
      return item;
    }));
  }

  // ---- filters ----

  const form = document.getElementById("filters");
  const search = document.getElementById("filter-text");
  const status = document.getElementById("filter-status");
  const parameters = [...form.querySelectorAll("select[data-parameter]")];
  const body = document.querySelector("#configurations tbody");
  const rows = [...body.rows];
  const texts = rows.map((row) => {
    const of = configurations[row.dataset.index];
    return `${of.label} ${of.id} ${row.textContent} ${of.reason}`.toLowerCase();
  });
  const textOf = new Map(rows.map((row, place) => [row.dataset.index, texts[place]]));

  function matches(index) {
    const of = configurations[index];
    if (status.value !== "" && of.status !== Number(status.value)) return false;
    if (parameters.some((s) => s.value !== "" && of.parameters[s.dataset.parameter] !== Number(s.value))) return false;
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return words.every((word) => textOf.get(String(index)).includes(word));
  }

  function applyFilter() {
    visible = configurations.map((_, index) => matches(index));
    for (const row of rows) {
      row.hidden = !visible[row.dataset.index];
      if (row.hidden) closeDetails(row);
    }
    const count = visible.filter(Boolean).length;
    document.getElementById("filter-count").textContent = `${count} of ${configurations.length} shown`;
    return redraw();
  }

  let waiting = 0;
  function applySoon() {
    clearTimeout(waiting);
    waiting = setTimeout(applyFilter, 150);
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(applyFilter));
  search.addEventListener("input", applySoon);
  for (const select of [status, ...parameters]) select.addEventListener("change", applyFilter);

  // ---- the table ----

  function keyOf(row, column) {
    const value = row.cells[column].dataset.v;
    const number = Number(value);
    return value === "" ? null : Number.isNaN(number) ? value : number;
  }

  function compare(a, b) {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  function sortBy(heading, column) {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentNode.children) {
      if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    }
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    rows.forEach(closeDetails);
    const keyed = rows.map((row) => [keyOf(row, column), row]);
    // What has no value comes last in either direction.
    keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null) : (descending ? -1 : 1) * compare(a, b));
    body.append(...keyed.map(([, row]) => row));
  }

  document.querySelectorAll("#configurations thead button").forEach((button) => {
    button.addEventListener("click", () => sortBy(button.parentNode, Number(button.dataset.column)));
  });

  function closeDetails(row) {
    const next = row.nextElementSibling;
    if (next === null || !next.classList.contains("more")) return;
    next.remove();
    row.querySelector("button").setAttribute("aria-expanded", "false");
  }

  function openDetails(row) {
    const of = configurations[row.dataset.index];
    const cell = document.createElement("td");
    cell.colSpan = row.cells.length;
    for (const [title, text] of [["configuration", of.label], ["experiment", of.id], ["level of the score", of.level], ["why it cannot win", of.reason], ["command", of.command]]) {
      if (!text) continue;
      const line = document.createElement(title === "command" ? "pre" : "div");
      line.textContent = title === "command" ? text : `${title}: ${text}`;
      cell.append(line);
    }
    const more = document.createElement("tr");
    more.className = "more";
    more.append(cell);
    row.after(more);
    row.querySelector("button").setAttribute("aria-expanded", "true");
  }

  body.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    const row = button.closest("tr");
    if (button.getAttribute("aria-expanded") === "true") closeDetails(row);
    else openDetails(row);
  });

  // ---- print ----

  const heights = new Map();

  function beforePrint() {
    drawAll();
    for (const { node, rows } of charts.values()) {
      const height = rows ? node.clientHeight : PRINT_HEIGHT_PX;
      heights.set(node, node.style.height);
      node.style.height = `${height}px`;
      Plotly.relayout(node, { width: PRINT_WIDTH_PX, height, autosize: false });
    }
    const shown = [...body.rows].filter((row) => !row.hidden);
    shown.forEach((row, place) => row.classList.toggle("unprinted", place >= MOST_PRINTED));
    const note = document.getElementById("print-note");
    note.textContent = shown.length > MOST_PRINTED ? `The first ${MOST_PRINTED} of ${shown.length} rows; the file on a screen has them all.` : "";
  }

  function afterPrint() {
    document.getElementById("print-note").textContent = "";
    for (const { node } of charts.values()) {
      node.style.height = heights.get(node);
      Plotly.relayout(node, { width: null, height: null, autosize: true });
    }
  }

  window.addEventListener("beforeprint", beforePrint);
  window.addEventListener("afterprint", afterPrint);

  // For `autotuner report --png`, and for tests.
  window.report = {
    chartIds: () => [...charts.keys()],
    drawAll,
    // Alone, a chart must say for itself what it shows.
    image(id, width, scale) {
      const chart = charts.get(id);
      const drawn = shownTraces(chart);
      const { margin, legend, ...layout } = chart.figure.layout;
      const title = chart.node.closest("figure").querySelector("h3").textContent;
      const rows = chart.selects ? drawn.length : 0;
      const height = chart.node.clientHeight + TITLE_PX + LEGEND_ROW_PX * rows;
      Object.assign(layout, {
        title: { text: plain(data.simulated ? `${title} (SIMULATED)` : title), x: 0.02, xanchor: "left", y: 1, yanchor: "top", pad: { t: 14 } },
        margin: { ...margin, t: margin.t + TITLE_PX, b: margin.b + LEGEND_ROW_PX * rows },
        showlegend: rows > 0 || layout.showlegend,
        legend: rows > 0 ? { x: 0, xanchor: "left", yref: "container", y: 0, yanchor: "bottom" } : legend,
      });
      return Plotly.toImage({ data: drawn, layout }, { format: "png", width, height, scale });
    },
  };

  applyFilter();
  drawWhenSeen();
})();
