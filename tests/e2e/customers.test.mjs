// A key account is a customer with all its units; bad news never raises a figure; only contacts that we made count. The figures were worked out by hand from the
// portfolio that is made here.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis;
const made = {};
const DAY = 86_400_000;
const day = (ago = 0) => new Date(Date.now() - ago * DAY).toISOString().slice(0, 10);
const at = (ago) => new Date(Date.now() - ago * DAY).toISOString();
const CRITERIA = [['revenue_ttm', 30, 0, 100000], ['margin_ttm', 25, 0, 30000], ['growth', 10, -0.5, 0.5], ['strategic_importance', 15, 1, 5], ['partnership_potential', 10, 1, 5],
  ['complaint_load', 10, 0, 12]].map(([metric, weight, floor, ceiling]) => ({ metric, weight: String(weight), floor: String(floor), ceiling: String(ceiling) }));

const quiet = () => until(() => sql(world.stack.settings, `select (select count(*) from rescore_queue) + (select count(*) from operation where status in ('queued', 'running'))`).trim() === '0',
  { ms: 30_000, every: 200, what: 'all scores' });
const program = async (change) => api.patch('/v1/program', (await api.get('/v1/program')).etag, change);
const status = (account) => api.get(`/v1/accounts/${account.id}/key-status`);
const account_ = (account) => api.get(`/v1/accounts/${account.id}`);
const change = async (account, fields) => api.patch(`/v1/accounts/${account.id}`, (await account_(account)).etag, fields);
const refused = async (code, account, fields) => api.fails(409, code, 'PATCH', `/v1/accounts/${account.id}`, { body: fields, headers: { 'if-match': (await account_(account)).etag } });
const sell = (account, orders) => api.call(200, 'POST', `/v1/accounts/${account.id}/orders/bulk`, {
  headers: { 'idempotency-key': unique('k') },
  body: { records: orders.map(([ago, amount, cost, currency_code = 'USD']) => ({ external_id: unique('o'), ordered_on: day(ago), currency_code, lines: [{ line_no: 1, amount: String(amount), cost: String(cost) }] })) },
});
const assess = (account, metrics) => api.call(200, 'PUT', `/v1/accounts/${account.id}/metrics`, {
  body: { metrics: Object.entries(metrics).map(([metric, value]) => ({ metric, period: day().slice(0, 4), value, source: 'Workshop' })) } });
const meet = (account, kind, ago, fields = {}) => api.create(`/v1/accounts/${account.id}/interactions`, { kind, channel: 'phone', occurred_at: at(ago), ...fields });
const complain = (account, fields) => meet(account, 'complaint', 0, fields);
const trouble = (account, severity = 'low') => api.create(`/v1/accounts/${account.id}/problems`, { category: 'quality', severity, title: 'Late', opened_at: at(0) });
const unitOrders = (s, currency) => Array.from({ length: 24 }, (_, i) => [15 + 30 * i, 1500 * s + 37.5 * i, 1000 * s + 11.25 * i, currency]);
const scoreOf = async (account) => { await quiet(); return (await status(account)).score; };

before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api, apis } = world);
  await program({ enter_score: '60', recover_score: '55', exit_score: '50', grace_days: 30 });
  await api.send('PUT', '/v1/program/rates/EUR', { body: { rate: '1.10' } });
  const { version } = (await api.call(201, 'POST', '/v1/program/criteria', { body: { metrics: CRITERIA } })).body;
  await api.call(200, 'POST', `/v1/program/criteria/${version}/activate`, { body: {} });
  const unit = (name, number, level, parent, fields = {}) => makeAccount(api, { name, account_number: number, level, parent_id: parent?.id, ...fields });
  made.groupManager = await api.create('/v1/users', { name: unique('Group'), email: `${unique('g')}@us.example` });
  made.unitManager = await api.create('/v1/users', { name: unique('Unit'), email: `${unique('u')}@us.example` });
  made.G = await unit('Aurora Foods Group', 'AUR-G', 'global', null, { manager_id: made.groupManager.id });
  made.E = await unit('Aurora EMEA', 'AUR-E', 'regional', made.G);
  made.D = await unit('Aurora Deutschland', 'AUR-D', 'national', made.E);
  made.B = await unit('Aurora Bayern', 'AUR-B', 'sub_regional', made.D, { manager_id: made.unitManager.id });
  made.P = await unit('Aurora APAC', 'AUR-P', 'regional', made.G);
  for (const [name, s, currency] of [['E', 3], ['D', 6, 'EUR'], ['B', 1, 'EUR'], ['P', 4]]) await sell(made[name], unitOrders(s, currency));
});
after(() => world?.close());

test('a customer is scored once, at its top, with all its units (001-02)', async () => {
  await assess(made.D, { strategic_importance: '5', partnership_potential: '4' });
  assert.equal(await scoreOf(made.G), '92.3175', 'what was assessed of a unit is not the customer\'s');
  await assess(made.G, { strategic_importance: '5' });
  assert.equal(await scoreOf(made.G), '93.5979');
  const { contributions } = await status(made.G);
  const value = Object.fromEntries(contributions.map(({ metric, value: v, scaled }) => [metric, [v, scaled]]));
  assert.deepEqual(value.revenue_ttm, ['274995.0000', '100.0000']);
  assert.deepEqual(value.margin_ttm, ['95476.5000', '100.0000']);
  assert.deepEqual(value.growth, ['-0.0762', '42.3810']);
  const { data } = await api.get('/v1/program/pareto?metric=revenue');
  assert.deepEqual(data.map(({ rank, account_id: id, amount }) => [rank, id, amount]), [[1, made.G.id, '274995.0000']], 'one row');
  for (const name of ['E', 'D', 'B', 'P']) {
    const unit = await account_(made[name]);
    assert.deepEqual([unit.score, unit.score_rank, unit.customer_id, unit.key_account_id], [null, null, made.G.id, null], name);
  }
});

test('units show the status and the tier of their customer, and take no place on the list (001-07)', async () => {
  const refusal = await api.fails(409, 'unit_of_customer', 'POST', `/v1/accounts/${made.B.id}/designate`, { body: { reason: 'Grows' } });
  assert.equal(refusal.customer_id, made.G.id);
  await api.fails(409, 'unit_of_customer', 'POST', '/v1/program/nominations', { body: { account_id: made.B.id, reason: 'Grows', region: 'South' } });
  await api.call(201, 'POST', `/v1/accounts/${made.G.id}/designate`, { body: { reason: 'Grows', benefits: ['Answer in an hour'] } });
  for (const client of apis) {
    for (const name of ['G', 'E', 'D', 'B', 'P']) {
      const seen = await client.get(`/v1/accounts/${made[name].id}`);
      assert.deepEqual([seen.key_status, seen.tier, seen.customer_id, seen.key_account_id], ['key', 'A', made.G.id, made.G.id], name);
    }
  }
  const now = await api.get('/v1/program');
  assert.deepEqual([now.key_accounts, now.net_growth], [1, 1]);
  const why = await status(made.B);
  assert.deepEqual([why.account_id, why.name, why.key_status, why.score, why.designation.benefits], [made.G.id, made.G.name, 'key', '93.5979', ['Answer in an hour']]);
  assert.equal(why.history[0].to_status, 'key');
  assert.deepEqual((await api.get('/v1/program/compliance')).data.map(({ account_id: id }) => id), [made.G.id]);
});

test('whoever sees a unit sees the status and the benefits of its customer, and not its score', async () => {
  const unitOnly = await world.clientOf('account_manager', { user_id: made.unitManager.id });
  await unitOnly.call(404, 'GET', `/v1/accounts/${made.G.id}`);
  const why = await unitOnly.get(`/v1/accounts/${made.B.id}/key-status`);
  assert.deepEqual([why.account_id, why.name, why.key_status, why.tier, why.designation.benefits], [made.G.id, made.G.name, 'key', 'A', ['Answer in an hour']]);
  assert.deepEqual([why.score, why.contributions, why.designation.reason, why.redacted, why.history], [undefined, undefined, undefined, ['economics'], []]);
  const past = await unitOnly.get(`/v1/accounts/${made.B.id}/key-status?as_of=${day(-1)}`);
  assert.deepEqual([past.account_id, past.key_status, past.score], [made.G.id, 'key', undefined]);
});

test('a unit that calls is recognised as its customer, its own people first (001-04)', async () => {
  const caller = await until(async () => {
    const seen = await api.get('/v1/recognition?account_number=AUR-B');
    return seen.is_key && seen;
  }, { ms: 15_000, what: 'the unit' });
  assert.deepEqual([caller.account_id, caller.name, caller.benefits, caller.unit], [made.G.id, made.G.name, ['Answer in an hour'], { account_id: made.B.id, name: made.B.name, level: 'sub_regional' }]);
  assert.deepEqual(caller.alert.map(({ id, role }) => [id, role]), [[made.unitManager.id, 'manager'], [made.groupManager.id, 'manager']]);
  assert.equal((await api.get('/v1/recognition?account_number=AUR-G')).unit, null);
  await change(made.P, { phones: ['+15550001111'] });
  await until(async () => (await Promise.all(apis.map((client) => client.get('/v1/recognition?phone=%2B15550001111')))).every(({ is_key: key, unit }) => key && unit.account_id === made.P.id),
    { ms: 15_000, every: 20, what: 'a unit\'s number at every process' });
});

test('a director makes a unit a customer of its own; a key account does not become a unit', async () => {
  const manager = await world.clientOf('account_manager', { user_id: made.groupManager.id });
  const seen = await account_(made.D);
  await manager.fails(403, 'forbidden', 'PATCH', `/v1/accounts/${made.D.id}`, { body: { standalone: { reason: 'Own budget' } }, headers: { 'if-match': seen.etag } });
  await change(made.D, { standalone: { reason: 'Own budget' } });
  await quiet();
  const [d, b, g] = await Promise.all([made.D, made.B, made.G].map(account_));
  assert.deepEqual([d.customer_id, b.customer_id, b.key_status === d.key_status, d.key_account_id ?? null], [made.D.id, made.D.id, true, null]);
  assert.notEqual(d.key_status, 'key');
  assert.equal((await status(made.G)).contributions.find(({ metric }) => metric === 'revenue_ttm').value, '130950.0000', 'the rest leaves it out: 56,475 + 74,475');
  assert.equal((await status(made.D)).contributions.find(({ metric }) => metric === 'revenue_ttm').value, '144045.0000', '121,522.50 + 22,522.50');
  assert.equal(g.key_status, 'key');
  await api.call(201, 'POST', `/v1/accounts/${made.D.id}/designate`, { body: { reason: 'Grows' } });
  await refused('key_account_is_customer', made.D, { standalone: null });
  await api.call(200, 'POST', `/v1/accounts/${made.D.id}/de-designate`, { body: { reason: 'One customer' } });
  await change(made.D, { standalone: null });
  assert.equal(await scoreOf(made.G), '93.5979');
  assert.equal((await account_(made.B)).key_status, 'key');
  const [top, alone] = [await makeAccount(api, { level: 'global' }), await makeAccount(api, { level: 'regional' })];
  await api.call(201, 'POST', `/v1/accounts/${alone.id}/designate`, { body: { reason: 'Grows' } });
  await refused('key_account_is_customer', alone, { parent_id: top.id });
  assert.deepEqual([(await account_(alone)).parent_id, (await account_(alone)).key_status], [null, 'key']);
  await api.call(200, 'POST', `/v1/accounts/${alone.id}/de-designate`, { body: { reason: 'A unit' } });
  await change(alone, { parent_id: top.id });
  assert.equal((await account_(alone)).customer_id, top.id);
});

test('the program may count units; it does not go back while a unit is key', async () => {
  await program({ counts: 'unit' });
  await quiet();
  assert.equal((await account_(made.E)).customer_id, made.E.id);
  assert.equal((await status(made.E)).contributions.find(({ metric }) => metric === 'revenue_ttm').value, '56475.0000');
  await api.call(201, 'POST', `/v1/accounts/${made.E.id}/designate`, { body: { reason: 'Grows' } });
  await api.fails(409, 'key_account_is_customer', 'PATCH', '/v1/program', { body: { counts: 'customer' }, headers: { 'if-match': (await api.get('/v1/program')).etag } });
  await api.call(200, 'POST', `/v1/accounts/${made.E.id}/de-designate`, { body: { reason: 'One customer' } });
  await program({ counts: 'customer' });
  assert.equal(await scoreOf(made.G), '93.5979');
});

test('after any moves, a customer\'s sums are those of its units', async () => {
  let state = 5;
  const below = (most) => { state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff; return Math.floor((state / 0x7fffffff) * most); };
  const levels = ['global', 'regional', 'national', 'sub_regional'];
  const units = [];
  for (let i = 0; i < 12; i++) {
    const account = await makeAccount(api, { level: levels[i % 4] });
    await sell(account, [[10, 1000 + i, 500]]);
    units.push({ account, level: i % 4, amount: 1000 + i, parent: null, standalone: false, gone: false });
  }
  const top = (unit) => (!unit.gone && unit.parent && !unit.standalone ? top(unit.parent) : unit);
  for (let i = 0; i < 100; i++) {
    const unit = units[below(units.length)], other = units[below(units.length)];
    const write = below(4);
    if (unit.gone) {
      if (unit.parent?.gone) continue;
      await api.call(200, 'POST', `/v1/accounts/${unit.account.id}/restore`, { body: {} });
      unit.gone = false;
    } else if (write === 0 && !units.some(({ parent, gone }) => parent === unit && !gone)) {
      await api.remove(`/v1/accounts/${unit.account.id}`, (await account_(unit.account)).etag);
      unit.gone = true;
    } else if (write === 1) {
      unit.standalone = !unit.standalone;
      await change(unit.account, { standalone: unit.standalone ? { reason: 'Own budget' } : null });
    } else if (other.level < unit.level && !other.gone) {
      unit.parent = below(5) ? other : null;
      await change(unit.account, { parent_id: unit.parent?.account.id ?? null });
    }
  }
  await quiet();
  let groups = 0;
  for (const unit of units.filter(({ gone }) => !gone)) {
    const seen = await account_(unit.account);
    assert.equal(seen.customer_id, top(unit).account.id);
    if (top(unit) !== unit) continue;
    const members = units.filter((one) => !one.gone && top(one) === unit);
    groups += members.length > 1;
    const why = await status(unit.account);
    assert.equal(why.contributions.find(({ metric }) => metric === 'revenue_ttm').value, `${members.reduce((sum, { amount }) => sum + amount, 0)}.0000`);
  }
  assert.ok(groups >= 2, `${groups} groups`);
});

test('a complaint and a problem lower a score that they raised as long as loads were missing (001-02, 002-06)', async () => {
  const alone = await makeAccount(api);
  await sell(alone, unitOrders(3));
  assert.equal(await scoreOf(alone), '63.3514');
  await complain(alone, { sentiment: 'positive' });
  assert.equal(await scoreOf(alone), '62.2403');
  const fresh = await makeAccount(api, { name: unique('Fresh Co') });
  await sell(fresh, [10, 310, 610].map((ago) => [ago, 38000, 30000]));
  assert.equal(await scoreOf(fresh), '74.8444');
  await trouble(fresh);
  assert.equal(await scoreOf(fresh), '73.7333');
  await complain(fresh);
  await complain(fresh);
  assert.equal(await scoreOf(fresh), '71.5111');
  await meet(fresh, 'visit', 1, { channel: 'in_person', sentiment: 'positive' });
  assert.equal(await scoreOf(fresh), '71.5111', 'a visit changes no score');
});

test('after any complaint or problem no score and no health is higher; after any visit each score is the same', async () => {
  let state = 11;
  const below = (most) => { state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff; return Math.floor((state / 0x7fffffff) * most); };
  const accounts = await Promise.all(Array.from({ length: 25 }, () => makeAccount(api, { cadence: below(2) ? [{ channel: 'phone', every: 'monthly' }] : [] })));
  for (const account of accounts) {
    if (below(3)) await sell(account, [[below(700), 1000 + below(60000), below(50000)], [below(300), 1000 + below(60000), below(50000)]]);
    if (below(2)) await meet(account, 'call', below(300), { sentiment: ['positive', 'neutral', 'negative'][below(3)] });
  }
  const figures = async () => { await quiet(); return Promise.all(accounts.map(async (account) => [(await status(account)).score, (await api.get(`/v1/accounts/${account.id}/health`)).score].map(Number))); };
  let was = await figures();
  for (let round = 0; round < 8; round++) {
    const bad = round % 2 === 0;
    for (const account of accounts) {
      if (!bad) await meet(account, 'visit', below(200), { channel: 'in_person' });
      else if (below(2)) await meet(account, 'complaint', below(360), { direction: below(2) ? 'outbound' : undefined, sentiment: below(2) ? 'positive' : undefined });
      else await api.create(`/v1/accounts/${account.id}/problems`, { category: ['billing', 'quality'][below(2)], severity: ['low', 'revenue_loss'][below(2)], title: 'Late', opened_at: at(below(360)) });
    }
    const is = await figures();
    is.forEach(([score, health], i) => {
      if (bad) assert.ok(score <= was[i][0] && health <= was[i][1], `account ${i} in round ${round}: ${was[i]} became ${is[i]}`);
      else assert.equal(score, was[i][0], `a visit to account ${i} in round ${round}`);
    });
    was = is;
  }
});

test('only contacts that we made count: attention, cadence and last contact (001-10, 001-22, 003-01)', async () => {
  const savea = await makeAccount(api, { account_number: unique('SAVEA') });
  await sell(savea, [[10, 100, 50]]);
  const person = (level) => api.create('/v1/contacts', { account_id: savea.id, given_name: 'A', family_name: unique('B'), level });
  const [boss, user] = [await person('executive'), await person('user')];
  await meet(savea, 'visit', 200, { channel: 'in_person', contact_ids: [boss.id] });
  await meet(savea, 'call', 100, { contact_ids: [user.id] });
  await meet(savea, 'visit', 70, { channel: 'in_person', contact_ids: [boss.id] });
  await meet(savea, 'email', 5, { channel: 'email' });
  await meet(savea, 'call', 10, { channel: 'web', order_taking: true });
  await meet(savea, 'complaint', 1, { contact_ids: [boss.id] });
  const row = (await api.get('/v1/program/attention-gap')).data.find(({ account_id: id }) => id === savea.id);
  assert.equal(row.touches, 4);
  const expected = 1.5 * 0.5 ** (200 / 90) + 0.5 * 0.5 ** (100 / 90) + 1.5 * 0.5 ** (70 / 90) + 0.2 * 0.5 ** (5 / 90);
  assert.equal(expected.toFixed(4), '1.6203');
  assert.equal(row.attention.toFixed(4), '1.6203');
  const met = await until(async () => { const seen = await api.get(`/v1/contacts/${boss.id}`); return seen.last_interaction_at && seen; }, { ms: 10_000, what: 'the last contact' });
  assert.equal(met.last_interaction_at.slice(0, 10), day(70), 'a complaint is no contact with who complains');

  const ernsh = await makeAccount(api, { cadence: [{ channel: 'phone', every: 'monthly' }] });
  await complain(ernsh);
  const kept = async () => (await api.get(`/v1/program/cadence?account_id=${ernsh.id}`)).data[0].actual;
  assert.equal(await kept(), 0, 'a call that tells us of trouble keeps no promise');
  await meet(ernsh, 'service_call', 0);
  await meet(ernsh, 'inquiry', 0);
  assert.equal(await kept(), 0);
  await meet(ernsh, 'inquiry', 0, { direction: 'outbound' });
  assert.equal(await kept(), 1, 'we asked');
});

test('what has happened is at most a day ahead', async () => {
  const { id } = await makeAccount(api);
  const ahead = (ms) => ({ kind: 'visit', channel: 'in_person', occurred_at: new Date(Date.now() + ms).toISOString() });
  await api.create(`/v1/accounts/${id}/interactions`, ahead(DAY - 60_000));
  const refusal = await api.fails(422, 'validation_failed', 'POST', `/v1/accounts/${id}/interactions`, { body: ahead(DAY + 60_000) });
  assert.deepEqual(refusal.errors.map(({ pointer, code }) => [pointer, code]), [['/occurred_at', 'in_future']]);
  await api.fails(422, 'validation_failed', 'POST', `/v1/accounts/${id}/problems`, { body: { category: 'quality', severity: 'low', title: 'Late', opened_at: at(-2) } });
});

test('one adherence: health says what cadence says; a customer that loses us money, or is never met, is not healthy', async () => {
  const account = await makeAccount(api, { cadence: [{ channel: 'phone', every: 'monthly' }, { channel: 'in_person', every: 'quarterly' }] });
  for (const ago of [10, 100, 200, 400]) await meet(account, 'call', ago);
  await meet(account, 'visit', 50, { channel: 'in_person' });
  await quiet();
  const { summary } = await api.get(`/v1/program/cadence?account_id=${account.id}`);
  const health = await api.get(`/v1/accounts/${account.id}/health`);
  assert.equal(Number(health.contributions.find(({ metric }) => metric === 'cadence_adherence').value), Number(summary.adherence.toFixed(4)));
  assert.equal(summary.adherence, 0.25, '4 of 16: 3 of 12 calls, 1 of 4 visits');
  const grinder = await makeAccount(api);
  await sell(grinder, Array.from({ length: 18 }, (_, i) => [15 + 30 * i, 2000, 2150]));
  await quiet();
  const poor = await api.get(`/v1/accounts/${grinder.id}/health`);
  const of = (metric) => poor.contributions.find((one) => one.metric === metric);
  assert.deepEqual([of('profitability').value, of('profitability').scaled, of('decision_maker_coverage').value], ['-0.0750', '0.0000', '0.0000']);
  assert.equal(poor.score, '50.0000', 'growth, no problems, no complaints: 30 of 60');
});
