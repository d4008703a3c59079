// The real portfolio: loaded through the public API, and every sum compared with the files.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { load, revenueTtm, rows, sales, tenThousandths } from './lib/northwind.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { openWorld } from './lib/world.mjs';

const AS_OF = '1998-05-06';
let world, api, accounts;

before(async () => {
  world = await openWorld();
  api = world.api;
  const first = await load(api.url, api.key, '--no-shift');
  assert.equal(first.code, 0, first.output);
  accounts = await api.all('/v1/accounts');
});
after(() => world?.close());

const total = async (path) => (await api.get(`${path}${path.includes('?') ? '&' : '?'}page_size=1&include_total=true`)).page.total;
const numberOf = (account) => account.account_number;

test('91 accounts, 91 contacts, 9 users, 830 orders, 58 missed deliveries (001-17)', async () => {
  assert.equal(accounts.length, 91);
  assert.equal(await total('/v1/accounts'), 91);
  assert.equal(await total('/v1/contacts'), 91);
  assert.equal(await total('/v1/users'), 9);
  const counts = await inParallel(8, accounts, async ({ id }) => [
    await total(`/v1/accounts/${id}/orders`), await total(`/v1/accounts/${id}/problems?category=missed_delivery`)]);
  assert.equal(counts.reduce((sum, [orders]) => sum + orders, 0), 830);
  assert.equal(counts.reduce((sum, [, problems]) => sum + problems, 0), 58);
});

test('the total revenue is 1,265,793.04, and each order has the amount of its lines', async () => {
  const reference = sales();
  let sum = 0n;
  await inParallel(8, accounts, async (account) => {
    const orders = await api.all(`/v1/accounts/${account.id}/orders?fields=id,ordered_on,amount`);
    const got = orders.map((order) => `${order.ordered_on} ${tenThousandths(order.amount)}`).sort();
    const want = reference.get(numberOf(account)).map(({ day, amount }) => `${day} ${amount}`).sort();
    assert.deepEqual(got, want, numberOf(account));
    sum += orders.reduce((part, order) => part + tenThousandths(order.amount), 0n);
  });
  assert.ok(sum >= 12_657_930_300n && sum <= 12_657_930_500n, `${sum} ten-thousandths`);
});

test('revenue_ttm of every account on 1998-05-06 is that of the files', async () => {
  const operation = (await api.call(202, 'POST', '/v1/program/evaluations', { body: { as_of: AS_OF } }));
  assert.ok(operation.headers.location.endsWith(`/v1/operations/${operation.body.id}`));
  await until(async () => {
    const { status, failure } = await api.get(`/v1/operations/${operation.body.id}`);
    assert.notEqual(status, 'failed', failure);
    return status === 'succeeded';
  }, { what: 'the evaluation' });
  const results = await api.all(`/v1/program/evaluations/${operation.body.id}/results`, 50);
  assert.equal(results.length, 91);
  const reference = sales();
  const byId = new Map(results.map((result) => [result.account_id, result]));
  for (const account of accounts) {
    const { score, contributions } = byId.get(account.id);
    const revenue = contributions.find(({ metric }) => metric === 'revenue_ttm').value;
    assert.equal(tenThousandths(revenue), revenueTtm(reference.get(numberOf(account)), AS_OF), numberOf(account));
    const sum = contributions.reduce((part, { contribution }) => part + (contribution ? tenThousandths(contribution) : 0n), 0n);
    assert.equal(sum, tenThousandths(score), `${numberOf(account)}: contributions add up to the score`);
  }
  const ranks = results.map(({ rank }) => rank);
  assert.deepEqual(ranks, [...ranks].sort((a, b) => a - b), 'results come by rank');
});

test('the explanation of one account as of that day says the same', async () => {
  const best = accounts.find((account) => numberOf(account) === 'QUICK');
  const explained = await api.get(`/v1/accounts/${best.id}/key-status?as_of=${AS_OF}`);
  assert.equal(explained.as_of, AS_OF);
  const revenue = explained.contributions.find(({ metric }) => metric === 'revenue_ttm');
  assert.equal(tenThousandths(revenue.value), revenueTtm(sales().get('QUICK'), AS_OF));
  assert.ok(explained.missing.includes('margin_ttm'), 'no cost is known, so the margin is missing, not zero');
  const sum = explained.contributions.reduce((part, { contribution }) => part + (contribution ? tenThousandths(contribution) : 0n), 0n);
  assert.equal(sum, tenThousandths(explained.score));
});

test('who reports to whom, who manages whom, and whom to call', async () => {
  const users = await api.all('/v1/users');
  const names = new Map(users.map((user) => [user.id, user.name]));
  const buchanan = users.find((user) => user.name === 'Steven Buchanan');
  assert.equal(names.get(buchanan.manager_id), 'Andrew Fuller');
  const counts = new Map();
  for (const order of rows('orders').filter((row) => row.customer_id === 'SAVEA')) {
    counts.set(order.employee_id, (counts.get(order.employee_id) ?? 0) + 1);
  }
  const most = [...counts].sort(([, a], [, b]) => b - a)[0][0];
  const savea = accounts.find((account) => numberOf(account) === 'SAVEA');
  assert.equal(users.find((user) => user.id === savea.manager_id).external_ids.northwind, most);
  const contacts = await api.all(`/v1/contacts?account_id=${savea.id}`);
  assert.deepEqual(contacts.map((contact) => [contact.given_name, contact.family_name]), [['Jose', 'Pavarotti']]);
});

test('a second load changes nothing', async () => {
  const before_ = await api.get('/v1/accounts?page_size=1&order_by=-updated_at');
  const second = await load(api.url, api.key, '--no-shift');
  assert.equal(second.code, 0, second.output);
  assert.deepEqual(second.output.trim().split('\n').map((line) => line.replace(/ +/g, ' ')),
    ['users 9 unchanged', 'accounts 91 unchanged', 'contacts 91 unchanged', 'orders 830 unchanged', 'problems 58 unchanged']);
  const after_ = await api.get('/v1/accounts?page_size=1&order_by=-updated_at');
  assert.equal(after_.data[0].updated_at, before_.data[0].updated_at);
});

test('shifted, the last order lies in the seven days up to today, and all dates moved by whole weeks', async () => {
  const shifted = await load(api.url, api.key);
  assert.equal(shifted.code, 0, shifted.output);
  let last = '';
  await inParallel(8, accounts, async ({ id }) => {
    const { data } = await api.get(`/v1/accounts/${id}/orders?order_by=-ordered_on&page_size=1`);
    if (data[0]?.ordered_on > last) last = data[0].ordered_on;
  });
  const days = (Date.now() - Date.parse(last)) / 86_400_000;
  assert.ok(days >= 0 && days < 8, `the last order is of ${last}`);
  assert.equal((Date.parse(last) - Date.parse(AS_OF)) / 86_400_000 % 7, 0);
});
