// A proxy between browser and server, with the faults of real ones. Knows HTTP no further than the head of a request.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** How it treats what comes while it is in that mode. */
const MODES = {
  pass: (head) => head,
  // As nginx does by itself: these two headers go from hop to hop, so they stay behind.
  noUpgrade: (head) => head.replace(/^(upgrade|connection): .*\r\n/gim, ''),
  // The upgrade is let through, and nothing that comes behind it.
  deafAfterUpgrade: (head) => head,
  // Answers are kept back until they are whole, which a stream never is.
  buffering: (head) => (/^upgrade: /im.test(head) ? MODES.noUpgrade(head) : head),
  // The network is away: nothing comes through, and nobody is told.
  swallow: () => null,
};

export class Proxy {
  #sockets = new Set();
  #target;
  #listener;
  mode = 'pass';
  upgrades = 0;

  static async start(target, mode = 'pass') {
    const proxy = new Proxy();
    proxy.mode = mode;
    const [host, port] = target.split(':');
    proxy.#target = { host, port: Number(port) };
    proxy.#listener = createServer((client) => proxy.#serve(client)).listen(0, '127.0.0.1');
    await once(proxy.#listener, 'listening');
    proxy.host = `127.0.0.1:${proxy.#listener.address().port}`;
    return proxy;
  }

  /** From now on nothing comes through, over old connections for ever. */
  cut() {
    this.mode = 'swallow';
    for (const socket of this.#sockets) socket.dead = true;
  }

  mend() { this.mode = 'pass'; }

  close() {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(client) {
    const server = connect(this.#target);
    const mode = this.mode;
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.dead = mode === 'swallow';
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
    }
    client.on('data', (data) => { if (!client.dead) server.write(this.#request(client, mode, data)); });
    server.on('data', (data) => { if (!server.dead && !this.#holdsBack(client, mode, data)) client.write(data); });
    // A dead link tells neither side that the other has gone.
    client.on('end', () => { if (!client.dead) server.end(); });
    server.on('close', () => { if (!server.dead) client.end(); });
  }

  #request(client, mode, data) {
    const text = data.toString('latin1');
    if (!text.startsWith('GET ')) return data;
    if (/^upgrade: /im.test(text)) {
      this.upgrades += 1;
      client.upgrading = true;
    }
    client.streaming = /^accept: text\/event-stream\r/im.test(text);
    return Buffer.from(MODES[mode](text), 'latin1');
  }

  #holdsBack(client, mode, data) {
    if (mode === 'buffering') return client.streaming;
    if (mode !== 'deafAfterUpgrade' || !client.upgrading) return false;
    // The 101 itself passes.
    const deaf = client.deaf;
    client.deaf = true;
    if (!deaf) client.write(data.subarray(0, data.indexOf('\r\n\r\n') + 4));
    return true;
  }
}
