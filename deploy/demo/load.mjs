#!/usr/bin/env node
// Loads the demo portfolio: Northwind's customers, contacts, employees, orders and missed deliveries,
// through the public API only. Running it again changes nothing.
//
//   KAMD_URL=http://127.0.0.1:18080 KAMD_API_KEY=kamd_live_... node load.mjs [--no-shift] [--designate=N]
//
//   --no-shift     keep the dates of 1996 to 1998; else all move by whole weeks, so that the last
//                  order lies in the seven days up to today
//   --designate=N  make the N customers with the most revenue of the last 365 days key accounts
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const SYSTEM = 'northwind';
const BATCH = 200;
const TRIES = 12;
const DAY = 86_400_000;

const { values: flags } = parseArgs({
  options: { 'no-shift': { type: 'boolean', default: false }, designate: { type: 'string', default: '0' } },
});
const { KAMD_URL, KAMD_API_KEY } = process.env;
if (!KAMD_URL || !KAMD_API_KEY || !/^\d{1,3}$/.test(flags.designate)) {
  console.error('usage: KAMD_URL=... KAMD_API_KEY=... node load.mjs [--no-shift] [--designate=N]');
  process.exit(2);
}

// ---- the files --------------------------------------------------------------------------------

const folder = fileURLToPath(new URL('../../tests/data/northwind/', import.meta.url));

// RFC 4180: quotes may hold commas, line breaks and doubled quotes.
function readCsv(name) {
  const rows = [[]];
  for (const [, quoted, plain, end] of readFileSync(`${folder}${name}.csv`, 'utf8').replaceAll('\r\n', '\n')
    .matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/g)) {
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '\n') rows.push([]);
    if (end === '') break;
  }
  const [names, ...records] = rows.filter((row) => row.length > 1);
  return records.map((row) => Object.fromEntries(names.map((key, i) => [key, row[i]])));
}

const employees = readCsv('employees');
const customers = readCsv('customers');
const orders = readCsv('orders');
const lines = new Map(orders.map((order) => [order.order_id, []]));
for (const line of readCsv('order_details')) lines.get(line.order_id).push(line);
const products = new Map(readCsv('products').map((product) => [product.product_id, product.product_name]));

// ---- dates, money, phones, people -----------------------------------------------------------------

const dayOf = (date) => Date.parse(`${date}T00:00:00Z`) / DAY;
const lastOrder = Math.max(...orders.map((order) => dayOf(order.order_date)));
const today = Math.floor(Date.now() / DAY);
const shift = flags['no-shift'] ? 0 : Math.floor((today - lastOrder) / 7) * 7;
const date = (text) => new Date((dayOf(text) + shift) * DAY).toISOString().slice(0, 10);

// Prices and discounts in the files are single-precision floats (9.80000019): what was meant is
// their rounding to two places. From there on all is exact: cents x quantity x hundredths.
const hundredths = (text) => BigInt(Math.round(Number(text) * 100));
const lineAmount = (line) => hundredths(line.unit_price) * BigInt(line.quantity) * (100n - hundredths(line.discount));
const decimal = (tenThousandths) => {
  const digits = String(tenThousandths).padStart(5, '0');
  return `${digits.slice(0, -4)}.${digits.slice(-4)}`;
};

const COUNTRIES = {
  Argentina: ['AR', '54'], Austria: ['AT', '43'], Belgium: ['BE', '32'], Brazil: ['BR', '55'], Canada: ['CA', '1'],
  Denmark: ['DK', '45'], Finland: ['FI', '358'], France: ['FR', '33'], Germany: ['DE', '49'], Ireland: ['IE', '353'],
  Italy: ['IT', '39', true], Mexico: ['MX', '52'], Norway: ['NO', '47', true], Poland: ['PL', '48'], Portugal: ['PT', '351'],
  Spain: ['ES', '34'], Sweden: ['SE', '46'], Switzerland: ['CH', '41'], UK: ['GB', '44'], USA: ['US', '1'],
  Venezuela: ['VE', '58'],
};

// E.164 as well as it can be known: the country's code, and the digits without the trunk prefix 0
// (which Italy and Norway dial as part of the number).
function phone(country, text) {
  const [, code, keepsZero] = COUNTRIES[country];
  const digits = text.replace(/\D/g, '');
  return `+${code}${keepsZero ? digits : digits.replace(/^0+/, '')}`;
}

function personName(text) {
  const at = text.search(/ (?:de|da|van|von) \S+$/);
  const cut = at >= 0 ? at : text.lastIndexOf(' ');
  return { given_name: text.slice(0, cut), family_name: text.slice(cut + 1) };
}

// A guess, for want of anything better: what the title says about a say in decisions.
function roleOf(title) {
  if (title.startsWith('Owner')) return { decision_role: 'decision_maker', level: 'executive' };
  if (title.endsWith('Manager')) return { decision_role: 'influencer', level: 'manager' };
  if (title.endsWith('Administrator')) return { decision_role: 'gatekeeper', level: 'user' };
  return { decision_role: 'user', level: 'user' };
}

// The employee with most of a customer's orders; of several, the one who came first.
function managerOf(customer) {
  const counts = new Map();
  for (const order of orders) {
    if (order.customer_id === customer.customer_id) counts.set(order.employee_id, (counts.get(order.employee_id) ?? 0) + 1);
  }
  return [...counts].sort(([a, m], [b, n]) => n - m || Number(a) - Number(b))[0]?.[0];
}

// ---- the records ------------------------------------------------------------------------------------

const userRecord = (employee) => ({
  external_id: employee.employee_id, name: `${employee.first_name} ${employee.last_name}`, title: employee.title, function: 'sales',
  ...(employee.reports_to && { manager_external_id: employee.reports_to }),
});

// Bosses before those who report to them, one generation a batch.
function userGenerations() {
  const generations = [];
  for (let bosses = ['']; ;) {
    const generation = employees.filter((employee) => bosses.includes(employee.reports_to));
    if (!generation.length) return generations;
    generations.push(generation.map(userRecord));
    bosses = generation.map((employee) => employee.employee_id);
  }
}

function accountRecord(customer) {
  const manager = managerOf(customer);
  const address = {};
  for (const [name, key] of [['street', 'address'], ['city', 'city'], ['region', 'region'], ['postal_code', 'postal_code']]) {
    if (customer[key]) address[name] = customer[key];
  }
  return {
    external_id: customer.customer_id, name: customer.company_name, account_number: customer.customer_id, lifecycle: 'customer',
    currency_code: 'USD', country_code: COUNTRIES[customer.country][0], address,
    phones: [phone(customer.country, customer.phone)],
    ...(manager && { manager_external_id: manager }),
  };
}

const contactRecord = (customer) => ({
  external_id: customer.customer_id, account_external_id: customer.customer_id, ...personName(customer.contact_name),
  title: customer.contact_title, ...roleOf(customer.contact_title), phone: phone(customer.country, customer.phone),
});

const orderRecord = (order) => ({
  external_id: order.order_id, account_external_id: order.customer_id, ordered_on: date(order.order_date), currency_code: 'USD',
  lines: lines.get(order.order_id).map((line, i) => ({
    line_no: i + 1, product: products.get(line.product_id), quantity: line.quantity, amount: decimal(lineAmount(line)),
  })),
});

const isMissed = (order) => (order.shipped_date ? dayOf(order.shipped_date) > dayOf(order.required_date) : dayOf(order.required_date) + shift <= today);
const problemRecord = (order) => ({
  external_id: order.order_id, account_external_id: order.customer_id, category: 'missed_delivery', severity: 'medium',
  title: order.shipped_date ? `Order ${order.order_id} was shipped late` : `Order ${order.order_id} was never shipped`,
  opened_at: `${date(order.required_date)}T00:00:00Z`,
  ...(order.shipped_date && { resolved_at: `${date(order.shipped_date)}T00:00:00Z` }),
});

// ---- the API ------------------------------------------------------------------------------------------

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });
const run = randomUUID(); // a retry within this run has one effect; a later run looks again

// Sends until there is an answer that is not "later".
async function send(method, path, body) {
  const text = JSON.stringify(body);
  const key = `demo-${run}-${createHash('sha256').update(`${method} ${path}\n${text}`).digest('hex').slice(0, 32)}`;
  for (let tries = 1; ; tries++) {
    let answer, wait = 1;
    try {
      answer = await fetch(new URL(path, KAMD_URL), {
        method, headers: { authorization: `Bearer ${KAMD_API_KEY}`, 'content-type': 'application/json', 'idempotency-key': key }, body: text,
      });
      const reply = await answer.json();
      if (answer.status !== 503 && answer.status !== 429 && reply.code !== 'request_in_flight') return { status: answer.status, reply };
      wait = Number(answer.headers.get('retry-after')) || 1;
      if (tries === TRIES) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(reply)}`);
    } catch (error) {
      if (tries === TRIES || answer) throw error;
    }
    await pause(Math.min(wait, 30) * 1000);
  }
}

const totals = [];
const ids = new Map(); // "accounts ALFKI" -> id

async function upsert(resource, records) {
  const count = { created: 0, updated: 0, unchanged: 0, failed: 0 };
  for (let at = 0; at < records.length; at += BATCH) {
    const batch = records.slice(at, at + BATCH);
    const { status, reply } = await send('POST', `/v1/sync/${SYSTEM}/${resource}`, { records: batch });
    if (status !== 200) throw new Error(`${resource}: ${status} ${JSON.stringify(reply)}`);
    for (const result of reply.results) {
      if (!result.success) {
        count.failed += 1;
        console.error(`${resource} ${batch[result.index].external_id}: ${JSON.stringify(result.errors)}`);
      } else {
        count[result.outcome] = (count[result.outcome] ?? 0) + 1;
        ids.set(`${resource} ${batch[result.index].external_id}`, result.id);
      }
    }
  }
  totals.push([resource, count]);
}

async function designate(count) {
  const since = lastOrder - 365;
  const revenue = new Map();
  for (const order of orders) {
    if (dayOf(order.order_date) <= since) continue;
    const amount = lines.get(order.order_id).reduce((sum, line) => sum + lineAmount(line), 0n);
    revenue.set(order.customer_id, (revenue.get(order.customer_id) ?? 0n) + amount);
  }
  const best = [...revenue].sort(([, a], [, b]) => (b > a ? 1 : -1)).slice(0, count);
  for (const [customer] of best) {
    const { status, reply } = await send('POST', `/v1/accounts/${ids.get(`accounts ${customer}`)}/designate`, {
      reason: 'Among the customers with the most revenue of the last 365 days.', benefits: ['A named account manager', 'Emergencies first'],
    });
    console.log(`${customer}: ${status === 201 ? 'is a key account now' : reply.detail}`);
    if (status !== 201 && status !== 409) process.exitCode = 1;
  }
}

for (const generation of userGenerations()) await upsert('users', generation);
await upsert('accounts', customers.map(accountRecord));
await upsert('contacts', customers.map(contactRecord));
await upsert('orders', orders.map(orderRecord));
await upsert('problems', orders.filter(isMissed).map(problemRecord));

const sums = new Map();
for (const [resource, count] of totals) {
  const sum = sums.get(resource) ?? {};
  for (const [outcome, n] of Object.entries(count)) sum[outcome] = (sum[outcome] ?? 0) + n;
  sums.set(resource, sum);
}
for (const [resource, sum] of sums) {
  const words = Object.entries(sum).filter(([, n]) => n).map(([outcome, n]) => `${n} ${outcome}`);
  console.log(`${resource.padEnd(9)} ${words.join(', ')}`);
  if (sum.failed) process.exitCode = 1;
}
if (Number(flags.designate)) await designate(Number(flags.designate));
