// One WebSocket of `notice.v1`.

import { hidden } from './page.js';

const WELCOME_WITHIN_MS = 10_000;
const ANSWER_WITHIN_MS = 8_000;

function base64url(text) {
  const bytes = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte));
  return btoa(bytes.join('')).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/**
 * Opens a link. Every transport's link has `acknowledge(ids)`, `check()` (is it alive? a dead one ends) and
 * `close()`; this one has `send(frame)`, the others have `post(notice)`. It calls `opened(welcome)` once,
 * `frame(frame)`, and `ended(end)` once unless it was closed from here; `end` is what `verdict` takes.
 */
export function openWebSocket({ base, token }, { opened, frame: take, ended }) {
  const socket = new WebSocket(base.replace(/^http/, 'ws') + 'ws/socket', ['notice.v1', ...(token ? [`token.${base64url(token)}`] : [])]);
  let over = false;
  let quietMs = 0;
  let quiet = 0; // the timer of a long silence
  let deadline = setTimeout(() => end({}), WELCOME_WITHIN_MS);

  const stop = () => {
    over = true;
    clearTimeout(deadline);
    clearTimeout(quiet);
    socket.close(1000);
  };
  // The close event of a dead network can take minutes, so it is not waited for.
  const end = (how) => {
    if (over) return;
    stop();
    ended(how);
  };
  const send = (frame) => { if (socket.readyState === 1) socket.send(JSON.stringify(frame)); };
  /** A script sees no pings. Any answer proves life, and this frame has one: an error, that its type is not known. */
  const check = () => {
    if (over || !quietMs || deadline) return;
    send({ type: 'ping', ref: 'ping' });
    deadline = setTimeout(() => end({}), ANSWER_WITHIN_MS);
  };
  const listen = () => {
    clearTimeout(quiet);
    quiet = setTimeout(() => (hidden() ? listen() : check()), quietMs);
  };

  socket.onclose = ({ code }) => end(code === 1006 || code === 1005 ? {} : { code });
  socket.onmessage = ({ data }) => {
    if (over) return;
    let frame;
    try { frame = JSON.parse(data); } catch { return; }
    if (frame.type === 'welcome') quietMs = 2_000 * (frame.pingSeconds || 25);
    if (!quietMs) return;
    clearTimeout(deadline);
    deadline = 0;
    listen();
    if (frame.type === 'welcome') opened(frame);
    else if (frame.ref !== 'ping') take(frame);
  };
  return { acknowledge: (ids) => send({ type: 'ack', ids }), send, check, close: stop };
}
