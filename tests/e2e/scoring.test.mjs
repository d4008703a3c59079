// What a score and a health are made of, and the ways into the list of key accounts and out of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tenThousandths } from './lib/northwind.mjs';
import { startReceiver, subscribe } from './lib/receiver.mjs';
import { sql } from './lib/stack.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis, receiver;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api, apis } = world);
  await program({ enter_score: '60', recover_score: '1', exit_score: '0' }); // nobody slips by itself here
  receiver = await startReceiver();
  await subscribe(api, receiver, ['account.key_status.*', 'account.tier_changed']);
});
after(async () => {
  await receiver?.stop();
  await world?.close();
});

const DAY = 86_400_000;
const day = (ago = 0) => new Date(Date.now() - ago * DAY).toISOString().slice(0, 10);
const at = (ago) => new Date(Date.now() - ago * DAY).toISOString();
const year = day().slice(0, 4);
const key = () => ({ 'idempotency-key': unique('k') });
const program = async (change) => api.patch('/v1/program', (await api.get('/v1/program')).etag, change);
const settings = async (change) => api.patch('/v1/program/settings', (await api.get('/v1/program/settings')).etag, change);
const status = (id) => api.get(`/v1/accounts/${id}/key-status`);
const designate = (id, body = {}, client = api) => client.insist('POST', `/v1/accounts/${id}/designate`, { body });
const swap = (body) => api.send('POST', '/v1/program/swaps', { body });
const sell = (account, orders) => api.call(200, 'POST', `/v1/accounts/${account.id}/orders/bulk`, {
  headers: key(),
  body: { records: orders.map(([ago, amount, cost, currency_code = 'USD']) => ({ external_id: unique('o'), ordered_on: day(ago), currency_code, lines: [{ line_no: 1, amount, cost }] })) },
});
const assess = (account, metrics) => api.call(200, 'PUT', `/v1/accounts/${account.id}/metrics`, {
  body: { metrics: Object.entries(metrics).map(([metric, value]) => ({ metric, period: year, value, source: 'Workshop' })) },
});
const activate = async (metrics) => {
  const { version } = (await api.call(201, 'POST', '/v1/program/criteria', { body: { metrics } })).body;
  await api.call(200, 'POST', `/v1/program/criteria/${version}/activate`, { body: {} });
  await quiet();
  return version;
};
// Nothing is left to score.
const quiet = () => until(() => sql(world.stack.settings, `select (select count(*) from rescore_queue) + (select count(*) from operation where status in ('queued', 'running'))`).trim() === '0',
  { ms: 30_000, every: 200, what: 'all scores' });
const addUp = (contributions) => contributions.reduce((part, { contribution }) => part + (contribution === null ? 0n : tenThousandths(contribution)), 0n);
const answer = (possible) => ({ possible, evidence: 'Asked in May.' });
const fit = (account, sales_cycle, possible) => api.send('PUT', `/v1/accounts/${account.id}/fit-check`,
  { body: { sales_cycle, upsell: answer(possible), cross_sell: answer(possible), expand: answer(possible) } });

// An account of which everything is known.
async function knownAccount() {
  const account = await makeAccount(api, { cadence: [{ channel: 'in_person', every: 'monthly' }] });
  await sell(account, [[0, '10000', '6000'], [400, '8000', '1000']]);
  await assess(account, { strategic_importance: '80', purchasing_power: '50', need_complexity: '20', partnership_potential: '100', innovation_fit: '-3' });
  await api.create(`/v1/accounts/${account.id}/wallet`, { category: 'beverages', period: year, customer_spend: '40000', our_revenue: '10000', currency_code: 'USD' });
  const contact = (kind, ago, sentiment) => api.create(`/v1/accounts/${account.id}/interactions`, { kind, channel: 'phone', occurred_at: at(ago), sentiment });
  await contact('complaint', 10, 'negative');
  await contact('inquiry', 20, 'positive');
  await contact('service_call', 360, 'positive');
  await contact('complaint', 380, 'negative'); // before the window
  await contact('call', 40);
  const trouble = (category, severity, ago, rest = {}) => api.create(`/v1/accounts/${account.id}/problems`, { category, severity, title: 'Late', opened_at: at(ago), ...rest });
  await trouble('billing', 'high', 5);
  await trouble('delay', 'low', 30, { resolved_at: at(29) });
  return account;
}

test('every metric of the catalogue, and an assessed one by its name (002-06, 002-07, 002-16, 002-17)', async () => {
  const account = await knownAccount();
  const metrics = {
    revenue_ttm: ['10000.0000', '0', '20000', '50.0000'],
    margin_ttm: ['4000.0000', '0', '16000', '25.0000'],
    growth: ['0.2500', '-0.5', '0.5', '75.0000'],
    ltv: ['10666.6667', '0', '21333.3334', '50.0000'], // 4000 x 0.8 / (1 + 0.1 - 0.8)
    revenue_potential: ['40000.0000', '0', '160000', '25.0000'],
    share_of_wallet_gap: ['0.7500', '0', '1', '75.0000'],
    strategic_importance: ['80.0000', '0', '100', '80.0000'],
    purchasing_power: ['50.0000', '0', '100', '50.0000'],
    need_complexity: ['20.0000', '0', '100', '20.0000'],
    partnership_potential: ['100.0000', '0', '50', '100.0000'],
    complaint_load: ['3.0000', '0', '12', '75.0000'], // more is worse
    service_load: ['0.3000', '0', '3', '90.0000'], // 3 contacts for 10 thousands
    innovation_fit: ['-3.0000', '0', '10', '0.0000'],
    never_assessed: [null, '0', '1', null],
  };
  await activate(Object.entries(metrics).map(([metric, [, floor, ceiling]]) => ({ metric, weight: '1', floor, ceiling })));
  const explained = await until(async () => {
    const now = await status(account.id);
    return now.contributions.length === 14 && now;
  }, { ms: 15_000, what: 'the score' });
  const got = Object.fromEntries(explained.contributions.map(({ metric, value, scaled }) => [metric, [value, scaled]]));
  for (const [metric, [value, , , scaled]] of Object.entries(metrics)) assert.deepEqual(got[metric], [value, scaled], metric);
  assert.deepEqual(explained.missing, ['never_assessed']);
  assert.equal(explained.score, '55.0000', '715 / 13: the missing one has no weight');
  assert.equal(addUp(explained.contributions), tenThousandths(explained.score));
});

test('an assessment of a derived metric is refused; a null value takes one away (002-17)', async () => {
  const account = await makeAccount(api);
  const put = (metrics) => api.send('PUT', `/v1/accounts/${account.id}/metrics`, { body: { metrics } });
  const good = { metric: 'strategic_importance', period: `${year}-Q1`, value: '1', source: 'me' };
  assert.equal((await put([{ ...good, metric: 'revenue_ttm' }])).status, 422);
  assert.equal((await put([{ ...good, period: '2026-13' }])).status, 422);
  assert.equal((await put([{ ...good, source: undefined }])).status, 422);
  assert.equal((await put([good, good])).status, 422);
  assert.equal((await put([good, { ...good, period: year, value: '2' }])).body.metrics.length, 2);
  const left = (await put([{ ...good, value: null }])).body.metrics;
  assert.deepEqual(left.map(({ period, value }) => [period, value]), [[year, '2.0000']]);
  assert.equal((await api.send('PUT', '/v1/accounts/01970000-0000-7000-8000-000000000000/metrics', { body: { metrics: [good] } })).status, 404);
});

test('amounts in another currency need a rate; a rate scores all again', async () => {
  await activate([{ metric: 'revenue_ttm', weight: '1', floor: '0', ceiling: '1000' }]);
  const account = await makeAccount(api);
  await sell(account, [[0, '100', '1', 'EUR']]);
  await quiet();
  assert.deepEqual((await status(account.id)).missing, ['revenue_ttm']);
  await api.call(201, 'PUT', '/v1/program/rates/EUR', { body: { rate: '2.5' } });
  await quiet();
  assert.equal((await status(account.id)).score, '25.0000');
  await api.call(404, 'PUT', '/v1/program/rates/XXQ', { body: { rate: '2.5' } });
  await api.call(422, 'PUT', '/v1/program/rates/EUR', { body: { rate: '0' } });
  await api.call(204, 'DELETE', '/v1/program/rates/EUR');
  await quiet();
  assert.equal((await status(account.id)).score, null);
});

test('gates: a transactional sales cycle and an unsuitable fit check block, unless a director overrides (000-01, 000-02, 000-07, 002-04)', async () => {
  await program({ max_key_accounts: 500, max_net_growth: null });
  const account = await makeAccount(api, { sales_cycle: 'transactional' });
  const code = async (body) => { const got = await designate(account.id, body); return got.body.code ?? got.status; };
  assert.equal(await code(), 'transactional_sales_cycle');
  assert.equal((await fit(account, 'relational', false)).body.verdict, 'unsuitable');
  assert.equal(await code(), 'fit_check_unsuitable');
  assert.deepEqual((await fit(account, 'transactional', true)).body.failing, ['sales_cycle']);
  assert.equal(await code(), 'transactional_sales_cycle', 'the check beats what the account says');
  assert.equal(await code({ override: { reason: 'A pilot' } }), 'validation_failed');
  assert.equal(await code({ override: { reason: 'A pilot', expires_on: day() } }), 'validation_failed');
  const manager = await api.create('/v1/users', { name: unique('Manager') });
  const managers = await world.clientOf('account_manager', { user_id: manager.id });
  assert.equal((await designate(account.id, { override: { reason: 'A pilot', expires_on: day(-30) } }, managers)).status, 403);
  const { body } = await designate(account.id, { override: { reason: 'A pilot', expires_on: day(-30) } });
  assert.deepEqual([body.key_status, body.designation.override.expires_on], ['key', day(-30)]);

  await settings({ require_fit_check: true });
  const other = await makeAccount(api);
  assert.equal((await designate(other.id)).body.code, 'fit_check_required');
  assert.equal((await fit(other, 'mixed', true)).body.verdict, 'suitable');
  sql(world.stack.settings, `update fit_check set checked_on = current_date - 366 where account_id = '${other.id}'`);
  assert.equal((await designate(other.id)).body.code, 'fit_check_required', 'a year is recent enough, more is not');
  await fit(other, 'mixed', true);
  assert.equal((await designate(other.id)).status, 201);
  await settings({ require_fit_check: false });
  const half = { sales_cycle: 'mixed', upsell: answer(true), cross_sell: answer(false), expand: answer(true) };
  const checked = await api.call(201, 'PUT', `/v1/accounts/${(await makeAccount(api)).id}/fit-check`, { body: half });
  assert.deepEqual([checked.body.verdict, checked.body.failing], ['conditional', ['cross_sell']]);
  await api.fails(422, 'validation_failed', 'PUT', `/v1/accounts/${other.id}/fit-check`, { body: { ...half, upsell: { possible: true } } });
  await api.fails(412, 'precondition_failed', 'PUT', `/v1/accounts/${other.id}/fit-check`, { body: half, headers: { 'if-match': '"0000000000000000-00000000"' } });
});

test('a swap is one in, one out, or nothing (002-20)', async () => {
  const [old, fresh, prospect] = await Promise.all([makeAccount(api), makeAccount(api), makeAccount(api, { lifecycle: 'prospect' })]);
  assert.equal((await designate(old.id)).status, 201);
  const members = (await api.get('/v1/program')).key_accounts;
  await program({ max_key_accounts: members });
  assert.equal((await designate(fresh.id)).body.code, 'key_account_cap_reached');
  assert.equal((await swap({ in_account_id: prospect.id, out_account_id: old.id })).body.code, 'not_existing_customer');
  assert.equal((await swap({ in_account_id: fresh.id, out_account_id: prospect.id })).body.code, 'conflict');
  assert.equal((await swap({ in_account_id: old.id, out_account_id: old.id })).status, 422);
  assert.equal((await status(old.id)).key_status, 'key', 'what fails changes nothing');
  const { status: code, body } = await swap({ in_account_id: fresh.id, out_account_id: old.id, reason: 'Grows', benefits: ['A special line'] });
  assert.deepEqual([code, body.in.key_status, body.in.designation.benefits, body.out.key_status], [201, 'key', ['A special line'], 'none']);
  assert.equal((await api.get('/v1/program')).key_accounts, members);
  assert.deepEqual(body.out.history[0].reason, 'Grows');
  assert.deepEqual([body.out.history[0].cause, body.in.history[0].cause], ['swapped_out', 'swapped_in']);
  const told = (type, id) => receiver.deliveries.filter(({ event }) => event.type === type && event.data.account_id === id);
  await until(() => told('account.key_status.designated', fresh.id).length && told('account.key_status.slipped', old.id).length, { ms: 20_000, what: 'both events' });
  assert.equal(told('account.key_status.slipped', old.id)[0].event.data.cause, 'swapped_out');
  // A full list over its cap lets nobody in, by a swap neither.
  await program({ max_key_accounts: members - 1 });
  assert.equal((await swap({ in_account_id: old.id, out_account_id: fresh.id })).body.code, 'key_account_cap_reached');
  const over = await api.get('/v1/program');
  assert.deepEqual([over.over_cap, over.free_places, over.over_limits.some(({ rule }) => rule === 'max_key_accounts')], [true, 0, true]);
  await program({ max_key_accounts: 500 });
});

test('a decision ends key status, and a good score goes to the waiting list', async () => {
  await activate([{ metric: 'strategic_importance', weight: '1', floor: '0', ceiling: '100' }]);
  const account = await makeAccount(api);
  await assess(account, { strategic_importance: '90' });
  await quiet();
  assert.equal((await designate(account.id)).body.score, '90.0000');
  await api.fails(422, 'validation_failed', 'POST', `/v1/accounts/${account.id}/de-designate`, { body: {} });
  const { body } = await api.call(200, 'POST', `/v1/accounts/${account.id}/de-designate`, { body: { reason: 'Bought by a competitor' } });
  assert.deepEqual([body.key_status, body.tier, body.designation, body.history[0].reason], ['candidate', 'B', null, 'Bought by a competitor']);
  await api.fails(409, 'conflict', 'POST', `/v1/accounts/${account.id}/de-designate`, { body: { reason: 'Again' } });
});

test('50 at once for one free place: one gets it, 49 learn who is weakest (001-07)', async () => {
  await program({ max_key_accounts: (await api.get('/v1/program')).key_accounts + 1 });
  const candidates = await inParallel(8, Array(50).fill(), () => makeAccount(api));
  const answers = await Promise.all(candidates.map(({ id }, i) => designate(id, {}, apis[i % 2])));
  assert.deepEqual(answers.map(({ status: code }) => code).sort(), [201, ...Array(49).fill(409)]);
  for (const { body } of answers) if (body.code) assert.ok(body.code === 'key_account_cap_reached' && body.weakest.length > 0);
  await program({ max_key_accounts: 500 });
});

test('a manager at capacity takes no further key account, neither by designation nor by reassignment (001-09)', async () => {
  const busy = await api.create('/v1/users', { name: unique('Busy'), capacity: 1 });
  const [one, ...others] = await Promise.all(Array.from({ length: 6 }, () => makeAccount(api)));
  await api.patch(`/v1/accounts/${one.id}`, one.etag, { manager_id: busy.id });
  for (const { id } of others) assert.equal((await designate(id)).status, 201);
  const moved = await Promise.all(others.map(({ id, etag }, i) => apis[i % 2].insist('PATCH', `/v1/accounts/${id}`, { body: { manager_id: busy.id }, headers: { 'if-match': etag } })));
  assert.deepEqual(moved.map((got) => got.body.code ?? got.status).sort(), [200, ...Array(4).fill('manager_capacity_reached')]);
  assert.equal((await designate(one.id)).body.code, 'manager_capacity_reached');
  await api.patch(`/v1/users/${busy.id}`, (await api.get(`/v1/users/${busy.id}`)).etag, { capacity: 0 });
  const { over_limits: over } = await api.get('/v1/program');
  assert.deepEqual(over.filter(({ user_id: id }) => id === busy.id).map(({ rule, most, actual }) => [rule, most, actual]), [['manager_capacity', 0, 1]], 'reported, not undone');
});

test('health adds up, keeps what it was before, and says what changed it', async () => {
  const account = await knownAccount();
  await quiet();
  const first = await api.get(`/v1/accounts/${account.id}/health`);
  assert.equal(addUp(first.contributions), tenThousandths(first.score));
  assert.equal(first.health, Math.round(Number(first.score)));
  assert.deepEqual(first.missing, ['promises_kept', 'expectations']);
  assert.equal((await api.get(`/v1/accounts/${account.id}`)).health, first.health);
  await api.create(`/v1/accounts/${account.id}/problems`, { category: 'quality', severity: 'revenue_loss', title: 'Plant stands', opened_at: at(0) });
  await quiet();
  const next = await api.get(`/v1/accounts/${account.id}/health`);
  assert.deepEqual([next.previous.health, next.previous.score], [first.health, first.score]);
  assert.ok(next.health < first.health);
  assert.deepEqual(next.changed.map(({ metric }) => metric).sort(), ['complaint_load', 'open_problems']);
  assert.equal(next.changed[0].metric, 'open_problems', 'the largest change first');
  const unknown = await makeAccount(api);
  await quiet();
  const empty = await api.get(`/v1/accounts/${unknown.id}/health`);
  assert.deepEqual([empty.health, empty.previous], [50, null], 'what nobody recorded is not good health: no trouble, and nobody met who decides');
  assert.deepEqual(empty.contributions.filter(({ value }) => value !== null).map(({ metric, value }) => [metric, value]),
    [['decision_maker_coverage', '0.0000'], ['open_problems', '0.0000'], ['complaint_load', '0.0000']]);
});

// Deterministic, so that a failure can be repeated.
function random(seed) {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x7fffffff) * most);
  };
}
const CATALOGUE = ['revenue_ttm', 'margin_ttm', 'growth', 'ltv', 'revenue_potential', 'share_of_wallet_gap', 'strategic_importance', 'purchasing_power', 'complaint_load', 'service_load',
  'days_since_interaction', 'sentiment', 'open_problems', 'cadence_adherence', 'innovation_fit', 'never_assessed'];

test('after any writes, scores and health are those of a full evaluation, to the digit', async () => {
  const below = random(7);
  await activate(CATALOGUE.map((metric, i) => ({ metric, weight: String((i % 5) + 1), floor: '0', ceiling: ['20000', '9', '0.7', '333'][i % 4] })));
  const accounts = await Promise.all(Array.from({ length: 6 }, knownAccount));
  const pick = () => accounts[below(accounts.length)];
  const records = []; // [path, etag] to change or delete later
  const keep = (path, made) => records.push([`${path}/${made.id}`, made.etag]);
  const writes = [
    async ({ id }) => keep(`/v1/accounts/${id}/orders`, await api.create(`/v1/accounts/${id}/orders`, { external_id: unique('o'), ordered_on: day(below(800)), currency_code: 'USD', lines: [{ line_no: 1, amount: String(below(9000)), cost: below(9) ? String(below(5000)) : undefined }] })),
    async ({ id }) => keep(`/v1/accounts/${id}/interactions`, await api.create(`/v1/accounts/${id}/interactions`, { kind: ['visit', 'complaint', 'inquiry'][below(3)], channel: ['in_person', 'phone'][below(2)], occurred_at: at(below(700)), sentiment: ['positive', 'negative'][below(2)] })),
    async ({ id }) => keep(`/v1/accounts/${id}/problems`, await api.create(`/v1/accounts/${id}/problems`, { category: ['billing', 'delay'][below(2)], severity: ['low', 'revenue_loss'][below(2)], title: 'T', opened_at: at(below(500)), ...(below(2) && { resolved_at: at(0) }) })),
    async ({ id }) => keep(`/v1/accounts/${id}/wallet`, await api.create(`/v1/accounts/${id}/wallet`, { category: unique('c'), period: `${Number(year) - below(3)}`, customer_spend: String(1000 + below(9000)), our_revenue: String(below(1000)), currency_code: 'USD' })),
    (account) => assess(account, { strategic_importance: String(below(100)), innovation_fit: String(below(20)), ...(below(2) && { ltv: String(below(9999)) }) }),
    async ({ id }) => { const now = await api.get(`/v1/accounts/${id}`); await api.patch(`/v1/accounts/${id}`, now.etag, { cadence: below(2) ? [{ channel: 'phone', every: 'quarterly' }] : [] }); },
    async () => { if (records.length) { const [[path, etag]] = records.splice(below(records.length), 1); await api.call(204, 'DELETE', path, { headers: { 'if-match': etag } }); if (below(2)) await api.call(200, 'POST', `${path}/restore`, { body: {} }); } },
    async () => { await api.send('PUT', '/v1/program/rates/EUR', { body: { rate: String(1 + below(3)) } }); },
  ];
  for (let i = 0; i < 120; i++) await writes[below(writes.length)](pick());
  await quiet();
  const differing = (table, metrics, columns) => sql(world.stack.settings, `select count(*) || ' of ' || (select count(*) from account) from ${table} t
    join score_owners(null, current_date, (${metrics}), (select reporting_currency from program), false) r using (account_id)
    where (t.score, t.contributions, ${columns}) is distinct from (r.score, r.contributions, r.missing)`).trim();
  const all = sql(world.stack.settings, 'select count(*) from account').trim();
  assert.equal(differing('account_status', 'select c.metrics from criteria c join program p on p.criteria_version = c.version', 't.missing'), `0 of ${all}`);
  assert.equal(differing('account_health', 'select health_metrics from program_settings', 't.missing'), `0 of ${all}`);
  assert.notEqual(differing('account_status', `select jsonb_build_array(c.metrics -> 0) from criteria c join program p on p.criteria_version = c.version`, 't.missing'), `0 of ${all}`, 'it can tell');
});

test('contributions add up to the score exactly, for every account, over 1,000 random criteria', () => {
  const below = random(11);
  const lists = Array.from({ length: 1000 }, () => {
    const names = CATALOGUE.filter(() => below(3) === 0);
    return JSON.stringify((names.length ? names : ['growth']).map((metric) => {
      const floor = below(2000) / 7 - 50;
      return { metric, weight: (1 + below(1000) / 13).toFixed(4), floor: floor.toFixed(4), ceiling: (floor + 0.5 + below(5000) / 3).toFixed(4) };
    }));
  });
  let [bad, scored] = [0, 0];
  for (let i = 0; i < lists.length; i += 50) {
    const some = sql(world.stack.settings, `set jit = off; select count(*) filter (where s.score <> (select sum((c ->> 'contribution')::numeric) from jsonb_array_elements(s.contributions) c)), count(s.score)
      from unnest(array[${lists.slice(i, i + 50).map((list) => `'${list}'`).join(',')}]::jsonb[]) m cross join lateral score_accounts(null, current_date, m, 'USD') s`).trim().split('|').map(Number);
    bad += some[0];
    scored += some[1];
  }
  assert.equal(bad, 0);
  assert.ok(scored > 20_000, `${scored} scores`);
});
