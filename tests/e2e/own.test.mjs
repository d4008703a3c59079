// What is its maker's: webhook endpoints and what was sent to them, operations, imports. For others than the maker and admins each is as if it had never been;
// then the same with row level security gone, and with the application gone.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { addUser } from './lib/planning.mjs';
import { startReceiver } from './lib/receiver.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { DEADLINES, makeAccount, openWorld, unique } from './lib/world.mjs';

const NEVER = '01970000-0000-7000-8000-000000000000';
let world, api, clients, receiver, users;
before(async () => {
  world = await openWorld({ own: true, deadlines: DEADLINES, settings: { KAMD_WEBHOOK_RETRY_MS: '200', KAMD_REPORT_ACCOUNTS: '0' } });
  ({ api } = world);
  receiver = await startReceiver();
  users = { one: await addUser(api), two: await addUser(api) };
  clients = {};
  for (const [name, role] of Object.entries({ integration: 'integration', other: 'integration', director: 'director', second: 'director', auditor: 'auditor' })) clients[name] = await world.clientOf(role);
});
after(async () => {
  await world?.close();
  await receiver?.stop();
});

// An answer without what names the id that was asked for.
const plain = ({ status, body }, id) => JSON.parse(JSON.stringify({ status, ...body, request_id: null }).replaceAll(id, 'ID'));
async function never(client, method, path, id, body) {
  const ask = (which) => client.send(method, path.replace('{id}', which), { body: body && JSON.parse(JSON.stringify(body)), headers: { 'if-match': '*' } });
  const [hidden, missing] = [await ask(id), await ask(NEVER)];
  assert.equal(hidden.status, 404, `${method} ${path}: ${hidden.text}`);
  assert.deepEqual(plain(hidden, id), plain(missing, NEVER), `${method} ${path}`);
}

async function endpointOf(client, types = ['webhook.ping']) {
  const endpoint = await client.create('/v1/webhook-endpoints', { url: receiver.url, event_types: types, headers: [{ name: 'x-token', value: unique('secret') }] });
  const { event_id: ping } = (await client.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/test`, { body: {} })).body;
  const delivery = await until(async () => (await client.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}&state=delivered`)).find(({ event_id: id }) => id === ping), { what: 'the ping' });
  return { ...endpoint, ping, delivery };
}
const ENDPOINT = [['GET', ''], ['PATCH', '', { url: 'https://elsewhere.example.com/' }], ['DELETE', ''], ['POST', '/restore', {}], ['GET', '/history'], ['POST', '/rotate-secret', {}],
  ['POST', '/test', {}], ['POST', '/enable', {}], ['POST', '/replay', { since: '2026-01-01T00:00:00Z' }], ['GET', '/stats']];
const DELIVERY = [['GET', ''], ['GET', '/attempts'], ['POST', '/retry', {}]];

// Nothing of the endpoint is there for the client, and nothing that it tries does anything.
async function notThere(client, { id, ping, delivery, url }, at = api) {
  const state = () => sql(world.settings, `select url, version, state, deleted_at, (select count(*) from webhook_secret where endpoint_id = '${id}'), (select max(n) from webhook_attempt
    where delivery_id = '${delivery.id}'), (select count(*) from event where record_id = '${id}'), (select count(*) from operation where kind = 'replay') from webhook_endpoint where id = '${id}'`);
  const before_ = state();
  for (const [method, rest, body] of ENDPOINT) await never(client, method, `/v1/webhook-endpoints/{id}${rest}`, id, body);
  for (const [method, rest, body] of DELIVERY) await never(client, method, `/v1/webhook-deliveries/{id}${rest}`, delivery.id, body);
  const mine = await client.all('/v1/webhook-endpoints');
  assert.deepEqual(mine.filter((one) => one.id === id), []);
  assert.equal((await client.get('/v1/webhook-endpoints?include_total=true')).page.total, mine.length);
  for (const query of [`id=${id}`, `filter=${encodeURIComponent(`id eq '${id}'`)}`]) assert.deepEqual(await client.all(`/v1/webhook-endpoints?${query}`), [], query);
  for (const query of ['', ...['pending', 'delivered', 'failed', 'exhausted', 'withheld'].map((one) => `state=${one}`)]) {
    assert.deepEqual((await client.all(`/v1/webhook-deliveries?${query}`)).filter(({ endpoint_id: to }) => to === id), [], query);
    assert.deepEqual(await client.all(`/v1/webhook-deliveries?endpoint_id=${id}&${query}`), [], query);
  }
  assert.deepEqual((await events(client)).filter((event) => JSON.stringify(event).includes(id) || event.id === ping), [], 'events');
  const { changes } = await client.get('/v1/changes?after=0&page_size=200');
  assert.deepEqual(changes.filter((change) => JSON.stringify(change).includes(id)), [], 'changes');
  assert.equal(state(), before_);
  assert.equal((await at.get(`/v1/webhook-endpoints/${id}`)).url, url);
}

// Its maker, or an admin, does it all.
async function there(client, { id, ping, delivery, url }) {
  const path = `/v1/webhook-endpoints/${id}`;
  await client.call(200, 'PATCH', path, { body: { url, description: unique('Mine') }, headers: { 'if-match': '*' } });
  assert.deepEqual((await client.all(`/v1/webhook-endpoints?id=${id}`)).map((one) => one.id), [id]);
  assert.ok((await client.get(`${path}/history`)).data.length > 0);
  assert.match((await client.call(200, 'POST', `${path}/rotate-secret`, { body: {} })).body.secret, /^whsec_/);
  await client.call(202, 'POST', `${path}/test`, { body: {} });
  await client.call(200, 'POST', `${path}/enable`, { body: {} });
  assert.equal((await client.get(`${path}/stats`)).webhook_endpoint_id, id);
  assert.ok((await client.all('/v1/webhook-deliveries')).some((one) => one.id === delivery.id));
  assert.ok((await client.all(`/v1/webhook-deliveries?endpoint_id=${id}`)).length > 0);
  assert.equal((await client.get(`/v1/webhook-deliveries/${delivery.id}`)).id, delivery.id);
  assert.ok((await client.get(`/v1/webhook-deliveries/${delivery.id}/attempts`)).data.length > 0);
  const retry = () => client.send('POST', `/v1/webhook-deliveries/${delivery.id}/retry`, { body: {} });
  await until(async () => (await retry()).status === 202, { what: 'the retry, once an attempt that is under way has ended' });
  const replay = (await client.call(202, 'POST', `${path}/replay`, { body: { delivery_id: delivery.id } })).body;
  await until(async () => (await client.get(`/v1/operations/${replay.id}`)).status === 'succeeded', { what: 'the replay' });
  assert.ok((await events(client, 'types=webhook.ping')).some((event) => event.id === ping));
  const { status } = await client.send('DELETE', path, { headers: { 'if-match': '*' } });
  assert.ok(status === 204 || status === 200, 'an integration is answered {}');
  await client.call(200, 'POST', `${path}/restore`, { body: {} });
}

test('a webhook endpoint is its maker\'s and the admins\'; for others it never was', async () => {
  const made = { integration: await endpointOf(clients.integration), director: await endpointOf(clients.director), admin: await endpointOf(api) };
  for (const name of ['integration', 'director', 'other']) {
    for (const [maker, endpoint] of Object.entries(made)) if (maker !== name) await notThere(clients[name], endpoint);
  }
  await there(clients.integration, made.integration);
  await there(clients.director, made.director);
  for (const endpoint of Object.values(made)) await there(api, endpoint);
  for (const client of Object.values(clients).slice(0, 3)) await client.call(404, 'POST', `/v1/webhook-endpoints/${made.admin.id}/rotate-secret`, { body: {} });
});

test('the maker is a key whatever its text is by now, or a person by whichever key; a key that may less does not have what one that may more has made', async () => {
  const { body: key } = await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('key'), role: 'integration' } });
  const endpoint = await endpointOf(api.as(key.key));
  const { body: rotated } = await api.call(200, 'POST', `/v1/api-keys/${key.id}/rotate`, { body: { overlap_seconds: 0 } });
  await there(api.as(rotated.key), endpoint);
  const person = { user_id: users.one.id };
  const [first, second, more, all] = [await world.clientOf('integration', person), await world.clientOf('integration', person), await world.clientOf('director', person), await world.clientOf('admin', person)];
  const theirs = await endpointOf(first);
  await notThere(await world.clientOf('integration', { user_id: users.two.id }), theirs);
  await there(second, theirs);
  await there(more, theirs);
  for (const client of [more, all]) await notThere(second, await endpointOf(client));
});

test('an admin\'s key whose scopes leave out the admin\'s right is no admin\'s here', async () => {
  const endpoint = await endpointOf(clients.integration);
  await notThere(await world.clientOf('admin', { scopes: ['read', 'write'] }), endpoint);
});

test('an endpoint whose maker nobody knows is the admins\'', async () => {
  const endpoint = await endpointOf(clients.integration);
  sql(world.settings, `update webhook_endpoint set actor = null where id = '${endpoint.id}'`);
  await notThere(clients.integration, endpoint);
  await there(api, endpoint);
});

test('what becomes of an endpoint is told to its maker\'s endpoints and the admins\'', async () => {
  const gone = await startReceiver(() => 410);
  const heard = {};
  for (const [name, client] of Object.entries({ admin: api, integration: clients.integration, other: clients.other })) {
    heard[name] = await startReceiver();
    await client.create('/v1/webhook-endpoints', { url: heard[name].url, event_types: ['webhook.disabled', 'user.created'] });
  }
  const told = (name, type, test_) => heard[name].wait(({ event }) => event.type === type && test_(event.data), `${type} for ${name}`);
  const endpoint = await clients.integration.create('/v1/webhook-endpoints', { url: gone.url, event_types: ['webhook.ping'] });
  await clients.integration.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/test`, { body: {} });
  for (const name of ['admin', 'integration']) await told(name, 'webhook.disabled', (data) => data.webhook_endpoint_id === endpoint.id);
  const user = await addUser(api); // comes after it
  await told('other', 'user.created', (data) => data.user_id === user.id);
  assert.deepEqual(heard.other.of('webhook.disabled'), []);
  await Promise.all([gone, ...Object.values(heard)].map((one) => one.stop()));
});

test('a stream tells of one\'s own endpoints, and an admin of all', async () => {
  const streams = Object.fromEntries(Object.entries({ admin: api, integration: clients.integration, other: clients.other }).map(([name, client]) => {
    const stream = { text: '' };
    const call = request(new URL('/v1/events/stream', client.url), { headers: { authorization: `Bearer ${client.key}`, accept: 'text/event-stream' } }, (answer) => answer.on('data', (chunk) => { stream.text += chunk; }));
    call.on('error', () => {}).end();
    return [name, Object.assign(stream, { close: () => call.destroy() })];
  }));
  await until(() => Object.values(streams).every(({ text }) => text), { what: 'the streams' });
  const { event_id: ping } = (await clients.integration.call(202, 'POST', `/v1/webhook-endpoints/${(await endpointOf(clients.integration)).id}/test`, { body: {} })).body;
  const user = await addUser(api);
  await until(() => Object.values(streams).every(({ text }) => text.includes(user.id)), { what: 'what comes after it' });
  assert.deepEqual(Object.entries(streams).map(([name, { text }]) => [name, text.includes(ping)]), [['admin', true], ['integration', true], ['other', false]]);
  for (const { close } of Object.values(streams)) close();
});

async function contactOf(client) {
  const account = await makeAccount(client);
  return client.create('/v1/contacts', { account_id: account.id, family_name: unique('Erased') });
}
const ASK = {
  evaluation: (client) => client.call(202, 'POST', '/v1/program/evaluations', { body: {} }),
  simulation: (client) => client.call(202, 'POST', '/v1/program/simulations', { body: {} }),
  report: (client, n) => client.call(202, 'GET', `/v1/program/pareto?metric=revenue&page_size=${n}`),
  audit: (client) => client.call(202, 'GET', '/v1/audit/verify'),
  erasure: async (client) => client.call(202, 'POST', `/v1/contacts/${(await contactOf(client)).id}/erase`, { body: { reason: 'They asked.' } }),
};
async function operations(at, n) {
  const [director, second, admin] = [at(clients.director), at(clients.second), at(api)];
  for (const [kind, ask] of Object.entries(ASK)) {
    const operation = (await ask(director, n)).body, path = `/v1/operations/${operation.id}`;
    assert.equal(operation.kind, kind);
    for (const name of ['second', 'integration', 'auditor']) await never(at(clients[name]), 'GET', '/v1/operations/{id}', operation.id);
    if (kind === 'report' || kind === 'audit') assert.notEqual((await ask(second, n)).body.id, operation.id, `${kind}: who asks, too, has an operation of their own`);
    for (const client of [director, admin]) await until(async () => (await client.get(path)).status === 'succeeded', { ms: 30_000, what: kind });
    if (kind !== 'evaluation') continue;
    for (const client of [director, admin]) assert.ok((await client.all(`/v1/program/evaluations/${operation.id}/results`)).length > 0);
    for (const name of ['second', 'integration', 'auditor']) await never(at(clients[name]), 'GET', '/v1/program/evaluations/{id}/results', operation.id);
  }
}

async function imports(at) {
  const [mine, admin] = [at(clients.integration), at(api)];
  const content = `external_id,name\n${unique('n')},${unique('Imported')}\n${unique('n')},\n`;
  const create = async () => (await mine.call(201, 'POST', '/v1/imports', { body: { resource: 'accounts', content } })).body;
  const file = await create(), path = `/v1/imports/${file.id}`;
  const state = () => sql(world.settings, `select status, updated_at, (select string_agg(digest, ' ') from import_part where import_id = i.id), (select count(*) from operation where request ->> 'import_id' = i.id::text) from import i where id = '${file.id}'`);
  const notTheirs = async () => {
    const before_ = state();
    for (const name of ['other', 'director']) {
      const client = at(clients[name]);
      for (const [method, rest, body] of [['GET', ''], ['POST', '/start', {}], ['POST', '/revert', {}], ['GET', '/errors'], ['GET', '/errors?format=csv']]) await never(client, method, `/v1/imports/{id}${rest}`, file.id, body);
      const put = (id) => client.send('PUT', `/v1/imports/${id}/parts/1`, { raw: 'external_id,name\nx,Theirs\n', type: 'text/csv' });
      assert.deepEqual(plain(await put(file.id), file.id), plain(await put(NEVER), NEVER));
      assert.deepEqual((await client.all('/v1/imports')).filter(({ id }) => id === file.id), []);
    }
    assert.equal(state(), before_);
  };
  await notTheirs();
  const started = (await mine.call(202, 'POST', `${path}/start`, { body: {} })).body;
  for (const client of [mine, admin]) {
    await until(async () => (await client.get(path)).status === 'succeeded', { what: 'the import' });
    assert.equal((await client.get(`/v1/operations/${started.id}`)).kind, 'import');
    assert.equal((await client.all(`${path}/errors`)).length, 1);
    assert.ok((await client.all('/v1/imports')).some(({ id }) => id === file.id));
  }
  await never(at(clients.other), 'GET', '/v1/operations/{id}', started.id);
  await notTheirs();
  await admin.call(202, 'POST', `${path}/revert`, { body: {} });
  await until(async () => (await mine.get(path)).status === 'reverted', { what: 'the revert' });
  return file;
}

test('an operation is its asker\'s and the admins\'', async () => {
  await makeAccount(api);
  await operations((client) => client, 10);
  const endpoint = await endpointOf(clients.integration);
  const replay = (await clients.integration.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/replay`, { body: { delivery_id: endpoint.delivery.id } })).body;
  for (const name of ['other', 'director']) await never(clients[name], 'GET', '/v1/operations/{id}', replay.id);
});

test('an import, its parts and its errors are its maker\'s and the admins\'', () => imports((client) => client));

test('the database alone: a client that asks for everything gets its own', async () => {
  const endpoint = await endpointOf(clients.integration);
  const { key_id: mine } = await clients.integration.get('/v1/me'), { key_id: other } = await clients.other.get('/v1/me');
  const reach = sql(world.settings, `select reach from webhook_endpoint where id = '${endpoint.id}'`);
  await clients.integration.call(200, 'PATCH', `/v1/webhook-endpoints/${endpoint.id}`, { body: { description: 'Changed' } });
  sql(world.settings, `insert into webhook_retry (delivery_id, endpoint_id, position, attempts, lane, state) values ('${endpoint.delivery.id}', '${endpoint.id}', 1, 1, false, 'exhausted')`);
  const rows = [`webhook_endpoint where id = '${endpoint.id}'`, `webhook_secret where endpoint_id = '${endpoint.id}'`, `webhook_header where endpoint_id = '${endpoint.id}'`,
    `webhook_endpoint_state where endpoint_id = '${endpoint.id}'`, `webhook_delivery where endpoint_id = '${endpoint.id}'`, `webhook_attempt where delivery_id = '${endpoint.delivery.id}'`,
    `webhook_retry where endpoint_id = '${endpoint.id}'`, `event where record_id = '${endpoint.id}'`, `history where record_id = '${endpoint.id}'`, `webhook_deliveries('${endpoint.id}', null, null, 5)`];
  const asked = (await clients.integration.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/replay`, { body: { since: '2900-01-01T00:00:00Z' } })).body;
  sql(world.settings, `insert into evaluation_result (operation_id, account_id, score_rank, score, contributions, missing) select '${asked.id}', id, 1, 1, '[]', '{}' from account limit 1`);
  const file = await imports((client) => client);
  rows.push(`operation where id = '${asked.id}'`, `evaluation_result where operation_id = '${asked.id}'`, `import where id = '${file.id}'`, ...['part', 'error', 'record'].map((what) => `import_${what} where import_id = '${file.id}'`));
  const asApp = (actor, statement) => execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', `begin; set local kamd.scope = 'all'; set local kamd.actor = '${actor}'; set local kamd.areas = '${reach}'; ${statement}; commit`, world.settings.DATABASE_URL], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  for (const from of rows) {
    assert.equal(asApp(`key:${other}`, `select count(*) from ${from}`), '0', from);
    assert.notEqual(asApp(`key:${mine}`, `select count(*) from ${from}`), '0', from);
  }
  for (const statement of [`insert into webhook_endpoint (id, url, actor) values (gen_random_uuid(), 'https://example.com/', 'key:${mine}')`, `insert into webhook_secret (id, endpoint_id, sealed) values (gen_random_uuid(), '${endpoint.id}', '')`,
    `insert into operation (id, kind, request, actor) values (gen_random_uuid(), 'evaluation', '{}', 'key:${mine}')`, `insert into import_part (import_id, n, content, digest) values ('${file.id}', 2, '', '')`])
    assert.throws(() => asApp(`key:${other}`, statement), /row-level security/);
  for (const call of [`webhook_ping('${endpoint.id}')`, `webhook_delivery_again('${endpoint.delivery.id}')`]) assert.throws(() => asApp(`key:${other}`, `select ${call}`), /not_found/);
});

test('the application alone: with row level security gone, the same', async () => {
  sql(world.settings, 'alter role kamd_app bypassrls');
  try {
    await world.killAll();
    await world.add();
    const at = (client) => client.at(world.kamds[0].url);
    const endpoint = await endpointOf(at(clients.integration));
    for (const name of ['other', 'director']) await notThere(at(clients[name]), endpoint, at(api));
    await there(at(clients.integration), endpoint);
    await operations(at, 11);
    await imports(at);
  } finally {
    sql(world.settings, 'alter role kamd_app nobypassrls');
  }
});
