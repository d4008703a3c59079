// A webhook receiver as a customer would write it: it believes only what two independent libraries
// verify, writes everything down, and answers as the test wants.
import { createServer } from 'node:http';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';
import { freePort } from './stack.mjs';
import { until } from './wait.mjs';

// `answer(delivery, nth)` gives a status, or null for no answer at all; nth counts what came with
// that webhook-id, from 1.
export async function startReceiver(answer = () => 200) {
  const deliveries = [];
  const open = new Set();
  const receiver = {
    answer,
    deliveries,
    secret: null, // set it to what POST /v1/webhook-endpoints gave
    of: (type) => deliveries.filter((delivery) => delivery.event.type === type),
    // The first delivery for which `test` holds.
    wait: (test, what, ms = 20_000) => until(() => deliveries.find(test), { ms, what }),
    release: () => { for (const socket of open) socket.destroy(); },
  };
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('error', () => {}).on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      const delivery = { at: Date.now(), headers: request.headers, id: request.headers['webhook-id'], body, errors: [] };
      for (const Library of [Standard, Svix]) {
        try {
          new Library(receiver.secret).verify(body, request.headers);
        } catch (error) {
          delivery.errors.push(`${Library === Svix ? 'svix' : 'standardwebhooks'}: ${error.message}`);
        }
      }
      try { delivery.event = JSON.parse(body); } catch { delivery.event = {}; }
      const nth = deliveries.filter(({ id }) => id === delivery.id).length + 1;
      deliveries.push(delivery);
      delivery.status = receiver.answer(delivery, nth);
      if (delivery.status === null) return;
      response.writeHead(delivery.status).end();
    });
  });
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
  });
  const port = await freePort();
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  receiver.url = `http://127.0.0.1:${port}/hook`;
  receiver.stop = () => new Promise((done) => {
    receiver.release();
    server.close(done);
  });
  return receiver;
}

// Registers the receiver for these events.
export async function subscribe(api, receiver, eventTypes) {
  const endpoint = await api.create('/v1/webhook-endpoints', { url: receiver.url, event_types: eventTypes });
  receiver.secret = endpoint.secret;
  return endpoint;
}
