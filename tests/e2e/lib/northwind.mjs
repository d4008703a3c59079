// Northwind as the tests know it: read from the files by code that shares nothing with the loader,
// and summed in exact integers (ten-thousandths of a dollar).
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const file = (name) => fileURLToPath(new URL(`../../data/northwind/${name}.csv`, import.meta.url));

function splitLine(line) {
  const cells = [''];
  let quoted = false;
  for (const char of line) {
    if (char === '"') quoted = !quoted;
    else if (char === ',' && !quoted) cells.push('');
    else cells[cells.length - 1] += char;
  }
  return cells;
}

export function rows(name) {
  const [head, ...lines] = readFileSync(file(name), 'utf8').trimEnd().split(/\r?\n/);
  const names = splitLine(head);
  return lines.map((line) => Object.fromEntries(splitLine(line).map((cell, i) => [names[i], cell])));
}

// "9.80000019" means 9.80: single-precision floats, rounded to two places; in hundredths.
const hundredths = (text) => BigInt(Number.parseFloat(text).toFixed(2).replace('.', ''));

export const tenThousandths = (decimal) => {
  const [, sign, whole, part = ''] = /^(-?)(\d+)(?:\.(\d{1,4}))?$/.exec(decimal);
  const value = BigInt(whole + part.padEnd(4, '0'));
  return sign ? -value : value;
};

// customer_id -> [{day, amount}], one for each order.
export function sales() {
  const amounts = new Map();
  for (const line of rows('order_details')) {
    const amount = hundredths(line.unit_price) * BigInt(line.quantity) * (100n - hundredths(line.discount));
    amounts.set(line.order_id, (amounts.get(line.order_id) ?? 0n) + amount);
  }
  const result = new Map(rows('customers').map((customer) => [customer.customer_id, []]));
  for (const order of rows('orders')) {
    result.get(order.customer_id).push({ day: order.order_date, amount: amounts.get(order.order_id) });
  }
  return result;
}

// The 365 days up to and including asOf.
export function revenueTtm(orders, asOf) {
  const first = new Date(Date.parse(`${asOf}T00:00:00Z`) - 364 * 86_400_000).toISOString().slice(0, 10);
  return orders.filter(({ day }) => day >= first && day <= asOf).reduce((sum, { amount }) => sum + amount, 0n);
}

// Runs the demo loader: {code, output}.
export function load(url, key, ...args) {
  const loader = fileURLToPath(new URL('../../../deploy/demo/load.mjs', import.meta.url));
  const child = spawn(process.execPath, [loader, ...args], { env: { PATH: process.env.PATH, KAMD_URL: url, KAMD_API_KEY: key } });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => { output += text; });
  return new Promise((done) => { child.on('close', (code) => done({ code, output })); });
}
