// Who sees and does what: a manager's own accounts and those below, a member's teams, nobody else's; at every way out.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, scored, unique } from './lib/world.mjs';

let world, api, users, accounts, clients, problem, contact;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api } = world);
  users = {};
  for (const name of ['one', 'two', 'member']) users[name] = await api.create('/v1/users', { name: unique(name) });
  const top = await makeAccount(api, { level: 'global', manager_id: users.one.id });
  const below = await makeAccount(api, { level: 'regional', parent_id: top.id, manager_id: users.two.id });
  const other = await makeAccount(api, { manager_id: users.two.id, phones: ['+4930777000'] });
  accounts = { top, below, other };
  await api.create(`/v1/accounts/${below.id}/team`, { user_id: users.member.id, role: 'controlling' });
  clients = {
    one: await world.clientOf('account_manager', { user_id: users.one.id }),
    two: await world.clientOf('account_manager', { user_id: users.two.id }),
    member: await world.clientOf('member', { user_id: users.member.id }),
    auditor: await world.clientOf('auditor'),
    director: await world.clientOf('director'),
    integration: await world.clientOf('integration'),
  };
  contact = await api.create('/v1/contacts', { account_id: other.id, family_name: unique('Hidden') });
  problem = await api.create(`/v1/accounts/${other.id}/problems`, { category: 'other', title: 'Hidden', opened_at: '2026-05-05T10:00:00Z' });
});
after(() => world?.close());

const seen = async (client) => (await client.all('/v1/accounts')).map(({ id }) => id).sort();
const path = (account) => `/v1/accounts/${account.id}`;

test('a manager sees own accounts and those below; a member those of the teams; the others all (002-15, 004-28)', async () => {
  const { top, below, other } = accounts;
  assert.deepEqual(await seen(clients.one), [top.id, below.id].sort());
  assert.deepEqual(await seen(clients.two), [below.id, other.id].sort());
  assert.deepEqual(await seen(clients.member), [below.id]);
  for (const role of ['auditor', 'director', 'integration']) assert.equal((await seen(clients[role])).length, 3, role);
  assert.equal((await clients.one.get('/v1/accounts?include_total=true')).page.total, 2, 'a total does not tell more');
});

test('what one may not see is not there: 404 on every way (004-28)', async () => {
  const { one } = clients;
  const hidden = path(accounts.other);
  const ways = [
    ['GET', hidden], ['GET', `${hidden}/history`], ['GET', `${hidden}/key-status`], ['GET', `${hidden}/contacts`], ['GET', `${hidden}/problems`],
    ['GET', `${hidden}/problems/${problem.id}`], ['GET', `/v1/contacts/${contact.id}`], ['GET', `/v1/contacts/${contact.id}/history`],
    ['PATCH', hidden, {}], ['DELETE', hidden], ['POST', `${hidden}/restore`, {}], ['POST', `${hidden}/interactions`, { kind: 'call', channel: 'phone', occurred_at: '2026-05-05T10:00:00Z' }],
    ['PATCH', `${hidden}/problems/${problem.id}`, { severity: 'low' }], ['DELETE', `/v1/contacts/${contact.id}`],
  ];
  for (const [method, url, body] of ways) {
    const { status } = await one.send(method, url, { body, headers: { 'if-match': accounts.other.etag } });
    assert.equal(status, 404, `${method} ${url}`);
  }
  const nobody = '/v1/accounts/01970000-0000-7000-8000-000000000000';
  const strip = ({ body }) => ({ ...body, instance: null, request_id: null, detail: body.detail.replaceAll(/[0-9a-f-]{36}/g, 'ID') });
  assert.deepEqual(strip(await one.send('GET', hidden)), strip(await one.send('GET', nobody)), 'no difference to what does not exist');
});

test('nor by lists, filters, search, expand, references, events', async () => {
  const { one, two } = clients;
  assert.deepEqual(await one.all(`/v1/accounts?id=${accounts.other.id}`), []);
  assert.deepEqual(await one.all(`/v1/accounts?account_number=${accounts.other.account_number}`), []);
  assert.deepEqual(await one.all(`/v1/accounts?q=${accounts.other.name}`), []);
  assert.deepEqual(await one.all(`/v1/contacts?family_name=${contact.family_name}`), []);
  assert.deepEqual(await one.all(`/v1/contacts?account_id=${accounts.other.id}`), []);
  assert.deepEqual((await two.get(`${path(accounts.below)}?expand=parent`)).parent, null, 'the account above stays hidden');
  const unseen = await one.send('POST', '/v1/contacts', { body: { account_id: accounts.other.id, family_name: 'x' } });
  const unknown = await one.send('POST', '/v1/contacts', { body: { account_id: '01970000-0000-7000-8000-000000000000', family_name: 'x' } });
  assert.deepEqual([unseen.status, unseen.body.code], [unknown.status, unknown.body.code]);
  const told = async (client) => new Set((await events(client)).map(({ data }) => data.account_id).filter(Boolean));
  await until(async () => (await told(api)).has(accounts.other.id), { what: 'the events' });
  const ids = await told(one);
  assert.ok(ids.has(accounts.top.id) && !ids.has(accounts.other.id));
  const bulk = await one.call(200, 'POST', '/v1/contacts/bulk', {
    body: { records: [{ account_id: accounts.other.id, family_name: 'x' }, { id: contact.id, title: 'x' }] }, headers: { 'idempotency-key': unique('k') } });
  assert.deepEqual(bulk.body.results.map(({ success }) => success), [false, false]);
});

test('an ETag does not depend on who asks', async () => {
  const etag = (client) => client.get(path(accounts.below)).then((account) => account.etag);
  assert.equal(await etag(clients.one), await etag(clients.two));
  assert.equal(await etag(clients.one), await etag(api));
});

test('a manager writes what is below own accounts, but makes no accounts, orders or decisions', async () => {
  const { one } = clients;
  await one.create('/v1/contacts', { account_id: accounts.top.id, family_name: 'Mine' });
  const top = await one.get(path(accounts.top));
  await one.patch(path(accounts.top), top.etag, { industry: 'steel' });
  const forbidden = [
    ['POST', '/v1/accounts', { name: 'x' }], ['POST', `${path(accounts.top)}/orders`, { ordered_on: '2026-05-05', currency_code: 'USD', lines: [{ line_no: 1, amount: '1' }] }],
    ['POST', `${path(accounts.top)}/designate`, { reason: 'x', benefits: [] }], ['POST', '/v1/program/criteria', { metrics: [] }], ['POST', '/v1/api-keys', { name: 'x', role: 'admin' }],
    ['GET', '/v1/api-keys'], ['POST', '/v1/webhook-endpoints', { url: 'https://example.com' }], ['PUT', '/v1/sync/crm/accounts/1', { name: 'x' }],
  ];
  for (const [method, url, body] of forbidden) await one.fails(403, 'forbidden', method, url, { body, headers: { 'idempotency-key': unique('k') } });
});

test('an auditor reads everything and writes nothing', async () => {
  const { auditor } = clients;
  await auditor.get(path(accounts.other));
  await auditor.get('/v1/program');
  for (const [method, url] of [['POST', '/v1/accounts'], ['PATCH', path(accounts.other)], ['DELETE', path(accounts.other)], ['POST', '/v1/contacts'], ['PATCH', '/v1/program'], ['POST', '/v1/contacts/bulk']]) {
    await auditor.fails(403, 'forbidden', method, url, { body: method === 'DELETE' ? undefined : {}, headers: { 'if-match': accounts.other.etag, 'idempotency-key': unique('k') } });
  }
});

test('a changed responsibility counts at once, at every process', async () => {
  const [before_, now] = [clients.one, clients.two];
  const account = await scored(api, await makeAccount(api, { manager_id: users.one.id }));
  await before_.get(path(account));
  await now.fails(404, 'not_found', 'GET', path(account));
  const moved = await api.patch(path(account), account.etag, { manager_id: users.two.id });
  for (const { url } of world.apis) {
    await before_.at(url).fails(404, 'not_found', 'GET', path(account));
    assert.equal((await now.at(url).get(path(account))).etag, moved.etag);
  }
});

test('keys: shown once, scoped, expiring, revoked at every process within half a second', async () => {
  const { body: made } = await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('key'), role: 'director', scopes: ['read'] } });
  assert.match(made.key, /^kamd_live_/);
  assert.ok(made.key.startsWith(made.prefix));
  assert.ok(!JSON.stringify(await api.all('/v1/api-keys')).includes(made.key), 'never shown again');
  const client = api.as(made.key);
  const me = await client.get('/v1/me');
  assert.equal(me.role, 'director');
  await client.get('/v1/accounts');
  await client.fails(403, 'forbidden', 'POST', '/v1/accounts', { body: { name: 'x' } });
  await client.at(world.apis[1].url).get('/v1/accounts');
  await api.call(204, 'DELETE', `/v1/api-keys/${made.id}`);
  await until(async () => (await client.send('GET', '/v1/accounts')).status === 401, { ms: 1500, what: 'the revocation' });
  await until(async () => (await client.at(world.apis[1].url).send('GET', '/v1/accounts')).status === 401, { ms: 1500, what: 'the revocation elsewhere' });
  const { body: short } = await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('short'), role: 'auditor', expires_at: new Date(Date.now() + 3_600_000).toISOString() } });
  const brief = api.as(short.key);
  await brief.get('/v1/accounts');
  sql(world.settings, `set session_replication_role = replica; update api_key set expires_at = now() + interval '1 second' where id = '${short.id}'`);
  await until(async () => (await brief.send('GET', '/v1/accounts')).status === 401, { what: 'the end of its time' });
  await brief.fails(401, 'unauthenticated', 'GET', '/v1/accounts');
  await api.fails(400, 'invalid_request', 'POST', '/v1/api-keys', { body: { name: 'x', role: 'king' } });
  await api.call(422, 'POST', '/v1/api-keys', { body: { name: 'x', role: 'account_manager' } });
});

test('a key works at another process at once', async () => {
  const client = await world.clientOf('auditor');
  await until(async () => (await client.at(world.apis[1].url).send('GET', '/v1/me')).status === 200, { ms: 1000, what: 'the new key elsewhere' });
});

test('all but the public paths need a key', async () => {
  const nobody = api.as(undefined);
  for (const url of ['/livez', '/readyz', '/openapi.json', '/docs', '/problems/not_found']) {
    assert.ok([200, 301, 302, 308].includes((await nobody.send('GET', url)).status), url);
  }
  for (const url of ['/v1/me', '/v1/accounts', '/v1/events', '/v1/program', '/v1/recognition?phone=%2B1', '/v1/operations/1', '/v1/event-types']) {
    await nobody.fails(401, 'unauthenticated', 'GET', url);
  }
});
