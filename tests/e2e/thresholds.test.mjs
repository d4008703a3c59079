// Each rule of key status that has a number: just below it, at it, just above. Days pass by moving the stored time.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

const DAY = 86_400_000;
const SCORES = { enter_score: '60', recover_score: '55', exit_score: '50', tier_b_score: '50', grace_days: 30 };
let world, api;
before(async () => {
  world = await openWorld({ processes: 2 });
  ({ api } = world);
  const { version } = (await api.call(201, 'POST', '/v1/program/criteria', { body: { metrics: [{ metric: 'potential', weight: '1', floor: '0', ceiling: '100' }] } })).body;
  await api.call(200, 'POST', `/v1/program/criteria/${version}/activate`, { body: {} });
  await program({ ...SCORES, max_key_accounts: 500, max_net_growth: null });
  await evaluated();
});
after(() => world?.close());

const program = async (change) => api.patch('/v1/program', (await api.get('/v1/program')).etag, change);
const evaluated = () => until(() => query("select count(*) from operation where status in ('queued', 'running')") === '0', { ms: 30_000, what: 'the evaluation' });
const query = (statement) => sql(world.stack.settings, statement);
const status = (id) => api.get(`/v1/accounts/${id}/key-status`);
const events = async (id, type) => (await api.get(`/v1/events?account_id=${id}&types=account.key_status.${type}`)).data.length;

// The one metric, so that it is the score.
async function score(account, value) {
  const metrics = [{ metric: 'potential', period: '2026', value, source: 'test' }];
  await api.call(200, 'PUT', `/v1/accounts/${account.id}/metrics`, { body: { metrics } });
  return until(async () => { const now = await status(account.id); return now.score === value && now; }, { what: `the score ${value}` });
}
async function keyAccount() {
  const account = await makeAccount(api);
  assert.equal((await score(account, '80.0000')).key_status, 'candidate');
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: {} });
  return account;
}
async function atRisk() {
  const account = await keyAccount();
  assert.equal((await score(account, '49.9999')).key_status, 'at_risk');
  return account;
}

// Nobody is told of it: as if only time had passed.
const MOVE = (account, when) => `set local session_replication_role = replica;
  update account_status set grace_until = ${when} where account_id = '${account.id}'; set local session_replication_role = origin`;
// The status that `evaluation` would give with the clock at `when`, by a clock that stands still.
const judged = (account, when, evaluation) => query(`begin; ${MOVE(account, when)}; select set_config('kamd.actor', 'worker', true);
  select count(*) from ${evaluation}; select key_status from account_status where account_id = '${account.id}'; rollback`).split('\n').at(-1);

test('an account at risk slips when its grace is over, and not a microsecond before, whoever looks', async () => {
  const account = await atRisk();
  const ways = {
    'what changed is scored': `evaluate(array['${account.id}']::uuid[], false, 'inputs_changed')`,
    'clocks are looked at': 'rescore_process(500)',
    'everything is evaluated': "evaluate(null, true, 'full_evaluation')",
  };
  for (const [what, evaluation] of Object.entries(ways)) {
    assert.equal(judged(account, "now() + interval '1 microsecond'", evaluation), 'at_risk', `${what}, a microsecond before`);
    assert.equal(judged(account, 'now()', evaluation), 'none', `${what}, when it is over`);
    assert.equal(judged(account, "now() - interval '1 microsecond'", evaluation), 'none', `${what}, a microsecond after`);
  }
  assert.equal((await status(account.id)).key_status, 'at_risk', 'all of that was undone');
});

test('nobody writes, only time passes: it slips once, and who has time left stays', async () => {
  const [late, early] = [await atRisk(), await atRisk()];
  const evaluations = query("select count(*) from operation where kind = 'evaluation'");
  query(`begin; ${MOVE(early, "now() + interval '1 hour'")}; ${MOVE(late, "now() - interval '1 second'")}; commit`);
  const slipped = await until(async () => { const now = await status(late.id); return now.key_status !== 'at_risk' && now; }, { what: 'the slip' });
  assert.deepEqual([slipped.key_status, slipped.tier, slipped.key_since, slipped.grace_until, slipped.designation], ['none', 'C', null, null, null]);
  const [last, ...older] = slipped.history;
  assert.deepEqual([last.from_status, last.to_status, last.from_tier, last.to_tier, last.score, last.actor], ['at_risk', 'none', 'A', 'C', '49.9999', 'worker']);
  assert.deepEqual(older.map(({ to_status: to }) => to), ['at_risk', 'key', 'candidate']);
  assert.equal(query("select count(*) from operation where kind = 'evaluation'"), evaluations, 'no evaluation of everything was needed');
  assert.equal((await status(early.id)).key_status, 'at_risk');
  // Scored again, it does not slip again; and what is below the exit score comes back only by the way of everybody.
  await score(late, '49.9998');
  await score(late, '59.9999');
  await until(async () => await events(late.id, 'slipped') > 0, { what: 'the event' });
  assert.deepEqual([await events(late.id, 'slipped'), await events(late.id, 'at_risk'), await events(late.id, 'recovered'), await events(early.id, 'slipped')], [1, 1, 0, 0]);
  assert.equal((await status(late.id)).history.filter(({ from_status: from, to_status: to }) => from === 'at_risk' && to === 'none').length, 1);
  assert.equal((await score(late, '60.0000')).key_status, 'candidate');
});

test('a clock that ran out is seen also while others are scored', async () => {
  const [account, other] = [await atRisk(), await makeAccount(api)];
  assert.equal(judged(account, "now()", `(select rescore_enqueue(array['${other.id}']::uuid[])) m cross join lateral rescore_process(500)`), 'none');
});

test('the clock starts below the exit score, not at it, and runs for all of the days', async () => {
  const account = await keyAccount();
  for (const value of ['50.0001', '50.0000']) {
    const now = await score(account, value);
    assert.deepEqual([now.key_status, now.grace_until], ['key', null], value);
  }
  const now = await score(account, '49.9999');
  assert.deepEqual([now.key_status, now.tier], ['at_risk', 'A']);
  assert.equal(query(`select grace_until = status_since + interval '30 days' from account_status where account_id = '${account.id}'`), 't');
  assert.equal(Date.parse(now.grace_until) - Date.parse(now.since), 30 * DAY);
  assert.equal((await score(account, '10.0000')).grace_until, now.grace_until, 'it goes on while the score falls further');
});

test('back at the exit score the clock is gone; below it again all of the days begin anew', async () => {
  const account = await atRisk();
  query(`begin; ${MOVE(account, "now() + interval '1 day'")}; commit`);
  const back = await score(account, '50.0000');
  assert.deepEqual([back.key_status, back.grace_until], ['at_risk', null]);
  assert.equal(judged(account, "now() - interval '1 day'", `evaluate(array['${account.id}']::uuid[], false, 'inputs_changed')`), 'at_risk', 'a clock that is over takes nothing at the exit score');
  const again = await score(account, '49.9999');
  assert.ok(Date.parse(again.grace_until) - Date.now() > 29 * DAY, again.grace_until);
  assert.equal(await events(account.id, 'at_risk'), 1, 'it was at risk all the time');
});

test('at the recover score it is key again, not below it', async () => {
  const [at, above] = [await atRisk(), await atRisk()];
  const below = await score(at, '54.9999');
  assert.deepEqual([below.key_status, below.grace_until], ['at_risk', null]);
  for (const [account, value] of [[at, '55.0000'], [above, '55.0001']]) {
    const now = await score(account, value);
    assert.deepEqual([now.key_status, now.grace_until, now.history[0].from_status], ['key', null, 'at_risk'], value);
    assert.ok(now.key_since < now.since, 'key since it was designated');
    await until(async () => await events(account.id, 'recovered') === 1, { what: 'the event' });
  }
});

test('at the enter score it is a candidate, not below it', async () => {
  const account = await makeAccount(api);
  for (const [value, expected] of [['59.9999', 'none'], ['60.0000', 'candidate'], ['59.9999', 'none'], ['60.0001', 'candidate']]) {
    assert.equal((await score(account, value)).key_status, expected, value);
  }
});

test('a simulation qualifies at the enter score, keeps at the exit score, and recovers at the recover score', async () => {
  const accounts = {};
  for (const value of ['59.9999', '60.0000', '60.0001']) await score(accounts[value] = await makeAccount(api), value);
  for (const value of ['49.9999', '50.0000', '54.9999']) await score(accounts[`at risk ${value}`] = await atRisk(), value);
  const fates = async (change) => {
    const { body } = await api.call(200, 'POST', '/v1/program/simulations', { body: { max_key_accounts: 500, ...change } });
    const told = new Map(['enters', 'waits', 'stays', 'slips'].flatMap((fate) => body[fate].map((entry) => [entry.account_id, `${fate} as ${entry.key_status_then}`])));
    return Object.fromEntries(Object.entries(accounts).map(([name, { id }]) => [name, told.get(id)]));
  };
  const expected = {
    '59.9999': undefined, '60.0000': 'enters as key', '60.0001': 'enters as key',
    'at risk 49.9999': 'slips as none', 'at risk 50.0000': 'stays as at_risk', 'at risk 54.9999': 'stays as at_risk',
  };
  assert.deepEqual(await fates({}), expected);
  assert.deepEqual(await fates({ recover_score: '54.9999' }), { ...expected, 'at risk 54.9999': 'stays as key' });
  assert.deepEqual(await fates({ recover_score: '54.9998' }), { ...expected, 'at risk 54.9999': 'stays as key' });
});

test('other days of grace hold for the clocks that start after it; none end those that run', async () => {
  const before = await atRisk();
  const { grace_until: ends } = await status(before.id);
  await program({ grace_days: 7 });
  await evaluated();
  const now = await status((await atRisk()).id);
  assert.equal(Date.parse(now.grace_until) - Date.parse(now.since), 7 * DAY);
  const kept = await status(before.id);
  assert.deepEqual([kept.key_status, kept.grace_until], ['at_risk', ends]);
  await program({ grace_days: 0 });
  await evaluated();
  const [slipped] = (await status(before.id)).history;
  assert.deepEqual([slipped.to_status, slipped.cause], ['none', 'program_changed']);
  assert.equal((await score(await keyAccount(), '49.9999')).key_status, 'none', 'without grace at once');
});
