// Key status of another day: status and terms by the history, the score computed for that day; and the whole history in pages.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld();
  ({ api } = world);
  const metrics = [{ metric: 'revenue_ttm', weight: '1', floor: '0', ceiling: '100' }];
  const { version } = (await api.call(201, 'POST', '/v1/program/criteria', { body: { metrics } })).body;
  await api.call(200, 'POST', `/v1/program/criteria/${version}/activate`, { body: {} });
  await api.patch('/v1/program', (await api.get('/v1/program')).etag, { enter_score: '60', recover_score: '55', exit_score: '50', grace_days: 0, max_key_accounts: 100 });
});
after(() => world?.close());

const day = (before) => new Date(Date.now() - before * 86_400_000).toISOString().slice(0, 10);
const status = (account, asOf) => api.get(`/v1/accounts/${account.id}/key-status${asOf ? `?as_of=${asOf}` : ''}`);
const reaches = (account, keyStatus) => until(async () => (await status(account)).key_status === keyStatus, { ms: 15_000, what: keyStatus });
let order = 0;
const sell = (account, ordered, amount) => api.call(201, 'PUT', `/v1/sync/erp/orders/${unique('o')}-${++order}`, { body: { account_id: account.id, ordered_on: ordered, currency_code: 'USD', lines: [{ line_no: 1, amount }] } });
// None -> candidate -> key -> none (an order is corrected) -> candidate.
async function withPast() {
  const account = await makeAccount(api);
  const made = (await sell(account, day(100), '70')).body;
  await reaches(account, 'candidate');
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: { reason: 'They grow.', benefits: ['Line'] } });
  const path = `/v1/accounts/${account.id}/orders/${made.id}`;
  const { etag } = await api.patch(path, made.etag, { lines: [{ line_no: 1, amount: '20' }] });
  await reaches(account, 'none');
  await api.patch(path, etag, { lines: [{ line_no: 1, amount: '65' }] });
  await reaches(account, 'candidate');
  return account;
}

test('as_of tells status, tier, since and terms as they were at the end of that day, UTC (002-18)', async () => {
  const account = await withPast();
  const { stack: { settings } } = world;
  const moves = (await status(account)).history.map(({ from_status: from, to_status: to }) => `${from} ${to}`).reverse();
  assert.deepEqual(moves.filter((move) => move.split(' ')[0] !== move.split(' ')[1]), ['none candidate', 'candidate key', 'key none', 'none candidate']);
  sql(settings, `update account set created_at = '${day(50)}T00:00:00Z' where id = '${account.id}'`);
  const at = { 'none candidate': `${day(40)}T12:00:00Z`, 'candidate key': `${day(30)}T23:59:59.999999Z`, 'key none': `${day(10)}T00:00:00Z` };
  for (const [move, time] of Object.entries(at)) {
    const [from, to] = move.split(' ');
    sql(settings, `update key_status_history set at = '${time}' where id = (select min(id) from key_status_history where account_id = '${account.id}' and from_status = '${from}' and to_status = '${to}')`);
  }
  const seen = async (before) => {
    const { key_status: is, tier, since, key_since: keySince, designation, history, score_rank: rank } = await status(account, day(before));
    assert.ok(before === 0 || rank === null);
    return [is, tier, since?.slice(0, 10) ?? null, keySince?.slice(0, 10) ?? null, designation?.reason ?? null, history.filter(({ from_status: from, to_status: to }) => from !== to).length];
  };
  assert.deepEqual(await seen(60), ['none', 'C', null, null, null, 0], 'before there was an account');
  assert.deepEqual(await seen(50), ['none', 'C', day(50), null, null, 0]);
  assert.deepEqual(await seen(40), ['candidate', 'B', day(40), null, null, 1]);
  assert.deepEqual(await seen(31), ['candidate', 'B', day(40), null, null, 1]);
  assert.deepEqual(await seen(30), ['key', 'A', day(30), day(30), 'They grow.', 2], 'the last microsecond of a day belongs to it');
  assert.deepEqual(await seen(11), ['key', 'A', day(30), day(30), 'They grow.', 2]);
  assert.equal((await seen(10))[0], 'none', 'the first instant of a day belongs to it, too');
  assert.deepEqual((await seen(10)).slice(3), [null, null, 3]);
  const [now, today] = [await status(account), await status(account, day(0))];
  for (const field of ['key_status', 'tier', 'score', 'contributions', 'missing', 'key_since', 'designation', 'history']) assert.deepEqual(today[field], now[field], field);
});

test('the score of that day is computed for it, with the active criteria', async () => {
  const account = await makeAccount(api);
  await sell(account, day(400), '30');
  await sell(account, day(200), '41.5');
  for (const [before, score] of [[500, '0.0000'], [400, '30.0000'], [201, '30.0000'], [200, '71.5000'], [35, '41.5000'], [36, '71.5000'], [0, '41.5000']]) {
    const then = await status(account, day(before));
    assert.deepEqual([then.score, then.contributions.map(({ contribution }) => contribution)], [score, [score]], `${before} days ago`);
    assert.equal(then.as_of, day(before));
  }
  await api.fails(400, 'invalid_request', 'GET', `/v1/accounts/${account.id}/key-status?as_of=2026-02-30`);
});

test('all transitions come in pages, also beyond those embedded', async () => {
  const account = await withPast();
  const path = `/v1/accounts/${account.id}/key-status/history`;
  sql(world.stack.settings, `insert into key_status_history (account_id, cause, from_status, to_status, from_tier, to_tier, contributions, contributions_before)
    select '${account.id}', 'inputs_changed', 'candidate', 'none', 'B', case when i % 2 = 0 then 'B' else 'C' end, '[]', '[]' from generate_series(1, 230) i`);
  const all = await api.all(path, 50);
  assert.ok(all.length >= 234, `${all.length}`);
  const { history } = await status(account);
  assert.equal(history.length, 200);
  assert.deepEqual(all.slice(0, 200), history);
  assert.deepEqual(all.map(({ at }) => at), all.map(({ at }) => at).sort().reverse());
  assert.equal(all.at(-1).from_status, 'none');
  const other = `/v1/accounts/${(await makeAccount(api)).id}/key-status/history`;
  assert.deepEqual(await api.all(other), []);
  const { page } = await api.get(`${path}?page_size=1`);
  await api.fails(400, 'invalid_cursor', 'GET', `${other}?cursor=${encodeURIComponent(page.next_cursor)}`);
  await api.call(404, 'GET', '/v1/accounts/01970000-0000-7000-8000-000000000000/key-status/history');
});
