/** How notices come. Only the first three are taken by default. */
export type Transport = 'websocket' | 'sse' | 'longpoll' | 'shortpoll';

/** One message to one account. Pass over members that you do not know. */
export interface Notice<Data = unknown> {
  /** Unique; treat it as opaque. */
  readonly id: string;
  readonly receiverId: string;
  readonly message: string;
  /** When it was staged: ms since the epoch, by the store's clock. */
  readonly createdTime: number;
  /** `true` only in history. */
  readonly read: boolean;
  /** Left out when a service named nobody. */
  readonly senderId?: string;
  /** The application's own kind. */
  readonly type?: string;
  readonly data?: Data;
  readonly expireTime?: number;
  readonly collapseKey?: string;
  /** A hint: some session had been handed it before. */
  readonly redelivered?: boolean;
}

/** What is sent to another account. */
export interface Outgoing {
  receiverId: string;
  message: string;
  type?: string;
  data?: unknown;
  /** Made by the client if left out. Give your own to go on sending after a reload. */
  idempotencyKey?: string;
}

export interface Sent {
  id: string;
  /** An earlier call with the same key had stored it. */
  duplicate: boolean;
}

/** Why the client is offline. */
export type OfflineReason =
  /** It has just begun. */
  | 'starting'
  /** The server is not reached. */
  | 'network'
  /** The server, or this node of it, restarts. */
  | 'restart'
  /** The server asked for patience: too many at once, or it drains. */
  | 'overloaded'
  /** The server says that the protocol was not kept. */
  | 'misuse'
  /** The token callback threw. */
  | 'token'
  /** Nobody has looked at the page for `pauseAfterMs`. It comes back by itself. */
  | 'hidden'
  /** The token ended, and there is no newer one. */
  | 'expired'
  /** A service call removed this session. */
  | 'removed'
  /** A newer session of the account took its place. */
  | 'replaced'
  /** `close()` was called. */
  | 'closed';

export interface State {
  /** `degraded`: notices come, but by another transport than the first of the list. */
  readonly state: 'online' | 'degraded' | 'offline';
  /** In use, or being tried. */
  readonly transport: Transport;
  /** Only while offline. */
  readonly reason: OfflineReason | null;
  /** When the next try begins, as `Date.now()` counts; `null` while one is under way, and when there is none. */
  readonly retryAt: number | null;
  /** Nothing is tried any more, until `connect()` is called. */
  readonly final: boolean;
  /** Whose notices these are, once it is known. */
  readonly account: string | null;
  /** The server's node, where the transport tells. */
  readonly node: string | null;
}

/** Remembers which notices were handled. Forget the oldest when there are some thousand. */
export interface Seen {
  has(id: string): boolean;
  add(id: string): void;
}

/** Why the token callback is called: there is none yet, it ends in a minute, or it has ended. */
export type TokenReason = 'start' | 'expiring' | 'expired';

export interface Options {
  /**
   * Called with each notice, one after the other. The notice is acknowledged when it returns, or when its promise
   * resolves; when it throws, it is called with this notice again, later.
   */
  onNotice(notice: Notice): unknown;
  /** The session token, or a function that gets one from your back end. Nothing: the browser's cookie. */
  token?: string | ((reason: TokenReason) => string | null | undefined | Promise<string | null | undefined>);
  /** The server's base, such as `https://push.example.com/notice`. Default: where this module was loaded from. */
  url?: string | URL;
  /** Called with each change. */
  onState?(state: State): void;
  /** Another session acknowledged these: take them off the list of what is new. They may be unknown. */
  onRead?(ids: string[]): void;
  /** Recalled, or replaced by a newer one: take them off the screen. They may be unknown. */
  onRecall?(ids: string[]): void;
  /** What a handler or the token callback threw (with the notice), and complaints of the server. */
  onError?(error: unknown, notice?: Notice): void;
  /** The transports to use, best first. Default: `['websocket', 'sse', 'longpoll']`. */
  transports?: readonly Transport[];
  /** Where handled ids are remembered. Default: the newest 5,000, in memory. */
  seen?: Seen;
  /** A hidden page disconnects after so long. Default: ten minutes; `Infinity`: never. */
  pauseAfterMs?: number;
}

/** `code` as in the server's errors, or `CLOSED`, `QUEUE_FULL`, `UNREADABLE`. */
export class NoticeError extends Error {
  constructor(code: string, message?: string);
  readonly code: string;
}

export interface NoticeClient {
  readonly state: State;
  /**
   * Resolves when the server has stored it, waits while there is no connection, and stores it once however often
   * a break makes it go again. Rejects with `NoticeError` when the server will not have it.
   */
  send(notice: Outgoing): Promise<Sent>;
  /** What this account received, newest first. For the next page give the last id as `before`. */
  history(options?: { before?: string; limit?: number; unread?: boolean }): Promise<Notice[]>;
  /** Tries at once. Also the way back after `expired`, `removed` and `replaced`. */
  connect(): void;
  /** Ends it for good. What was not yet sent rejects with `CLOSED`. */
  close(): void;
}

/** Connects, and stays connected until `close()`. */
export function connect(options: Options): NoticeClient;
