// The page of a report: draws figures in the colours of the theme, sorts tables, reads values out
// by keyboard and, during a run, loads updates.
(() => {
  "use strict";
  const root = document.documentElement;
  const main = document.getElementById("content");
  const plots = new Map(); // element of a figure -> its specification and the chosen axis

  // Colours: "--run-0" is a CSS variable of the theme, "--run-0/.2" has an opacity of 0.2.
  function colour(text) {
    const match = /^(--[a-z0-9-]+)(?:\/([\d.]+))?$/.exec(text);
    if (!match) return text;
    const value = getComputedStyle(root).getPropertyValue(match[1]).trim();
    if (!value || !match[2]) return value || text;
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(value.slice(at, at + 2), 16));
    return `rgba(${r}, ${g}, ${b}, ${match[2]})`;
  }

  function themed(value) {
    if (typeof value === "string") return colour(value);
    if (Array.isArray(value)) return value.map(themed);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item)]));
    }
    return value;
  }

  function axis(own) {
    const title = typeof own?.title === "string" ? { text: own.title, standoff: 8 } : own?.title;
    return {
      gridcolor: "--line", zerolinecolor: "--line", linecolor: "--line", automargin: true,
      ...own, title, fixedrange: true,
    };
  }

  function draw(element) {
    const { spec, choice } = plots.get(element);
    const chosen = spec.choices?.[choice];
    const data = spec.data.map((trace, place) => (chosen ? { ...trace, x: chosen.x[place] } : trace));
    const xaxis = chosen ? { ...spec.layout.xaxis, title: chosen.title } : spec.layout.xaxis;
    const layout = {
      font: { color: "--text", family: getComputedStyle(document.body).fontFamily, size: 12 },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 24, r: 16, t: 14, b: 14 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
      hoverlabel: { bgcolor: "--surface", bordercolor: "--line", font: { color: "--text" } },
      dragmode: false, ...spec.layout, xaxis: axis(xaxis), yaxis: axis(spec.layout.yaxis),
    };
    const config = { displayModeBar: false, responsive: true, showTips: false };
    return Plotly.react(element, themed(data), themed(layout), config);
  }

  const drawAll = () => Promise.all([...plots.keys()].map(draw));

  function offerChoices(element, state, picture) {
    const fieldset = document.createElement("fieldset");
    fieldset.className = "choices";
    const legend = fieldset.appendChild(document.createElement("legend"));
    legend.textContent = "against";
    state.spec.choices.forEach((choice, place) => {
      const label = fieldset.appendChild(document.createElement("label"));
      const input = label.appendChild(document.createElement("input"));
      Object.assign(input, { type: "radio", name: `${picture.closest("figure").id}-axis` });
      input.checked = place === state.choice;
      input.addEventListener("change", () => { state.choice = place; draw(element); });
      label.append(choice.label);
    });
    picture.before(fieldset);
  }

  // Keyboard: arrows move from value to value; the current value is written below the figure.
  const shorten = (value) =>
    typeof value === "number" ? +value.toPrecision(4) : String(value).replaceAll("<br>", " and ");

  function pointsOf(element) {
    return element.data.flatMap((trace, curve) => {
      if (trace.hoverinfo === "skip") return [];
      if (trace.type === "heatmap") {
        return trace.z.map((row, i) => row.map((z, j) => ({
          curve, point: [i, j], says: `${trace.y[i]}, ${trace.x[j]}: ${z} ${trace.name}`,
        })));
      }
      const name = trace.name ? `${trace.name}: ` : "";
      return [Array.from(trace.y, (y, point) => ({
        curve, point, says: `${name}${shorten(trace.x[point])}, ${shorten(y)}`,
      }))];
    });
  }

  function readOut(picture, readout) {
    const plot = picture.querySelector(".plot");
    let row = 0;
    let column = -1;
    picture.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!step || event.target !== picture) return;
      event.preventDefault();
      const grid = plot
        ? pointsOf(plot)
        : [...picture.querySelectorAll(".cells")].map((cells) => [...cells.querySelectorAll("i")]);
      row = Math.max(0, Math.min(grid.length - 1, row + step[0]));
      column = Math.max(0, Math.min(grid[row].length - 1, column + step[1]));
      const found = grid[row][column];
      if (plot) {
        readout.textContent = found.says;
        Plotly.Fx.hover(plot, [{ curveNumber: found.curve, pointNumber: found.point }]);
        return;
      }
      picture.querySelector(".read")?.classList.remove("read");
      found.classList.add("read");
      const strip = found.closest(".strip").querySelector(".strip-name").textContent;
      readout.textContent = `${strip}, ${found.dataset.says}`;
    });
    picture.addEventListener("blur", () => {
      if (plot) Plotly.Fx.unhover(plot);
      picture.querySelector(".read")?.classList.remove("read");
    });
  }

  function sortBy(button) {
    const heading = button.closest("th");
    const table = heading.closest("table");
    const column = [...heading.parentNode.children].indexOf(heading);
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentNode.children) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
    };
    const compare = (a, b) => {
      const [left, right] = [value(a), value(b)];
      if (typeof left === "number" && typeof right === "number") return left - right;
      return String(left).localeCompare(String(right), undefined, { numeric: true });
    };
    const rows = [...table.tBodies[0].rows].sort(compare);
    table.tBodies[0].append(...(down ? rows.reverse() : rows));
  }

  function enliven(choices) {
    for (const picture of main.querySelectorAll(".picture")) {
      const figure = picture.closest("figure");
      const element = picture.querySelector(".plot");
      if (element) {
        const spec = JSON.parse(picture.querySelector("script").textContent);
        const state = { spec, choice: choices[figure.id] ?? 0 };
        plots.set(element, state);
        if (spec.choices) offerChoices(element, state, picture);
      }
      readOut(picture, figure.querySelector(".readout"));
    }
    return drawAll();
  }

  // The theme: the system's preference, until the switch is used.
  const preference = matchMedia("(prefers-color-scheme: dark)");
  const remembered = { get: () => null, set: () => {} };
  try {
    const kept = window.localStorage;
    remembered.get = () => kept.getItem("evop-theme");
    remembered.set = (theme) => kept.setItem("evop-theme", theme);
  } catch { /* a browser may refuse storage for a local file */ }
  const theme = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ?? (preference.matches ? "dark" : "light")) === "dark";

  function showTheme() {
    theme.setAttribute("aria-pressed", String(isDark()));
    return drawAll();
  }

  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered.set(root.dataset.theme);
    showTheme();
  });
  preference.addEventListener("change", showTheme);
  main.addEventListener("click", (event) => {
    const button = event.target.closest("thead button");
    if (button) sortBy(button);
  });

  // Long polling: during a run, the server answers as soon as there is an update.
  async function follow() {
    const status = document.getElementById("status");
    let version = document.body.dataset.version;
    for (;;) {
      let answer;
      try {
        answer = await fetch(`content?since=${encodeURIComponent(version)}`);
      } catch {
        status.textContent += " The run's process has ended; this page is no longer updated.";
        return;
      }
      if (answer.status !== 200) continue;
      version = answer.headers.get("X-Version");
      status.textContent = decodeURIComponent(answer.headers.get("X-Status"));
      const ended = answer.headers.get("X-Ended");
      const text = await answer.text();
      const open = [...main.querySelectorAll("details[open]")].map((details) => details.id);
      const choices = Object.fromEntries(
        [...plots].map(([element, state]) => [element.closest("figure").id, state.choice]));
      for (const element of plots.keys()) Plotly.purge(element);
      plots.clear();
      main.innerHTML = text;
      document.title = main.querySelector("h1").textContent;
      for (const name of open) document.getElementById(name)?.setAttribute("open", "");
      await enliven(choices);
      if (ended) return;
    }
  }

  const asked = remembered.get();
  if (asked === "light" || asked === "dark") root.dataset.theme = asked;
  theme.setAttribute("aria-pressed", String(isDark()));
  enliven({}).then(() => { root.dataset.drawn = "yes"; });
  if (document.body.dataset.version !== undefined) follow();
})();
