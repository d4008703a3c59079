// Files of records in parts: CSV and NDJSON, upserted like sync does, by a worker that may die at any time (003-01, 004-30, 004-31).
// SOAK=1 imports a million order lines, kills it in the middle, and looks at the memory.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
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
const found = async (query) => (await api.get(`/v1/accounts?${query}&page_size=200`)).data;

test('CSV as RFC 4180 has it: quotes, commas and lines in cells, a byte order mark, lists, references; what is wrong is named by its line', async () => {
  const industry = unique('csv');
  const content = `\ufeffexternal_id,name,industry,emails,parent_external_id,level,business_model\r
${industry}-1,"A ""quoted"", name",${industry},a@example.com;b@example.com,,global,"two
lines"\r
${industry}-2,Ünter,${industry},,${industry}-1,national,\r
${industry}-3,,${industry},,,,\r
\r
${industry}-4,Nobody's,${industry},,nobody,,
${industry}-2,Twice,${industry},,,,
`;
  const one = await run({ resource: 'accounts', system: 'crm', content });
  assert.deepEqual([one.status, one.counts, one.lines, one.bytes_done], ['succeeded', { created: 2, failed: 2, updated: 1 }, 8, one.bytes_total]);
  const [first, second] = (await found(`industry=${industry}&order_by=name`)).sort((a, b) => (a.level < b.level ? -1 : 1));
  assert.deepEqual([first.name, first.emails, first.business_model.replace('\r', ''), first.external_ids], ['A "quoted", name', ['a@example.com', 'b@example.com'], 'two\nlines', { crm: `${industry}-1` }]);
  assert.deepEqual([second.name, second.parent_id], ['Twice', first.id], 'the last row of a record counts; an empty cell says nothing');
  assert.deepEqual((await errors(one.id)).map(({ line, external_id, errors: [{ fields }] }) => [line, external_id, fields]),
    [[5, `${industry}-3`, ['name']], [7, `${industry}-4`, ['parent_external_id']]]);
  const again = await run({ resource: 'accounts', system: 'crm', content });
  assert.deepEqual([again.counts.unchanged, again.counts.created], [1, undefined]);
});

test('a file is cut anywhere into parts, which may come twice and in any order', async () => {
  const industry = unique('parts');
  const file = Buffer.from(`external_id,name,industry\n${Array.from({ length: 700 }, (_, i) => `${industry}-${i},"Ä ${i}, ""x""",${industry}\n`).join('')}`);
  const { id } = await make({ resource: 'accounts' });
  const cuts = [0, 31, 5000, 5001, 5002, 12_345, file.length];
  const parts = cuts.slice(1).map((end, i) => file.subarray(cuts[i], end));
  await part(id, 2, 'nonsense');
  for (let n = parts.length; n > 0; n--) if (n !== 3) await part(id, n, parts[n - 1]);
  await api.fails(409, 'conflict', 'POST', `/v1/imports/${id}/start`, { body: {} });
  await part(id, 3, parts[2]);
  await part(id, 3, parts[2]);
  const operation = await start(id);
  assert.equal(operation.kind, 'import');
  assert.deepEqual((await finished(id)).counts, { created: 700 });
  const done = await until(async () => { const now = await api.get(`/v1/operations/${operation.id}`); return now.status === 'succeeded' && now; }, { ms: 15_000, what: 'the operation' });
  assert.deepEqual([done.progress.done, done.progress.total, done.result.created], [file.length, file.length, 700]);
  assert.equal((await api.get(`/v1/accounts?industry=${industry}&page_size=1&include_total=true`)).page.total, 700);
  await part(id, 1, 'late', 409);
  await part(id, 0, 'x', 400);
  await part(id, 1, '{}', 415, 'application/json');
});

test('NDJSON; a dry run writes nothing and says what would be', async () => {
  const industry = unique('json');
  const lines = [{ external_id: `${industry}-1`, name: 'One', industry, phones: ['+4930123456'] }, { external_id: `${industry}-2`, industry }, 'no JSON', { external_id: `${industry}-3`, name: 'Three', industry }];
  const content = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n');
  const dry = await run({ resource: 'accounts', format: 'ndjson', dry_run: true, content });
  assert.deepEqual([dry.counts, (await errors(dry.id)).map(({ line }) => line), await found(`industry=${industry}`)], [{ created: 2, failed: 2 }, [2, 3], []]);
  const wet = await run({ resource: 'accounts', format: 'ndjson', content });
  assert.deepEqual([wet.counts, (await found(`industry=${industry}`)).length], [{ created: 2, failed: 2 }, 2]);
});

test('what was refused can be downloaded; a formula in it is harmless', async () => {
  const one = await run({ resource: 'accounts', content: 'external_id,name\n=1+1,\n' });
  const { text, headers } = await api.call(200, 'GET', `/v1/imports/${one.id}/errors?format=csv`);
  assert.match(headers['content-type'], /^text\/csv/);
  const [head, row] = text.split('\r\n');
  assert.equal(head, 'line,external_id,errors');
  assert.ok(row.startsWith("2,'=1+1,"), row);
});

test('a file that cannot be read says why', async () => {
  for (const [body, why] of [[{ content: 'external_id,colour\n1,red\n' }, /colour/], [{ content: 'external_id,name\n1,"open\n' }, /Line 2/], [{ content: 'external_id,name\n1,a"b\n' }, /Line 2/]]) {
    const one = await run({ resource: 'accounts', ...body });
    assert.equal(one.status, 'failed');
    assert.match(one.failure, why);
  }
  for (const [mark, end] of [['', 'Caf\xe9'], ['', 'Caf\xe9\n'], ['\xef\xbb\xbf', 'Caf\xe9,\n']]) {
    const { id } = await make({ resource: 'accounts' });
    await part(id, 1, Buffer.from(`${mark}external_id,name,industry\n${unique('latin')},Bar,${end}`, 'latin1'));
    await start(id);
    const one = await finished(id);
    assert.deepEqual([one.status, one.failure, one.counts], ['failed', 'The file is not UTF-8.', {}], 'also in its last bytes');
  }
  for (const [status, body] of [[422, {}], [422, { resource: 'nonsense' }], [422, { resource: 'accounts', preset: 'linkedin' }], [400, { resource: 'accounts', format: 'xml' }], [400, { resource: 'accounts', colour: 1 }], [422, { resource: 'accounts', system: 'No Name' }]]) {
    await api.call(status, 'POST', '/v1/imports', { body });
  }
  const manager = await world.clientOf('account_manager', { user_id: (await api.create('/v1/users', { name: unique('M') })).id });
  await manager.call(403, 'POST', '/v1/imports', { body: { resource: 'accounts' } });
  manager.close();
});

test('a row with more cells than columns is refused, and names line and cell; empty ones beyond are nothing', async () => {
  const industry = unique('cells');
  const one = await run({ resource: 'accounts', content: `external_id,name,industry\n${industry}-1,Acme, Inc.,${industry}\n${industry}-2,Two,${industry},, \n${industry}-3,"Three, Inc.",${industry}\n,A, name,only\n` });
  assert.deepEqual([one.status, one.counts], ['succeeded', { created: 2, failed: 2 }]);
  assert.deepEqual((await errors(one.id)).map(({ line, external_id, errors: [{ code, message }] }) => [line, external_id, code, message]), [
    [2, `${industry}-1`, 'surplus_cell', `Line 2 has 4 cells under 3 columns: "${industry}" in cell 4 is under none. A text with a comma needs quotes.`],
    [5, null, 'surplus_cell', 'Line 5 has 4 cells under 3 columns: "only" in cell 4 is under none. A text with a comma needs quotes.']]);
  assert.deepEqual((await found(`industry=${industry}&order_by=name`)).map(({ name }) => name), ['Three, Inc.', 'Two']);
});

test('a row that is shorter than the header says nothing of the columns that it lacks', async () => {
  const industry = unique('short'), head = 'external_id,industry,name,domain\n';
  await run({ resource: 'accounts', content: `${head}${industry}-1,${industry},One,one.example\n` });
  const one = await run({ resource: 'accounts', content: `${head}${industry}-1,${industry}\n${industry}-2,${industry}\n` });
  assert.deepEqual([one.counts, (await errors(one.id)).map(({ line, errors: [{ fields }] }) => [line, fields]), (await found(`industry=${industry}`)).map(({ name, domain }) => [name, domain])],
    [{ unchanged: 1, failed: 1 }, [[3, ['name']]], [['One', 'one.example']]]);
});

test('a German amount without quotes moves no money: its order is refused, with all of its lines', async () => {
  const account = await makeAccount(api), system = unique('comma');
  const row = (order, no, amount) => `${order},${account.id},2026-03-01,EUR,${no},${amount}\n`;
  const content = `external_id,account_id,ordered_on,currency_code,line_no,amount\n${row('A', 1, '1')}${row('A', 2, '1000,50')}${row('B', 1, '1')}${row('C', 1, '2,75')}${row('C', 2, '1')}`;
  const one = await run({ resource: 'orders', system, content });
  assert.deepEqual([one.counts, sums(account)], [{ created: 1, failed: 2 }, '1|1|1|1.0000']);
  assert.deepEqual((await errors(one.id)).map(({ line, external_id, errors: [{ message }] }) => [line, external_id, message]), [
    [2, 'A', 'Line 3 has 7 cells under 6 columns: "50" in cell 7 is under none. A text with a comma needs quotes.'],
    [5, 'C', 'Line 5 has 7 cells under 6 columns: "75" in cell 7 is under none. A text with a comma needs quotes.']]);
});

test('LinkedIn: a member\'s own connections, with source and day (004-30)', async () => {
  const account = await makeAccount(api);
  const content = 'Notes:\n"When exporting your connection data, you may notice, ..."\n\nFirst Name,Last Name,URL,Email Address,Company,Position,Connected On\n'
    + 'Maria,Anders,https://www.linkedin.com/in/maria,maria@example.com,Alfreds,Owner,01 Nov 2026\nAna,Trujillo,https://www.linkedin.com/in/ana,,Ana,Buyer,02 Nov 2026\n';
  const one = await run({ resource: 'contacts', preset: 'linkedin', source: 'Export of our sponsor, 2026-11-20', values: { account_id: account.id }, content });
  assert.deepEqual([one.counts, one.system, one.source], [{ created: 2 }, 'linkedin', 'Export of our sponsor, 2026-11-20']);
  const [ana, maria] = (await api.all(`/v1/accounts/${account.id}/contacts`)).sort((a, b) => (a.given_name < b.given_name ? -1 : 1));
  assert.deepEqual([maria.family_name, maria.email, maria.title, maria.linkedin_url, maria.external_ids.linkedin, ana.email],
    ['Anders', 'maria@example.com', 'Owner', 'https://www.linkedin.com/in/maria', 'https://www.linkedin.com/in/maria', null]);
  assert.equal((await api.all(`/v1/contacts/${maria.id}/history`)).at(-1).origin, 'linkedin');
});

test('an import is taken back, but for what somebody has changed since', async () => {
  const industry = unique('revert');
  const [old, touched] = await Promise.all(['old', 'touched'].map((word) => api.call(201, 'PUT', `/v1/sync/import/accounts/${industry}-${word}`, { body: { name: word, industry, phones: ['+4930123456'] } }).then(({ body }) => body)));
  const one = await run({ resource: 'accounts', content: `external_id,name,industry,phones\n${industry}-new,New,${industry},\n${industry}-old,Changed,${industry},+4930999999\n${industry}-touched,Changed,${industry},\n` });
  assert.deepEqual(one.counts, { created: 1, updated: 2 });
  await api.patch(`/v1/accounts/${touched.id}`, (await api.get(`/v1/accounts/${touched.id}`)).etag, { domain: 'since.example' });
  await api.call(202, 'POST', `/v1/imports/${one.id}/revert`, { body: {} });
  const done = await until(async () => { const now = await state(one.id); return now.status === 'reverted' && now; }, { ms: 30_000, what: 'the revert' });
  assert.deepEqual([done.counts.reverted, done.counts.changed_since], [2, 1]);
  const left = Object.fromEntries((await found(`industry=${industry}`)).map(({ id, name, phones }) => [id, [name, phones]]));
  assert.deepEqual(left, { [old.id]: ['old', ['+4930123456']], [touched.id]: ['Changed', ['+4930123456']] });
  await api.fails(409, 'conflict', 'POST', `/v1/imports/${one.id}/revert`, { body: {} });
});

// Orders of four lines each, in parts.
async function orders(id, accountOf, name, lines, from = 1) {
  let n = from, text = 'external_id,account_id,ordered_on,currency_code,line_no,product,quantity,amount,cost\n';
  for (let i = 0; i < lines; i++) {
    text += `${name}-${Math.floor(i / 4)},${accountOf(Math.floor(i / 4))},2026-0${1 + Math.floor(i / 36) % 2}-0${1 + Math.floor(i / 4) % 9},USD,${1 + i % 4},Chai,1,10.25,7.5\n`;
    if (text.length > (lines > 100_000 ? 2 << 20 : 60_000)) {
      await part(id, n++, text);
      text = '';
    }
  }
  await part(id, n, text);
}
const sums = (account) => sql(world.settings, `select count(*), count(distinct external_id), sum(jsonb_array_length(lines)), sum(amount) from sales_order where account_id = '${account.id}'`);

test('killed again and again in the middle: no line twice, none lost', async () => {
  const account = await makeAccount(api);
  const LINES = 6000;
  const { id } = await make({ resource: 'orders', system: 'erp' });
  await orders(id, () => account.id, unique('kill'), LINES);
  await start(id);
  for (let kills = 0; kills < 2; kills++) {
    const was = (await state(id)).bytes_done;
    await until(async () => { const now = await state(id); return now.bytes_done > was || now.status === 'succeeded'; }, { ms: 60_000, what: 'some progress' });
    await sleep(Math.random() * 100);
    await world.killAll();
    const kamd = await world.add();
    api = world.api = world.api.at(kamd.url);
  }
  const done = await finished(id, 120_000);
  assert.deepEqual([done.counts, done.lines], [{ created: LINES / 4 }, LINES + 1]);
  assert.equal(sums(account), `${LINES / 4}|${LINES / 4}|${LINES}|${(LINES * 10.25).toFixed(4)}`);
});

test('a million order lines in flat memory, killed in the middle: no line twice, none lost', { skip: !process.env.SOAK, timeout: 3_600_000 }, async () => {
  const LINES = 1_000_000, KILLS = 3, name = unique('many');
  const accounts = [];
  for (let i = 0; i < 5; i++) accounts.push(...(await api.insist('POST', '/v1/accounts/bulk', { body: { records: Array.from({ length: 200 }, () => ({ name: unique('Many') })) } })).body.results);
  const { id } = await make({ resource: 'orders', system: 'erp' });
  await orders(id, (order) => accounts[order % accounts.length].id, name, LINES);
  let peak = 0, seconds = 0, done = 0;
  const look = () => { peak = Math.max(peak, /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${world.kamds[0].pid}/status`, 'utf8'))[1] / 1024); };
  await start(id);
  for (let kills = 0; kills < KILLS; kills++) {
    const began = Date.now(), goal = done + LINES * (0.15 + 0.1 * Math.random());
    done = await until(async () => { look(); const { lines } = await state(id); return lines > goal && lines; }, { ms: 1_200_000, what: `${goal} lines` });
    seconds += (Date.now() - began) / 1000;
    await world.killAll();
    const kamd = await world.add();
    api = world.api = world.api.at(kamd.url);
  }
  const began = Date.now();
  const end = await until(async () => { look(); const now = await state(id); return /succeeded|failed/.test(now.status) && now; }, { ms: 2_400_000, what: 'the rest' });
  seconds += (Date.now() - began) / 1000;
  console.log(`# 1,000,000 order lines, ${KILLS} kills: ${seconds.toFixed(0)} s without the restarts, ${(LINES / seconds).toFixed(0)} lines/s, at most ${peak.toFixed(0)} MB`);
  assert.deepEqual([end.status, end.counts, end.lines], ['succeeded', { created: LINES / 4 }, LINES + 1]);
  const all = `select count(*), count(distinct external_id), sum(jsonb_array_length(lines)), sum(amount) from sales_order where external_id like '${name}-%'`;
  assert.equal(sql(world.settings, all), `${LINES / 4}|${LINES / 4}|${LINES}|${(LINES * 10.25).toFixed(4)}`);
  assert.equal(sql(world.settings, `select sum(amount) from day_sales where account_id = any ('{${accounts.map(({ id: one }) => one)}}')`), (LINES * 10.25).toFixed(4), 'the sums, too');
  assert.ok(peak < 100, `${peak} MB`);
});
