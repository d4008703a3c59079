// Criteria are one for the whole company (001-08); what a region can do is to nominate an account that it sees.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const NOMINATIONS = '/v1/program/nominations';
let world, api, user, manager, others, director;
before(async () => {
  world = await openWorld();
  ({ api } = world);
  user = await api.create('/v1/users', { name: unique('Manager') });
  manager = await world.clientOf('account_manager', { user_id: user.id });
  others = await world.clientOf('account_manager', { user_id: (await api.create('/v1/users', { name: unique('Other') })).id });
  director = await world.clientOf('director');
  await api.patch('/v1/program', (await api.get('/v1/program')).etag, { max_key_accounts: 100 });
});
after(() => {
  for (const client of [manager, others, director]) client?.close();
  return world?.close();
});

const mine = (fields = {}) => makeAccount(api, { manager_id: user.id, ...fields });
const nominate = (client, account, region = 'South') => client.create(NOMINATIONS, { account_id: account.id, region, reason: 'A new plant.' });
const read = (nomination) => api.get(`${NOMINATIONS}/${nomination.id}`);
const act = (client, status, nomination, word, body = {}) => client.call(status, 'POST', `${NOMINATIONS}/${nomination.id}/${word}`, { body });

test('001-08, 002-10: a region cannot have criteria of its own, by no way', async () => {
  const metrics = [{ metric: 'revenue_ttm', weight: '1', floor: '0', ceiling: '1000' }];
  // What is typed: evaluations in the background move the rest.
  const typed = async () => {
    const { version, criteria_version: criteria, enter_score: enter } = await api.get('/v1/program');
    return [version, criteria, enter, await api.all('/v1/program/criteria')];
  };
  const before = await typed();
  const { etag } = await api.get('/v1/program');
  for (const own of [{ region: 'South' }, { division: { kind: 'market', name: 'Retail' } }]) {
    const made = await director.fails(403, 'criteria_are_company_wide', 'POST', '/v1/program/criteria', { body: { metrics, ...own } });
    assert.match(made.detail, /nominate/);
    await director.fails(403, 'criteria_are_company_wide', 'PATCH', '/v1/program', { body: { enter_score: '10', ...own }, headers: { 'if-match': etag } });
  }
  assert.deepEqual(await typed(), before);
});

test('001-08: a manager nominates an account it sees, once for a region', async () => {
  const account = await mine();
  const made = await nominate(manager, account);
  assert.deepEqual([made.status, made.region, made.account_id, made.decided_at, made.decision_reason], ['open', 'South', account.id, null, null]);
  assert.match(made.nominated_by, /^user:/);
  assert.deepEqual(await manager.get(`${NOMINATIONS}/${made.id}`), made);
  const twice = await manager.fails(409, 'already_exists', 'POST', NOMINATIONS, { body: { account_id: account.id, region: 'South', reason: 'Again' } });
  assert.equal(twice.errors[0].pointer, '/region');
  const north = await nominate(manager, account, 'North');
  assert.deepEqual((await manager.all(`${NOMINATIONS}?account_id=${account.id}&order_by=id`)).map(({ id }) => id), [made.id, north.id]);
  assert.deepEqual((await manager.all(`${NOMINATIONS}?account_id=${account.id}&region=North&status=open`)).map(({ id }) => id), [north.id]);
  assert.deepEqual(await manager.all(`${NOMINATIONS}?account_id=${account.id}&status=declined,accepted`), []);
});

test('whoever does not see the account does not see its nominations, and cannot make one', async () => {
  const account = await mine();
  const made = await nominate(manager, account);
  const { errors } = await others.fails(422, 'validation_failed', 'POST', NOMINATIONS, { body: { account_id: account.id, region: 'West', reason: 'Mine' } });
  assert.equal(errors[0].pointer, '/account_id');
  await others.call(404, 'GET', `${NOMINATIONS}/${made.id}`);
  assert.deepEqual(await others.all(`${NOMINATIONS}?account_id=${account.id}`), []);
  await act(others, 404, made, 'withdraw');
  const auditor = await world.clientOf('auditor');
  await auditor.call(403, 'POST', NOMINATIONS, { body: { account_id: account.id, region: 'West', reason: 'x' } });
  auditor.close();
});

test('002-11: a prospect cannot be nominated, nor a key account', async () => {
  for (const lifecycle of ['prospect', 'former']) {
    await manager.fails(422, 'not_existing_customer', 'POST', NOMINATIONS, { body: { account_id: (await mine({ lifecycle })).id, region: 'South', reason: 'x' } });
  }
  const key = await mine();
  await director.call(201, 'POST', `/v1/accounts/${key.id}/designate`, { body: {} });
  await manager.fails(409, 'conflict', 'POST', NOMINATIONS, { body: { account_id: key.id, region: 'South', reason: 'x' } });
  const { errors } = await manager.fails(400, 'invalid_request', 'POST', NOMINATIONS, { body: { account_id: key.id, region: 'S', reason: 'x', status: 'accepted', priority: 1 } });
  assert.deepEqual(errors.map(({ pointer }) => pointer).sort(), ['/priority', '/status']);
});

test('a director declines with a reason; only who decides can; only what is open', async () => {
  const made = await nominate(manager, await mine());
  await act(manager, 403, made, 'decline', { reason: 'x' });
  await act(director, 422, made, 'decline');
  const { body } = await act(director, 200, made, 'decline', { reason: 'Below the criteria.' });
  assert.deepEqual([body.status, body.decision_reason, body.version], ['declined', 'Below the criteria.', 2]);
  assert.ok(body.decided_at && body.decided_by);
  assert.deepEqual(await read(made), body);
  await act(director, 409, made, 'decline', { reason: 'Twice' });
  await act(manager, 409, made, 'withdraw');
  assert.deepEqual((await api.all(`${NOMINATIONS}/${made.id}/history`)).map(({ op }) => op), ['updated', 'created']);
  assert.equal((await nominate(manager, { id: made.account_id })).status, 'open', 'a region may try again');
});

test('who nominated withdraws', async () => {
  const made = await nominate(manager, await mine());
  assert.deepEqual([(await act(manager, 200, made, 'withdraw')).body.status, (await read(made)).decision_reason], ['withdrawn', null]);
  const account = await mine({ sponsor_id: (await manager.get('/v1/me')).user_id ?? user.id });
  const byDirector = await nominate(director, account, 'Head office');
  await act(manager, 403, byDirector, 'withdraw');
  assert.equal((await read(byDirector)).status, 'open');
});

test('a designation accepts the open nominations of the account, also when both come at once', async () => {
  const account = await mine();
  const [south, north] = [await nominate(manager, account), await nominate(manager, account, 'North')];
  await act(director, 200, north, 'decline', { reason: 'One is enough.' });
  await director.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: {} });
  const accepted = await read(south);
  assert.deepEqual([accepted.status, (await read(north)).status], ['accepted', 'declined']);
  assert.ok(accepted.decided_by);
  const told = await until(async () => (await events(api, 'types=nomination.updated')).find(({ data }) => data.nomination_id === south.id), { ms: 15_000, what: 'the event' });
  assert.equal(told.account_id, account.id);
  await inParallel(4, Array(12).fill(), async (_, i) => {
    const one = await mine();
    const [made] = await Promise.all([
      manager.send('POST', NOMINATIONS, { body: { account_id: one.id, region: `R${i}`, reason: 'At once' } }),
      director.call(201, 'POST', `/v1/accounts/${one.id}/designate`, { body: {} }),
    ]);
    if (made.status === 201) assert.equal((await read(made.body)).status, 'accepted', 'an open nomination of a key account');
    else assert.equal(made.status, 409);
  });
});

test('an account that goes takes its nominations along, and brings them back', async () => {
  const account = await mine();
  const made = await nominate(manager, account);
  await api.remove(`/v1/accounts/${account.id}`, account.etag);
  await api.call(404, 'GET', `${NOMINATIONS}/${made.id}`);
  await api.call(200, 'POST', `/v1/accounts/${account.id}/restore`, { body: {} });
  assert.equal((await read(made)).status, 'open');
});
