// Just enough of a Redis client to look at what the programs stored: one
// connection, replies as Buffers, numbers, null or arrays of them.

import { connect } from 'node:net';

export function redisClient(socketPath) {
  const socket = connect(socketPath);
  const waiting = [];
  let bytes = Buffer.alloc(0);
  socket.on('data', (data) => {
    bytes = Buffer.concat([bytes, data]);
    for (;;) {
      const found = waiting.length > 0 ? parse(bytes, 0) : null;
      if (found === null) return;
      bytes = bytes.subarray(found.end);
      const { resolve, reject } = waiting.shift();
      if (found.value instanceof Error) reject(found.value);
      else resolve(found.value);
    }
  });
  const fail = (error) => {
    for (const { reject } of waiting.splice(0)) reject(error);
  };
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('connection closed')));
  const command = (...words) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    socket.write(`*${words.length}\r\n`);
    for (const word of words) {
      const text = Buffer.isBuffer(word) ? word : Buffer.from(String(word));
      socket.write(`$${text.length}\r\n`);
      socket.write(text);
      socket.write('\r\n');
    }
  });
  return { command, close: () => socket.destroy() };
}

// { value, end }, or null while the reply is not complete.
function parse(bytes, at) {
  const lineEnd = bytes.indexOf('\r\n', at);
  if (lineEnd < 0) return null;
  const line = bytes.toString('latin1', at + 1, lineEnd);
  const end = lineEnd + 2;
  switch (String.fromCharCode(bytes[at])) {
    case '+': return { value: Buffer.from(line), end };
    case '-': return { value: new Error(line), end };
    case ':': return { value: Number(line), end };
    case '$': {
      const length = Number(line);
      if (length < 0) return { value: null, end };
      if (bytes.length < end + length + 2) return null;
      return { value: bytes.subarray(end, end + length), end: end + length + 2 };
    }
    case '*': return parseArray(bytes, Number(line), end);
    default: throw new Error(`not a Redis reply: ${line}`);
  }
}

function parseArray(bytes, count, at) {
  if (count < 0) return { value: null, end: at };
  const value = [];
  for (let i = 0; i < count; i++) {
    const item = parse(bytes, at);
    if (item === null) return null;
    value.push(item.value);
    at = item.end;
  }
  return { value, end: at };
}
