// What Prometheus has collected.

import { settings } from './cluster.mjs';

async function ask(path, parameters) {
  const url = `${settings.prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`;
  const response = await fetch(url, { signal: AbortSignal.timeout(20_000) });
  const { status, data, error } = await response.json();
  if (status !== 'success') throw new Error(`${parameters.query}: ${error}`);
  return data.result;
}

/** The series of a query now: [{ metric, value }]. */
export async function query(text) {
  const result = await ask('query', { query: text });
  return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
}

/** The series of a query over a time, in seconds since 1970: [{ metric, points: [[seconds, value]] }], without gaps' NaN. */
export async function queryRange(text, { start, end, step }) {
  const result = await ask('query_range', { query: text, start, end, step });
  return result.map(({ metric, values }) => ({
    metric,
    points: values.map(([at, value]) => [at, Number(value)]).filter(([, value]) => Number.isFinite(value)),
  })).filter(({ points }) => points.length > 0);
}
