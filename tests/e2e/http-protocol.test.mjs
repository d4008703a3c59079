// HTTP itself, against the real program: bytes as an attacker or a bad proxy sends them, methods,
// heads, slow clients, too many clients, and a stop that nobody notices.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { checkProblem } from './lib/client.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

let world, api;
before(async () => {
  // Five seconds for a head and a body: long enough for a busy machine, and over before raw() gives up.
  world = await openWorld({ workers: 0, settings: { KAMD_HEADER_SECONDS: '5', KAMD_BODY_SECONDS: '5', KAMD_HTTP_CONNECTIONS: '32' } });
  ({ api } = world);
});
after(() => world?.close());

// Sends bytes (or several, with pauses) and reads until the server closes or is silent for `ms`:
// {answers: [{status, headers, text}], closed, took, sent: of the parts}. `next` is sent after an answer that leaves the connection open.
function raw(parts, { ms = 15_000, enough = Infinity, url = api.url, head = false, next } = {}) {
  return new Promise((done) => {
    const socket = connect(Number(url.port), url.hostname);
    const started = Date.now();
    let bytes = '', sent = 0;
    const end = (closed) => {
      clearTimeout(timer);
      socket.destroy();
      done({ answers: parse(bytes, head), closed, took: Date.now() - started, sent });
    };
    const timer = setTimeout(() => end(false), ms);
    socket.setEncoding('latin1').on('error', () => end(true)).on('close', () => end(true)).on('data', (text) => {
      bytes += text;
      const answers = parse(bytes, head);
      if (answers.length >= enough) return end(false);
      if (next && answers.length === 1 && answers[0].headers.connection !== 'close') socket.write(next);
    });
    socket.on('connect', async () => {
      for (const part of [parts].flat()) {
        if (typeof part === 'number') await pause(part);
        else if (!socket.destroyed) {
          socket.write(part, 'latin1');
          sent++;
        }
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
    if (status !== 505) checkProblem({ status, headers, body: JSON.parse(text) }, what);
  });
}

// What one connection has for a head is used up by bytes, fields, cookies, parameters and trailers, in any mixture.
const WAYS = [
  { method: 'GET' }, { method: 'GET', lines: 'Connection: close\r\n' }, { method: 'GET', version: '1.0' }, { method: 'GET', version: '1.0', lines: 'Connection: keep-alive\r\n' },
  { method: 'POST' }, { method: 'POST', lines: 'Connection: close\r\n' }, { method: 'POST', trailers: '' }, { method: 'POST', version: '1.0' },
];
function request({ method, version = '1.1', target = '/v1/accounts', lines = '', trailers }) {
  const head = `${method} ${target} HTTP/${version}\r\n${HOST}Authorization: Bearer ${api.key}\r\n${lines}`;
  if (method === 'GET') return `${head}\r\n`;
  const body = trailers === undefined ? 'Content-Length: 2\r\n\r\n{}' : `Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n${trailers}\r\n`;
  return `${head}Content-Type: application/json\r\n${body}`;
}
const many = (n, text) => Array.from({ length: n }, (_, i) => text(i));
const fields = (n, sum = 4 * n) => many(n, (i) => `X${i}: ${'v'.repeat(Math.max(1, Math.floor(sum / n) - `X${i}`.length))}\r\n`).join('');
const query = (n, text) => (n ? `?${many(n, text).join('&')}` : '');
const around = (from, to, by) => many(Math.floor((to - from) / by) + 1, (i) => from + i * by);
const HEADS = {
  parameters: around(100, 200, 4).flatMap((n) => [(i) => `a${i}=1`, (i) => `a${i}`, (i) => `a${i}=`, () => '', (i) => `parameter_${i}=value_of_parameter_${i}`]
    .map((text) => ({ target: `/v1/accounts${query(n, text)}` }))),
  'parameters beside fields': [60, 120, 145].flatMap((n) => [0, 20, 80, 120, 200].map((m) => ({ target: `/v1/accounts${query(n, (i) => `a${i}=1`)}`, lines: fields(m) }))),
  fields: around(120, 160, 2).map((n) => ({ lines: fields(n) })),
  'bytes in fields': [1, 4, 12, 24, 40, 100].flatMap((n) => around(3000, 9800, 100).map((sum) => ({ lines: fields(n, sum) }))),
  'the path': around(7900, 10_400, 50).map((n) => ({ target: `/${'a'.repeat(n)}` })),
  'the query': around(7900, 10_400, 50).map((n) => ({ target: `/v1/accounts?q=${'a'.repeat(n)}` })),
  'path and fields': around(2000, 8000, 1000).flatMap((n) => around(1000, 7000, 500).map((sum) => ({ target: `/${'a'.repeat(n)}`, lines: fields(4, sum) }))),
  cookies: [...around(100, 160, 2), 300].flatMap((n) => [`Cookie: ${many(n, (i) => `c${i}=1`).join('; ')}\r\n`, `Cookie: ${';'.repeat(n)}\r\n`]).map((lines) => ({ lines })),
  'one cookie': around(4000, 5200, 40).map((n) => ({ lines: `Cookie: a=${'b'.repeat(n)}\r\n` })),
};
const TRAILERS = [0, 20, 60].flatMap((m) => around(40, 140, 2).map((n) => ({ method: 'POST', lines: fields(m), trailers: fields(n) })))
  .concat(around(2, 22, 1).map((n) => ({ method: 'POST', trailers: fields(n, 420 * n) })));

async function answersAll(what, heads) {
  const told = {};
  await inParallel(8, heads, async (head) => {
    const { answers, closed } = await raw(request(head), { next: get('/livez'), enough: 2 });
    const shown = JSON.stringify(head).slice(0, 200);
    assert.ok(answers.length, `no answer to ${shown}`);
    const [{ status, headers, text }, second] = answers;
    assert.ok([200, 400, 404, 414, 422, 431].includes(status), `${status} to ${shown}`);
    if (status >= 400) checkProblem({ status, headers, body: JSON.parse(text) }, shown);
    assert.ok(headers.connection === 'close' ? closed && !second : second?.status === 200, `neither closed nor served on: ${shown}`);
    told[status] = (told[status] ?? 0) + 1;
  });
  assert.ok(Object.keys(told).length > 1, `${what}: the edge is elsewhere: ${JSON.stringify(told)}`);
}
for (const [what, heads] of Object.entries(HEADS)) {
  const inAllWays = heads.map((head, i) => ({ ...WAYS[i % 8], ...head, lines: `${WAYS[i % 8].lines ?? ''}${head.lines ?? ''}` }));
  test(`whatever a head has of ${what}, it is answered, and the connection is closed or serves on`, () => answersAll(what, inAllWays));
}
test('whatever comes in trailers is answered, and the connection is closed or serves on', () => answersAll('trailers', TRAILERS));

test('8 KiB of header fields are taken, in one field or in 25, and no more', async () => {
  const own = 'Host'.length + 'a'.length;
  for (const n of [1, 2, 8, 16, 24]) {
    for (const [sum, expected] of [[8192, 200], [8193, 431]]) {
      const first = n > 1 ? fields(n - 1, 4 * (n - 1)) : '';
      const used = first.split('\r\n').filter(Boolean).reduce((bytes, line) => bytes + line.length - 2, own);
      const { answers: [answer] } = await raw(get('/livez', `${first}Y: ${'v'.repeat(sum - used - 1)}\r\n`), { enough: 1 });
      assert.equal(answer?.status, expected, `${sum} bytes in ${n + 1} fields`);
    }
  }
});

test('a page is sent also where its Link to the next is as long as a head can be', async () => {
  const two = [await makeAccount(api), await makeAccount(api)];
  for (const length of around(1000, 5000, 500)) {
    const target = `/v1/accounts?page_size=1&id=${two.map(({ id }) => id).join(',')}&fields=id,name${',id,name'.repeat(length / 8)}`;
    const { answers: [answer] } = await raw(get(target, `Authorization: Bearer ${api.key}\r\n`), { enough: 1 });
    assert.equal(answer?.status, 200, `${target.length} bytes`);
    assert.match(answer.headers.link, /rel="next"/);
    assert.equal(JSON.parse(answer.text).data.length, 1);
  }
});

test('what does not fit is logged as it was answered; HEAD gets no body', async () => {
  const [kamd] = world.kamds;
  const lines = fields(190);
  const { answers: [refused] } = await raw(get('/livez', lines));
  assert.equal(refused.status, 431);
  const line = await until(() => kamd.log().split('\n').find((one) => one.includes('"event":"refused"') && one.includes(refused.headers['x-request-id'])), { what: 'the line' });
  assert.equal(JSON.parse(line).status, 431);
  const { answers: [head], closed } = await raw(get('/livez', lines).replace('GET', 'HEAD'), { head: true });
  assert.ok(closed);
  for (const answer of [head, refused]) for (const name of ['x-request-id', 'date', 'content-length']) delete answer.headers[name];
  assert.deepEqual(head, { ...refused, text: '' });
});

test('requests in one write are answered in order', async () => {
  const list = get('/v1/accounts', `Authorization: Bearer ${api.key}\r\n`);
  const { answers } = await raw(get('/livez') + list + get('/nothing') + get('/livez'), { enough: 4 });
  assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 404, 200]);
});

test('HEAD is GET without the body', async () => {
  const own = `Authorization: Bearer ${api.key}\r\n`;
  for (const path of ['/livez', '/v1/accounts', '/v1/nothing']) {
    const [whole] = (await raw(get(path, own), { enough: 1 })).answers;
    const { answers: [head] } = await raw(get(path, own).replace('GET', 'HEAD'), { enough: 1, head: true });
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

// A head may take a second here, a body two: the connection is closed before so many drops have come, ten of them a second at most.
test('drops of a request do not hold a connection for ever', async (t) => {
  const kamd = await world.add({ KAMD_HEADER_SECONDS: '1', KAMD_BODY_SECONDS: '2' }, 'serve', '--no-worker');
  t.after(() => kamd.stop());
  const drops = (first, drop) => raw([first, ...Array.from({ length: 60 }, () => [100, drop]).flat()], { ms: 60_000, url: new URL(kamd.url) });
  const [line, head, body] = await Promise.all([
    drops('GET /', 'a'), drops(`GET /livez HTTP/1.1\r\n${HOST}`, 'X: y\r\n'), drops(post('Content-Length: 100\r\n', ''), ' '),
  ]);
  for (const slow of [line, head, body]) assert.ok(slow.closed && !slow.answers.length);
  assert.ok(line.sent < 30 && head.sent < 30, `${line.sent} and ${head.sent} drops`);
  assert.ok(body.sent < 50, `${body.sent} drops`);
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

test('beyond the limit of connections each gets 503 at once, and the admin port answers', async (t) => {
  const kamd = await world.add({ KAMD_HEADER_SECONDS: '60' }, 'serve', '--no-worker');
  t.after(() => kamd.stop());
  const url = new URL(kamd.url);
  const sockets = [];
  try {
    for (let i = 0; i < 90; i++) {
      sockets.push(await new Promise((done, fail) => {
        const socket = connect(Number(url.port), url.hostname, () => done(socket)).on('error', fail);
      }));
      sockets.at(-1).removeAllListeners('error').on('error', () => {});
    }
    // At once: a busy machine may take longer for one of them, not for each.
    const refused = [];
    await until(async () => {
      const { answers: [answer], took } = await raw(get('/v1/accounts'), { enough: 1, url });
      refused.push(answer);
      return took < 1000;
    }, { what: 'a refusal at once' });
    for (const answer of refused) {
      assert.equal(answer.status, 503);
      assert.equal(answer.headers['retry-after'], '1');
      assert.equal(JSON.parse(answer.text).code, 'overloaded');
    }
    const admin = await raw(get('/livez'), { enough: 1, url: new URL(kamd.adminUrl) });
    assert.equal(admin.answers[0].status, 200);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
  await until(async () => (await api.at(kamd.url).send('GET', '/livez')).status === 200, { what: 'a place' });
});

test('a stop loses no request', async () => {
  const kamd = await world.add({ KAMD_DRAIN_MS: '500' }, 'serve', '--no-worker');
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
  await until(() => count.fine >= 8, { every: 5, what: 'an answer for each' });
  stopping = true;
  const [stopped] = await Promise.all([kamd.stop(), ...load]);
  assert.equal(stopped, undefined);
  world.kamds.splice(world.kamds.indexOf(kamd), 1);
  client.close();
  assert.ok(count.fine >= 8 && count.refused === 8, JSON.stringify(count));
});
