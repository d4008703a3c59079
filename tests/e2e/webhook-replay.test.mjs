// Sending again what an endpoint was sent, as an operation; what the attempts and the counts of an endpoint say.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startReceiver } from './lib/receiver.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, receiver, endpoint;
let status = 200;

before(async () => {
  world = await openWorld({ settings: { KAMD_WEBHOOK_RETRY_MS: '200,200', KAMD_WEBHOOK_TOTAL_MS: '60000' } });
  api = world.api;
  receiver = await startReceiver(() => status);
  endpoint = await api.create('/v1/webhook-endpoints', { url: receiver.url, event_types: ['account.created'] });
  receiver.secret = endpoint.secret;
});
after(async () => {
  await world?.close();
  await receiver?.stop();
});

const path = () => `/v1/webhook-endpoints/${endpoint.id}`;
const stats = (query = '') => api.get(`${path()}/stats${query}`);
const counts = () => receiver.deliveries.reduce((sum, { id }) => sum.set(id, (sum.get(id) ?? 0) + 1), new Map());
async function replay(body) {
  const { body: operation } = await api.call(202, 'POST', `${path()}/replay`, { body });
  assert.deepEqual([operation.kind, operation.result], ['replay', null]);
  return until(async () => {
    const now = await api.get(`/v1/operations/${operation.id}`);
    return ['succeeded', 'failed'].includes(now.status) && now;
  }, { ms: 30_000, what: 'the operation' });
}
async function makeMany(n) {
  const records = Array.from({ length: n }, () => ({ name: unique('Many') }));
  await api.call(200, 'POST', '/v1/accounts/bulk', { body: { records }, headers: { 'idempotency-key': unique('bulk') } });
}
const settled = () => until(async () => {
  const now = await stats();
  return now.events_behind === 0 && now.pending + now.failed === 0 && now;
}, { ms: 60_000, what: 'nothing left to send' });

test('a span of time: everything that was sent in it comes again, under the same id', async () => {
  const since = new Date(Date.now() - 3_600_000).toISOString();
  await makeMany(120);
  await until(() => counts().size === 120, { ms: 60_000, what: '120 deliveries' });
  await settled();
  const done = await replay({ since });
  assert.equal(done.status, 'succeeded');
  assert.deepEqual([done.result.deliveries, done.result.replayed, done.progress], [120, 120, { done: 120, total: 120 }]);
  await until(() => [...counts().values()].every((n) => n === 2), { ms: 60_000, what: 'all of them twice' });
  assert.equal(counts().size, 120);
  assert.deepEqual(receiver.deliveries.flatMap(({ errors }) => errors), []);
  assert.equal((await replay({ since: '2020-01-01T00:00:00Z', until: '2020-01-02T00:00:00Z' })).result.replayed, 0);
  await settled();
});

test('only what failed; counts, errors and the breaker on the way', async () => {
  status = 503;
  await makeMany(3);
  const bad = await until(async () => {
    const now = await stats('?hours=1');
    return now.exhausted === 3 && now;
  }, { ms: 60_000, what: 'three dead letters' });
  assert.deepEqual([bad.deliveries, bad.delivered, bad.attempts_failed], [123, 120, 9]);
  assert.deepEqual(bad.errors, [{ error: 'http_503', attempts: 9 }]);
  assert.ok(bad.consecutive_failures >= 5 && ['open', 'half_open'].includes(bad.breaker), JSON.stringify(bad));
  assert.equal(Date.parse(bad.disable_at) - Date.parse(bad.failing_since), 5 * 86_400_000);
  assert.ok(Math.abs(bad.success_share - 240 / 249) < 1e-6);
  status = 200;
  const before = receiver.deliveries.length;
  const done = await replay({ since: '2020-01-01T00:00:00Z', only_failed: true });
  assert.deepEqual([done.result.deliveries, done.result.replayed], [3, 3]);
  const good = await settled();
  assert.deepEqual([good.delivered, good.exhausted, good.breaker, good.consecutive_failures, good.failing_since, good.disable_at], [123, 0, 'closed', 0, null, null]);
  assert.equal(receiver.deliveries.length, before + 3);
});

test('one delivery; what its attempts say', async () => {
  const [first] = await api.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}`);
  const attempts = async () => (await api.get(`/v1/webhook-deliveries/${first.id}/attempts`)).data;
  const before = receiver.deliveries.length;
  const tried = (await attempts()).length;
  assert.equal((await replay({ delivery_id: first.id })).result.replayed, 1);
  await until(() => receiver.deliveries.length === before + 1, { what: 'it' });
  assert.equal(receiver.deliveries.at(-1).id, first.event_id);
  // Until that is written down, it is under way.
  const data = await until(async () => {
    const now = await attempts();
    return now.length > tried && now;
  }, { what: 'its attempt' });
  assert.equal(data.at(-1).status, 200);
  assert.deepEqual(data.map(({ n }) => n), data.map((_, i) => i + 1));
  assert.ok(data.every(({ address }) => address === '127.0.0.1'));
});

test('what is under way is not sent a second time, nor counted', async () => {
  const [first] = await api.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}`);
  const before = counts();
  const again = (id) => counts().get(id) - before.get(id);
  receiver.answer = ({ id }) => (id === first.event_id ? null : status);
  await replay({ delivery_id: first.id });
  await until(() => again(first.event_id) === 1, { what: 'it' });
  const { result } = await replay({ since: '2020-01-01T00:00:00Z' });
  assert.deepEqual([result.deliveries, result.replayed], [123, 122]);
  await until(() => [...before.keys()].every((id) => again(id) === 1), { ms: 60_000, what: 'all of them' });
  receiver.answer = () => status;
  receiver.release();
  await settled();
  assert.equal(again(first.event_id), 2); // as the first of these got no answer
});

test('a replay that lost its worker in the middle is gone on with, and ends', async () => {
  const before = counts();
  const { body: operation } = await api.call(202, 'POST', `${path()}/replay`, { body: { since: '2020-01-01T00:00:00Z' } });
  await world.kamds[0].kill();
  world.kamds.length = 0;
  // As if half of it had been done by the one that died.
  sql(world.settings, `update operation set status = 'running', lease_token = gen_random_uuid(), leased_until = now(), result = jsonb_build_object('total', 123, 'deliveries', 60, 'replayed', 60,
    'last_delivery_id', (select id from webhook_delivery where endpoint_id = '${endpoint.id}' order by id offset 59 limit 1)) where id = '${operation.id}' and status <> 'succeeded'`);
  const kamd = await world.add();
  api = world.api = world.api.at(kamd.url);
  const done = await until(async () => {
    const now = await api.get(`/v1/operations/${operation.id}`);
    return now.status === 'succeeded' && now;
  }, { ms: 30_000, what: 'its end' });
  assert.deepEqual([done.result.deliveries, done.result.replayed, done.progress], [123, 123, { done: 123, total: 123 }]);
  const rest = sql(world.settings, `select event_id from webhook_delivery where endpoint_id = '${endpoint.id}' order by id offset 60`).split('\n');
  assert.equal(rest.length, 63);
  await until(() => { const now = counts(); return rest.every((id) => now.get(id) > before.get(id)); }, { ms: 60_000, what: 'the other half' });
});

test('the same in figures for operators', async () => {
  const text = await until(async () => {
    const now = await (await fetch(`${world.kamds[0].adminUrl}/metrics`)).text();
    return /^kamd_webhook_endpoints\{state="closed"\} 1$/m.test(now) && now;
  }, { ms: 90_000, what: 'the endpoint being counted' });
  for (const state of ['open', 'half_open', 'disabled']) assert.match(text, new RegExp(`^kamd_webhook_endpoints\\{state="${state}"\\} 0$`, 'm'));
  for (const name of ['kamd_webhook_dead_letters', 'kamd_webhook_events_behind', 'kamd_webhook_oldest_pending_seconds', 'kamd_event_streams', 'kamd_event_lag_seconds']) assert.match(text, new RegExp(`^${name} \\d`, 'm'));
});

test('attempts are counted by their result', async () => {
  const counted = async (result) => Number(new RegExp(`^kamd_webhook_attempts_total\\{result="${result}"\\} (\\d+)$`, 'm').exec(await (await fetch(`${world.kamds[0].adminUrl}/metrics`)).text())?.[1]);
  await settled(); // what was replayed
  const before = await Promise.all(['delivered', 'failed', 'exhausted'].map(counted));
  status = 500;
  await makeMany(1);
  await until(async () => await counted('failed') >= before[1] + 2 && await counted('exhausted') >= before[2] + 1, { ms: 30_000, what: 'two failures and one given up' });
  status = 200;
  await makeMany(1);
  await until(async () => await counted('delivered') >= before[0] + 1, { ms: 30_000, what: 'one delivered' });
});

test('what cannot be asked for', async () => {
  const nobody = '01970000-0000-7000-8000-000000000000';
  for (const [status_, code, body] of [[422, 'validation_failed', {}], [422, 'validation_failed', { delivery_id: nobody, since: '2026-01-01T00:00:00Z' }], [404, 'not_found', { delivery_id: nobody }],
    [400, 'invalid_request', { since: 'yesterday' }], [400, 'invalid_request', { all: true }]]) await api.fails(status_, code, 'POST', `${path()}/replay`, { body });
  await api.fails(404, 'not_found', 'POST', `/v1/webhook-endpoints/${nobody}/replay`, { body: { since: '2026-01-01T00:00:00Z' } });
  await api.fails(404, 'not_found', 'GET', `/v1/webhook-endpoints/${nobody}/stats`);
  for (const query of ['hours=0', 'hours=169', 'hours=x', 'days=1']) await api.fails(400, 'invalid_request', 'GET', `${path()}/stats?${query}`);
  const now = await api.get(path());
  await api.patch(path(), now.etag, { state: 'disabled' });
  await api.fails(409, 'conflict', 'POST', `${path()}/replay`, { body: { since: '2026-01-01T00:00:00Z' } });
});
