// The bad input table: for each the right status, and a problem document that names what is wrong.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

let world, api, account;
before(async () => {
  world = await openWorld();
  ({ api } = world);
  account = await makeAccount(api);
});
after(() => world?.close());

const nested = (depth) => `{"name":"x","division":${'{"a":'.repeat(depth - 1)}1${'}'.repeat(depth - 1)}}`;
const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
const create = (raw, more) => ({ method: 'POST', path: '/v1/accounts', raw, ...more });
const of = (body) => create(JSON.stringify(body));
const item = () => `/v1/accounts/${account.id}`;

// [what, request, status, code, places that must be named]
const TABLE = [
  ['an unknown field', of({ name: 'x', nmae: 'y' }), 400, 'invalid_request', ['/nmae']],
  ['an unknown field deep inside', of({ name: 'x', address: { stret: 'y' } }), 400, 'invalid_request', ['/address/stret']],
  ['a field that is ours to set', of({ name: 'x', score: '99', id: 'y' }), 400, 'invalid_request', ['/id', '/score']],
  ['an unknown query parameter', { path: '/v1/accounts?colour=red' }, 400, 'invalid_request', ['colour']],
  ['an unknown parameter of an item', { path: () => `${item()}?depth=2` }, 400, 'invalid_request', ['depth']],
  ['a number for a text', of({ name: 5 }), 400, 'invalid_request', ['/name']],
  ['a text for an array', of({ name: 'x', phones: '+4930123456' }), 400, 'invalid_request', ['/phones']],
  ['an array for an object', of({ name: 'x', address: [] }), 400, 'invalid_request', ['/address']],
  ['a bad value of an enumeration', of({ name: 'x', lifecycle: 'friend' }), 400, 'invalid_request', ['/lifecycle']],
  ['a bad value in a filter', { path: '/v1/accounts?tier=Z' }, 400, 'invalid_request', ['tier']],
  ['a date that is none', of({ name: 'x', contact_preference: { do_not_contact_until: '2026-02-30' } }), 400, 'invalid_request', ['/contact_preference/do_not_contact_until']],
  ['several faults at once', of({ name: 5, lifecycle: 'friend', colour: 'red', phones: ['0800'] }), 400, 'invalid_request', ['/colour', '/lifecycle', '/name', '/phones/0']],
  ['a duplicate key', create('{"name":"a","name":"b"}'), 400, 'malformed_json', /same key.*line 1, column/],
  ['a duplicate key in disguise', create('{"name":"a","n\\u0061me":"b"}'), 400, 'malformed_json', /same key.*line 1, column/],
  ['nesting of 33', create(nested(33)), 400, 'malformed_json', /32|deep|nest/i],
  ['nesting of 100,000', create(`${'['.repeat(100_000)}`), 400, 'malformed_json', /32|deep|nest/i],
  ['2 MiB', create(JSON.stringify({ name: 'x'.repeat(2 << 20) })), 413, 'payload_too_large', /1048576 bytes/],
  ['2 MiB without a length', create(JSON.stringify({ name: 'x'.repeat(2 << 20) }), { headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' } }), 413, 'payload_too_large', /1048576 bytes/],
  ['invalid UTF-8', create(bytes('{"name":"', [0xc3, 0x28], '"}')), 400, 'malformed_json', /utf-8/i],
  ['overlong UTF-8', create(bytes('{"name":"', [0xc0, 0xaf], '"}')), 400, 'malformed_json', /utf-8/i],
  ['NUL as a byte', create(bytes('{"name":"a', [0], 'b"}')), 400, 'malformed_json', /nul|control|0x00|u0000/i],
  ['NUL as an escape', create('{"name":"a\\u0000b"}'), 400, 'malformed_json', /nul|u0000/i],
  ['half a surrogate pair', create('{"name":"\\ud800"}'), 400, 'malformed_json', /line 1, column/],
  ['a byte order mark', create('\ufeff{"name":"x"}'), 400, 'malformed_json'],
  ['something after the document', create('{"name":"x"} {}'), 400, 'malformed_json'],
  ['half a document', create('{"name":'), 400, 'malformed_json'],
  ['no document', create(''), 400, 'malformed_json'],
  ['a text for a document', create('"name"'), 400, 'invalid_request'],
  ['random bytes', create(randomBytes(2000)), 400, 'malformed_json'],
  ['a number beyond all', create('{"name":"x","emails":[1e400]}'), 400, null],
  ['a wrong media type', create('name=x', { type: 'application/x-www-form-urlencoded' }), 415, 'unsupported_media_type', /x-www-form-urlencoded|application\/json/],
  ['no media type', create('{"name":"x"}', { headers: { 'content-type': undefined } }), 415, 'unsupported_media_type'],
  ['another kind of patch', { method: 'PATCH', path: item, raw: '[]', type: 'application/json-patch+json', headers: { 'if-match': '"x"' } }, 415, 'unsupported_media_type'],
  ['a malformed id', { path: '/v1/accounts/42' }, 400, 'invalid_request', ['id']],
  ['a malformed id in a filter', { path: '/v1/contacts?account_id=42' }, 400, 'invalid_request', ['account_id']],
  ['a malformed id in a body', { method: 'POST', path: '/v1/contacts', raw: '{"family_name":"x","account_id":"42"}' }, 400, 'invalid_request', ['/account_id']],
  ['an id that nobody has', { path: '/v1/accounts/01970000-0000-7000-8000-000000000000' }, 404, 'not_found'],
  ['a reference to nothing', of({ name: 'x', parent_id: '01970000-0000-7000-8000-000000000000' }), 422, 'validation_failed', ['/parent_id']],
  ['a required field that is missing', of({ industry: 'x' }), 422, 'validation_failed', ['/name']],
  ['a required field that is null', of({ name: null }), 422, 'validation_failed', ['/name']],
  ['a text that is too long', of({ name: 'x'.repeat(201) }), 422, 'validation_failed', ['/name']],
  ['a phone number of no country', of({ name: 'x', phones: ['0800 1234'] }), 422, 'validation_failed', ['/phones/0']],
  ['a page size of nothing', { path: '/v1/accounts?page_size=0' }, 400, 'invalid_request', ['page_size']],
  ['a cursor of our own making', { path: '/v1/accounts?cursor=AAAA' }, 400, 'invalid_cursor'],
  ['a query that is no text', { path: '/v1/accounts?q=%C3%28' }, 400, 'invalid_request'],
  ['a query with NUL', { path: '/v1/accounts?q=a%00b' }, 400, 'invalid_request'],
  ['a broken escape', { path: '/v1/accounts?q=%zz' }, 400, 'invalid_request'],
  ['a filter given twice', { path: '/v1/accounts?tier=A&tier=B' }, 400, 'invalid_request', ['tier']],
  ['no If-Match', { method: 'PATCH', path: item, raw: '{"industry":"x"}' }, 428, 'precondition_required'],
  ['an outdated If-Match', { method: 'PATCH', path: item, raw: '{"industry":"x"}', headers: { 'if-match': '"of long ago"' } }, 412, 'precondition_failed'],
  ['no key', { path: '/v1/accounts', headers: { authorization: undefined } }, 401, 'unauthenticated'],
  ['a wrong key', { path: '/v1/accounts', headers: { authorization: `Bearer kamd_live_${'x'.repeat(49)}` } }, 401, 'unauthenticated'],
  ['another way to sign in', { path: '/v1/accounts', headers: { authorization: 'Basic eDp5' } }, 401, 'unauthenticated'],
  ['a path that is not there', { path: '/v1/acounts' }, 404, 'not_found'],
  ['a method that is not there', { method: 'PUT', path: item, raw: '{}' }, 405, 'method_not_allowed'],
  ['only HTML accepted', { path: item, headers: { accept: 'text/html' } }, 406, 'not_acceptable'],
];

for (const [what, { method = 'GET', path, ...options }, status, code, named] of TABLE) {
  test(`${what}: ${status} ${code ?? ''}`, async () => {
    const url = typeof path === 'function' ? path() : path;
    const { body, headers } = await api.call(status, method, url, options);
    if (code) assert.equal(body.code, code, JSON.stringify(body));
    if (Array.isArray(named)) assert.deepEqual(places(body).sort(), named, JSON.stringify(body));
    if (named instanceof RegExp) assert.match(JSON.stringify([body.detail, body.errors]), named);
    if (status === 405) assert.match(headers.allow, /GET.*PATCH|PATCH.*GET/);
    if (what === 'another kind of patch') assert.match(headers['accept-patch'], /application\/merge-patch\+json/);
    if (status === 412) assert.equal(body.current_etag, (await api.get(url)).etag);
  });
}

test('nesting of 32 is read', async () => {
  const { status, body } = await api.send('POST', '/v1/accounts', { raw: nested(31) });
  assert.deepEqual([status, body.code], [400, 'invalid_request'], 'refused for its field, not for its depth');
});

test('a client that accepts only application/json gets the problem under that type', async () => {
  const { status, headers, body } = await api.send('GET', '/v1/acounts', { headers: { accept: 'application/json' } });
  assert.deepEqual([status, headers['content-type'].split(';')[0], body.code], [404, 'application/json', 'not_found']);
});

test('request_id is the X-Request-Id, echoed or ours', async () => {
  const mine = await api.call(404, 'GET', '/v1/acounts', { headers: { 'x-request-id': 'of-the-test-1' } });
  assert.deepEqual([mine.body.request_id, mine.headers['x-request-id']], ['of-the-test-1', 'of-the-test-1']);
  const ours = await api.call(404, 'GET', '/v1/acounts');
  assert.ok(ours.body.request_id.length > 8);
  assert.equal(ours.body.request_id, ours.headers['x-request-id']);
});

test('the type of a problem can be looked up, without a key', async () => {
  const { body } = await api.call(404, 'GET', '/v1/acounts');
  const { pathname } = new URL(body.type, api.url);
  const page = await api.send('GET', pathname, { headers: { authorization: undefined } });
  assert.equal(page.status, 200);
  assert.match(page.text, /nothing here that you can see/);
});

test('a thousand broken requests later it still answers, and none was a 5xx', async () => {
  const seed = randomBytes(4).readUInt32LE();
  const random = ((state) => () => { state = (Math.imul(state, 1664525) + 1013904223) >>> 0; return state / 2 ** 32; })(seed);
  const good = JSON.stringify({ name: 'x', phones: ['+4930123456'], address: { city: 'y' }, customer_plans: [{ kind: 'other', text: 'z' }] });
  for (let i = 0; i < 1000; i++) {
    const text = Buffer.from(good);
    for (let hits = 1 + Math.floor(random() * 4); hits > 0; hits--) text[Math.floor(random() * text.length)] = Math.floor(random() * 256);
    const { status, body } = await api.send('POST', '/v1/accounts', { raw: text });
    assert.ok(status < 500, `seed ${seed}, round ${i}: ${status} for ${text.toString('latin1')}`);
    if (status === 201) await api.remove(`/v1/accounts/${body.id}`, body.etag);
  }
});

test('bytes that are no HTTP do not harm', async () => {
  for (const text of ['\0\0\0\0', 'GET\r\n\r\n', 'GET /livez HTTP/9.9\r\n\r\n', '{"name":"x"}\r\n\r\n']) {
    await new Promise((done) => {
      const socket = connect(Number(api.url.port), api.url.hostname, () => socket.end(text));
      socket.on('close', done).on('error', done).resume();
      socket.setTimeout(15_000, () => socket.destroy());
    });
  }
  assert.equal((await api.send('GET', '/livez')).status, 200);
});
