// The client of the end-to-end tests sends on no connection that the server has closed meanwhile.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Client } from './e2e/lib/client.mjs';

// Answers the first request of a connection, and closes it soon after.
const SERVER = `
  const { parentPort, workerData } = require('node:worker_threads');
  const server = require('node:net').createServer((socket) => {
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n');
      setTimeout(() => socket.destroy(), 100);
    }).on('error', () => {}).on('close', () => { Atomics.add(workerData, 0, 1); Atomics.notify(workerData, 0); });
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));
`;

test('a process that was blocked while its connection was closed sends on a new one', async (t) => {
  const closed = new Int32Array(new SharedArrayBuffer(4));
  const server = new Worker(SERVER, { eval: true, workerData: closed });
  t.after(() => server.terminate());
  const port = await new Promise((done) => { server.once('message', done); });
  const client = new Client(`http://127.0.0.1:${port}`, undefined, 50);
  await client.call(200, 'GET', '/');
  Atomics.wait(closed, 0, 0); // as execFileSync() does: this process hears nothing
  assert.equal(Object.values(client.agent.freeSockets).flat().length, 1);
  await client.call(200, 'GET', '/');
  client.close();
});
