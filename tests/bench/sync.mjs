// Files and feeds, in and out, against what PostgreSQL does by itself.
import { execFile } from 'node:child_process';
import { createWriteStream, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { promisify } from 'node:util';
import { pairs } from './measure.mjs';
import { FIRST, idOf } from './portfolio.mjs';
import { at, connect, sleep, startKamd } from './servers.mjs';

const LINES = Number(process.env.BENCH_LINES || 40_000), PER_ORDER = 4; // the goal is for 1,000,000
const ACCOUNTS = 1000, MANY = 20_000, PAGE = 200;
const psql = (world, ...args) => promisify(execFile)('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...args, world.settings.DATABASE_SUPERUSER_URL]);
let runs = 0;
const name = () => `b${Date.now()}${runs++}`;
const since = (started, n) => ({ rate: (n * 1000) / (performance.now() - started) });
const accountOf = (order, world) => idOf(FIRST + (order % Math.min(ACCOUNTS, world.accounts)));
const dayOf = (order) => `2026-0${1 + (order % 9)}-0${1 + (order % 9)}`;

// ---- order lines ----------------------------------------------------------------------------------

// Who is told to come again, or whose connection was closed between two requests, asks again.
async function call(kamd, world, method, path, body, type = 'application/json', tries = 20) {
  const answer = await fetch(kamd.url + path, { method, body, headers: { authorization: `Bearer ${world.key}`, 'idempotency-key': name(), ...(body && { 'content-type': type }) } }).catch((error) => ({ status: 503, text: async () => String(error.cause ?? error) }));
  if (answer.status === 503 && tries > 0) {
    await sleep(200);
    return call(kamd, world, method, path, body, type, tries - 1);
  }
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

// The parts are there before the clock runs, as the file of COPY is.
async function importLines(kamd, world) {
  const run = name();
  const { id } = await call(kamd, world, 'POST', '/v1/imports', JSON.stringify({ resource: 'orders', system: 'bench' }));
  let text = 'external_id,account_id,ordered_on,currency_code,line_no,product,quantity,amount,cost\n', n = 0;
  for (let i = 0; i < LINES; i++) {
    const order = Math.floor(i / PER_ORDER);
    text += `${run}-${order},${accountOf(order, world)},${dayOf(order)},USD,${1 + (i % PER_ORDER)},Chai,1,10.25,7.5\n`;
    if (text.length < 2 << 20 && i + 1 < LINES) continue;
    await call(kamd, world, 'PUT', `/v1/imports/${id}/parts/${++n}`, text, 'text/csv');
    text = '';
  }
  const started = performance.now();
  await call(kamd, world, 'POST', `/v1/imports/${id}/start`, '{}');
  for (;;) {
    const { status, counts } = await call(kamd, world, 'GET', `/v1/imports/${id}`);
    if (status === 'succeeded' && counts.created === LINES / PER_ORDER) return since(started, LINES);
    if (/succeeded|failed/.test(status)) throw new Error(`import: ${status} ${JSON.stringify(counts)}`);
    await sleep(50);
  }
}

// One statement, into the same table, with its indexes and triggers. By a superuser: PostgreSQL has no COPY for a role under row level security.
async function copyLines(world) {
  const run = name();
  const lines = ["select set_config('kamd.actor', 'bench', false), set_config('kamd.scope', 'all', false), set_config('kamd.areas', '-1', false) \\gset",
    'copy sales_order (id, external_ids, account_id, external_id, ordered_on, currency_code, lines) from stdin;'];
  for (let order = 0; order < LINES / PER_ORDER; order++) {
    const sold = Array.from({ length: PER_ORDER }, (_, i) => ({ line_no: i + 1, product: 'Chai', quantity: '1', amount: '10.25', cost: '7.5' }));
    lines.push([crypto.randomUUID(), JSON.stringify({ bench: `${run}-${order}` }), accountOf(order, world), `${run}-${order}`, dayOf(order), 'USD', JSON.stringify(sold)].join('\t'));
  }
  writeFileSync(at('copy.sql'), `${lines.join('\n')}\n\\.\n`);
  const started = performance.now();
  await psql(world, '-f', at('copy.sql'));
  return since(started, LINES);
}

async function importAgainstCopy(world) {
  const kamd = await startKamd(world.settings);
  return pairs(() => importLines(kamd, world), () => copyLines(world));
}

// ---- exports --------------------------------------------------------------------------------------

const download = (kamd, world, path) => new Promise((done, fail) => {
  get(kamd.url + path, { headers: { authorization: `Bearer ${world.key}` } }, (answer) => {
    answer.pipe(createWriteStream(at('export')).on('finish', () => (answer.complete && answer.statusCode === 200 ? done() : fail(new Error(`${path}: ${answer.statusCode}`)))));
  }).on('error', fail);
});

async function exportAgainstCopy(world, format) {
  const kamd = await startKamd(world.settings);
  return pairs(async () => {
    const started = performance.now();
    await download(kamd, world, `/v1/accounts/export?format=${format}`);
    return since(started, world.accounts);
  }, async () => {
    const started = performance.now();
    await psql(world, '-c', `\\copy (select a.*, s.score, s.tier, s.key_status, s.health from account a join account_status s on s.account_id = a.id where a.deleted_at is null order by a.id) to '${at('export')}' csv header`);
    return since(started, world.accounts);
  });
}

// ---- the change feed ------------------------------------------------------------------------------

const FEED = `select p.position, e.type, e.resource, e.record_id, e.data, e.at, e.origin, e.sequence, to_jsonb(a) from event_position p join event e on e.at = p.at and e.seq = p.seq
  left join account a on a.id = e.record_id where p.position > $1 and e.resource = 'account' order by p.position limit ${PAGE}`;

async function changesAgainstSelect(world) {
  const kamd = await startKamd(world.settings), client = await connect(world.settings.DATABASE_SUPERUSER_URL);
  const { rows: [{ position: from }] } = await client.query('select position from sequencer');
  await client.query("select set_config('kamd.actor', 'bench', false), set_config('kamd.scope', 'all', false)");
  const CHANGES = Math.min(MANY, world.accounts); // each of another account
  for (let i = 0; i < CHANGES; i += 1000) await client.query("update account set industry = 'changed', version = version + 1 where id in (select id from account order by id offset $1 limit least(1000, $2))", [i, CHANGES - i]);
  const head = async () => Number((await client.query('select count(*) as n from event_position where position > $1', [from])).rows[0].n);
  while (await head() < CHANGES) await sleep(100);
  const result = await pairs(async () => {
    const started = performance.now();
    let n = 0;
    for (let after = from, more = true; more;) {
      const page = await call(kamd, world, 'GET', `/v1/changes?after=${after}&page_size=${PAGE}`);
      n += page.changes.length;
      ({ next_cursor: after, has_more: more } = page);
    }
    if (n < CHANGES) throw new Error(`${n} changes`);
    return since(started, n);
  }, async () => {
    const started = performance.now();
    let n = 0;
    for (let after = from; ;) {
      const { rows } = await client.query({ name: 'feed', text: FEED, values: [after] });
      n += rows.length;
      if (rows.length < PAGE) return since(started, n);
      after = rows.at(-1).position;
    }
  });
  await client.end();
  return result;
}

export const syncRows = [
  { name: `import of ${LINES.toLocaleString('en')} order lines, against COPY into the same table`, goal: 0.4, measure: importAgainstCopy },
  { name: 'export of all accounts as CSV, rows/s, against psql \\copy', measure: (world) => exportAgainstCopy(world, 'csv') },
  { name: 'export of all accounts as NDJSON, rows/s, against psql \\copy', measure: (world) => exportAgainstCopy(world, 'ndjson') },
  { name: 'change feed with records, changes/s, against the bare SELECT', measure: changesAgainstSelect },
];
