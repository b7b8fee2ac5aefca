// Polling: long, where the server holds the request until there is something, and short.

import { call, endOf, post, postNotice } from './http.js';

const WAIT_SECONDS = 25;
const LIMIT = 100;
const MARGIN_MS = 10_000;
const STUCK_MS = 1_000;

/**
 * A link as `openWebSocket` gives one. `pauseMs` of the context is the pause between short polls; none: long polls.
 * `settled` resolves when the program has handled what came: the next request acknowledges it.
 */
export function openPoll(context, { opened, frame, ended, settled }) {
  let over = false;
  let acks = [];
  let abort = new AbortController();
  let wake = () => {};

  const stop = () => {
    over = true;
    abort.abort();
    wake();
    if (acks.length) post(context, 'ack', { ids: acks.splice(0) }, { keepalive: true }).catch(() => {});
  };
  const end = (how) => {
    if (over) return;
    stop();
    ended(how);
  };
  const sleep = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  const ask = async (wait) => {
    abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), wait * 1000 + MARGIN_MS);
    const read = acks.splice(0, LIMIT);
    const query = `wait=${wait}&limit=${LIMIT}&session=${context.session}${read.length ? `&ack=${read.join()}` : ''}`;
    try {
      const response = await call(context, `poll?${query}`, { signal: abort.signal });
      return response.ok ? await response.json() : end(endOf(response));
    } finally { clearTimeout(timer); }
  };
  const take = ({ notices, read, recalled }) => {
    if (read) frame({ type: 'read', ids: read });
    if (recalled) frame({ type: 'recall', ids: recalled });
    for (const notice of notices) frame({ type: 'notice', notice });
  };
  const run = async () => {
    for (let first = true; !over; first = false) {
      // The first does not wait, so that it is soon known whether this works.
      const answer = await ask(first || context.pauseMs ? 0 : WAIT_SECONDS);
      if (over) return;
      if (first) opened({});
      take(answer);
      await settled();
      if (over || acks.length) continue;
      if (context.pauseMs) await sleep(context.pauseMs());
      else if (answer.notices.length) await sleep(STUCK_MS); // a handler failed: the same would come at once, again
    }
  };
  run().catch(() => end({}));
  return {
    acknowledge: (ids) => { acks.push(...ids); },
    post: (notice) => postNotice(context, notice),
    close: stop,
  };
}
