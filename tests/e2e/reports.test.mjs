// The program's reports: each row against a computation of its own, from the Northwind files or from what the test itself wrote down.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { events } from './lib/client.mjs';
import { load, revenueTtm, sales, tenThousandths } from './lib/northwind.mjs';
import { sql } from './lib/stack.mjs';
import { PATIENCE, sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium';
const AS_OF = '1998-05-06';
const REVENUE = `/v1/program/pareto?metric=revenue&period=all&as_of=${AS_OF}`;
const DAY = 86_400_000;
const today = () => new Date().toISOString().slice(0, 10);
const before_ = (days, from = today()) => new Date(Date.parse(`${from}T00:00:00Z`) - days * DAY).toISOString().slice(0, 10);
const near = (got, want, what) => assert.ok(Math.abs(got - want) < 1e-6, `${what}: ${got}, not ${want}`);
const SALES = sales();
let world, api;

before(async () => {
  world = await openWorld({ settings: { KAMD_PROMISES_MS: '1000' } });
  ({ api } = world);
  const { code, output } = await load(api.url, api.key, '--no-shift');
  assert.equal(code, 0, output);
});
after(() => world?.close());

// While the portfolio is evaluated, a designation may have to wait for its turn (503).
const designate = (account) => until(async () => {
  const answer = await api.send('POST', `/v1/accounts/${account.id}/designate`, { body: { reason: 'They grow with us.', benefits: ['Priority'] } });
  assert.ok([201, 503].includes(answer.status), answer.text);
  return answer.status === 201;
}, { ms: 30_000, every: 500, what: 'the designation' });

// [{number, amount}] of those who bought, largest first; amounts in ten-thousandths.
function ranking(amountOf) {
  return [...SALES].map(([number, orders]) => ({ number, amount: amountOf(orders), orders: orders.length })).filter(({ orders }) => orders > 0)
    .sort((a, b) => (a.amount === b.amount ? (a.number < b.number ? -1 : 1) : a.amount < b.amount ? 1 : -1));
}

function comparePareto(report, want) {
  assert.equal(report.accounts, want.length);
  const total = want.reduce((sum, { amount }) => sum + amount, 0n);
  assert.equal(tenThousandths(report.total), total);
  let running = 0n;
  assert.equal(report.data.length, want.length);
  for (const [i, row] of report.data.entries()) {
    running += want[i].amount;
    assert.deepEqual([row.rank, row.account_number, tenThousandths(row.amount)], [i + 1, want[i].number, want[i].amount]);
    near(row.share, Number(want[i].amount) / Number(total), `${row.name}: share`);
    near(row.cumulative_share, Number(running) / Number(total), `${row.name}: cumulative share`);
  }
  return { total, share: (n) => Number(want.slice(0, n).reduce((sum, { amount }) => sum + amount, 0n)) / Number(total) };
}

test('pareto of revenue (002-02): every row is that of the files; 18 of 89 hold 60.06 %, and that is the cut-off', async () => {
  const report = await api.get(REVENUE);
  const { share } = comparePareto(report, ranking((orders) => orders.reduce((sum, { amount }) => sum + amount, 0n)));
  assert.equal(report.accounts, 89);
  assert.equal(report.data[17].cumulative_share.toFixed(4), '0.6006');
  assert.equal(report.suggested_cut_off, 18, '20 % of 89 customers, since 80 % of the revenue takes more of them');
  near(report.suggested_cut_off_share, share(18), 'at the cut-off');
  assert.deepEqual([report.metric, report.period, report.as_of, report.reporting_currency, report.page.has_more], ['revenue', 'all', AS_OF, 'USD', false]);
  assert.equal(report.covered_by_key_list, 0);
  const two = (await api.get('/v1/accounts?account_number=QUICK,BOTTM')).data;
  for (const account of two) await designate(account);
  const keys = report.data.filter(({ account_number: number }) => ['QUICK', 'BOTTM'].includes(number));
  const { covered_by_key_list: covered, key_accounts: n } = await api.get(REVENUE);
  near(covered, keys.reduce((sum, row) => sum + row.share, 0), 'the key list');
  assert.equal(n, 2);
});

test('pareto of the 365 days to a day; of profit, whoever has an unknown cost is left out and counted (001-01)', async () => {
  for (const day of [AS_OF, '1997-06-30']) {
    const report = await api.get(`/v1/program/pareto?metric=revenue&as_of=${day}`);
    const inWindow = (orders) => orders.filter((order) => order.day <= day && order.day > before_(365, day));
    const want = ranking((orders) => revenueTtm(orders, day)).filter(({ number }) => inWindow(SALES.get(number)).length > 0);
    comparePareto(report, want);
  }
  const profit = await api.get(`/v1/program/pareto?period=all&as_of=${AS_OF}`);
  assert.deepEqual([profit.metric, profit.accounts, profit.data, profit.covered_by_key_list, profit.suggested_cut_off], ['profit', 0, [], null, null]);
  assert.deepEqual([profit.missing.accounts, profit.missing.unknown_cost, profit.missing.unknown_rate, profit.missing.account_ids.length], [89, 89, 0, 89]);
});

test('pages of a report are its rows, in order, once; a cursor belongs to its parameters', async () => {
  // Each page is computed anew, and an evaluation in the background may move a status in between: then once more.
  let whole, paged, again;
  do {
    whole = (await api.get(REVENUE)).data;
    paged = await api.all(REVENUE, 20);
    again = (await api.get(REVENUE)).data;
  } while (!isDeepStrictEqual(whole, again));
  assert.deepEqual(paged, whole);
  const { page } = await api.get(`${REVENUE}&page_size=20`);
  await api.fails(400, 'invalid_cursor', 'GET', `/v1/program/pareto?metric=revenue&as_of=${AS_OF}&cursor=${encodeURIComponent(page.next_cursor)}`);
  await api.fails(400, 'invalid_cursor', 'GET', `/v1/program/rollup?cursor=${encodeURIComponent(page.next_cursor)}`);
});

test('what a report does not know is refused by name', async () => {
  const wrong = {
    pareto: ['metric=luck', 'period=week', 'as_of=yesterday', 'format=pdf', 'page_size=0', 'key_only=true'],
    capacity: ['as_of=2026-01-01', 'format=svg'], 'attention-gap': ['key_only=1', 'metric=profit'], cadence: ['account_id=7', 'as_of=2026-02-30'],
    compliance: ['as_of=2026-01-01'], candidates: ['key_only=true'], rollup: ['by=colour'],
  };
  for (const [name, queries] of Object.entries(wrong)) {
    for (const query of queries) {
      const { errors } = await api.fails(400, 'invalid_request', 'GET', `/v1/program/${name}?${query}`);
      assert.deepEqual(errors.map(({ parameter }) => parameter), [query.split('=')[0]], `${name}?${query}`);
    }
  }
  await api.fails(400, 'invalid_request', 'GET', '/v1/program/pareto?format=svg&page_size=5');
  await api.fails(404, 'not_found', 'GET', '/v1/program/cadence?account_id=01970000-0000-7000-8000-000000000000');
});

// ---- the picture ---------------------------------------------------------------------------------

test('the curve as a picture: axes, legend, cut-off, alt text; readable at 800 px', { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not there` }, async () => {
  const answer = await api.call(200, 'GET', `${REVENUE}&format=svg`, { headers: { accept: 'image/svg+xml' } });
  assert.equal(answer.headers['content-type'], 'image/svg+xml');
  const { chromium } = (await import('playwright-core')).default;
  const browser = await chromium.launch({ executablePath: CHROMIUM, timeout: 60_000 * PATIENCE, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  try {
    const page = await browser.newPage({ viewport: { width: 800, height: 600 }, extraHTTPHeaders: { authorization: `Bearer ${api.key}` } });
    page.setDefaultTimeout(60_000 * PATIENCE);
    const wrong = [];
    page.on('console', (message) => wrong.push(message.text()));
    await page.goto(new URL(`${REVENUE}&format=svg`, api.url).href);
    const drawn = await page.evaluate(() => {
      const root = document.documentElement;
      const by = (id) => document.getElementById(id)?.textContent;
      const luminance = (colour) => {
        const parts = colour.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
      };
      return {
        role: root.getAttribute('role'), labelled: root.getAttribute('aria-labelledby').split(' ').map(by), viewBox: root.getAttribute('viewBox'),
        texts: [...document.querySelectorAll('text')].map((text) => {
          const { left, top, right, bottom } = text.getBoundingClientRect();
          return { text: text.textContent, kind: text.getAttribute('class'), left, top, right, bottom, size: Number.parseFloat(getComputedStyle(text).fontSize),
            contrast: 1.05 / (luminance(getComputedStyle(text).fill) + 0.05) };
        }),
        curve: document.querySelector('.curve').getBoundingClientRect().toJSON(), points: document.querySelector('.curve').getAttribute('d').split('L').length - 1,
        mark: document.querySelector('circle').getBoundingClientRect().toJSON(),
      };
    });
    assert.deepEqual(wrong, []);
    assert.equal(drawn.role, 'img');
    assert.match(drawn.viewBox, /^0 0 800 \d+$/);
    assert.match(drawn.labelled[0], /^Pareto curve of revenue$/);
    assert.match(drawn.labelled[1], /89 customers.*1998-05-06.*1,265,793\.04 USD.*first 18 customers hold 60\.1 %.*key list: 2 customers/s);
    const kind = (name) => drawn.texts.filter((text) => text.kind === name).map(({ text }) => text);
    assert.deepEqual(kind('axis'), ['Cumulative share of revenue (%)', 'Customers, largest revenue first (number)']);
    assert.deepEqual(kind('tick-y'), ['0 %', '20 %', '40 %', '60 %', '80 %', '100 %']);
    assert.deepEqual(kind('tick-x'), ['0', '10', '20', '30', '40', '50', '60', '70', '80', '89']);
    assert.deepEqual(kind('cut-off'), ['Cut-off: 18 customers, 60.1 %']);
    assert.equal(kind('legend').length, 4);
    assert.ok(kind('legend').some((text) => text.startsWith('Key list: 2 hold ')));
    assert.equal(drawn.points, 89);
    for (const [i, one] of drawn.texts.entries()) {
      assert.ok(one.left >= 0 && one.right <= 800 && one.top >= 0 && one.bottom <= 560, `"${one.text}" is outside`);
      assert.ok(one.size >= 13 && one.contrast >= 4.5, `"${one.text}": ${one.size} px, contrast ${one.contrast}`);
      for (const other of drawn.texts.slice(i + 1)) {
        assert.ok(one.right <= other.left || other.right <= one.left || one.bottom <= other.top || other.bottom <= one.top, `"${one.text}" lies over "${other.text}"`);
      }
    }
    const across = (drawn.mark.left + drawn.mark.right) / 2;
    assert.ok(Math.abs((across - drawn.curve.left) / drawn.curve.width - 18 / 89) < 0.005, 'the mark is at customer 18');
    const up = (drawn.curve.bottom - (drawn.mark.top + drawn.mark.bottom) / 2) / drawn.curve.height;
    assert.ok(Math.abs(up - 0.6006) < 0.01, 'and at 60 %');
    if (process.env.PARETO_SCREENSHOT) await page.screenshot({ path: process.env.PARETO_SCREENSHOT });
  } finally {
    await browser.close();
  }
  assert.match((await api.call(200, 'GET', `/v1/program/pareto?format=svg&as_of=${AS_OF}`)).text, /There is no profit to share out/);
});

// ---- accounts of the test's own --------------------------------------------------------------------

const users = {};
const made = {};
const sell = (account, day, amount, cost, currency = 'USD') => api.call(200, 'POST', '/v1/sync/erp/orders', {
  headers: { 'idempotency-key': unique('sell') },
  body: { records: [{ external_id: unique('order'), account_id: account.id, ordered_on: day, currency_code: currency, lines: [{ line_no: 1, amount, cost }] }] },
});
const meet = (account, day, channel, contacts = []) => api.create(`/v1/accounts/${account.id}/interactions`, {
  kind: 'meeting', channel, occurred_at: `${day}T10:00:00Z`, contact_ids: contacts.map(({ id }) => id) });
const monthly = [{ channel: 'in_person', every: 'monthly' }];

test('a portfolio of the test\'s own', async () => {
  users.one = await api.create('/v1/users', { name: unique('One'), capacity: 1, visit_days: 20 });
  users.two = await api.create('/v1/users', { name: unique('Two'), capacity: 5, visit_days: 200 });
  users.idle = await api.create('/v1/users', { name: unique('Idle'), visit_days: 100 });
  const north = { kind: 'geographic', name: 'North' }, standalone = { reason: 'They decide for themselves.' };
  made.top = await makeAccount(api, { level: 'global', manager_id: users.one.id, division: north, cadence: monthly });
  made.below = await makeAccount(api, { level: 'regional', parent_id: made.top.id, manager_id: users.one.id, standalone });
  made.south = await makeAccount(api, { level: 'national', parent_id: made.below.id, manager_id: users.two.id, division: { kind: 'geographic', name: 'South' }, sales_cycle: 'transactional', standalone });
  made.hidden = await makeAccount(api, { manager_id: users.two.id, country_code: 'FR', cadence: [...monthly, { channel: 'phone', every: 'annual' }] });
  made.quiet = await makeAccount(api, { name: '=1+1, "quoted"', manager_id: users.two.id, country_code: 'FR', contact_preference: { do_not_contact_until: before_(-60) } });
  made.rare = await makeAccount(api, { manager_id: users.one.id, country_code: 'ZZ'.replace('ZZ', 'IT'), contact_preference: { min_days_between: 73 }, cadence: [{ channel: 'phone', every: 'monthly' }] });
  for (const [name, amount] of [['top', '900000'], ['hidden', '800000'], ['quiet', '700000'], ['rare', '600000'], ['below', '500000'], ['south', '-1000']]) {
    await sell(made[name], before_(3), amount, name === 'south' ? '1000' : '100000');
  }
  await until(async () => (await Promise.all(Object.values(made).map(({ id }) => api.get(`/v1/accounts/${id}`)))).filter(({ key_status: status }) => status === 'candidate').length === 5,
    { ms: 30_000, what: 'five candidates' });
});

test('pareto of profit: losses come last, and the curve falls to 1 at its end (001-01)', async () => {
  const { data, suggested_cut_off: cut } = await api.get('/v1/program/pareto');
  assert.deepEqual(data.map(({ account_id: id }) => id), ['top', 'hidden', 'quiet', 'rare', 'below', 'south'].map((name) => made[name].id));
  assert.equal(data.at(-1).amount, '-2000.0000');
  near(data.at(-2).cumulative_share, 3_000_000 / 2_998_000, 'above 1 before the loss');
  near(data.at(-1).cumulative_share, 1, 'the end');
  assert.equal(cut, 2, '20 % of 6 customers');
  await sell(made.below, before_(3), '1', '1', 'CHF');
  const without = await api.get('/v1/program/pareto');
  assert.deepEqual([without.accounts, without.missing.unknown_rate, without.missing.account_ids], [5, 1, [made.below.id]], 'no rate: left out and named');
  await api.call(201, 'PUT', '/v1/program/rates/CHF', { body: { rate: '2' } });
  assert.equal((await api.get('/v1/program/pareto?metric=revenue')).data.find(({ account_id: id }) => id === made.below.id).amount, '500002.0000');
});

test('candidates (002-20): the waiting list by score, the places, and what stands in the way', async () => {
  for (const account of [made.top, made.hidden]) await designate(account);
  await until(() => sql(world.stack.settings, 'select count(*) from rescore_queue').trim() === '0', { ms: 30_000, every: 100, what: 'a score with the new rate' });
  const { data, places } = await api.get('/v1/program/candidates');
  assert.deepEqual(places, { max: 20, taken: 4, free: 16 });
  const order = [made.quiet, made.rare, made.below].map(({ id, account_number: number }) => ({ id, number }));
  const scores = new Map(await Promise.all(order.map(async ({ id }) => [id, (await api.get(`/v1/accounts/${id}`)).score])));
  const want = order.sort((a, b) => Number(scores.get(b.id)) - Number(scores.get(a.id)) || (a.number < b.number ? -1 : 1)).map(({ id }) => id);
  assert.deepEqual(data.map(({ account_id: id }) => id), want);
  for (const row of data) {
    assert.equal(row.score, scores.get(row.account_id));
    const sum = row.contributions.reduce((part, { contribution }) => part + (contribution ? tenThousandths(contribution) : 0n), 0n);
    assert.equal(sum, tenThousandths(row.score), 'contributions add up');
    assert.deepEqual(row.blocked_by, row.account_id === made.quiet.id ? [] : ['manager_capacity'], row.name);
  }
  let { quiet } = made;
  quiet = await api.patch(`/v1/accounts/${quiet.id}`, (await api.get(`/v1/accounts/${quiet.id}`)).etag, { sales_cycle: 'transactional' });
  await api.create('/v1/program/nominations', { account_id: quiet.id, region: 'South', reason: 'Grows' });
  const row = (await api.get('/v1/program/candidates')).data.find(({ account_id: id }) => id === quiet.id);
  assert.deepEqual([row.blocked_by, row.open_nominations], [['transactional'], 1]);
  await api.patch(`/v1/accounts/${quiet.id}`, quiet.etag, { sales_cycle: null });
});

test('capacity (001-09): accounts and promised visits against what each manager can do', async () => {
  const { data, summary } = await api.get('/v1/program/capacity');
  const row = (user) => data.find(({ user_id: id }) => id === (user?.id ?? null));
  const { name, ...one } = row(users.one);
  assert.equal(name, users.one.name);
  assert.deepEqual(one, { user_id: users.one.id, accounts: 3, key_accounts: 1, capacity: 1, capacity_left: 0, promised_visits: 12, promised_visits_key: 12, visit_days: 20, visit_days_left: 8,
    load: 0.6, over_capacity: false, over_visit_days: false }, 'a call by phone is no visit');
  assert.deepEqual([row(users.two).accounts, row(users.two).key_accounts, row(users.two).promised_visits, row(users.two).load], [3, 1, 12, 0.06]);
  assert.deepEqual([row(users.idle).accounts, row(users.idle).visit_days_left], [0, 100], 'who is free is shown, too');
  const unmanaged = (await api.all('/v1/accounts?manager_id_is_null=true')).length;
  assert.ok(unmanaged > 0);
  assert.deepEqual([row(null).accounts, row(null).name, summary.unmanaged_accounts], [unmanaged, null, unmanaged]);
  assert.equal(summary.accounts, (await api.all('/v1/accounts')).length);
  const top = await api.get(`/v1/accounts/${made.top.id}`);
  await api.patch(`/v1/accounts/${made.top.id}`, top.etag, { cadence: [...monthly, ...monthly] });
  assert.deepEqual((({ over_visit_days: over, visit_days_left: left }) => [over, left])((await api.get('/v1/program/capacity')).data.find(({ user_id: id }) => id === users.one.id)), [true, -4]);
  await api.patch(`/v1/accounts/${made.top.id}`, (await api.get(`/v1/accounts/${made.top.id}`)).etag, { cadence: monthly });
});

test('rollup: regions by the tree, managers, whole customers; sums are those of the parts (004-05)', async () => {
  const of = async (by) => (await api.get(`/v1/program/rollup?group_by=${by}`)).data;
  const regions = new Map((await of('region')).map((row) => [row.name, row]));
  const north = regions.get('North');
  assert.deepEqual([north.accounts, north.key_accounts, north.candidates, north.revenue_ttm, north.margin_ttm, north.tiers.A], [2, 1, 1, '1400002.0000', '1200000.0000', 1], 'the account below is in the region above it');
  assert.deepEqual([regions.get('South').accounts, regions.get('South').revenue_ttm, regions.get('South').margin_ttm], [1, '-1000.0000', '-2000.0000']);
  assert.ok(regions.get('FR').accounts >= 2, 'else the country');
  const parts = await of('parent');
  const whole = parts.find(({ id }) => id === made.top.id);
  assert.deepEqual([whole.accounts, whole.revenue_ttm, whole.name], [3, '1399002.0000', made.top.name]);
  assert.ok(!parts.some(({ id }) => id === made.below.id));
  const total = 900_000 + 800_000 + 700_000 + 600_000 + 500_002 - 1000;
  near(whole.share, 1_399_002 / total, 'share');
  const manager = (await of('manager')).find(({ id }) => id === users.two.id);
  assert.deepEqual([manager.accounts, manager.revenue_ttm], [3, '1499000.0000']);
  for (const by of ['region', 'manager', 'parent']) assert.equal((await of(by)).reduce((sum, { accounts }) => sum + accounts, 0), (await api.all('/v1/accounts')).length, by);
  const past = (await api.get(`/v1/program/rollup?group_by=region&as_of=${AS_OF}`)).data.find(({ name }) => name === 'DE');
  assert.deepEqual([past.margin_ttm, past.missing.margin > 0, past.missing.revenue], [null, true, 0], 'costs are unknown: no margin, and how many lack it');
});

test('compliance (000-11, 000-14): what a key account lacks', async () => {
  const of = async (account) => (await api.get('/v1/program/compliance')).data.find(({ account_id: id }) => id === account.id);
  assert.deepEqual((await of(made.top)).missing, ['plan', 'review', 'sponsor', 'fit_check']);
  const [quick] = (await api.get('/v1/accounts?account_number=QUICK')).data;
  assert.deepEqual((await of(quick)).missing, ['plan', 'review', 'sponsor', 'cadence', 'fit_check']);
  const etag = async () => (await api.get(`/v1/accounts/${made.top.id}`)).etag;
  await api.patch(`/v1/accounts/${made.top.id}`, await etag(), { sponsor_id: users.two.id });
  const plan = await api.create('/v1/plans', { account_id: made.top.id, title: 'Plan', period_start: before_(30), period_end: before_(-300) });
  assert.deepEqual((await of(made.top)).missing, ['plan', 'review', 'fit_check'], 'a draft is no plan');
  sql(world.settings, `update plan set status = 'active' where id = '${plan.id}'`);
  const review = await api.create('/v1/reviews', { account_id: made.top.id, cadence: 'quarterly', due_on: before_(-10) });
  sql(world.settings, `insert into fit_check (account_id, sales_cycle, upsell, cross_sell, expand) values ('${made.top.id}', 'relational', '{"possible": true}', '{"possible": true}', '{"possible": true}')`);
  const { missing, compliant, plan_id: planId, next_review_on: next, fit_verdict: verdict } = await of(made.top);
  assert.deepEqual([missing, compliant, planId, next, verdict], [[], true, plan.id, before_(-10), 'suitable']);
  const { summary } = await api.get('/v1/program/compliance');
  assert.deepEqual([summary.key_accounts, summary.compliant, summary.share, summary.missing.plan], [4, 1, 0.25, 3]);
  for (const [change, lack] of [
    [`update review set due_on = current_date - 1 where id = '${review.id}'`, ['review']],
    [`update review set status = 'held', held_at = now() - interval '100 days' where id = '${review.id}'`, ['review']],
    [`update review set status = 'held', held_at = now() - interval '80 days' where id = '${review.id}'`, []],
    [`update fit_check set checked_on = current_date - 366 where account_id = '${made.top.id}'`, ['fit_check']],
    [`update fit_check set checked_on = current_date where account_id = '${made.top.id}'`, []],
    [`update account_status set designation = designation || '{"override": {"expires_on": "2026-01-01"}}' where account_id = '${made.top.id}'`, ['expired_override']],
    [`update account_status set designation = designation - 'override' where account_id = '${made.top.id}'`, []],
  ]) {
    sql(world.settings, change);
    assert.deepEqual((await of(made.top)).missing, lack, change);
  }
});

// ---- attention and cadence ---------------------------------------------------------------------------

const CHANNEL = { in_person: 1, video: 0.7, phone: 0.5, email: 0.2, web: 0.1 };
const LEVEL = { executive: 1.5, manager: 1.2, user: 1 };
const met = []; // {account, day, channel, levels}

async function meetAndNote(account, day, channel, ...contacts) {
  met.push({ account: account.id, day, channel, levels: contacts.map(({ level }) => LEVEL[level] ?? 1) });
  return meet(account, day, channel, contacts);
}

test('attention gap (001-22): purchases and attention, by weights, half-life and the customer\'s wish (001-11)', async () => {
  const contact = (account, level) => api.create('/v1/contacts', { account_id: account.id, family_name: unique('C'), level });
  const [boss, user, other] = [await contact(made.rare, 'executive'), await contact(made.rare, 'user'), await contact(made.below, 'manager')];
  await meetAndNote(made.rare, before_(10), 'phone', user, boss);
  await meetAndNote(made.rare, before_(100), 'in_person', user);
  await meetAndNote(made.below, before_(5), 'in_person', other);
  await meetAndNote(made.below, before_(5), 'email');
  await meetAndNote(made.below, before_(364), 'video', other);
  await meetAndNote(made.south, before_(0), 'in_person');
  await meetAndNote(made.south, before_(1), 'in_person');
  const forgotten = await meet(made.top, before_(365), 'in_person');
  assert.ok(forgotten.id);

  const buyers = { top: 900_000, hidden: 800_000, quiet: 700_000, rare: 600_000, below: 500_002, south: -1000 };
  const rows = Object.entries(buyers).map(([name, purchases]) => {
    const mine = met.filter(({ account }) => account === made[name].id);
    const attention = mine.reduce((sum, { day, channel, levels }) => sum + CHANNEL[channel] * Math.max(...(levels.length ? levels : [1])) * 0.5 ** ((Date.parse(today()) - Date.parse(day)) / DAY / 90), 0);
    const wanted = name === 'rare' ? 365 / 73 : 12;
    return { id: made[name].id, name, purchases, attention, adjusted: attention * 12 / wanted, touches: mine.length };
  });
  const n = rows.length;
  for (const row of rows) {
    row.rankPurchases = rows.filter(({ purchases }) => purchases >= row.purchases).length;
    row.rankAttention = rows.filter(({ adjusted }) => adjusted >= row.adjusted).length;
    row.gap = (row.rankAttention - row.rankPurchases) / (n - 1);
  }
  const report = await api.get('/v1/program/attention-gap');
  assert.equal(report.data.length, n);
  for (const row of report.data) {
    const want = rows.find(({ id }) => id === row.account_id);
    near(row.attention, want.attention, `${want.name}: attention`);
    near(row.adjusted_attention, want.adjusted, `${want.name}: adjusted`);
    near(row.gap, want.gap, `${want.name}: gap`);
    assert.deepEqual([row.rank_purchases, row.rank_attention, Number(row.purchases), row.touches], [want.rankPurchases, want.rankAttention, want.purchases, want.touches], want.name);
    const kind = want.name === 'quiet' ? 'balanced' : want.gap >= 0.3 ? 'under_served' : want.gap <= -0.3 ? 'over_served' : 'balanced';
    assert.deepEqual([row.kind, row.held], [kind, want.name === 'quiet'], `${want.name}: ${kind}`);
  }
  assert.deepEqual(report.data.map(({ gap }) => gap), report.data.map(({ gap }) => gap).sort((a, b) => b - a), 'largest gap first');
  const kinds = Object.fromEntries(report.data.map(({ account_id: id, kind }) => [rows.find((row) => row.id === id).name, kind]));
  assert.deepEqual([kinds.top, kinds.hidden, kinds.south], ['under_served', 'under_served', 'over_served']);
  assert.deepEqual([report.summary.under_served, report.summary.held], [2, 1]);
  const keys = await api.get('/v1/program/attention-gap?key_only=true');
  assert.deepEqual(keys.data.map(({ account_id: id }) => id), [made.top.id, made.hidden.id]);
});

test('attention_gap.opened: once when it opens, and again only after it was closed', async () => {
  const opened = async () => (await events(api, 'types=attention_gap.opened')).filter(({ account_id: id }) => id === made.top.id);
  await until(async () => (await opened()).length === 1, { ms: 20_000, what: 'attention_gap.opened' });
  const [{ data }] = await opened();
  assert.deepEqual([data.account_id, data.gap, data.rank_purchases, data.name], [made.top.id, 1, 1, made.top.name]);
  const state = () => sql(world.settings, `select times, closed_at is null from attention_gap where account_id = '${made.top.id}'`);
  assert.equal(state(), '1|t');
  const visits = [];
  for (let i = 0; i < 4; i++) visits.push(await meet(made.top, today(), 'in_person'));
  await until(() => state() === '1|f', { ms: 20_000, what: 'the gap being closed' });
  for (const visit of visits) await api.remove(`/v1/accounts/${made.top.id}/interactions/${visit.id}`, visit.etag);
  await until(async () => (await opened()).length === 2, { ms: 20_000, what: 'the gap being opened again' });
  await sleep(2500);
  assert.equal((await opened()).length, 2);
  const told = new Set((await events(api, 'types=attention_gap.opened')).map(({ account_id: id }) => id));
  assert.ok(!told.has(made.south.id) && !told.has(made.quiet.id), 'not of the over-served, nor of those who want to be left alone');
});

test('cadence (001-10): promised and kept by channel, late by days, months end safely, the wish beats the promise', async () => {
  const of = async (account, day) => (await api.get(`/v1/program/cadence?account_id=${account.id}&as_of=${day}`)).data;
  await meet(made.hidden, '2026-01-31', 'in_person');
  let [row, phone] = (await of(made.hidden, '2026-03-05')).sort((a, b) => (a.channel < b.channel ? -1 : 1));
  assert.deepEqual([row.due_on, row.days_late, row.actual, row.promised_per_year], ['2026-02-28', 5, 1, 12], '31 January and a month is 28 February');
  near(row.owed, 1.1178, '12 x 34 / 365: owed since the first contact, 34 days with that day and this');
  near(row.adherence, 1 / (12 * 34 / 365), 'adherence');
  assert.deepEqual([phone.channel, phone.actual, phone.last_at, phone.owed, phone.adherence, phone.days_late], ['phone', 0, null, null, null, 0], 'nothing yet: counted from when it became a key account');
  assert.deepEqual((await of(made.hidden, '2026-02-28')).map(({ days_late: late }) => late), [0, 0], 'not late on the day');
  await meet(made.hidden, '2026-03-31', 'in_person');
  [row] = (await of(made.hidden, '2026-05-02')).filter(({ channel }) => channel === 'in_person');
  assert.deepEqual([row.due_on, row.days_late, row.actual], ['2026-04-30', 2, 2]);

  const [rare] = await of(made.rare, today());
  assert.equal(rare.due_on, before_(10 - 73), 'monthly was promised; they want 73 days between');
  assert.deepEqual([rare.wanted_per_year, rare.days_late, rare.actual], [5, 0, 1]);
  near(rare.owed, 1.3836, '5 x 101 / 365: of the five that they want in a year, in the 101 days since the first contact');
  near(rare.adherence, 0.722772, '1 of 1.3836');
  const [[then], [later]] = [await of(made.rare, before_(29)), await of(made.rare, before_(28))];
  assert.deepEqual([then.owed, then.adherence, later.owed, later.adherence], [null, null, 1, 0], 'one in 73 days; in 72 none is owed');
  const wish = async (preference) => {
    const { etag } = await api.get(`/v1/accounts/${made.hidden.id}`);
    await api.patch(`/v1/accounts/${made.hidden.id}`, etag, { contact_preference: preference });
    return (await of(made.hidden, '2026-05-02')).find(({ channel }) => channel === 'in_person');
  };
  row = await wish({ do_not_contact_until: '2026-06-01' });
  assert.deepEqual([row.due_on, row.days_late], ['2026-06-01', 0]);
  row = await wish({ channels: ['phone'] });
  assert.deepEqual([row.channel_wanted, row.wanted_per_year, row.due_on, row.days_late, row.adherence], [false, 0, null, 0, null]);
  row = await wish(null);
  assert.equal(row.days_late, 2);

  const keys = await api.get('/v1/program/cadence');
  assert.deepEqual(new Set(keys.data.map(({ account_id: id }) => id)), new Set([made.top.id, made.hidden.id]), 'key accounts only, unless asked');
  assert.deepEqual([keys.summary.entries, keys.summary.accounts], [3, 2]);
  const all = await api.get('/v1/program/cadence?key_only=false');
  assert.ok(all.data.some(({ account_id: id }) => id === made.rare.id));
  const counted = all.data.filter(({ owed }) => owed !== null);
  assert.ok(counted.length, 'something is owed');
  const { owed, kept } = counted.reduce((sum, one) => ({ owed: sum.owed + one.owed, kept: sum.kept + Math.min(one.actual, one.owed) }), { owed: 0, kept: 0 });
  near(all.summary.adherence, kept / owed, 'overall');
});

test('cadence.missed: exactly once for an account, channel and day; the next missed day is told again', async () => {
  const missed = async () => (await events(api, 'types=cadence.missed')).filter(({ account_id: id }) => id === made.hidden.id).map(({ data }) => `${data.channel} ${data.due_on}`);
  await until(async () => (await missed()).includes('in_person 2026-04-30'), { ms: 20_000, what: 'cadence.missed' });
  const was = await missed();
  await sleep(2500);
  assert.deepEqual(await missed(), was);
  assert.equal(new Set(was).size, was.length, 'each once');
  await meet(made.hidden, '2026-05-31', 'in_person');
  await until(async () => (await missed()).includes('in_person 2026-06-30'), { ms: 20_000, what: 'the next one' });
  await sleep(1500);
  assert.deepEqual((await missed()).sort(), [...was, 'in_person 2026-06-30'].sort());
});

// ---- who sees what, other forms, large portfolios ------------------------------------------------------

const REPORTS = ['pareto?metric=revenue', 'capacity', 'attention-gap', 'cadence?key_only=false', 'compliance', 'candidates', 'rollup?group_by=region', 'rollup?group_by=manager', 'rollup?group_by=parent'];

test('an account manager sees only own accounts, and those below, in every report', async () => {
  const one = await world.clientOf('account_manager', { user_id: users.one.id });
  const own = ['top', 'below', 'south', 'rare'].map((name) => made[name].id);
  for (const report of REPORTS) {
    const { text, body } = await one.call(200, 'GET', `/v1/program/${report}`);
    for (const name of ['hidden', 'quiet']) assert.ok(!text.includes(made[name].id) && !text.includes(JSON.stringify(made[name].name)), `${report} tells of ${name}`);
    for (const { account_id: id } of body.data) if (id !== undefined) assert.ok(own.includes(id), `${report}: ${id}`);
    const seen = { capacity: 4, rollup: 4 }[report.split('?')[0]];
    if (seen) assert.equal(body.data.reduce((sum, { accounts }) => sum + accounts, 0), seen, report);
  }
  const pareto = await one.get('/v1/program/pareto?metric=revenue');
  assert.deepEqual([pareto.accounts, pareto.total], [4, '1999002.0000']);
  assert.deepEqual((await one.get('/v1/program/candidates')).places, { max: 20, taken: 4, free: 16 }, 'how full the list is, is no secret');
  await one.fails(404, 'not_found', 'GET', `/v1/program/cadence?account_id=${made.hidden.id}`);
  await api.as(undefined).fails(401, 'unauthenticated', 'GET', '/v1/program/pareto');
});

// RFC 4180, by code of its own.
function parseCsv(text) {
  const rows = [];
  let row = [], cell = '', quoted = false;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (quoted && char === '"' && text[i + 1] === '"') { cell += '"'; i++; } else if (char === '"') quoted = !quoted;
    else if (!quoted && char === ',') { row.push(cell); cell = ''; } else if (!quoted && char === '\r' && text[i + 1] === '\n') { rows.push([...row, cell]); row = []; cell = ''; i++; } else cell += char;
  }
  assert.deepEqual([row, cell, quoted], [[], '', false], 'ends with a line end');
  const [head, ...lines] = rows;
  for (const line of lines) assert.equal(line.length, head.length);
  return lines.map((line) => Object.fromEntries(head.map((name, i) => [name, line[i]])));
}

test('every report as CSV holds the same rows; no cell is a formula', async () => {
  for (const report of REPORTS) {
    const answer = await api.call(200, 'GET', `/v1/program/${report}${report.includes('?') ? '&' : '?'}format=csv`, { headers: { accept: 'text/csv' } });
    assert.equal(answer.headers['content-type'], 'text/csv; charset=utf-8');
    const rows = parseCsv(answer.text);
    const { data } = await api.get(`/v1/program/${report}`);
    assert.equal(rows.length, data.length, report);
    for (const [i, row] of rows.entries()) {
      for (const [name, cell] of Object.entries(row)) {
        assert.ok(!/^[=+\-@\t\r]/.test(cell) || /^-?\d+(\.\d+)?$/.test(cell), `${report}: ${cell}`);
        if (!(name in data[i]) || name === 'name') continue;
        const value = data[i][name];
        assert.equal(cell, value === null ? '' : Array.isArray(value) ? value.join(' ') : typeof value === 'number' ? cell : String(value), `${report}: ${name}`);
        if (typeof value === 'number') assert.equal(Number(cell), value, `${report}: ${name}`);
      }
    }
  }
  const { text } = await api.send('GET', '/v1/program/pareto?metric=revenue&format=csv');
  assert.ok(text.includes(`"'=1+1, ""quoted"""`), 'a name that is a formula is defused');
  assert.ok(text.includes(',-1000.0000,'), 'a negative number stays one');
  const first = await api.call(200, 'GET', '/v1/program/pareto?metric=revenue&format=csv&page_size=2');
  assert.match(first.headers.link, /rel="next"/);
  const cursor = /cursor=([^>]+)>/.exec(first.headers.link)[1];
  assert.equal(parseCsv((await api.call(200, 'GET', `/v1/program/pareto?metric=revenue&format=csv&page_size=2&cursor=${cursor}`)).text)[0].rank, '3');
});

test('over many accounts a report is an operation, and then at hand in each form', async (t) => {
  const large = await world.add({ KAMD_REPORT_ACCOUNTS: '5' }, 'serve', '--no-worker');
  t.after(() => large.stop());
  const client = api.at(large.url);
  const path = '/v1/program/pareto?metric=revenue';
  const { page, ...want } = await api.get(path);
  assert.equal(page.has_more, false);
  const { body: operation, headers } = await client.call(202, 'GET', path);
  assert.equal(headers.location, `/v1/operations/${operation.id}`);
  assert.deepEqual([operation.kind, operation.request.report, operation.request.params.metric], ['report', 'pareto', 'revenue']);
  const ended = await until(async () => {
    const now = await client.get(`/v1/operations/${operation.id}`);
    assert.notEqual(now.status, 'failed', now.failure);
    return now.status === 'succeeded' && now;
  }, { ms: 20_000, what: 'the report' });
  const { page: donePage, ...done } = ended.result;
  assert.deepEqual(done, want);
  assert.deepEqual((await client.get(path)).data, want.data, 'asked again, it is there');
  assert.equal(donePage.has_more, false);
  assert.equal(parseCsv((await client.call(200, 'GET', `${path}&format=csv`)).text).length, want.data.length);
  const one = (await world.clientOf('account_manager', { user_id: users.one.id })).at(large.url);
  await until(async () => (await one.send('GET', '/v1/me')).status === 200, { what: 'the key' });
  assert.equal((await one.get(path)).accounts, 4, 'who sees few accounts is answered at once');
  await one.fails(404, 'not_found', 'GET', `/v1/operations/${operation.id}`);
});

test('a report that the database has no time for now is an operation, too', async () => {
  const path = '/v1/program/pareto?metric=revenue&period=all';
  const blocker = spawn('psql', ['-Xq', '-c', 'begin; lock table program_rate; select pg_sleep(600)', world.settings.DATABASE_SUPERUSER_URL], { stdio: 'ignore' });
  const gone = new Promise((done) => { blocker.on('exit', done); });
  const holder = () => sql(world.settings, "select pid from pg_locks where relation = 'program_rate'::regclass and mode = 'AccessExclusiveLock' and granted");
  await until(holder, { ms: 15_000, what: 'the lock' });
  try {
    await until(async () => {
      const { status, text } = await api.send('GET', path);
      assert.ok([202, 503].includes(status), text);
      return status === 202;
    }, { ms: 30_000, what: '202' });
    // The worker has no time for it either, and does not forget it.
    await until(() => /"worker_failed".*"operations"/.test(world.kamds.map((kamd) => kamd.log()).join('')), { ms: 20_000, what: 'the worker that cannot' });
  } finally {
    sql(world.settings, `select pg_terminate_backend(${holder()})`);
    await gone;
  }
  await until(async () => (await api.send('GET', path)).status === 200, { ms: 30_000, what: 'the report' });
  assert.equal((await api.get(path)).accounts, 95);
});
