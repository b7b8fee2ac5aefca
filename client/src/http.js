// Calls of the client API.

const ANSWER_WITHIN_MS = 10_000;

/** The token goes into a header, where no log has it. Without one the browser's cookie speaks. */
export function call({ base, token }, path, { headers, ...init } = {}) {
  return fetch(base + path, {
    cache: 'no-store',
    credentials: token ? 'omit' : 'include',
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    ...init,
    headers: { ...(token && { Authorization: `Bearer ${token}` }), ...headers },
  });
}

export function post(context, path, body, init) {
  return call(context, path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body), ...init });
}

/** What an answer says about the end of a connection. */
export function endOf(response) {
  return { status: response.status, retryAfter: response.headers.get('Retry-After') };
}

/** Sends one notice: `{id, duplicate}`, or `{code, detail}`; a broken call is `{}`. */
export async function postNotice(context, notice) {
  try {
    const response = await post(context, 'send', notice);
    const answer = await response.json().catch(() => ({ code: response.status < 500 ? 'UNREADABLE' : undefined }));
    if (response.ok) return { id: answer.id, duplicate: Boolean(answer.duplicate) };
    // A token that has just ended is the connection's matter; this waits for the next one.
    return response.status === 401 ? {} : answer;
  } catch { return {}; }
}

