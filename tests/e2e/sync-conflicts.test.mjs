// Both sides changed the same field (004-31): who wins is a policy by system and field, and what loses is not lost.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sleep, until } from './lib/wait.mjs';
import { openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld();
  ({ api } = world);
});
after(() => world?.close());

const at = (ms) => new Date(Date.now() + ms).toISOString();
const sync = async (system, records, more = {}, resource = 'accounts') =>
  (await api.call(200, 'POST', `/v1/sync/${system}/${resource}`, { body: { records, ...more }, headers: { 'idempotency-key': unique('sync') } })).body.results;
const one = async (system, record, more, resource) => (await sync(system, [record], more, resource))[0];
const policy = (system, conflict_policy, fields) => api.call(200, 'PUT', `/v1/sync/${system}/policy`, { body: { conflict_policy, fields } });
const conflicts = (system, query = '') => api.all(`/v1/sync/${system}/conflicts${query}`);
const read = (id, path = 'accounts') => api.get(`/v1/${path}/${id}`);
async function edit(id, body, path = 'accounts') {
  return api.patch(`/v1/${path}/${id}`, (await read(id, path)).etag, body);
}
// A record of the system's, and then an edit of ours.
async function both(system, ours = { industry: 'ours' }) {
  const external_id = unique('both');
  const { id } = await one(system, { external_id, name: 'Both', industry: 'base', domain: 'base.example', system_modstamp: at(-60_000) });
  await edit(id, ours);
  return { external_id, id };
}
const seen = (list) => list.map(({ field, kamd_value, system_value, winner, rule }) => [field, kamd_value, system_value, winner, rule]);

test('without a policy the system wins, and our value is kept in the report', async () => {
  const system = unique('plain').toLowerCase();
  assert.deepEqual([(await api.get(`/v1/sync/${system}/policy`)).conflict_policy, await conflicts(system)], ['source_wins', []]);
  const { external_id, id } = await both(system);
  assert.equal((await one(system, { external_id, industry: 'theirs', domain: 'theirs.example' })).outcome, 'updated');
  assert.deepEqual([(await read(id)).industry, (await read(id)).domain], ['theirs', 'theirs.example']);
  assert.deepEqual(seen(await conflicts(system)), [['industry', 'ours', 'theirs', 'source', 'source_wins']], 'the domain is theirs alone');
  // Its own next change is none.
  await one(system, { external_id, industry: 'theirs again' });
  assert.equal((await conflicts(system)).length, 1);
});

test('kamd_wins: ours stays, their value is kept, the feed tells of it; what they only repeat is no conflict', async () => {
  const system = unique('ours').toLowerCase();
  await policy(system, 'kamd_wins');
  const { external_id, id } = await both(system);
  const { next_cursor: from } = (await api.call(200, 'GET', '/v1/changes?after=now')).body;
  assert.equal((await one(system, { external_id, industry: 'base', domain: 'theirs.example' })).outcome, 'updated');
  assert.deepEqual([(await read(id)).industry, (await read(id)).domain], ['ours', 'theirs.example']);
  assert.deepEqual(await conflicts(system), []);
  assert.equal((await one(system, { external_id, industry: 'theirs' })).outcome, 'unchanged');
  assert.deepEqual(seen(await conflicts(system, '?status=open')), [['industry', 'ours', 'theirs', 'kamd', 'kamd_wins']]);
  const told = await until(async () => (await api.get(`/v1/changes?after=${from}&exclude_origin=${system}`)).changes.find((change) => change.origin === 'kamd'), { ms: 15_000, what: 'the feed' });
  assert.deepEqual([told.id, told.op, told.changed_fields, told.snapshot.industry], [id, 'updated', ['industry'], 'ours']);
  assert.equal((await one(system, { external_id, industry: 'ours' })).outcome, 'unchanged');
  assert.equal((await one(system, { external_id, industry: 'later' })).outcome, 'updated', 'they know ours now');
});

test('latest_wins: by their time and the time of our change of that field', async () => {
  const system = unique('latest').toLowerCase();
  await policy(system, 'latest_wins');
  const early = await both(system);
  assert.equal((await one(system, { external_id: early.external_id, industry: 'theirs', system_modstamp: at(-30_000) })).outcome, 'unchanged');
  const late = await both(system);
  await edit(late.id, { domain: 'ours.example' });
  assert.equal((await one(system, { external_id: late.external_id, industry: 'theirs', system_modstamp: at(30_000) })).outcome, 'updated');
  // Our other, later edit of the record does not count for this field.
  const mixed = await both(system);
  await sleep(20);
  const between = at(0);
  await sleep(20);
  await edit(mixed.id, { domain: 'ours.example' });
  await one(system, { external_id: mixed.external_id, industry: 'theirs', domain: 'theirs.example', system_modstamp: between });
  const now = await read(mixed.id);
  assert.deepEqual([now.industry, now.domain], ['theirs', 'ours.example']);
  assert.deepEqual((await conflicts(system)).map(({ field, winner }) => [field, winner]).sort(), [['domain', 'kamd'], ['industry', 'kamd'], ['industry', 'source'], ['industry', 'source']]);
});

test('a field has an owner; a call may have a policy of its own', async () => {
  const system = unique('owned').toLowerCase();
  await policy(system, 'source_wins', [{ resource: 'accounts', field: 'industry', rule: 'kamd_owns' }, { resource: 'account', field: 'name', rule: 'source_owns' }]);
  assert.deepEqual((await api.get(`/v1/sync/${system}/policy`)).fields.map(({ resource }) => resource), ['account', 'account']);
  const { external_id, id } = await both(system, { name: 'Ours' });
  await one(system, { external_id, name: 'Both', industry: 'theirs', domain: 'theirs.example' }, { conflict_policy: 'kamd_wins' });
  const now = await read(id);
  assert.deepEqual([now.name, now.industry, now.domain], ['Both', 'base', 'theirs.example'], 'the owner\'s, also where the other side only repeats itself');
  assert.deepEqual((await conflicts(system)).map(({ field, rule }) => [field, rule]).sort(), [['industry', 'kamd_owns'], ['name', 'source_owns']]);
  const second = await both(system, { domain: 'ours.example' });
  await one(system, { external_id: second.external_id, domain: 'theirs.example' }, { conflict_policy: 'kamd_wins' });
  assert.equal((await read(second.id)).domain, 'ours.example');
});

test('one side deleted it, the other changed it', async () => {
  const system = unique('gone').toLowerCase();
  await policy(system, 'kamd_wins');
  const changed = await both(system);
  for (let again = 0; again < 2; again++) assert.equal((await one(system, { external_id: changed.external_id, is_deleted: true })).outcome, 'unchanged', 'also the second time');
  assert.equal((await read(changed.id)).industry, 'ours');
  const deleted = await both(system);
  await api.remove(`/v1/accounts/${deleted.id}`, (await read(deleted.id)).etag);
  assert.equal((await one(system, { external_id: deleted.external_id, industry: 'theirs' })).outcome, 'unchanged');
  await api.fails(404, 'not_found', 'GET', `/v1/accounts/${deleted.id}`);
  const open = await conflicts(system, '?status=open');
  assert.deepEqual(seen(open), [['deleted_at', true, false, 'kamd', 'kamd_wins'], ['deleted_at', false, true, 'kamd', 'kamd_wins']]);
  for (const { id } of open) assert.equal((await api.call(200, 'POST', `/v1/sync/${system}/conflicts/${id}/resolve`, { body: { take: 'source' } })).body.resolution, 'source');
  assert.ok(await read(deleted.id));
  await api.fails(404, 'not_found', 'GET', `/v1/accounts/${changed.id}`);
  const untouched = await one(system, { external_id: unique('mine'), name: 'Mine' });
  assert.equal((await one(system, { external_id: untouched.external_id, is_deleted: true })).outcome, 'deleted', 'nobody else changed it');
});

test('a person resolves: the value taken is written like any edit, once', async () => {
  const system = unique('solve').toLowerCase();
  await policy(system, 'kamd_wins');
  const { external_id, id } = await both(system);
  await one(system, { external_id, industry: 'theirs' });
  const [{ id: conflict }] = await conflicts(system);
  const { body } = await api.call(200, 'POST', `/v1/sync/${system}/conflicts/${conflict}/resolve`, { body: { take: 'source' } });
  assert.ok(body.resolved_at && body.resolved_by);
  assert.equal((await read(id)).industry, 'theirs');
  await api.fails(409, 'conflict', 'POST', `/v1/sync/${system}/conflicts/${conflict}/resolve`, { body: { take: 'kamd' } });
  await api.fails(404, 'not_found', 'POST', `/v1/sync/other/conflicts/${conflict}/resolve`, { body: { take: 'kamd' } });
  assert.deepEqual([(await conflicts(system, '?status=open')).length, (await conflicts(system, '?status=resolved')).length], [0, 1]);
});

test('contacts, too; and what a policy may not be', async () => {
  const system = unique('person').toLowerCase();
  const { id: account_id } = await api.create('/v1/accounts', { name: 'Their' });
  const external_id = unique('c');
  const { id } = await one(system, { external_id, account_id, family_name: 'Base' }, {}, 'contacts');
  await edit(id, { title: 'Ours', family_name: 'Ours' }, 'contacts');
  await one(system, { external_id, family_name: 'Theirs', title: 'Theirs' }, { conflict_policy: 'kamd_wins' }, 'contacts');
  assert.deepEqual([(await read(id, 'contacts')).family_name, (await read(id, 'contacts')).title], ['Ours', 'Ours']);
  assert.deepEqual((await conflicts(system)).map((c) => [c.account_id, c.record_id]), [[account_id, id], [account_id, id]]);
  for (const [status, body] of [[422, { fields: [] }], [400, { conflict_policy: 'nobody_wins' }], [422, { conflict_policy: 'kamd_wins', fields: [{ resource: 'nonsense', field: 'name', rule: 'kamd_wins' }] }],
    [422, { conflict_policy: 'kamd_wins', fields: [{ resource: 'account', field: 'score', rule: 'kamd_wins' }] }], [400, { conflict_policy: 'kamd_wins', surprise: 1 }]]) {
    await api.call(status, 'PUT', `/v1/sync/${system}/policy`, { body });
  }
  await api.call(400, 'POST', `/v1/sync/${system}/accounts`, { body: { conflict_policy: 'x', records: [{ external_id: '1', name: 'x' }] }, headers: { 'idempotency-key': unique('k') } });
  const integration = await world.clientOf('integration');
  await integration.call(403, 'PUT', `/v1/sync/${system}/policy`, { body: { conflict_policy: 'kamd_wins' } });
  assert.equal((await integration.get(`/v1/sync/${system}/conflicts`)).data.length, 2);
  integration.close();
});
