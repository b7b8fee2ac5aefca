// Pictures of series, as a page of small charts: what a person looks at to see whether a dashboard says something.

const COLOURS = ['#2f6fed', '#d9480f', '#2b8a3e', '#9c36b5', '#e8590c', '#0b7285', '#c2255c', '#5c940d', '#495057', '#6741d9'];
const SIZE = { width: 420, height: 170, left: 56, right: 10, top: 10, bottom: 22 };
const LEGEND = 8;

/** A page of `charts`: [{ title, description, unit, series: [{ label, points }], kind }]; `marks`: [{ at, text }]. */
export function page(title, charts, { columns = 3, marks = [] } = {}) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(title)}</title><style>
    body { font: 13px/1.4 system-ui, sans-serif; margin: 16px; background: #fff; color: #212529; }
    h1 { font-size: 18px; margin: 0 0 12px; } h2 { font-size: 13px; margin: 0 0 4px; }
    main { display: grid; grid-template-columns: repeat(${columns}, ${SIZE.width}px); gap: 14px; }
    section { border: 1px solid #dee2e6; border-radius: 6px; padding: 10px; }
    ul { list-style: none; margin: 4px 0 0; padding: 0; font-size: 11px; display: flex; flex-wrap: wrap; gap: 2px 12px; }
    li::before { content: ""; display: inline-block; width: 10px; height: 3px; margin-right: 5px; vertical-align: middle; background: var(--colour); }
    .stat { font-size: 34px; text-align: center; padding: 30px 0; } .empty { color: #c92a2a; padding: 60px 0; text-align: center; }
  </style><h1>${escape(title)}</h1><main>${charts.map((chart) => section(chart, marks)).join('')}</main></html>`;
}

function section(chart, marks) {
  return `<section><h2>${escape(chart.title)}</h2>${body(chart, marks)}</section>`;
}

function body(chart, marks) {
  if (chart.series.length === 0) return '<div class="empty">no data</div>';
  if (chart.kind === 'stat') {
    const last = chart.series.map(({ label, points }) => `${amount(points.at(-1)[1], chart.unit)} ${escape(label)}`);
    return `<div class="stat">${last.join('<br>')}</div>`;
  }
  return lines(chart, marks) + legend(chart.series);
}

function lines({ series, unit }, marks) {
  const all = series.flatMap(({ points }) => points);
  const [from, to] = [Math.min(...all.map(([at]) => at)), Math.max(...all.map(([at]) => at))];
  const most = Math.max(...all.map(([, value]) => value), 0) || 1;
  const x = (at) => SIZE.left + (at - from) / Math.max(to - from, 1) * (SIZE.width - SIZE.left - SIZE.right);
  const y = (value) => SIZE.height - SIZE.bottom - value / most * (SIZE.height - SIZE.top - SIZE.bottom);
  const grid = [0, 0.5, 1].map((part) => `<line x1="${SIZE.left}" x2="${SIZE.width - SIZE.right}" y1="${y(most * part)}" y2="${y(most * part)}" stroke="#e9ecef"/>
    <text x="${SIZE.left - 5}" y="${y(most * part) + 4}" text-anchor="end" font-size="10">${amount(most * part, unit)}</text>`);
  const clock = [from, to].map((at, end) => `<text x="${x(at)}" y="${SIZE.height - 6}" font-size="10" text-anchor="${end ? 'end' : 'start'}">${new Date(at * 1000).toISOString().slice(11, 19)}</text>`);
  const told = marks.filter(({ at }) => at >= from && at <= to).map(({ at, text }) => `<line x1="${x(at)}" x2="${x(at)}" y1="${SIZE.top}" y2="${SIZE.height - SIZE.bottom}" stroke="#adb5bd" stroke-dasharray="3 3"><title>${escape(text)}</title></line>`);
  const paths = series.map(({ points }, number) => `<polyline fill="none" stroke="${COLOURS[number % COLOURS.length]}" stroke-width="1.5" points="${points.map(([at, value]) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ')}"/>`);
  return `<svg width="${SIZE.width - 22}" viewBox="0 0 ${SIZE.width} ${SIZE.height}" role="img">${[...grid, ...clock, ...told, ...paths].join('')}</svg>`;
}

function legend(series) {
  const items = series.slice(0, LEGEND).map(({ label }, number) => `<li style="--colour: ${COLOURS[number % COLOURS.length]}">${escape(label || 'value')}</li>`);
  if (series.length > LEGEND) items.push(`<li style="--colour: transparent">and ${series.length - LEGEND} more</li>`);
  return `<ul>${items.join('')}</ul>`;
}

/** A number as Grafana writes it. */
function amount(value, unit) {
  switch (unit) {
    case 's': return value !== 0 && Math.abs(value) < 1 ? `${short(value * 1000)} ms` : `${short(value)} s`;
    case 'bytes': return value >= 1 << 20 ? `${short(value / (1 << 20))} MiB` : `${short(value / 1024)} KiB`;
    case 'percentunit': return `${short(value * 100)} %`;
    case 'ops': return `${short(value)}/s`;
    default: return short(value);
  }
}

function short(value) {
  return String(Number(value.toPrecision(3)));
}

function escape(text) {
  return String(text).replace(/[&<>"]/g, (it) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[it]);
}
