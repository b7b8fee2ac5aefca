// When to try again: exponential backoff with full jitter, and what a server's `Retry-After` says.

const FIRST_MS = 300;
const LAST_MS = 30_000;
const RETRY_AFTER_AT_MOST_MS = 10 * 60_000;

/** Anything between nothing and a bound that doubles with each failure: many clients do not come back as one. */
export function backoffMs(failures, random = Math.random) {
  return random() * Math.min(LAST_MS, FIRST_MS * 2 ** failures);
}

/** Seconds or a date, as HTTP has it; 0 for none and for nonsense. */
export function retryAfterMs(value, now = Date.now()) {
  const ms = /^\d+$/.test(value ?? '') ? value * 1000 : Date.parse(value) - now;
  return Math.min(Math.max(ms || 0, 0), RETRY_AFTER_AT_MOST_MS);
}
