// How times, spans and states are said.

/** From here on a message counts as one that waited. */
export const LATE_AFTER_MS = 10_000;

export const clockFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
export const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export function dayWords(time) {
  const day = (ms) => new Date(ms).toDateString();
  if (day(time) === day(Date.now())) return 'Today';
  if (day(time) === day(Date.now() - 24 * 3_600_000)) return 'Yesterday';
  return dayFormat.format(time);
}

export function spanWords(ms) {
  if (ms < 90_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 90 * 60_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 36 * 3_600_000) return `${Math.round(ms / 3_600_000)} h`;
  return `${Math.round(ms / (24 * 3_600_000))} days`;
}

export function lagWords(ms) {
  if (!(ms >= 0)) return '';
  if (ms < 1000) return `${ms} ms`;
  if (ms < LATE_AFTER_MS) return `${(ms / 1000).toFixed(1)} s`;
  return `arrived ${spanWords(ms)} later`;
}

export const STATES = {
  waiting: { icon: 'i-clock', words: 'Waiting for the connection' },
  sending: { icon: 'i-clock', words: 'Sending' },
  sent: { icon: 'i-check', words: 'Sent' },
  failed: { icon: 'i-alert', words: 'Not sent' },
};

/** The client's transports, as a person reads them. */
export const TRANSPORTS = { websocket: 'WebSocket', sse: 'Event stream', longpoll: 'Long polling', shortpoll: 'Short polling' };
