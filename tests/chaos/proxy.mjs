// A small proxy for TCP and unix sockets that can be told to hurt: delay,
// hold one direction (a partition that heals later), cut, refuse, and cut the
// reply to a command that took effect. A program of its own, so that neither
// the load nor the checker can slow it down.
//
//   stdin   one JSON command a line
//     {"op":"link","name":N,"listen":A,"to":A}  A: "unix:PATH" or "HOST:PORT"
//     {"op":"set","name":N,"delay_ms":0,"hold":null|"up"|"down"|"both",
//      "refuse":false,"cut_replies":0}          "up": towards the server
//     {"op":"cut","name":N}                     every connection of the link
//   stdout  one JSON event a line: linked, request, answered, cut, reply_cut
//
// On links whose name ends in "-claude" it notes which job each request is
// for and from which life of which worker, when its answer was given to the
// worker in full, and on a cut which jobs had no complete answer: the record
// by which outcomes that became unknown are charged.

import { createConnection, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const links = new Map();
let requests = 0;
const say = (event) => process.stdout.write(
  `${JSON.stringify({ t: Date.now(), ...event })}\n`);

function address(text) {
  if (text.startsWith('unix:')) return { path: text.slice(5) };
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}

/** Follows requests and answers of one HTTP/1.1 connection. */
class Witness {
  constructor(link) { this.link = link; this.open = null; this.tail = ''; }
  request(bytes) {
    const text = this.tail + bytes.toString('latin1');
    const heads = [...text.matchAll(/POST \S+ HTTP\/1\.1\r\n[^]*?\r\n\r\n/g)];
    this.tail = text.slice(-4096);
    const head = heads.pop()?.[0];
    const job = /\r\nx-longhaul-job: (\S+)\r\n/i.exec(head ?? '')?.[1];
    if (!job) return;
    this.tail = '';
    this.open = { request: ++requests, job };
    this.left = null;
    this.chunked = false;
    this.end = '';
    say({ event: 'request', link: this.link, ...this.open,
      life: /\r\nx-api-key: sk-ant-chaos-(\S+)\r\n/i.exec(head)?.[1] });
  }
  /** What was written to the worker's side. */
  answer(bytes) {
    if (this.open === null) return;
    if (this.left === null) {
      const text = bytes.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      const length = /\r\ncontent-length: (\d+)/i.exec(text.slice(0, end + 2));
      this.chunked = end >= 0 && !length;
      this.left = end >= 0 && length
        ? Number(length[1]) - (bytes.length - end - 4) : Infinity;
    } else this.left -= bytes.length;
    if (this.chunked) {
      this.end = (this.end + bytes.toString('latin1')).slice(-7);
      if (this.end === '\r\n0\r\n\r\n') this.left = 0;
    }
    if (this.left > 0) return;
    say({ event: 'answered', link: this.link, ...this.open });
    this.open = null;
  }
}

class Connection {
  constructor(link, client) {
    this.link = link;
    this.client = client;
    this.server = createConnection(address(link.to));
    this.witness = link.name.endsWith('-claude') ? new Witness(link.name) : null;
    this.due = { up: 0, down: 0 }; // when what was last read goes on
    this.waiting = { up: 0, down: 0 };
    this.timers = { up: Promise.resolve(), down: Promise.resolve() };
    link.connections.add(this);
    this.pump(client, this.server, 'up');
    this.pump(this.server, client, 'down');
    this.follow();
  }
  pump(from, to, way) {
    from.on('data', (bytes) => {
      if (way === 'up') this.witness?.request(bytes);
      else if (this.link.cutReplies > 0 && bytes.length > 0) {
        this.link.cutReplies--;
        this.cut('reply_cut');
        return;
      }
      this.later(way, () => {
        if (way === 'down') this.witness?.answer(bytes);
        if (!to.destroyed && !to.write(bytes) && to.listenerCount('drain') === 0) {
          from.pause();
          to.once('drain', () => this.follow());
        }
      });
    });
    from.on('end', () => this.later(way, () => to.end()));
    from.on('error', () => this.close());
    from.on('close', () => { if (this.link.hold === null) to.end(); });
  }
  /** In order, whatever becomes of the delay meanwhile. */
  later(way, step) {
    const now = Date.now();
    const at = Math.max(now + this.link.delayMs, this.due[way]);
    this.due[way] = at;
    if (at <= now && this.waiting[way] === 0) { step(); return; }
    this.waiting[way]++;
    this.timers[way] = this.timers[way].then(() => new Promise((resolve) => {
      setTimeout(() => { this.waiting[way]--; step(); resolve(); },
        Math.max(0, at - Date.now()));
    }));
  }
  /** Holding a direction is not reading from its source. */
  follow() {
    const { hold } = this.link;
    if (hold === 'up' || hold === 'both') this.client.pause();
    else this.client.resume();
    if (hold === 'down' || hold === 'both') this.server.pause();
    else this.server.resume();
  }
  cut(event) {
    say({ event, link: this.link.name, ...this.witness?.open });
    this.close();
  }
  close() {
    this.link.connections.delete(this);
    this.client.destroy();
    this.server.destroy();
  }
}

function open({ name, listen, to }) {
  const link = { name, to, connections: new Set(), delayMs: 0, hold: null,
    refuse: false, cutReplies: 0 };
  links.set(name, link);
  const server = createServer((client) => {
    client.setNoDelay(true);
    if (link.refuse) client.destroy();
    else new Connection(link, client);
  });
  server.listen(address(listen), () => say({ event: 'linked', link: name,
    port: server.address().port ?? 0 }));
}

function set(link, { delay_ms: delayMs, hold, refuse, cut_replies: cuts }) {
  if (delayMs !== undefined) link.delayMs = delayMs;
  if (refuse !== undefined) link.refuse = refuse;
  if (cuts !== undefined) link.cutReplies = cuts;
  if (hold !== undefined) {
    link.hold = hold;
    for (const connection of link.connections) connection.follow();
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line);
  const link = links.get(command.name);
  if (command.op === 'link') open(command);
  else if (command.op === 'set') set(link, command);
  else if (command.op === 'cut') {
    for (const connection of [...link.connections]) connection.cut('cut');
  }
}).on('close', () => process.exit(0));
