// HTTP itself, against the real program: bytes as an attacker or a bad proxy sends them, methods,
// heads, slow clients, too many clients, and a stop that nobody notices.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { checkProblem } from './lib/client.mjs';
import { openWorld } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld({ settings: { KAMD_HEADER_SECONDS: '1', KAMD_BODY_SECONDS: '2', KAMD_HTTP_CONNECTIONS: '32' } });
  ({ api } = world);
});
after(() => world?.close());

// Sends bytes (or several, with pauses) and reads until the server closes or is silent for `ms`:
// {answers: [{status, headers, text}], closed, took}.
function raw(parts, { ms = 3000, enough = Infinity, url = api.url, head = false } = {}) {
  return new Promise((done) => {
    const socket = connect(Number(url.port), url.hostname);
    const started = Date.now();
    let bytes = '';
    const end = (closed) => {
      clearTimeout(timer);
      socket.destroy();
      done({ answers: parse(bytes, head), closed, took: Date.now() - started });
    };
    const timer = setTimeout(() => end(false), ms);
    socket.setEncoding('latin1').on('error', () => end(true)).on('close', () => end(true)).on('data', (text) => {
      bytes += text;
      if (parse(bytes, head).length >= enough) end(false);
    });
    socket.on('connect', async () => {
      for (const part of [parts].flat()) {
        if (typeof part === 'number') await pause(part);
        else if (!socket.destroyed) socket.write(part, 'latin1');
      }
    });
  });
}

function parse(text, head) {
  const answers = [];
  for (let rest = text; ;) {
    const split = rest.indexOf('\r\n\r\n');
    if (split < 0) return answers;
    const [line, ...lines] = rest.slice(0, split).split('\r\n');
    const headers = Object.fromEntries(lines.map((one) => [one.slice(0, one.indexOf(':')).toLowerCase(), one.slice(one.indexOf(':') + 2)]));
    const length = head ? 0 : Number(headers['content-length'] ?? 0);
    const body = rest.slice(split + 4, split + 4 + length);
    if (body.length < length) return answers;
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1]);
    if (status !== 100) answers.push({ status, headers, text: body });
    rest = rest.slice(split + 4 + length);
  }
}

const HOST = 'Host: a\r\n';
const SMUGGLED = `GET /livez HTTP/1.1\r\n${HOST}\r\n`;
const post = (lines, body) => `POST /v1/accounts HTTP/1.1\r\n${HOST}Authorization: Bearer ${api.key}\r\nContent-Type: application/json\r\n${lines}\r\n${body}`;
const get = (target, lines = '') => `GET ${target} HTTP/1.1\r\n${HOST}${lines}\r\n`;

const FRAMING = [
  ['Content-Length and Transfer-Encoding', () => post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400],
  ['Transfer-Encoding and Content-Length', () => post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', '0\r\n\r\n'), 400],
  ['two lengths', () => post('Content-Length: 2\r\nContent-Length: 50\r\n', '{}'), 400],
  ['a list of lengths', () => post('Content-Length: 2, 2\r\n', '{}'), 400],
  ['a signed length', () => post('Content-Length: +2\r\n', '{}'), 400],
  ['a length beyond 64 bits', () => post('Content-Length: 99999999999999999999\r\n', '{}'), 413],
  ['a space before the colon', () => post('Transfer-Encoding : chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n'), 400],
  ['a folded line', () => post('X: a\r\n b\r\nContent-Length: 2\r\n', '{}'), 400],
  ['a colon alone', () => post(':\r\nContent-Length: 2\r\n', '{}'), 400],
  ['a bare LF', () => post('X: a\nContent-Length: 2\r\n', '{}'), 400],
  ['a NUL in a value', () => post('X: a\0b\r\nContent-Length: 2\r\n', '{}'), 400],
  ['two Authorizations', () => post('authorization: Bearer x\r\nContent-Length: 2\r\n', '{}'), 400],
  ['two Idempotency-Keys', () => post('Idempotency-Key: a\r\nidempotency-key: b\r\nContent-Length: 2\r\n', '{}'), 400],
  ['a negative chunk', () => post('Transfer-Encoding: chunked\r\n', '-1\r\n{}\r\n0\r\n\r\n'), 400],
  ['a body for GET', () => get('/v1/accounts', 'Content-Length: 3\r\n') + 'abc', 400],
  ['no Host', () => 'GET /livez HTTP/1.1\r\n\r\n', 400],
  ['two Hosts', () => get('/livez', 'host: b\r\n'), 400],
  ['an encoded slash', () => get('/v1%2faccounts'), 400],
  ['an encoded NUL', () => get('/v1/accounts/a%00b'), 400],
  ['dot segments', () => get('/v1/../livez'), 400],
  ['encoded dot segments', () => get('/v1/%2e%2e/livez'), 400],
  ['a malformed escape', () => get('/v1/accounts/%zz'), 400],
  ['a path of 9,000 bytes', () => get(`/${'a'.repeat(9000)}`), 414],
  ['a path of 20,000 bytes', () => get(`/${'a'.repeat(20_000)}`), 414],
  ['a field of 9,000 bytes', () => get('/livez', `X: ${'a'.repeat(9000)}\r\n`), 431],
  ['a field of 20,000 bytes', () => get('/livez', `X: ${'a'.repeat(20_000)}\r\n`), 431],
  ['HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
];
for (const [what, bytes, status] of FRAMING) {
  test(`${what}: ${status}, and what follows is never served`, async () => {
    const { answers, closed } = await raw(bytes() + SMUGGLED);
    assert.equal(answers[0]?.status, status);
    assert.ok(closed, 'the connection stays open');
    assert.ok(!answers.slice(1).some((answer) => answer.status === 200), 'a smuggled request was served');
    const [{ headers, text }] = answers;
    if (headers['x-request-id']) checkProblem({ status, headers, body: JSON.parse(text) }, what);
  });
}

test('requests in one write are answered in order', async () => {
  const list = get('/v1/accounts', `Authorization: Bearer ${api.key}\r\n`);
  const { answers } = await raw(get('/livez') + list + get('/nothing') + get('/livez'), { enough: 4 });
  assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 404, 200]);
});

test('HEAD is GET without the body', async () => {
  const own = `Authorization: Bearer ${api.key}\r\n`;
  for (const path of ['/livez', '/v1/accounts', '/v1/nothing']) {
    const [whole] = (await raw(get(path, own), { enough: 1 })).answers;
    const { answers: [head] } = await raw(get(path, own).replace('GET', 'HEAD'), { ms: 400, head: true });
    for (const answer of [whole, head]) for (const name of ['x-request-id', 'date']) delete answer.headers[name];
    assert.deepEqual({ ...head, text: '' }, { ...whole, text: '' }, path);
  }
});

test('OPTIONS names the methods, and so does 405', async () => {
  const options = await api.send('OPTIONS', '/v1/accounts');
  assert.equal(options.status, 204);
  assert.deepEqual(options.headers.allow.split(', ').sort(), ['GET', 'HEAD', 'OPTIONS', 'POST']);
  const wrong = await api.call(405, 'PUT', '/v1/accounts', { body: {} });
  assert.equal(wrong.headers.allow, options.headers.allow);
  const { answers: [lower] } = await raw(get('/livez').replace('GET', 'get'), { enough: 1 });
  assert.equal(lower.status, 405);
});

test('ids of request and trace are taken over or made', async () => {
  const own = await api.send('GET', '/livez', { headers: { 'x-request-id': 'My_id-1.2' } });
  assert.equal(own.headers['x-request-id'], 'My_id-1.2');
  const made = await api.send('GET', '/livez', { headers: { 'x-request-id': 'not/this' } });
  assert.match(made.headers['x-request-id'], /^[0-9a-f]{8}-[0-9a-f]{4}-7/);
  const refused = await api.call(404, 'GET', '/nothing', { headers: { 'x-request-id': 'My_id-1.3' } });
  assert.equal(refused.body.request_id, 'My_id-1.3');
});

test('every answer has the security headers', async () => {
  for (const path of ['/livez', '/v1/accounts', '/nothing', '/problems/not_found']) {
    const { headers } = await api.send('GET', path);
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
    assert.equal(headers['referrer-policy'], 'no-referrer', path);
    assert.ok(headers['content-security-policy'], path);
    assert.ok(headers['cache-control'], path);
    assert.match(headers.vary, /Authorization/, path);
  }
});

test('gzip for those who take it', async () => {
  const plain = await api.send('GET', '/v1/roles');
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.ok(plain.text.length >= 1024);
  const list = await fetch(new URL('/v1/roles', api.url), { headers: { authorization: `Bearer ${api.key}`, 'accept-encoding': 'gzip' } });
  assert.equal(list.headers.get('content-encoding'), 'gzip');
  assert.equal(await list.text(), plain.text, 'unpacked, the same');
  assert.equal((await fetch(new URL('/livez', api.url), { headers: { 'accept-encoding': 'gzip' } })).headers.get('content-encoding'), null, 'not worth it');
});

test('drops of a request do not hold a connection for ever', async () => {
  const drops = (first, drop) => raw([first, ...Array.from({ length: 60 }, () => [100, drop]).flat()], { ms: 8000 });
  const [line, head, body] = await Promise.all([
    drops('GET /', 'a'), drops(`GET /livez HTTP/1.1\r\n${HOST}`, 'X: y\r\n'), drops(post('Content-Length: 100\r\n', ''), ' '),
  ]);
  for (const slow of [line, head, body]) assert.ok(slow.closed && !slow.answers.length);
  assert.ok(line.took < 3000 && head.took < 3000, `${line.took} and ${head.took} ms`);
  assert.ok(body.took < 5000, `${body.took} ms`);
});

test('a path that is a format string, and a client that is gone', async () => {
  const [kamd] = world.kamds;
  for (let i = 0; i < 100; i++) {
    await new Promise((done) => {
      const socket = connect(Number(api.url.port), api.url.hostname, () => {
        socket.write(get('/%25n%25n%25s%25s').repeat(10), () => socket.resetAndDestroy());
      }).on('error', () => {}).on('close', done);
    });
  }
  await api.call(200, 'GET', '/livez');
  assert.equal((await Promise.race([kamd.ended, pause(100, 'alive')])), 'alive');
});

test('beyond the limit of connections each gets 503 at once, and the admin port answers', async () => {
  const kamd = await world.add({ KAMD_HEADER_SECONDS: '60' });
  const url = new URL(kamd.url);
  const sockets = [];
  try {
    for (let i = 0; i < 90; i++) {
      sockets.push(await new Promise((done, fail) => {
        const socket = connect(Number(url.port), url.hostname, () => done(socket)).on('error', fail);
      }));
      sockets.at(-1).removeAllListeners('error').on('error', () => {});
    }
    const { answers: [answer], took } = await raw(get('/v1/accounts'), { enough: 1, url });
    assert.equal(answer.status, 503);
    assert.equal(answer.headers['retry-after'], '1');
    assert.equal(JSON.parse(answer.text).code, 'overloaded');
    assert.ok(took < 1000, `${took} ms`);
    const admin = await raw(get('/livez'), { enough: 1, url: new URL(kamd.adminUrl) });
    assert.equal(admin.answers[0].status, 200);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  await pause(200);
  await api.at(kamd.url).call(200, 'GET', '/livez');
});

test('a stop loses no request', async () => {
  const kamd = await world.add({ KAMD_DRAIN_MS: '500' });
  const client = api.at(kamd.url);
  let stopping = false;
  const count = { fine: 0, refused: 0 };
  const load = Array.from({ length: 8 }, async () => {
    for (;;) {
      try {
        const { status } = await client.send('GET', '/v1/accounts');
        assert.equal(status, 200);
        count.fine++;
      } catch (error) {
        // Once it listens no more, a balancer goes elsewhere; nothing else may go wrong. A connection that nobody had accepted by then is reset: the same.
        if (!['ECONNREFUSED', 'ECONNRESET'].includes(error.code) || !stopping) throw error;
        count.refused++;
        return;
      }
    }
  });
  await pause(300);
  stopping = true;
  const [stopped] = await Promise.all([kamd.stop(), ...load]);
  assert.equal(stopped, undefined);
  world.kamds.splice(world.kamds.indexOf(kamd), 1);
  client.close();
  assert.ok(count.fine >= 8 && count.refused === 8, JSON.stringify(count));
});
