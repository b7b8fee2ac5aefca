// One event stream, with acknowledgement by the program (`?ack=client`).

import { eventReader } from './events.js';
import { call, endOf, post, postNotice } from './http.js';

const FIRST_BYTES_WITHIN_MS = 10_000;
/** The server writes something every 25 s. */
const SILENCE_MS = 60_000;

/** A link as `openWebSocket` gives one. */
export function openSse(context, { opened, frame, ended }) {
  const abort = new AbortController();
  let over = false;
  let deadline = 0;

  const stop = () => {
    over = true;
    clearTimeout(deadline);
    abort.abort();
  };
  const end = (how) => {
    if (over) return;
    stop();
    ended(how);
  };
  const expect = (ms) => {
    clearTimeout(deadline);
    deadline = setTimeout(() => end({}), ms);
  };
  const read = eventReader((type, data) => {
    const content = JSON.parse(data);
    frame(type === 'notice' ? { type, notice: content } : { ...content, type });
  });
  const acknowledge = async (ids) => {
    const response = await post(context, 'ack', { ids }).catch(() => null);
    // Without it they stay unread. On the next stream they come again, and are acknowledged again.
    if (!response?.ok) end(response ? endOf(response) : {});
  };
  const run = async () => {
    const response = await call(context, 'sse?ack=client', { headers: { Accept: 'text/event-stream' }, signal: abort.signal });
    if (response.status !== 200) return end(endOf(response));
    if (!response.headers.get('Content-Type')?.startsWith('text/event-stream')) return end({ status: 406 });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let first = true; !over; first = false) {
      const { done, value } = await reader.read();
      if (over) return;
      if (done) return end({});
      // Not before bytes came: a proxy that keeps them back would have answered as well.
      if (first) opened({});
      expect(SILENCE_MS);
      read(value);
    }
  };
  expect(FIRST_BYTES_WITHIN_MS);
  run().catch(() => end({}));
  return { acknowledge, post: (notice) => postNotice(context, notice), close: stop };
}
