// What is particular to accounts and their teams: the tree, custom fields, ids of other systems, deletion of a whole.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { KINDS } from './lib/lifecycle.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld();
  ({ api } = world);
});
after(() => world?.close());

const path = ({ id }) => `/v1/accounts/${id}`;
const patch = async (account, body) => api.patch(path(account), (await api.get(path(account))).etag, body);
const refused = async (status, code, account, body) => api.fails(status, code, 'PATCH', path(account), { body, headers: { 'if-match': (await api.get(path(account))).etag } });

test('levels strictly descend along the tree (004-05)', async () => {
  const global = await makeAccount(api, { level: 'global' });
  const national = await makeAccount(api, { level: 'national', parent_id: global.id });
  for (const level of ['national', 'regional', 'global', null]) {
    const problem = await api.fails(422, 'level_order', 'POST', '/v1/accounts', { body: { name: 'x', parent_id: national.id, level } });
    assert.deepEqual(places(problem), ['/level']);
  }
  const low = await makeAccount(api, { level: 'sub_regional', parent_id: national.id });
  await refused(422, 'level_order', national, { level: 'sub_regional' });
  await refused(422, 'level_order', global, { level: null });
  await patch(national, { level: 'regional' });
  assert.deepEqual((await api.all(`/v1/accounts?parent_id=${national.id}`)).map(({ id }) => id), [low.id]);
});

test('a cycle is refused as one, also when two moves make it together (004-05)', async () => {
  const a = await makeAccount(api, { level: 'global' });
  const b = await makeAccount(api, { level: 'regional', parent_id: a.id });
  await refused(409, 'account_cycle', a, { parent_id: a.id });
  await refused(409, 'account_cycle', a, { parent_id: b.id, level: 'sub_regional' });
  for (let round = 0; round < 5; round++) {
    const [c, d] = [await makeAccount(api, { level: 'global' }), await makeAccount(api, { level: 'global' })];
    const answers = await Promise.all([[c, d], [d, c]].map(([child, parent]) => api.send('PATCH', path(child),
      { body: { parent_id: parent.id, level: 'regional' }, headers: { 'if-match': child.etag } })));
    assert.ok(answers.filter(({ status }) => status === 200).length <= 1, answers.map(({ text }) => text).join('\n'));
    assert.ok(answers.every(({ status }) => [200, 409, 422].includes(status)), answers.map(({ status }) => status).join());
  }
});

test('a parent cannot be deleted before its children; a deleted one takes no children', async () => {
  const parent = await makeAccount(api, { level: 'global' });
  const child = await makeAccount(api, { level: 'regional', parent_id: parent.id });
  await api.fails(409, 'conflict', 'DELETE', path(parent), { headers: { 'if-match': parent.etag } });
  await api.remove(path(child), child.etag);
  await api.remove(path(parent), (await api.get(path(parent))).etag);
  const problem = await api.fails(422, 'validation_failed', 'POST', '/v1/accounts', { body: { name: 'x', level: 'regional', parent_id: parent.id } });
  assert.deepEqual(places(problem), ['/parent_id']);
});

test('what is below an account goes and comes back with it', async () => {
  const account = await makeAccount(api);
  const below = [];
  for (const name of ['contacts', 'plans', 'reviews', 'follow-ups', 'interactions', 'problems', 'orders', 'team']) {
    const kind = KINDS[name];
    below.push(`${kind.path(account)}/${(await api.create(kind.path(account), await kind.make(account, api))).id}`);
  }
  const kept = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Gone before' });
  await api.remove(`/v1/contacts/${kept.id}`, kept.etag);
  await api.remove(path(account), (await api.get(path(account))).etag);
  for (const item of below) await api.fails(404, 'not_found', 'GET', item);
  await api.call(200, 'POST', `${path(account)}/restore`, { body: {} });
  for (const item of below) await api.get(item);
  await api.fails(404, 'not_found', 'GET', `/v1/contacts/${kept.id}`);
});

test('account_number is unique among the living', async () => {
  const one = await makeAccount(api);
  const problem = await api.fails(409, 'already_exists', 'POST', '/v1/accounts', { body: { name: 'x', account_number: one.account_number } });
  assert.deepEqual(places(problem), ['/account_number']);
  const answers = await Promise.all(Array.from({ length: 10 }, () => api.insist('POST', '/v1/accounts', { body: { name: 'race', account_number: one.account_number.replace('N', 'R') } })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(9).fill(409)]);
  await api.remove(path(one), one.etag);
  const two = await makeAccount(api, { account_number: one.account_number });
  await api.fails(409, 'already_exists', 'POST', `${path(one)}/restore`, { body: {} });
  assert.equal((await api.get(path(two))).account_number, one.account_number);
});

test('typed custom fields: defined, filled, refused, filtered', async () => {
  const tag = unique('c').replaceAll('-', '_');
  for (const [name, kind, choices] of [['text', 'text'], ['count', 'number'], ['day', 'date'], ['flag', 'boolean'], ['pick', 'choice', ['red', 'blue']]]) {
    await api.create('/v1/custom-fields', { resource: 'account', name: `${tag}_${name}`, kind, ...(choices && { choices }) });
  }
  const custom = { [`${tag}_text`]: 'x', [`${tag}_count`]: 7, [`${tag}_day`]: '2026-05-05', [`${tag}_flag`]: true, [`${tag}_pick`]: 'blue' };
  const made = await makeAccount(api, { custom });
  assert.deepEqual(made.custom, custom);
  for (const [name, value] of [['count', 'seven'], ['day', '2026-13-01'], ['flag', 1], ['pick', 'green'], ['text', 5]]) {
    const problem = await api.fails(400, 'invalid_request', 'POST', '/v1/accounts', { body: { name: 'x', custom: { [`${tag}_${name}`]: value } } });
    assert.deepEqual(places(problem), [`/custom/${tag}_${name}`]);
  }
  await api.fails(400, 'invalid_request', 'POST', '/v1/accounts', { body: { name: 'x', custom: { [`${tag}_unknown`]: 1 } } });
  for (const query of [`${tag}_pick=blue`, `${tag}_count=7`, `${tag}_flag=true`, `${tag}_day=2026-05-05`]) {
    assert.deepEqual((await api.all(`/v1/accounts?custom.${query}`)).map(({ id }) => id), [made.id], query);
  }
  assert.deepEqual(await api.all(`/v1/accounts?custom.${tag}_pick=red`), []);
  await api.fails(400, 'invalid_request', 'GET', `/v1/accounts?custom.${tag}_unknown=1`);
  const changed = await patch(made, { custom: { [`${tag}_flag`]: null, [`${tag}_count`]: 8 } });
  const { [`${tag}_flag`]: gone, ...left } = custom;
  assert.equal(gone, true);
  assert.deepEqual(changed.custom, { ...left, [`${tag}_count`]: 8 });
});

test('ids of other systems: one record each, Salesforce ids in either length', async () => {
  const one = await makeAccount(api, { external_ids: { crm: unique('crm'), salesforce: 'a01M00000062mPg' } });
  assert.equal(one.external_ids.salesforce, 'a01M00000062mPgIAI');
  for (const external_ids of [{ crm: one.external_ids.crm }, { salesforce: 'a01M00000062mPgIAI' }, { salesforce: 'a01M00000062mPg' }]) {
    const problem = await api.fails(409, 'already_exists', 'POST', '/v1/accounts', { body: { name: 'x', external_ids } });
    assert.deepEqual(places(problem), ['/external_ids']);
  }
  const wrong = await api.fails(422, 'validation_failed', 'POST', '/v1/accounts', { body: { name: 'x', external_ids: { salesforce: 'a01M00000062mPgIAA' } } });
  assert.deepEqual(places(wrong), ['/external_ids/salesforce']);
  await api.create('/v1/contacts', { account_id: one.id, family_name: 'x', external_ids: { crm: one.external_ids.crm } });
  const freed = await patch(one, { external_ids: { crm: null } });
  assert.deepEqual(freed.external_ids, { salesforce: 'a01M00000062mPgIAI' });
  await makeAccount(api, { external_ids: { crm: one.external_ids.crm } });
});

test("a person's allocations over all accounts are at most 100 %, also at once (004-12)", async () => {
  const user = await api.create('/v1/users', { name: unique('Allocated') });
  const accounts = await Promise.all(Array.from({ length: 8 }, () => makeAccount(api)));
  const first = await api.create(`${path(accounts[0])}/team`, { user_id: user.id, role: 'controlling', allocation_pct: 70 });
  const over = await api.call(422, 'POST', `${path(accounts[1])}/team`, { body: { user_id: user.id, role: 'controlling', allocation_pct: 31 } });
  assert.deepEqual(places(over.body), ['/allocation_pct']);
  const answers = await Promise.all(accounts.slice(1).map((account) => api.insist('POST', `${path(account)}/team`, { body: { user_id: user.id, role: 'controlling', allocation_pct: 10 } })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 201, 422, 422, 422, 422]);
  await api.call(422, 'PATCH', `${path(accounts[0])}/team/${first.id}`, { body: { allocation_pct: 71 }, headers: { 'if-match': first.etag } });
  await api.patch(`${path(accounts[0])}/team/${first.id}`, first.etag, { allocation_pct: 60 });
  const twice = await api.fails(409, 'already_exists', 'POST', `${path(accounts[0])}/team`, { body: { user_id: user.id, role: 'controlling' } });
  assert.ok(twice.detail);
});

test('a sub-resource belongs to its account and no other', async () => {
  const [one, two] = [await makeAccount(api), await makeAccount(api)];
  const problem = await api.create(`${path(one)}/problems`, { category: 'other', title: 'x', opened_at: '2026-05-05T10:00:00Z' });
  await api.fails(404, 'not_found', 'GET', `${path(two)}/problems/${problem.id}`);
  await api.fails(404, 'not_found', 'DELETE', `${path(two)}/problems/${problem.id}`, { headers: { 'if-match': problem.etag } });
  const contact = await api.create('/v1/contacts', { account_id: two.id, family_name: 'Other' });
  const wrong = await api.call(422, 'POST', `${path(one)}/problems`, { body: { category: 'other', title: 'x', opened_at: '2026-05-05T10:00:00Z', contact_id: contact.id } });
  assert.deepEqual(places(wrong.body), ['/contact_id']);
  await api.call(422, 'PATCH', `/v1/contacts/${contact.id}`, { body: { account_id: one.id }, headers: { 'if-match': contact.etag } });
});

test("a contact's last interaction follows the interactions", async () => {
  const account = await makeAccount(api);
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Met' });
  const last = async () => (await api.get(`/v1/contacts/${contact.id}`)).last_interaction_at;
  const meet = (at) => api.create(`${path(account)}/interactions`, { kind: 'call', channel: 'phone', occurred_at: at, contact_ids: [contact.id] });
  assert.equal(await last(), null);
  await meet('2026-03-01T10:00:00Z');
  const later = await meet('2026-04-01T10:00:00Z');
  assert.equal(await last(), '2026-04-01T10:00:00.000000Z');
  await api.remove(`${path(account)}/interactions/${later.id}`, later.etag);
  assert.equal(await last(), '2026-03-01T10:00:00.000000Z');
});
