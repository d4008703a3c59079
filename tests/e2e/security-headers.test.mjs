// Security headers on every answer of every route of openapi.yaml, errors included (conventions.md, "Around it"; reliability.md 4.1, API8).
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { operationsOf, readOpenapi } from '../contract/lib/contract.mjs';
import { openWorld } from './lib/world.mjs';

let world, api, nobody;
before(async () => {
  world = await openWorld({ workers: 0 });
  ({ api } = world);
  nobody = api.as();
});
after(async () => {
  nobody?.close();
  await world?.close();
});

const ID = '01970000-0000-7000-8000-000000000000';
const PAGES = /^\/docs(\/|$)/;

function check(answer, what, { page = false, hsts } = {}) {
  const { headers } = answer;
  const expect = (name, value) => assert.equal(headers[name], value, `${what}: ${answer.status} ${name}`);
  expect('x-content-type-options', 'nosniff');
  expect('referrer-policy', 'no-referrer');
  expect('x-frame-options', 'DENY');
  expect('cross-origin-resource-policy', 'same-origin');
  expect('strict-transport-security', hsts);
  expect('server', undefined);
  expect('x-powered-by', undefined);
  expect('access-control-allow-origin', undefined);
  if (page) assert.match(headers['content-security-policy'], /^default-src 'none'; .*frame-ancestors 'none'$/, what);
  else expect('content-security-policy', "default-src 'none'; frame-ancestors 'none'");
  assert.match(headers['cache-control'], answer.status >= 400 ? /^(private, no-cache|no-store)$/ : /^(private, no-cache|no-store|public, max-age=\d+)$/, what);
  assert.match(headers.vary, /^Accept, Accept-Encoding, Authorization$/, what);
  assert.match(headers['x-request-id'], /^[\w.-]{1,64}$/, what);
  if (answer.text) assert.ok(headers['content-type'], what);
}

test('every operation: without a key, with a wrong body or parameter, and of something that is not there', async () => {
  const operations = operationsOf(readOpenapi());
  const statuses = new Set();
  for (const { method, path } of operations) {
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => ({ code: 'not_found', file: 'page.js', section: 'capabilities' })[name] ?? (/id$/.test(name) ? ID : '1'));
    const body = ['POST', 'PUT', 'PATCH'].includes(method) ? { nothing: 1 } : undefined;
    const query = /stream$/.test(path) ? '?max_seconds=1' : '';
    const sent = [
      nobody.send(method, filled, { body }),
      api.send(method, filled + query, { body }),
      api.send(method, `${filled}?nothing=1`, { body }),
      api.send(method === 'GET' ? 'HEAD' : 'OPTIONS', filled + query),
    ];
    for (const answer of await Promise.all(sent)) {
      check(answer, `${method} ${path}`, { page: PAGES.test(path) && answer.headers['content-security-policy'] !== "default-src 'none'; frame-ancestors 'none'" });
      statuses.add(answer.status);
    }
  }
  assert.ok(operations.length > 200, `${operations.length} operations`);
  for (const status of [200, 204, 400, 401, 404]) assert.ok(statuses.has(status), `nothing answered ${status}: ${[...statuses]}`);
});

test('what is refused before any route, and pages', async () => {
  const raw = (text) => new Promise((done, fail) => {
    let got = '';
    const socket = connect(Number(api.url.port), api.url.hostname, () => socket.write(text));
    socket.setEncoding('latin1').on('data', (more) => { got += more; }).on('close', () => done(got)).on('error', fail);
  });
  for (const head of ['GET /telltale b HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /livez?telltale HTTP/1.1\r\n\r\n', 'GET /%00telltale HTTP/1.1\r\nHost: a\r\n\r\n']) {
    const [start, ...parts] = (await raw(head)).split('\r\n\r\n');
    const [line, ...fields] = start.split('\r\n');
    const headers = Object.fromEntries(fields.map((field) => [field.slice(0, field.indexOf(':')).toLowerCase(), field.slice(field.indexOf(':') + 2)]));
    const answer = { status: Number(line.split(' ')[1]), headers, text: parts.join('\r\n\r\n') };
    assert.equal(answer.status, 400, head);
    check(answer, JSON.stringify(head));
    assert.doesNotMatch(start, /telltale/);
    assert.equal(JSON.parse(answer.text).status, 400, head);
  }
  for (const [status, path, options] of [[404, '/nothing'], [414, `/v1/accounts?q=${'x'.repeat(9000)}`], [431, '/livez', { headers: { 'x-a': 'x'.repeat(9000) } }]]) check(await nobody.call(status, 'GET', path, options), path);
  check(await nobody.call(405, 'TRACE', '/v1/accounts'), 'TRACE');
  check(await api.call(413, 'POST', '/v1/accounts', { body: { name: 'x'.repeat(1 << 20) } }), '413');
  for (const path of ['/docs', '/docs/page.js']) check(await nobody.call(200, 'GET', path), path, { page: true });
  check(await nobody.call(200, 'GET', '/problems/not_found', { headers: { accept: 'text/html' } }), 'a page');
});

test('answers that hold a secret are kept nowhere', async () => {
  const user = await api.create('/v1/users', { name: 'Somebody' });
  const endpoint = await api.call(201, 'POST', '/v1/webhook-endpoints', { body: { url: 'https://example.com/' } });
  const secrets = [
    endpoint,
    await api.call(200, 'POST', `/v1/webhook-endpoints/${endpoint.body.id}/rotate-secret`, { body: {} }),
    await api.call(201, 'POST', '/v1/api-keys', { body: { name: 'x', role: 'auditor' } }),
    await api.call(200, 'POST', `/v1/users/${user.id}/agenda-token`, { body: {} }),
  ];
  for (const { headers } of secrets) assert.equal(headers['cache-control'], 'no-store');
});

test('Strict-Transport-Security when the setting says that TLS ends before kamd', async () => {
  const kamd = await world.add({ KAMD_HSTS_SECONDS: '31536000' }, 'serve', '--no-worker');
  const client = api.at(kamd.url);
  check(await client.call(200, 'GET', '/v1/me'), '/v1/me', { hsts: 'max-age=31536000' });
  check(await client.as().call(401, 'GET', '/v1/me'), 'an error', { hsts: 'max-age=31536000' });
});
