// What the module gives.

import { NoticeClient } from './client.js';

export { NoticeError } from './outbox.js';

/** Connects, and stays connected until `close()`. */
export function connect(options) { return new NoticeClient(options); }
