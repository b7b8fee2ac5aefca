// Every member as a program uses it. What must not compile says so; an `expect-error` without an error is one.

import { connect, NoticeError, type Notice, type NoticeClient, type State, type Transport } from '../../client.js';

const order: readonly Transport[] = ['sse', 'websocket', 'longpoll', 'shortpoll'];
const kept = new Set<string>();

const client: NoticeClient = connect({
  url: new URL('https://push.example/notice'),
  token: async (reason) => (reason === 'expired' ? null : 'token'),
  onNotice: async (notice: Notice) => { kept.add(notice.id); },
  onState: ({ state, reason, retryAt, final }: State) => {
    const words: string = state === 'offline' && !final && retryAt ? `${reason}, again at ${new Date(retryAt)}` : state;
    document.title = words;
  },
  onRead: (ids) => ids.forEach((id) => kept.delete(id)),
  onRecall: (ids) => ids.forEach((id) => kept.delete(id)),
  onError: (error, notice) => console.error(error, notice?.id),
  transports: order,
  seen: kept,
  pauseAfterMs: Infinity,
});

const { id, duplicate } = await client.send({ receiverId: 'alice', message: 'hi', type: 'chat', data: { x: 1 }, idempotencyKey: 'k' });
const shown: string = duplicate ? '' : id;
const [newest] = await client.history({ limit: 1, unread: true, before: shown });
const time: number | undefined = newest?.createdTime;
client.connect();
client.close();
const code: string = new NoticeError('CLOSED').code;
connect({ token: 'text', onNotice: () => {} });
export { code, time };

// @ts-expect-error a handler is needed, or notices would be lost
connect({ token: 'text' });
// @ts-expect-error no such transport
connect({ onNotice: () => {}, transports: ['carrier-pigeon'] });
// @ts-expect-error a notice is for somebody
void client.send({ message: 'hi' });
// @ts-expect-error the state is for reading
client.state.state = 'online';
