// Bars, drawn by uPlot (a global of its own script) where they are many, by plain elements where they are few.
import { count, el, table } from "./dom.js";

const HEIGHT = 150;
const drawn = new Set();
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Draws all charts again in the present colours. */
export function recolor() {
  for (const chart of drawn) chart.redraw(false, true);
}

/** Events by time. `buckets` are the API's; `step` names one of them. */
export function rates(title, step, buckets) {
  const all = buckets.reduce((sum, { events }) => sum + events, 0);
  const most = buckets.reduce((top, { events }) => Math.max(top, events), 0);
  const told = all ? `${count(all)} in all, at most ${count(most)} in a ${step}` : "none";
  const canvas = el("div", { class: "chart", role: "img", "aria-label": `${title}: ${told}` });
  const data = [buckets.map(({ at }) => Date.parse(at) / 1000), buckets.map(({ events }) => events)];
  draw(canvas, data, step);
  return el(
    "figure",
    {},
    el("figcaption", {}, el("strong", {}, title), " ", el("span", { class: "dim" }, told)),
    canvas,
  );
}

/** Draws as soon as the place is laid out, and again when its width changes. */
function draw(place, data, step) {
  let chart = null;
  const observer = new ResizeObserver(([{ contentRect }]) => {
    if (!place.isConnected) {
      observer.disconnect();
      drawn.delete(chart);
      chart?.destroy();
    } else if (chart) {
      chart.setSize({ width: contentRect.width, height: HEIGHT });
    } else {
      chart = new uPlot(options(contentRect.width, data, step), data, place);
      drawn.add(chart);
    }
  });
  observer.observe(place);
}

function options(width, [times], step) {
  const half = (times[1] - times[0]) / 2;
  const axis = {
    stroke: () => color("--dim"),
    grid: { stroke: () => color("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui, sans-serif",
  };
  const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
  return {
    width,
    height: HEIGHT,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: true, range: () => [times[0] - half, times.at(-1) + half] },
      y: { range: (_, __, most) => [0, Math.max(most, 4)] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 28,
        space: 70,
        values: (_, ticks) => ticks.map((tick) => clock.format(tick * 1000)),
      },
      {
        ...axis,
        size: 44,
        space: 30,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8],
        values: (_, ticks) => ticks.map(count),
      },
    ],
    series: [
      {},
      {
        fill: () => color("--bar"),
        width: 0,
        points: { show: false },
        paths: uPlot.paths.bars({ size: [0.8, step === "minute" ? 12 : 24] }),
      },
    ],
  };
}

/** Numbers of things by kind, as a table whose cells hold bars. */
export function histogram(caption, columns, rows) {
  const most = Math.max(...rows.map(([, number]) => number), 1);
  const bars = table(
    caption,
    columns,
    rows.map(([name, number]) => {
      const bar = el("span", { class: "bar-of", "aria-hidden": "true" });
      bar.style.inlineSize = `${(number / most) * 100}%`;
      return [
        name,
        el(
          "span",
          { class: "bar-cell" },
          el("span", { class: "number" }, count(number)),
          el("span", { class: "bar-room", "aria-hidden": "true" }, bar),
        ),
      ];
    }),
  );
  // Two columns fit anywhere.
  bars.classList.add("few");
  return bars;
}
