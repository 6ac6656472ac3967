// Two charts of the last two minutes.
/* global Chart */

const POINTS = 120;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function makeChart(id, series, stepped) {
  const empty = () => Array(POINTS).fill(null);
  const chart = new Chart(document.getElementById(id), {
    type: "line",
    data: { labels: empty().map((_, i) => i), datasets: series.map((label) => ({ label, data: empty(), borderWidth: 1.5, pointRadius: 0, fill: "origin", stepped, tension: stepped ? 0 : 0.3 })) },
    options: {
      animation: false, maintainAspectRatio: false, events: [],
      plugins: { legend: { display: series.length > 1, align: "end", labels: { boxWidth: 8, boxHeight: 8, font: { size: 11 } } }, tooltip: { enabled: false } },
      scales: {
        x: { display: false },
        y: { beginAtZero: true, suggestedMax: 1, border: { display: false }, grid: { drawBorder: false }, ticks: { maxTicksLimit: 4, font: { size: 11 }, precision: 0 },
             afterFit: (axis) => { axis.width = 40; } },
      },
    },
  });
  const paint = (names) => {
    chart.data.datasets.forEach((dataset, i) => {
      dataset.borderColor = colour(names[i]);
      dataset.backgroundColor = `${colour(names[i])}26`;  // 15 % of it
    });
    chart.options.scales.y.grid.color = colour("--line");
    chart.options.scales.y.ticks.color = chart.options.plugins.legend.labels.color = colour("--soft");
    chart.update();
  };
  return { paint, add(values) {
    chart.data.datasets.forEach((dataset, i) => {
      dataset.data.push(values[i]);
      dataset.data.shift();
    });
    chart.update();
  } };
}

export function makeCharts() {
  Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
  const tokens = makeChart("tokens-chart", ["generated"], false);
  const batch = makeChart("batch-chart", ["running", "waiting"], true);
  const paint = () => {
    tokens.paint(["--accent"]);
    batch.paint(["--accent", "--age4"]);
  };
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  return {
    add(now, change) {
      tokens.add([change ? Math.max(0, now.generated_tokens - change.before.generated_tokens) / change.elapsed : null]);
      batch.add([now.running, now.waiting]);
    },
  };
}
