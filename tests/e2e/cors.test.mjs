// Which web pages may call the API: an allow-list, judged by a real browser (conventions.md, "Around it").
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { freePort } from './lib/stack.mjs';
import { PATIENCE } from './lib/wait.mjs';
import { openWorld, unique } from './lib/world.mjs';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} is not there`;
const MS = 60_000 * PATIENCE;
const sites = [];
let world, api, browser, allowed, other;

// A site of its own origin with one empty page.
async function openSite() {
  const port = await freePort();
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>A page</title>'));
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  sites.push(server);
  return `http://127.0.0.1:${port}`;
}

before(async () => {
  allowed = await openSite();
  other = await openSite();
  world = await openWorld({ workers: 0, settings: { KAMD_CORS_ORIGINS: `https://app.example.com, ${allowed}` } });
  ({ api } = world);
  if (skip) return;
  const { chromium } = (await import('playwright-core')).default;
  browser = await chromium.launch({ executablePath: CHROMIUM, timeout: MS, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
});
after(async () => {
  await browser?.close();
  for (const site of sites) site.close();
  await world?.close();
});

const ask = (method, path, headers) => api.send(method, path, { headers });
const vary = ({ headers }) => headers.vary.split(', ');

test('only an origin of the list, letter by letter, is let in; nothing says *, nor allows credentials', async () => {
  for (const [path, status] of [['/v1/accounts', 200], ['/v1/accounts?nothing=1', 400], ['/v1/nothing', 404], ['/openapi.json', 200], ['/livez', 200]]) {
    const fine = await ask('GET', path, { origin: allowed });
    assert.deepEqual([fine.status, fine.headers['access-control-allow-origin'], vary(fine).includes('Origin')], [status, allowed, true], path);
    assert.match(fine.headers['access-control-expose-headers'], /ETag.*Link.*Location.*RateLimit.*Retry-After.*X-Request-Id/);
    for (const origin of [undefined, other, 'null', '*', allowed.toUpperCase(), `${allowed}/`, `${allowed}.example.com`, allowed.slice(0, -1), 'https://app.example.com:443', 'http://app.example.com', `${allowed}, ${other}`]) {
      const answer = await ask('GET', path, { origin });
      assert.equal(answer.status, status);
      assert.deepEqual(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-')), [], `${path} for ${origin}`);
      assert.ok(vary(answer).includes('Origin'), `${path} for ${origin}`);
    }
    assert.equal(fine.headers['access-control-allow-credentials'], undefined);
  }
  const second = await ask('GET', '/v1/me', { origin: 'https://app.example.com' });
  assert.equal(second.headers['access-control-allow-origin'], 'https://app.example.com');
});

test('a preflight is answered without a key, with the methods of the path', async () => {
  const preflight = (path, headers) => api.as().send('OPTIONS', path, { headers });
  const wanted = { 'access-control-request-method': 'PATCH', 'access-control-request-headers': 'authorization,content-type,if-match' };
  const answer = await preflight('/v1/accounts/01970000-0000-7000-8000-000000000000', { origin: allowed, ...wanted });
  assert.deepEqual([answer.status, answer.text], [204, '']);
  assert.equal(answer.headers['access-control-allow-methods'], answer.headers.allow);
  assert.deepEqual(answer.headers.allow.split(', ').sort(), ['DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH']);
  assert.deepEqual(answer.headers['access-control-allow-headers'].split(', '),
    ['authorization', 'content-type', 'idempotency-key', 'if-match', 'if-none-match', 'last-event-id', 'traceparent', 'x-request-id']);
  assert.equal(answer.headers['access-control-max-age'], '600');
  const refused = await preflight('/v1/accounts', { origin: other, ...wanted });
  assert.deepEqual([refused.status, refused.headers['access-control-allow-methods'], refused.headers['access-control-allow-origin']], [204, undefined, undefined]);
  const plain = await preflight('/v1/accounts', { origin: allowed });
  assert.deepEqual([plain.headers['access-control-allow-methods'], plain.headers['access-control-allow-origin']], [undefined, allowed]);
});

test('without the setting there is none of it', async (t) => {
  const kamd = await world.add({ KAMD_CORS_ORIGINS: '' }, 'serve', '--no-worker');
  t.after(() => kamd.stop());
  const { headers } = await api.at(kamd.url).call(200, 'GET', '/v1/me', { headers: { origin: allowed } });
  assert.deepEqual([headers['access-control-allow-origin'], headers.vary], [undefined, 'Accept, Accept-Encoding, Authorization']);
});

// Runs in the page. What a script of that origin gets to see.
async function visit({ url, key, name }) {
  const call = async (method, path, body, headers = {}) => {
    const answer = await fetch(url + path, {
      method, body: body && JSON.stringify(body),
      headers: { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }), ...headers },
    });
    return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.json() };
  };
  try {
    const made = await call('POST', '/v1/accounts', { name }, { 'idempotency-key': name, traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x-request-id': 'page-1' });
    const read = await call('GET', made.headers.location);
    const changed = await call('PATCH', made.headers.location, { industry: 'steel' }, { 'if-match': read.headers.etag });
    const refused = await call('PATCH', made.headers.location, { industry: 'paper' }, { 'if-match': read.headers.etag });
    const lists = await call('GET', '/v1/users?page_size=1');
    return { made, read, changed, refused, lists };
  } catch (error) {
    return { error: String(error) };
  }
}

test('in a browser: a page of an allowed origin works with everything it needs, one of another origin with nothing', { skip }, async () => {
  for (let i = 0; i < 2; i++) await api.create('/v1/users', { name: unique('Person') });
  const from = async (site) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(MS);
    await page.goto(site);
    const name = unique('Made by a page');
    const got = await page.evaluate(visit, { url: world.kamds[0].url, key: api.key, name });
    await page.close();
    return { name, got };
  };
  const { got, name } = await from(allowed);
  assert.equal(got.error, undefined);
  assert.deepEqual([got.made.status, got.read.status, got.changed.status, got.refused.status, got.lists.status], [201, 200, 200, 412, 200]);
  assert.deepEqual([got.made.headers['x-request-id'], got.made.body.name], ['page-1', name]);
  assert.equal(got.read.headers.etag, got.made.body.etag);
  assert.equal(got.refused.body.current_etag, got.refused.headers.etag);
  assert.match(got.lists.headers.link, /rel="next"/);
  for (const header of ['ratelimit', 'ratelimit-policy']) assert.ok(got.read.headers[header], header);

  const stranger = await from(other);
  assert.match(stranger.got.error, /Failed to fetch/);
  assert.deepEqual((await api.get(`/v1/accounts?name=${encodeURIComponent(stranger.name)}`)).data, []);
});
