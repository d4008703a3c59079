// Monthly sums of orders. Whatever is done to single orders, by whatever way, they are what the orders say.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tenThousandths } from './lib/northwind.mjs';
import { sql } from './lib/stack.mjs';
import { inParallel } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api, apis } = world);
});
after(() => world?.close());

const sales = async (account, query = 'first_month=2025-01&last_month=2025-12') => (await api.get(`/v1/accounts/${account.id}/sales?${query}`)).months;
const order = (fields = {}) => ({ external_id: unique('o'), ordered_on: '2025-03-31', currency_code: 'USD', lines: [{ line_no: 1, amount: '10.0001', cost: '4' }], ...fields });

test('a month has amount, cost, margin and orders for each currency; one unknown cost makes them unknown', async () => {
  const account = await makeAccount(api);
  const path = `/v1/accounts/${account.id}/orders`;
  for (const one of [order(), order({ ordered_on: '2025-03-01' }), order({ currency_code: 'EUR' }), order({ ordered_on: '2025-04-01', lines: [{ line_no: 1, amount: '7' }, { line_no: 2, amount: '1', cost: '1' }] })]) await api.create(path, one);
  assert.deepEqual(await sales(account), [
    { month: '2025-03', currency_code: 'EUR', amount: '10.0001', cost: '4.0000', margin: '6.0001', orders: 1 },
    { month: '2025-03', currency_code: 'USD', amount: '20.0002', cost: '8.0000', margin: '12.0002', orders: 2 },
    { month: '2025-04', currency_code: 'USD', amount: '8.0000', cost: null, margin: null, orders: 1 },
  ]);
  assert.deepEqual((await sales(account, 'first_month=2025-04&last_month=2025-04')).map(({ month }) => month), ['2025-04']);
  assert.deepEqual((await sales(account, 'last_month=2026-02')).map(({ month }) => month), ['2025-03', '2025-03', '2025-04'], 'twelve months up to the last');
  assert.deepEqual(await sales(account, 'last_month=2025-02'), []);
  assert.equal((await sales(account, 'first_month=2025-03')).length, 3, 'twelve months from the first');
  const now = await api.get(`/v1/accounts/${account.id}/sales`);
  assert.equal(now.last_month, new Date().toISOString().slice(0, 7));
});

test('months are checked; who does not see the account sees no sales', async () => {
  const account = await makeAccount(api);
  const fails = (query) => api.fails(400, 'invalid_request', 'GET', `/v1/accounts/${account.id}/sales?${query}`);
  for (const query of ['first_month=2025', 'first_month=2025-13', 'last_month=2025-Q1', 'last_month=', 'month=2025-01', 'first_month=2025-02&last_month=2025-01', 'first_month=2015-12&last_month=2025-12']) await fails(query);
  await sales(account, 'first_month=2016-01&last_month=2025-12');
  const stranger = await world.clientOf('account_manager', { user_id: (await api.create('/v1/users', { name: unique('Stranger') })).id });
  await stranger.call(404, 'GET', `/v1/accounts/${account.id}/sales`);
  stranger.close();
});

// What the orders themselves say, summed by other code than that which keeps the sums.
function recomputed(account) {
  const rows = sql(world.stack.settings, `select to_char(ordered_on, 'YYYY-MM'), currency_code, lines from sales_order where account_id = '${account.id}' and deleted_at is null`)
    .split('\n').filter(Boolean).map((line) => { const [month, currency, ...rest] = line.split('|'); return { month, currency, lines: JSON.parse(rest.join('|')) }; });
  const sums = new Map();
  for (const { month, currency, lines } of rows) {
    const sum = sums.get(`${month} ${currency}`) ?? { amount: 0n, cost: 0n, orders: 0 };
    for (const line of lines) {
      sum.amount += tenThousandths(line.amount);
      sum.cost = sum.cost === null || (line.cost ?? null) === null ? null : sum.cost + tenThousandths(line.cost);
    }
    sum.orders++;
    sums.set(`${month} ${currency}`, sum);
  }
  return [...sums].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, { amount, cost, orders }]) => [...key.split(' '), amount, cost, cost === null ? null : amount - cost, orders]);
}
const big = (text) => (text === null ? null : tenThousandths(text));
const served = async (account) => (await sales(account)).map((row) => [row.month, row.currency_code, big(row.amount), big(row.cost), big(row.margin), row.orders]);

// A generator of its own, so that a failure can be run again.
function numbers(seed) {
  let state = seed;
  return (below) => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor(state / 65536) % below; };
}

test('003-01: after any writes of single orders the sums equal those of the orders', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  const pick = numbers(seed);
  const account = await makeAccount(api);
  const path = `/v1/accounts/${account.id}/orders`;
  const dec = (below) => `${pick(below)}.${String(pick(10_000)).padStart(4, '0')}`;
  const fields = () => ({
    ordered_on: `2025-${String(1 + pick(12)).padStart(2, '0')}-${String(1 + pick(28)).padStart(2, '0')}`, currency_code: ['USD', 'EUR', 'CHF'][pick(3)],
    lines: Array.from({ length: 1 + pick(3) }, (_, i) => ({ line_no: i + 1, amount: `${pick(6) === 0 ? '-' : ''}${dec(5000)}`, ...(pick(8) > 0 && { cost: dec(3000) }) })),
  });
  const known = Array.from({ length: 24 }, () => ({ external_id: unique('p'), id: null, gone: false }));
  const client = () => apis[pick(2)];
  const now = async (one) => (await api.get(`${path}/${one.id}`)).etag;
  const steps = {
    put: async (one) => { one.id = (await client().send('PUT', `/v1/sync/erp/orders/${one.external_id}`, { body: { account_id: account.id, ...fields() } })).body.id; one.gone = false; },
    bulk: async (one) => {
      const records = [one.id && !one.gone ? { id: one.id, ...fields() } : { ...fields(), external_id: unique('b') }, { ...fields(), external_id: unique('b') }, { nonsense: 1 }];
      await client().call(200, 'POST', `${path}/bulk`, { body: { records, all_or_none: pick(4) === 0 }, headers: { 'idempotency-key': unique('k') } });
    },
    patch: async (one) => { if (one.id && !one.gone) await client().patch(`${path}/${one.id}`, await now(one), pick(2) ? fields() : { ordered_on: fields().ordered_on }); },
    remove: async (one) => { if (one.id && !one.gone) { await client().remove(`${path}/${one.id}`, await now(one)); one.gone = true; } },
    restore: async (one) => { if (one.gone) { await client().call(200, 'POST', `${path}/${one.id}/restore`, { body: {} }); one.gone = false; } },
    refused: async (one) => { if (one.id) await client().send('PATCH', `${path}/${one.id}`, { body: { lines: [] }, headers: { 'if-match': '"0000000000000000-00000000"' } }); },
  };
  const words = Object.keys(steps);
  for (let round = 0; round < (process.env.SOAK ? 40 : 5); round++) {
    // Each worker has orders of its own, since a step reads before it writes; the sums are everybody's.
    await inParallel(4, known, async (one) => { for (let i = 0; i < 4; i++) await steps[words[pick(words.length)]](one); });
    const expected = recomputed(account);
    assert.ok(round < 1 || expected.length > 5);
    assert.deepEqual(await served(account), expected, `round ${round}`);
  }
  const before = await served(account);
  await api.remove(`/v1/accounts/${account.id}`, (await api.get(`/v1/accounts/${account.id}`)).etag);
  assert.deepEqual(recomputed(account), []);
  await api.call(200, 'POST', `/v1/accounts/${account.id}/restore`, { body: {} });
  assert.deepEqual(await served(account), before, 'deleted and restored with the account');
});
