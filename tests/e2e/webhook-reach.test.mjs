// Where webhooks go, and where they never do. Over TLS: HTTP/2 where the receiver offers it, else HTTP/1.1; a CA of one's own; time for the handshake. Receivers are at
// 127.0.0.2, which the settings allow; at 127.0.0.1 and ::1 a trap listens, and so it does where the environment's proxy would be: nothing may ever connect to it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { createServer as createHttp } from 'node:http';
import { createSecureServer } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Webhook as Standard } from 'standardwebhooks';
import { Webhook as Svix } from 'svix';
import { freePort, sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

// Attempts end by the clock only in the tests that are about it: a handshake with a server in this process takes as long as the machine is busy.
const PATIENT = { KAMD_WEBHOOK_CONNECT_MS: '60000', KAMD_WEBHOOK_TOTAL_MS: '120000' };
const folder = mkdtempSync(join(tmpdir(), 'kamd-tls-'));
const at = (name) => join(folder, name);
const closing = [];
let world, api, pair, trap;

// An authority and a receiver's certificate from it.
function makeCertificates() {
  const openssl = (...words) => execFileSync('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=kamd test authority', '-days', '2', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.2', '-addext', 'subjectAltName=IP:127.0.0.2', '-keyout', at('key.pem'), '-out', at('request.pem'));
  openssl('x509', '-req', '-in', at('request.pem'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy', '-out', at('cert.pem'));
  return { key: readFileSync(at('key.pem')), cert: readFileSync(at('cert.pem')) };
}

// Counts whoever comes.
async function openTrap() {
  const found = { port: await freePort(), came: 0 };
  for (const host of ['127.0.0.1', '::1']) {
    const server = createTcp((socket) => { found.came++; socket.destroy(); });
    await new Promise((done, fail) => { server.once('error', fail).listen(found.port, host, done); }).catch((error) => { if (host !== '::1') throw error; });
    closing.push(() => server.close());
  }
  return found;
}

before(async () => {
  pair = makeCertificates();
  trap = await openTrap();
  const proxy = `http://127.0.0.1:${trap.port}`;
  world = await openWorld({ settings: {
    KAMD_WEBHOOK_ALLOWED_CIDRS: '127.0.0.2/32', http_proxy: proxy, https_proxy: proxy, ALL_PROXY: proxy, all_proxy: proxy,
    KAMD_WEBHOOK_CA_FILE: at('ca.pem'), ...PATIENT, KAMD_WEBHOOK_RETRY_MS: Array(8).fill(200).join(','),
  } });
  api = world.api;
});
after(async () => {
  await world?.close();
  for (const close of closing) close();
  rmSync(folder, { recursive: true, force: true });
});

// The same kamd with other times, at the same address.
async function restart(times) {
  const [kamd] = world.kamds.splice(0);
  const ports = { KAMD_PORT: new URL(kamd.url).port, KAMD_ADMIN_PORT: new URL(kamd.adminUrl).port };
  await kamd.stop();
  await world.add(times, { ports });
}

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
  await new Promise((done) => { server.listen(port, '127.0.0.2', done); });
  closing.push(() => { for (const socket of sockets) socket.destroy(); server.close(); });
  receiver.endpoint = await api.create('/v1/webhook-endpoints', { url: `https://127.0.0.2:${port}/hook`, event_types: ['account.created'] });
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
  assert.deepEqual(data.map(({ status, error, address, response_excerpt: text }) => [status, error, address, text]), [[200, null, '127.0.0.2', 'thanks']]);
  await drop(receiver);
});

const errorsOf = async (id) => (await api.get(`/v1/webhook-deliveries/${id}/attempts`)).data.map(({ error }) => error).filter(Boolean);

test('HTTP/2: a stream that is reset, an answer that is too long and one that does not come cost nobody else', async () => {
  const cases = ['reset', 'long', 'silent'];
  let silent;
  const receiver = await listen((handle) => createSecureServer({ ...pair, allowHTTP1: true }, handle), (response, nth) => {
    const kind = cases[nth - 1];
    if (kind === 'reset') return response.stream.close(2 /* INTERNAL_ERROR */);
    response.stream.on('error', () => {});
    if (kind === 'silent') return void (silent = response);
    response.writeHead(200);
    return response.end(kind === 'long' ? 'x'.repeat(1 << 20) : '');
  });
  await makeMany(12);
  await until(async () => (await deliveries(receiver, '&state=delivered')).length === 11, { ms: 60_000, what: 'all others' });
  silent.writeHead(200).end();
  await until(async () => (await deliveries(receiver, '&state=delivered')).length === 12, { ms: 60_000, what: 'the one that was silent' });
  const errors = [];
  for (const { id } of await deliveries(receiver)) errors.push(...await errorsOf(id));
  assert.deepEqual(errors, ['connection_lost']);
  await drop(receiver);
});

test('HTTP/2: an answer that never comes ends the attempt, and the next one is answered', async () => {
  const receiver = await listen((handle) => createSecureServer({ ...pair, allowHTTP1: true }, handle), (response, nth) => {
    response.stream.on('error', () => {});
    if (nth === 1) return undefined;
    response.writeHead(200);
    return response.end();
  });
  await restart({ KAMD_WEBHOOK_TOTAL_MS: '4000' });
  await makeMany(1);
  await until(async () => (await deliveries(receiver, '&state=delivered')).length === 1, { ms: 60_000, what: 'the delivery' });
  const [{ id }] = await deliveries(receiver);
  assert.ok((await errorsOf(id)).includes('timeout'));
  await restart(PATIENT);
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
  await new Promise((done) => { server.listen(port, '127.0.0.2', done); });
  closing.push(() => { for (const socket of sockets) socket.destroy(); server.close(); });
  await restart({ KAMD_WEBHOOK_CONNECT_MS: '2000', KAMD_WEBHOOK_TOTAL_MS: '60000' });
  const receiver = { endpoint: await api.create('/v1/webhook-endpoints', { url: `https://127.0.0.2:${port}/`, event_types: ['account.created'] }) };
  await makeAccount(api);
  const data = await until(async () => {
    const [found] = await deliveries(receiver, '&state=failed');
    return found && (await api.get(`/v1/webhook-deliveries/${found.id}/attempts`)).data;
  }, { ms: 30_000, what: 'a failure' });
  assert.deepEqual([data[0].status, data[0].error], [null, 'connect_timeout']);
  assert.ok(data[0].duration_ms >= 1900, JSON.stringify(data));
  await drop(receiver);
  await restart(PATIENT);
});

// 29 ways to write an address inside.
const SPELLINGS = ['127.0.0.1', '127.1', '2130706433', '0x7f000001', '0x7f.1', '017700000001', '0177.0.0.1', '127.0.0.1.', '0', '0.0.0.0', '10.0.0.1', '0xa000001', '172.16.0.1',
  '192.168.1.1', '169.254.169.254', '2852039166', '100.64.0.1', '198.18.0.1', '[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[::127.0.0.1]', '[fe80::1]',
  '[fc00::1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]', '[fec0::1]'];
const force = (id, url) => sql(world.settings, `update webhook_endpoint set url = '${url}' where id = '${id}'`);
const attemptsOf = async (receiver) => {
  const found = await until(async () => {
    const dead = await deliveries(receiver, '&state=exhausted');
    return dead.length > 0 && dead;
  }, { ms: 30_000, what: 'giving up' });
  return (await api.get(`/v1/webhook-deliveries/${found[0].id}/attempts`)).data;
};

test('29 spellings of addresses inside: refused, and not gone to where they stand in the table all the same', async () => {
  assert.equal(SPELLINGS.length, 29);
  const forced = [];
  for (const spelling of SPELLINGS) {
    for (const scheme of ['http', 'https']) {
      const url = `${scheme}://${spelling}:${trap.port}/`;
      const answer = await api.send('POST', '/v1/webhook-endpoints', { body: { url } });
      assert.equal(answer.status, 422, `${url}: ${answer.text}`);
    }
    const endpoint = await api.create('/v1/webhook-endpoints', { url: 'https://example.com/', event_types: ['account.created'], state: 'disabled' });
    force(endpoint.id, `http://${spelling}:${trap.port}/`);
    forced.push({ endpoint });
  }
  for (const { endpoint: { id } } of forced) await api.call(200, 'POST', `/v1/webhook-endpoints/${id}/enable`, { body: {} });
  await makeAccount(api);
  for (const receiver of forced) {
    for (const { status, error, address } of await attemptsOf(receiver)) assert.deepEqual([status, error, address], [null, 'url_not_allowed', null]);
    await drop(receiver);
  }
  assert.equal(trap.came, 0);
});

test('a name that leads inside, a redirect, and the proxies of the environment', async (t) => {
  const names = [];
  for (const name of [hostname(), 'ip6-localhost', 'ip6-loopback', 'localhost.localdomain']) {
    const found = await lookup(name, { all: true }).catch(() => []);
    if (found.length > 0 && found.every(({ address }) => /^(127|10|192\.168|172\.(1[6-9]|2\d|3[01])|::1$|f[cde])/.test(address) && address !== '127.0.0.2')) names.push(name);
  }
  t.diagnostic(`names that lead inside here: ${names.join(', ') || 'none'}`);
  const inside = [];
  for (const name of names) inside.push({ endpoint: await api.create('/v1/webhook-endpoints', { url: `http://${name}:${trap.port}/`, event_types: ['account.created'] }) });
  let asked = 0;
  const server = createHttp((request, response) => {
    asked++;
    request.resume().on('end', () => response.writeHead(307, { location: `http://127.0.0.1:${trap.port}/` }).end());
  });
  const port = await freePort();
  await new Promise((done) => { server.listen(port, '127.0.0.2', done); });
  closing.push(() => { server.closeAllConnections?.(); server.close(); });
  const moved = { endpoint: await api.create('/v1/webhook-endpoints', { url: `http://127.0.0.2:${port}/`, event_types: ['account.created'] }) };
  await makeAccount(api);
  for (const receiver of inside) {
    for (const { status, error, address } of await attemptsOf(receiver)) assert.deepEqual([status, error, address], [null, 'address_not_allowed', null]);
    await drop(receiver);
  }
  assert.ok((await attemptsOf(moved)).some(({ status, error }) => status === 307 && error === null));
  assert.ok(asked >= 1);
  await drop(moved);
  assert.equal(trap.came, 0);
});
