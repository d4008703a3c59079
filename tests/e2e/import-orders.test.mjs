// An order by CSV is whole wherever its lines stand in the file (003-01).
// SOAK=1 imports a million lines in no order, and looks at the memory.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { importer } from './lib/imports.mjs';
import { sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld({ settings: { KAMD_BODY_SECONDS: '120' } });
  ({ api } = world);
});
after(() => world?.close());

const { make, part, state, start, finished, run, errors } = importer(() => api);
const HEAD = 'external_id,account_id,ordered_on,currency_code,line_no,product,cost,amount\n';
const row = (order, account, no, amount = '1', { on = '2026-03-01', currency = 'EUR' } = {}) => `${order},${account},${on},${currency},${no},P${no},,${amount}\n`;
const stored = (system) => sql(world.settings, `select count(*) || '|' || coalesce(sum(jsonb_array_length(lines)), 0) || '|' || coalesce(sum(amount), 0) from sales_order where external_ids ? '${system}' and deleted_at is null`);
// What is in the orders of a system, without what is different between two imports of the same.
const contents = (system) => sql(world.settings, `select external_id || ' ' || account_id || ' ' || ordered_on || ' ' || currency_code || ' ' || lines from sales_order where external_ids ? '${system}' and deleted_at is null order by 1`);
const linesOf = (system, order) => JSON.parse(sql(world.settings, `select lines from sales_order where external_ids ->> '${system}' = '${order}'`)).map(({ line_no: no, amount }) => [no, Number(amount)]);
const told = async (id) => (await errors(id)).map(({ line, external_id: order, errors: all }) => [line, order, ...all.map(({ code, message, fields }) => [code, fields.join(), message])]);

// Numbers that look random and are the same in each run.
function dice(seed) {
  let now = seed >>> 0;
  return (below) => {
    now = (now + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(now ^ (now >>> 15), now | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
function shuffle(list, roll) {
  const mixed = [...list];
  for (let i = mixed.length - 1; i > 0; i--) {
    const other = roll(i + 1);
    [mixed[i], mixed[other]] = [mixed[other], mixed[i]];
  }
  return mixed;
}
// In parts that are cut anywhere.
async function send(body, text, roll) {
  const { id } = await make({ resource: 'orders', ...body });
  const bytes = Buffer.from(text);
  for (let at = 0, n = 1, end; at < bytes.length; at = end, n++) {
    end = Math.min(bytes.length, at + 1 + roll(120_000));
    await part(id, n, bytes.subarray(at, end));
  }
  await start(id);
  return id;
}
async function sent(...args) {
  return finished(await send(...args));
}

function cells(text) {
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ',') rows.push([]);
  }
  return rows.filter((one) => one.length > 1);
}

const RETAIL = new URL('../../../shared/data/retail/sales_data_sample.csv', import.meta.url);
test('a public file that is sorted by product: each line of each order, and to the cent; again: all unchanged', { skip: !existsSync(RETAIL) && '../shared is not here' }, async () => {
  const system = unique('retail');
  const text = readFileSync(RETAIL, 'latin1').replace(/,(\d+)\/(\d+)\/(\d{4}) 0:00,/g, (_, month, day, year) => `,${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')},`);
  const [head, ...rows] = cells(text);
  const customers = [...new Set(rows.map((one) => one[head.indexOf('CUSTOMERNAME')]))];
  const one = await run({ resource: 'accounts', format: 'ndjson', system, content: customers.map((name) => JSON.stringify({ external_id: name, name })).join('\n') });
  assert.deepEqual(one.counts, { created: 92 });
  const fields = { ORDERNUMBER: 'external_id', QUANTITYORDERED: 'quantity', ORDERLINENUMBER: 'line_no', SALES: 'amount', ORDERDATE: 'ordered_on', PRODUCTCODE: 'product', CUSTOMERNAME: 'account_external_id' };
  const body = { resource: 'orders', system, columns: Object.fromEntries(head.map((name) => [name, fields[name] ?? ''])), values: { currency_code: 'USD' }, content: text };
  const dry = await run({ ...body, dry_run: true });
  assert.deepEqual([dry.counts, dry.lines, stored(system)], [{ created: 307 }, 2824, '0|0|0']);
  const wet = await run(body);
  assert.deepEqual([wet.status, wet.counts, wet.lines, stored(system)], ['succeeded', { created: 307 }, 2824, '307|2823|10032628.8500']);
  assert.deepEqual([(await run(body)).counts, stored(system)], [{ unchanged: 307 }, '307|2823|10032628.8500']);
});

// Orders of 1 to 12 lines; what a row says of its order may be left out, but not by all of them.
function ledger(accounts, roll, many) {
  const groups = [];
  for (let i = 0; i < many; i++) {
    const lines = 1 + roll(12), knows = roll(lines), account = accounts[roll(accounts.length)].id;
    const on = `2026-0${1 + roll(9)}-1${roll(10)}`, currency = ['EUR', 'USD'][roll(2)];
    groups.push(Array.from({ length: lines }, (_, no) => {
      const says = no === knows || roll(3) > 0;
      return `O${i},${says ? account : ''},${says ? on : ''},${says ? currency : ''},${no + 1},"Tea, ""green"" ${roll(90)}",${roll(4) ? roll(5000) : ''},${roll(10_000)}.${roll(10)}5\n`;
    }));
  }
  return groups;
}

for (const seed of [1, 2, 3, 4]) {
  test(`lines in any order, over several steps and parts, are the orders of the file where they stand together (seed ${seed})`, async () => {
    const roll = dice(seed), many = 450;
    const accounts = await Promise.all([makeAccount(api), makeAccount(api)]);
    const groups = ledger(accounts, roll, many), grouped = HEAD + groups.flat().join('');
    const here = unique('grouped');
    assert.deepEqual((await sent({ system: here }, grouped, roll)).counts, { created: many });
    const right = contents(here);
    assert.equal(right.split('\n').length, many);
    sql(world.settings, `delete from sales_order where external_ids ? '${here}'; delete from external_id where system = '${here}'`);
    // Some orders stay together, as in a file that was sorted once and mended by hand.
    const keep = seed % 2 ? 0 : many / 3;
    const mixed = HEAD + [...groups.slice(0, keep).flat(), ...shuffle(groups.slice(keep).flat(), roll)].join('');
    const there = unique('mixed');
    assert.deepEqual((await sent({ system: there, dry_run: true }, mixed, roll)).counts, { created: many });
    assert.equal(stored(there), '0|0|0');
    const one = await sent({ system: there }, mixed, roll);
    assert.deepEqual([one.status, one.counts, one.lines, one.bytes_done], ['succeeded', { created: many }, groups.flat().length + 1, one.bytes_total]);
    assert.equal(contents(there), right);
    assert.deepEqual((await sent({ system: there }, HEAD + shuffle(groups.flat(), roll).join(''), roll)).counts, { unchanged: many });
    assert.deepEqual((await sent({ system: there }, grouped, roll)).counts, { unchanged: many });
    assert.equal(contents(there), right);
    assert.equal(sql(world.settings, 'select (select count(*) from import_scan) + (select count(*) from import_order) + (select count(*) from import_line)'), '0', 'nothing is left of how they were joined');
  });
}

test('killed again and again while lines are looked for, kept aside and joined: none twice, none lost', async () => {
  const roll = dice(7), many = 1500, system = unique('kill');
  const account = await makeAccount(api);
  const groups = Array.from({ length: many }, (_, i) => Array.from({ length: 4 }, (_unused, no) => row(`K${i}`, account.id, no + 1, '10.25')));
  const id = await send({ system }, HEAD + shuffle(groups.flat(), roll).join(''), roll);
  const stage = () => sql(world.settings, `select scan_byte || '|' || at_byte || '|' || joined_to || '|' || status from import where id = '${id}'`);
  for (const [what, reached] of [['scan', ([scanned]) => scanned !== '0'], ['lines kept aside', ([, at]) => Number(at) > HEAD.length], ['joined', ([, , joined]) => joined !== '']]) {
    await until(() => { const now = stage().split('|'); return reached(now) || now[3] === 'succeeded'; }, { ms: 60_000, every: 5, what });
    await sleep(Math.random() * 30);
    await world.killAll();
    const kamd = await world.add();
    api = world.api = world.api.at(kamd.url);
  }
  const done = await finished(id, 120_000);
  assert.deepEqual([done.status, done.counts, done.lines], ['succeeded', { created: many }, many * 4 + 1]);
  assert.equal(stored(system), `${many}|${many * 4}|${(many * 41).toFixed(4)}`);
});

test('one order with two dates, currencies or accounts is refused, and both lines are named; others are not', async () => {
  const [account, other] = await Promise.all([makeAccount(api), makeAccount(api)]);
  const system = unique('clash');
  const before = await run({ resource: 'orders', system, content: HEAD + row('A', account.id, 1, '7') });
  assert.deepEqual(before.counts, { created: 1 });
  const content = HEAD + row('A', account.id, 1) + row('B', account.id, 1) + row('B', account.id, 2, '1', { on: '2026-03-02' }) // 2 to 4
    + row('A', account.id, 2, '1', { currency: 'USD' }) + row('C', account.id, 1) + row('D', account.id, 1) // 5 to 7
    + 'E,,,,1,P,,1\n' + row('C', other.id, 2) + row('D', account.id, 2) + row('E', account.id, 2) + row('E', account.id, 3, '1', { on: '2026-03-09' }); // 8 to 12
  for (const dry of [true, false]) {
    const one = await run({ resource: 'orders', system, dry_run: dry, content });
    assert.deepEqual([one.status, one.counts], ['succeeded', { created: 1, failed: 4 }]);
    assert.deepEqual(await told(one.id), [
      [2, 'A', ['contradiction', 'currency_code', 'Line 5 says USD, and line 2 EUR of the same order.']],
      [3, 'B', ['contradiction', 'ordered_on', 'Line 4 says 2026-03-02, and line 3 2026-03-01 of the same order.']],
      [6, 'C', ['contradiction', 'account_id', `Line 9 says ${other.id}, and line 6 ${account.id} of the same order.`]],
      [8, 'E', ['contradiction', 'ordered_on', 'Line 12 says 2026-03-09, and line 11 2026-03-01 of the same order.']],
    ]);
  }
  assert.deepEqual([stored(system), linesOf(system, 'A'), linesOf(system, 'D')], ['2|3|9.0000', [[1, 7]], [[1, 1], [2, 1]]]);
});

test('what is wrong with a line of an order names it, wherever it stands', async () => {
  const account = await makeAccount(api);
  const content = HEAD + row('A', account.id, 3) + row('B', account.id, 1) + row('A', account.id, 1) + row('B', account.id, 2, '1,5') + row('A', account.id, 3) + row('C', account.id, 1) + row('C', account.id, 2, 'x');
  const one = await run({ resource: 'orders', system: unique('wrong'), content });
  assert.deepEqual(one.counts, { failed: 3 });
  const all = await told(one.id);
  assert.deepEqual(all.map(([line, order]) => [line, order]), [[2, 'A'], [3, 'B'], [7, 'C']]);
  assert.deepEqual(all[0][2], ['duplicate', 'lines/2/line_no', 'The order has this line_no already. (lines 2 and 6)']);
  assert.match(all[1][2][2], /^Line 5 has 9 cells/);
  assert.match(all[2][2][2], /^lines\/1\/amount must be .* \(line 8\)$/);
});

test('an order has at most 1,000 lines, together or not', async () => {
  const account = await makeAccount(api);
  const system = unique('long');
  const order = (name, lines) => Array.from({ length: lines }, (_, no) => row(name, account.id, no + 1));
  const together = [...order('A', 1000), ...order('B', 1001), ...order('C', 1)];
  const apart = shuffle([...order('D', 1000), ...order('E', 1001), ...order('F', 2)], dice(5));
  for (const [rows, right, more, wrong] of [[together, ['A', 'C'], 1, 'B'], [apart, ['D', 'F'], 2, 'E']]) {
    const one = await sent({ system }, HEAD + rows.join(''), dice(6));
    assert.deepEqual([one.status, one.counts], ['succeeded', { created: 2, failed: 1 }]);
    const [[, name, [code, field, text]]] = await told(one.id);
    assert.deepEqual([name, code, field], [wrong, 'too_long', 'lines']);
    assert.match(text, /more than 1000 lines; line \d+ is one too many/);
    assert.deepEqual(right.map((it) => linesOf(system, it).length), [1000, more]);
  }
});

test('the file is the whole order: what was there before is replaced, and comes back when the import is taken back', async () => {
  const account = await makeAccount(api);
  const system = unique('back');
  await run({ resource: 'orders', system, content: HEAD + row('A', account.id, 1, '5') + row('A', account.id, 9, '5') + row('B', account.id, 1, '5') });
  const one = await run({ resource: 'orders', system, content: HEAD + row('A', account.id, 2, '3') + row('N', account.id, 1) + row('B', account.id, 1, '5') + row('A', account.id, 1, '2') + row('N', account.id, 2) });
  assert.deepEqual([one.counts, linesOf(system, 'A'), stored(system)], [{ created: 1, updated: 1, unchanged: 1 }, [[1, 2], [2, 3]], '3|5|12.0000']);
  await api.call(202, 'POST', `/v1/imports/${one.id}/revert`, { body: {} });
  const done = await until(async () => { const now = await state(one.id); return now.status === 'reverted' && now; }, { ms: 30_000, what: 'the revert' });
  assert.deepEqual([done.counts.reverted, linesOf(system, 'A'), stored(system)], [2, [[1, 5], [9, 5]], '2|3|15.0000']);
});

test('the latest system_modstamp of its lines is that of the order; Salesforce\'s two spellings of an id are one order', async () => {
  const account = await makeAccount(api);
  const line = (id, no, stamp) => `${id},${account.id},2026-03-01,EUR,${no},,,1,${stamp}\n`;
  const head = HEAD.replace('\n', ',system_modstamp\n'), ids = ['801A0000000abcD', '801A0000000abcDIAQ'];
  const file = (stamps) => head + line(ids[0], 1, stamps[0]) + line('801A0000000abcE', 1, stamps[0]) + line(ids[1], 2, stamps[1]);
  const import_ = (stamps) => run({ resource: 'orders', system: 'salesforce', content: file(stamps) });
  const first = await import_(['2026-04-01T10:00:00Z', '2026-04-02T00:30:00+02:00']);
  assert.deepEqual([first.counts, linesOf('salesforce', ids[1])], [{ created: 2 }, [[1, 1], [2, 1]]], JSON.stringify(await told(first.id)));
  assert.deepEqual((await import_(['2026-04-01T09:00:00Z', '2026-04-01T22:29:59Z'])).counts, { stale: 2 });
  assert.deepEqual((await import_(['2026-04-01T10:00:00Z', '2026-04-01T22:30:00Z'])).counts, { unchanged: 2 });
});

test('a record of NDJSON is a whole order: of two the later by system_modstamp counts, else neither', async () => {
  const account = await makeAccount(api);
  const system = unique('whole');
  const record = (order, amount, stamp) => JSON.stringify({ external_id: order, account_id: account.id, ordered_on: '2026-03-01', currency_code: 'EUR', lines: [{ line_no: amount, amount: String(amount) }], system_modstamp: stamp });
  const content = [record('A', 1), record('B', 1, '2026-04-02T00:00:00Z'), record('C', 1), record('A', 2), record('B', 2, '2026-04-01T00:00:00Z'), record('C', 1), record('D', 1), record('D', 2)].join('\n');
  const one = await run({ resource: 'orders', format: 'ndjson', system, content });
  assert.deepEqual([one.counts, linesOf(system, 'B'), linesOf(system, 'C')], [{ created: 2, failed: 2 }, [[1, 1]], [[1, 1]]]);
  assert.deepEqual((await told(one.id)).map(([line, order, [code,, text]]) => [line, order, code, text.slice(0, 36)]), [
    [1, 'A', 'duplicate', 'Lines 1 and 4 are the same order, an'], [7, 'D', 'duplicate', 'Lines 7 and 8 are the same order, an']]);
});

test('a million lines in no order, in flat memory', { skip: !process.env.SOAK, timeout: 3_600_000 }, async () => {
  const many = 250_000, roll = dice(9), system = unique('million');
  const accounts = [];
  for (let i = 0; i < 5; i++) accounts.push(...(await api.insist('POST', '/v1/accounts/bulk', { body: { records: Array.from({ length: 200 }, () => ({ name: unique('Million') })) } })).body.results);
  const rows = shuffle(Array.from({ length: many * 4 }, (_, i) => i), roll);
  const { id } = await make({ resource: 'orders', system });
  for (let at = 0, n = 1; at < rows.length; at += 25_000, n++) {
    const text = rows.slice(at, at + 25_000).map((i) => row(`M${i >> 2}`, accounts[(i >> 2) % accounts.length].id, 1 + i % 4, '10.25')).join('');
    await part(id, n, (n === 1 ? HEAD : '') + text);
  }
  const began = Date.now();
  await start(id);
  const done = await finished(id, 3_000_000);
  const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${world.kamds[0].pid}/status`, 'utf8'))[1] / 1024, seconds = (Date.now() - began) / 1000;
  console.log(`# 1,000,000 order lines in no order: ${seconds.toFixed(0)} s, ${(many * 4 / seconds).toFixed(0)} lines/s, at most ${peak.toFixed(0)} MB`);
  assert.deepEqual([done.status, done.counts, done.lines], ['succeeded', { created: many }, many * 4 + 1]);
  assert.equal(stored(system), `${many}|${many * 4}|${(many * 41).toFixed(4)}`);
  assert.ok(peak < 100, `${peak} MB`);
});
