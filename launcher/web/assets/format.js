// Numbers as people read them.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function number(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} M`;
  if (value >= 100 || Number.isInteger(value)) return grouped.format(value);
  return value.toFixed(value < 10 ? 2 : 1);
}

export function seconds(value) {
  if (!(value > 0)) return "–";
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 1) return `${(value * 1e3).toFixed(value < 0.1 ? 1 : 0)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export function duration(value) {
  const [minutes, hours, days] = [value / 60, value / 3600, value / 86400].map(Math.floor);
  if (days > 0) return `${days} d ${hours % 24} h`;
  if (hours > 0) return `${hours} h ${minutes % 60} min`;
  return minutes > 0 ? `${minutes} min ${Math.floor(value) % 60} s` : `${Math.floor(value)} s`;
}

/** Of a counter, each second between two looks. */
export const rate = ({ now, before, elapsed }, name) => Math.max(0, now[name] - before[name]) / elapsed;

export function setText(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}
