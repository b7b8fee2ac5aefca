// The page around the client, if there is one: a service worker or Node.js has none.

export function hidden() { return Boolean(globalThis.document?.hidden); }

/** Listens until the function that it gives is called. `pairs` are `[target, event, listener]`. */
export function listen(pairs) {
  for (const [target, event, listener] of pairs) target?.addEventListener?.(event, listener);
  return () => { for (const [target, event, listener] of pairs) target?.removeEventListener?.(event, listener); };
}
