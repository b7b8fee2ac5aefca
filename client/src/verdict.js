// What the end of a connection, or the answer to opening one, asks of a client. Pure.

import { retryAfterMs } from './backoff.js';

const LATER_MS = 5_000;
const MISUSE_MS = 30_000;

/**
 * `end` holds what is known: the close code of a WebSocket, or the status of an HTTP answer and its Retry-After;
 * nothing at all when the network broke or time was up.
 *
 * `then` of the answer: `again` (wait `waitMs`, and a backoff), `token` (get a new one first), `lower` (this
 * transport does not work here), `never` (not by itself), `ask` (who knows: `GET /session` may).
 */
export function verdict({ code, status, retryAfter }) {
  if (code === 4401 || status === 401) return { then: 'token' };
  if (code === 4403) return { then: 'never', reason: 'removed' };
  if (code === 4409) return { then: 'never', reason: 'replaced' };
  if (code === 1008) return { then: 'again', waitMs: MISUSE_MS, reason: 'misuse' };
  if (code === 1013 || code >= 4400) return { then: 'again', waitMs: LATER_MS, reason: 'overloaded' };
  if (code === 1001 || code === 1009 || code === 1012) return { then: 'again', waitMs: 0, reason: 'restart' };
  if (status === 429 || status === 408 || status >= 500) {
    return { then: 'again', waitMs: retryAfterMs(retryAfter), reason: 'overloaded' };
  }
  // 204 ends a stream for good, be it that the token has ended or that a service call removed the session.
  return status && status !== 204 ? { then: 'lower' } : { then: 'ask' };
}
