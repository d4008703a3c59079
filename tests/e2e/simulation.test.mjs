// What would change under other criteria, weights or caps, compared with a reference computed from the files; and nothing is changed by asking.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { load, sales, tenThousandths } from './lib/northwind.mjs';
import { scoreOf } from './lib/score.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const AS_OF = '1998-05-06';
const SIMULATIONS = '/v1/program/simulations';
const metric = (name, weight, floor, ceiling) => ({ metric: name, weight, floor, ceiling });
const CRITERIA = [metric('revenue_ttm', '70', '0', '40000'), metric('margin_ttm', '20', '0', '30000'), metric('growth', '30', '-0.5', '1')];
const OTHERS = [metric('growth', '65.5', '-0.5', '3'), metric('revenue_ttm', '34.5', '1000', '70000')];
const LOW = { enter_score: '20', recover_score: '15', exit_score: '10', tier_b_score: '5' };
let world, api, accounts, orders;

before(async () => {
  world = await openWorld();
  ({ api } = world);
  const loaded = await load(api.url, api.key, '--no-shift');
  assert.equal(loaded.code, 0, loaded.output);
  accounts = new Map((await api.all('/v1/accounts')).map((account) => [account.account_number, account]));
  orders = sales();
  await until(() => sql(world.stack.settings, 'select count(*) from rescore_queue') === '0', { ms: 20_000, what: 'all scores' });
  await api.patch('/v1/program', (await api.get('/v1/program')).etag, { max_key_accounts: 50 });
});
after(() => world?.close());

const simulate = async (body, client = api) => (await client.call(200, 'POST', SIMULATIONS, { body })).body;
// By score, ties by account number.
function reference(metrics) {
  return [...orders].map(([number, list]) => ({ number, ...scoreOf(list, AS_OF, metrics) }))
    .sort((a, b) => (a.score === b.score ? (a.number < b.number ? -1 : 1) : a.score > b.score ? -1 : 1))
    .map((one, i) => ({ ...one, rank: i + 1 }));
}
const big = (text) => (text === null ? null : tenThousandths(text));
function same(entries, expected, what) {
  assert.deepEqual(entries.map(({ rank, account_number: number, score }) => [rank, number, big(score)]), expected.map(({ rank, number, score }) => [rank, number, score]), what);
  for (const [i, entry] of entries.entries()) {
    assert.deepEqual(Object.fromEntries(entry.contributions.map(({ metric: name, contribution }) => [name, big(contribution)])), expected[i].contributions, `${entry.account_number}: contributions`);
    const { name, id } = accounts.get(entry.account_number);
    assert.deepEqual([entry.name, entry.account_id], [name, id]);
    const parts = new Map(entry.contributions.map(({ metric: one, contribution }) => [one, big(contribution) ?? 0n]));
    for (const { metric: one, contribution } of entry.contributions_now) parts.set(one, (parts.get(one) ?? 0n) - (big(contribution) ?? 0n));
    const most = [...parts.values()].map((part) => (part < 0n ? -part : part)).reduce((a, b) => (a > b ? a : b), 0n);
    if (most === 0n) assert.equal(entry.decisive, null);
    else assert.deepEqual([big(entry.decisive.difference), most], [parts.get(entry.decisive.metric), big(entry.decisive.difference) < 0n ? -big(entry.decisive.difference) : big(entry.decisive.difference)]);
  }
}

test('002-16, 002-18: Northwind on 1998-05-06, from an empty list: the ten best at cap 10 are those of the files', async () => {
  const got = await simulate({ criteria: CRITERIA, max_key_accounts: 10, ...LOW, as_of: AS_OF, start: 'empty' });
  const ranked = reference(CRITERIA);
  const qualified = ranked.filter(({ score }) => score >= 200_000n);
  assert.ok(qualified.length > 12, 'some wait');
  same(got.enters, qualified.slice(0, 10), 'the list');
  same(got.waits, qualified.slice(10, 60), 'the waiting list');
  assert.deepEqual([got.stays, got.slips, got.over_cap], [[], [], null]);
  assert.deepEqual(got.counts, { enters: 10, waits: qualified.length - 10, stays: 0, slips: 0 });
  const tierB = ranked.slice(10).filter(({ score }) => score >= 50_000n).length;
  assert.deepEqual(got.tiers, { A: 10, B: tierB, C: 81 - tierB });
  assert.deepEqual([got.accounts, got.scored, got.missing, got.as_of, got.start, got.criteria_version, got.max_key_accounts], [91, 91, ranked.filter(({ contributions }) => Object.values(contributions).includes(null)).length, AS_OF, 'empty', null, 10]);
  assert.deepEqual(got.enters.map(({ key_status: now, key_status_then: then }) => [now, then]), Array(10).fill(['none', 'key']));
  assert.ok(got.enters.every(({ missing }) => missing.includes('margin_ttm')));
});

test('002-16: other weights: who enters, who falls out, and by which contribution', async () => {
  const [one, two] = await Promise.all([CRITERIA, OTHERS].map((criteria) => simulate({ criteria, max_key_accounts: 10, ...LOW, as_of: AS_OF, start: 'empty' })));
  same(two.enters, reference(OTHERS).filter(({ score }) => score >= 200_000n).slice(0, 10), 'the other list');
  const names = (got) => got.enters.map(({ account_number: number }) => number);
  assert.notDeepEqual(names(one).sort(), names(two).sort(), 'the weights matter');
  assert.deepEqual(two.criteria.map(({ metric: name }) => name), ['growth', 'revenue_ttm']);
  const { version } = (await api.call(201, 'POST', '/v1/program/criteria', { body: { metrics: OTHERS } })).body;
  const stored = await simulate({ criteria_version: version, max_key_accounts: 10, ...LOW, as_of: AS_OF, start: 'empty' });
  assert.deepEqual(stored.enters, two.enters);
  assert.equal(stored.criteria_version, version);
});

test('from the list as it is: who slips, stays, enters and waits; over the cap the weakest are named', async () => {
  const ranked = reference(CRITERIA);
  const low = ranked.findIndex(({ score }) => score < 150_000n);
  const [edge, below] = [ranked[low], ranked.slice(low).find(({ score }) => score < ranked[low].score)];
  const members = [ranked[0], ranked[3], ranked[8], edge, below];
  for (const { number } of members) await api.call(201, 'POST', `/v1/accounts/${accounts.get(number).id}/designate`, { body: {} });
  const exit = edge.score; // stays: not below
  const scores = { enter_score: '20', recover_score: '15', exit_score: `${exit / 10_000n}.${String(exit % 10_000n).padStart(4, '0')}` };
  assert.ok(exit > 0n && below.score < exit);
  const got = await simulate({ criteria: CRITERIA, ...scores, max_key_accounts: 6, as_of: AS_OF });
  const isMember = ({ number }) => members.some((member) => member.number === number);
  same(got.stays, members.slice(0, 4), 'stays');
  same(got.slips, members.slice(4), 'slips');
  const candidates = ranked.filter((one) => one.score >= 200_000n && !isMember(one));
  same(got.enters, candidates.slice(0, 2), 'two places are free');
  same(got.waits, candidates.slice(2, 52), 'the others wait');
  assert.deepEqual([got.over_cap, got.start], [null, 'current']);
  // Whoever is at risk by now stays so below the recover score.
  for (const { key_status: now, key_status_then: then, score } of got.stays) assert.equal(then, now === 'at_risk' && big(score) < 150_000n ? 'at_risk' : 'key');
  assert.equal(got.slips[0].key_status_then, 'none');
  const crowded = await simulate({ criteria: CRITERIA, ...scores, max_key_accounts: 1, as_of: AS_OF });
  assert.deepEqual([crowded.over_cap.by, crowded.enters, crowded.counts.stays], [3, [], 4]);
  assert.deepEqual(crowded.over_cap.weakest.map(({ account_number: number }) => number), [edge, ranked[8], ranked[3]].map(({ number }) => number));
  const loose = await simulate({ criteria: CRITERIA, ...scores, max_key_accounts: 91, as_of: AS_OF });
  assert.deepEqual([loose.counts.enters, loose.waits], [candidates.length, []]);
});

test('what was not given is the program\'s', async () => {
  const program = await api.get('/v1/program');
  const got = await simulate({});
  for (const field of ['max_key_accounts', 'enter_score', 'recover_score', 'exit_score', 'tier_b_score', 'criteria_version']) assert.equal(got[field], program[field], field);
  assert.deepEqual([got.as_of, got.start], [new Date().toISOString().slice(0, 10), 'current']);
  for (const entry of [...got.stays, ...got.slips]) {
    assert.deepEqual([entry.score, entry.decisive], [entry.score_now, null]);
    assert.deepEqual(entry.contributions, entry.contributions_now);
  }
});

test('its digits are those of an evaluation of the same day', async () => {
  const { body: operation } = await api.call(202, 'POST', '/v1/program/evaluations', { body: { as_of: AS_OF } });
  await until(async () => (await api.get(`/v1/operations/${operation.id}`)).status === 'succeeded', { ms: 20_000, what: 'the evaluation' });
  const results = await api.all(`/v1/program/evaluations/${operation.id}/results`);
  const { enters } = await simulate({ as_of: AS_OF, start: 'empty', max_key_accounts: 91, enter_score: '0.0001', recover_score: '0.0001', exit_score: '0' });
  const shown = ({ rank, account_id: id, score, contributions, missing }) => ({ rank, id, score, contributions, missing });
  assert.deepEqual(enters.map(shown), results.filter(({ score }) => score !== '0.0000').map(shown));
  assert.ok(enters.length > 80, `${enters.length}`);
});

test('a prospect does not enter; a transactional customer waits for a decision (000-02, 002-11)', async () => {
  const criteria = [metric('potential', '1', '0', '100')];
  const assess = async (fields) => {
    const account = await makeAccount(api, fields);
    sql(world.stack.settings, `insert into account_metric (account_id, metric, period, value, source) values ('${account.id}', 'potential', '1997', 99, 'test')`);
    return account;
  };
  const [prospect, once, fine] = [await assess({ lifecycle: 'prospect' }), await assess({ sales_cycle: 'transactional' }), await assess({})];
  const got = await simulate({ criteria, max_key_accounts: 50, ...LOW, as_of: AS_OF, start: 'empty' });
  assert.deepEqual(got.enters.map(({ account_id: id }) => id), [fine.id]);
  assert.deepEqual(got.waits.map(({ account_id: id, blocked_by: why }) => [id, why]), [[once.id, 'transactional_sales_cycle']]);
  assert.equal([...got.enters, ...got.waits].some(({ account_id: id }) => id === prospect.id), false);
  for (const { id } of [prospect, once, fine]) await api.remove(`/v1/accounts/${id}`, (await api.get(`/v1/accounts/${id}`)).etag);
});

test('the same checks as for criteria; for directors', async () => {
  const good = metric('revenue_ttm', '1', '0', '10');
  const wrong = async (status, place, body) => {
    const { body: problem } = await api.call(status, 'POST', SIMULATIONS, { body });
    assert.ok(problem.errors.some(({ pointer }) => pointer === place), `${place} in ${JSON.stringify(problem.errors)}`);
  };
  await wrong(422, '/criteria', { criteria: [] });
  await wrong(422, '/criteria/1/metric', { criteria: [good, good] });
  await wrong(422, '/criteria/0/ceiling', { criteria: [{ ...good, ceiling: '0' }] });
  await wrong(422, '/criteria', { criteria: [{ ...good, weight: '0' }] });
  await wrong(422, '/criteria_version', { criteria: [good], criteria_version: 1 });
  await wrong(422, '/criteria_version', { criteria_version: 99_999 });
  await wrong(422, '/recover_score', { enter_score: '10', recover_score: '20' });
  await wrong(422, '/recover_score', { recover_score: '20', exit_score: '20' });
  await wrong(400, '/start', { start: 'full' });
  await wrong(400, '/as_of', { as_of: 'today' });
  await wrong(400, '/region', { region: 'South' });
  const manager = await world.clientOf('account_manager', { user_id: (await api.create('/v1/users', { name: unique('Manager') })).id });
  await manager.fails(403, 'forbidden', 'POST', SIMULATIONS, { body: {} });
  manager.close();
});

// Every row of every table, without what processes keep about themselves, and without the note that somebody read economics (that is tested with the audit).
function everything() {
  const { settings } = world.stack;
  const tables = sql(settings, `select c.relname from pg_class c where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace and c.relname not in ('sequencer', 'audit_read_head') order by 1`).split('\n');
  const one = (table) => `select '${table}' as t, count(*) as n, md5(coalesce(string_agg(h, '' order by h), '')) from (select md5((to_jsonb(t) - 'last_used_at')::text) as h from "${table}" t ${table === 'audit' ? "where kind <> 'read'" : ''}) r`;
  const rows = sql(settings, `${tables.map(one).join(' union all ')} union all select sequencename, last_value, null from pg_sequences where sequencename <> 'audit_id_seq' order by 1`).split('\n');
  return { tables: tables.length, hash: createHash('sha256').update(rows.join('\n')).digest('hex'), rows };
}

test('a simulation changes nothing: every row of every table is as before', async () => {
  const quiet = await world.add({}, 'serve', '--no-worker');
  await world.kamds.shift().stop();
  const client = api.at(quiet.url);
  await simulate({}, client);
  const was = everything();
  assert.ok(was.tables > 20);
  for (const body of [{}, { criteria: OTHERS, max_key_accounts: 3, ...LOW, as_of: AS_OF }, { start: 'empty', as_of: AS_OF, max_key_accounts: 91, ...LOW }]) {
    await client.call(200, 'POST', SIMULATIONS, { body, headers: { 'idempotency-key': unique('k') } });
  }
  const is = everything();
  assert.deepEqual(is.rows, was.rows);
  assert.equal(is.hash, was.hash);
  await client.create('/v1/users', { name: unique('Somebody') });
  assert.notEqual(everything().hash, is.hash, 'the hash sees a change');
});

test('beyond KAMD_REPORT_ACCOUNTS it is an operation with the same document', async () => {
  const [now] = world.kamds;
  const body = { criteria: CRITERIA, max_key_accounts: 10, ...LOW, as_of: AS_OF, start: 'empty' };
  const expected = await simulate(body, api.at(now.url));
  const small = await world.add({ KAMD_REPORT_ACCOUNTS: '50' });
  const client = api.at(small.url);
  const headers = { 'idempotency-key': unique('k') };
  const { body: operation, headers: { location } } = await client.call(202, 'POST', SIMULATIONS, { body, headers });
  assert.deepEqual([operation.kind, location.endsWith(`/v1/operations/${operation.id}`)], ['simulation', true]);
  assert.equal((await client.call(202, 'POST', SIMULATIONS, { body, headers })).body.id, operation.id, 'one operation for one key');
  const done = await until(async () => {
    const is = await client.get(`/v1/operations/${operation.id}`);
    assert.notEqual(is.status, 'failed', is.failure);
    return is.status === 'succeeded' && is;
  }, { ms: 20_000, what: 'the operation' });
  assert.deepEqual(done.result, expected);
  const bad = await client.call(202, 'POST', SIMULATIONS, { body: { criteria_version: 99_999 } });
  await until(async () => (await client.get(`/v1/operations/${bad.body.id}`)).status === 'failed', { ms: 20_000, what: 'its failure' });
});
