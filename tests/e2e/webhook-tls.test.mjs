// Webhooks over TLS: HTTP/2 where the receiver offers it, else HTTP/1.1; a CA of one's own; time for the handshake.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createSecureServer } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';
import { freePort } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const folder = mkdtempSync(join(tmpdir(), 'kamd-tls-'));
const at = (name) => join(folder, name);
const closing = [];
let world, api, pair;

// An authority and a receiver's certificate from it.
function makeCertificates() {
  const openssl = (...words) => execFileSync('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=kamd test authority', '-days', '2', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', at('key.pem'), '-out', at('request.pem'));
  openssl('x509', '-req', '-in', at('request.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy', '-out', at('cert.pem'));
  return { key: readFileSync(at('key.pem')), cert: readFileSync(at('cert.pem')) };
}

before(async () => {
  pair = makeCertificates();
  world = await openWorld({ settings: { KAMD_WEBHOOK_CA_FILE: at('ca.pem'), KAMD_WEBHOOK_CONNECT_MS: '1500', KAMD_WEBHOOK_TOTAL_MS: '4000', KAMD_WEBHOOK_RETRY_MS: '200,200' } });
  api = world.api;
});
after(async () => {
  await world?.close();
  for (const close of closing) close();
  rmSync(folder, { recursive: true, force: true });
});

// A receiver of ours; `secure` makes the server. What came: {version, connection, id, body, headers}.
async function listen(secure, answer = (response) => { response.writeHead(200); response.end('thanks'); }) {
  const receiver = { came: [], connections: 0 };
  const sockets = new Set();
  const server = secure((request, response) => {
    const chunks = [];
    request.on('error', () => {}).on('data', (chunk) => chunks.push(chunk)).on('end', () => {
      receiver.came.push({ version: request.httpVersion, headers: { ...request.headers }, body: Buffer.concat(chunks).toString('utf8') });
      answer(response, receiver.came.length);
    });
  });
  server.on('secureConnection', (socket) => { receiver.connections++; sockets.add(socket); socket.on('error', () => {}); });
  const port = await freePort();
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  closing.push(() => { for (const socket of sockets) socket.destroy(); server.close(); });
  receiver.endpoint = await api.create('/v1/webhook-endpoints', { url: `https://127.0.0.1:${port}/hook`, event_types: ['account.created'] });
  return receiver;
}
const makeMany = (n) => api.call(200, 'POST', '/v1/accounts/bulk', { body: { records: Array.from({ length: n }, () => ({ name: unique('Many') })) }, headers: { 'idempotency-key': unique('bulk') } });
const verify = ({ endpoint: { secret } }, { body, headers }) => { for (const Library of [Standard, Svix]) new Library(secret).verify(body, headers); };
const deliveries = (receiver, query = '') => api.all(`/v1/webhook-deliveries?endpoint_id=${receiver.endpoint.id}${query}`);
async function drop(receiver) {
  const now = await api.get(`/v1/webhook-endpoints/${receiver.endpoint.id}`);
  await api.remove(`/v1/webhook-endpoints/${now.id}`, now.etag);
}

test('HTTP/2 where it is offered: many deliveries over one connection, signed as ever', async () => {
  const receiver = await listen((handle) => createSecureServer({ ...pair, allowHTTP1: true }, handle));
  await makeMany(40);
  await until(() => receiver.came.length >= 40, { ms: 30_000, what: '40 deliveries' });
  assert.deepEqual([...new Set(receiver.came.map(({ version }) => version))], ['2.0']);
  for (const one of receiver.came) verify(receiver, one);
  assert.ok(receiver.connections <= 2, `${receiver.connections} connections`);
  await until(async () => (await deliveries(receiver, '&state=delivered')).length === 40, { ms: 30_000, what: 'all of them being settled' });
  const [first] = await deliveries(receiver);
  const { data } = await api.get(`/v1/webhook-deliveries/${first.id}/attempts`);
  assert.deepEqual(data.map(({ status, error, address, response_excerpt: text }) => [status, error, address, text]), [[200, null, '127.0.0.1', 'thanks']]);
  await drop(receiver);
});

test('HTTP/2: a stream that is reset, an answer that is too long and one that never comes cost nobody else', async () => {
  const cases = ['reset', 'long', 'silent'];
  const receiver = await listen((handle) => createSecureServer({ ...pair, allowHTTP1: true }, handle), (response, nth) => {
    const kind = cases[nth - 1];
    if (kind === 'reset') return response.stream.close(2 /* INTERNAL_ERROR */);
    if (kind === 'silent') return undefined;
    response.writeHead(200);
    response.stream.on('error', () => {});
    return response.end(kind === 'long' ? 'x'.repeat(1 << 20) : '');
  });
  await makeMany(12);
  await until(async () => (await deliveries(receiver, '&state=delivered')).length === 12, { ms: 60_000, what: 'all of them' });
  const errors = [];
  for (const { id } of await deliveries(receiver)) errors.push(...(await api.get(`/v1/webhook-deliveries/${id}/attempts`)).data.map(({ error }) => error).filter(Boolean));
  assert.deepEqual([...new Set(errors)].sort(), ['connection_lost', 'timeout']);
  await drop(receiver);
});

test('a receiver that knows only HTTP/1.1', async () => {
  const receiver = await listen((handle) => createHttps(pair, handle));
  await makeMany(8);
  await until(() => receiver.came.length >= 8, { ms: 30_000, what: 'eight deliveries' });
  assert.deepEqual([...new Set(receiver.came.map(({ version }) => version))], ['1.1']);
  for (const one of receiver.came) verify(receiver, one);
  await drop(receiver);
});

test('a handshake that never ends takes the time for connecting, not that for an answer', async () => {
  const sockets = new Set();
  const server = createTcp((socket) => { sockets.add(socket); socket.on('error', () => {}).resume(); });
  const port = await freePort();
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  closing.push(() => { for (const socket of sockets) socket.destroy(); server.close(); });
  const receiver = { endpoint: await api.create('/v1/webhook-endpoints', { url: `https://127.0.0.1:${port}/`, event_types: ['account.created'] }) };
  await makeAccount(api);
  const [dead] = await until(async () => {
    const found = await deliveries(receiver, '&state=exhausted');
    return found.length > 0 && found;
  }, { ms: 30_000, what: 'giving up' });
  const { data } = await api.get(`/v1/webhook-deliveries/${dead.id}/attempts`);
  assert.deepEqual(data.map(({ status, error }) => [status, error]), [[null, 'connect_timeout'], [null, 'connect_timeout'], [null, 'connect_timeout']]);
  assert.ok(data.every(({ duration_ms: ms }) => ms >= 1400), JSON.stringify(data));
  await drop(receiver);
});
