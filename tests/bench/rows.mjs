// What is measured. A row has a name, a goal (a ratio of at least) or a most, and how to measure it.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { connect as dial } from 'node:net';
import { promisify } from 'node:util';
import { PAIRS, SECONDS, memoryOf, pairs, pgbench, repeat, summary, wrk } from './measure.mjs';
import { FIRST, KEY_ACCOUNTS, PREFIX, idOf, phoneOf } from './portfolio.mjs';
import { answerOf, at, connect, sleep, startFastify, startKamd, startRaw } from './servers.mjs';
import { syncRows } from './sync.mjs';
import { logStatements, statementsOf, written } from './statements.mjs';
import { webhookRows } from './webhooks.mjs';

const NO_REDIS = { REDIS_URL: '' };
const bearer = ({ key }) => ({ authorization: `Bearer ${key}` });

// So many of the portfolio's numbers, spread over all of it.
const some = (n, accounts) => Array.from({ length: n }, (_, i) => FIRST + Math.floor((i * accounts) / n));
const accountPaths = (n, { accounts }) => some(n, accounts).map((number) => `/v1/accounts/${idOf(number)}`);

// ---- against libmicrohttpd ------------------------------------------------------------------------

async function againstRaw(world, paths, headers, more) {
  const kamd = await startKamd(world.settings, more);
  const raw = await startRaw(kamd, paths[0], headers);
  return pairs((seconds) => wrk(kamd, { paths, headers, seconds }), (seconds) => wrk(raw, { paths, headers, seconds }));
}

// ---- against PostgreSQL and Node ------------------------------------------------------------------

const LIST = '/v1/accounts?industry=steel&order_by=name&page_size=50';

const ACCOUNT = {
  name: 'Made #', account_number: 'M-#', domain: 'made.example', phones: ['+4930123456'], emails: ['info@made.example'], industry: 'made',
  currency_code: 'EUR', country_code: 'DE', lifecycle: 'customer', address: { street: 'Obere Str. 57', city: 'Berlin', postal_code: '12209' },
  customer_plans: [{ kind: 'expansion', text: 'A plant in Spain' }], cadence: [{ channel: 'in_person', every: 'quarterly' }],
};

const send = async (kamd, world, method, path, requestId, body, more = {}) => {
  const answer = await fetch(kamd.url + path, {
    method, body, headers: { ...bearer(world), 'x-request-id': requestId, ...(body && { 'content-type': 'application/json' }), ...more },
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
};

// What kamd sends for a GET, a list, a POST. Once per run.
let captured;
async function capture(world) {
  if (captured) return captured;
  await logStatements(world.settings, true);
  const kamd = await startKamd(world.settings, NO_REDIS);
  const path = `/v1/accounts/${idOf(FIRST)}`;
  try {
    let record, made;
    const unique = `capture${Date.now()}`;
    const get = await statementsOf(`${unique}g`, async (id) => { record = await send(kamd, world, 'GET', path, id); });
    const list = await statementsOf(`${unique}l`, (id) => send(kamd, world, 'GET', LIST, id));
    const body = JSON.stringify(ACCOUNT).replaceAll('#', unique);
    const post = await statementsOf(`${unique}p`, async (id) => { made = await send(kamd, world, 'POST', '/v1/accounts', id, body, { 'idempotency-key': unique }); });
    captured = { get, list, post, columns: Object.keys(record).filter((name) => name !== 'etag'), made, unique };
  } finally {
    await logStatements(world.settings, false);
    await kamd.stop();
  }
  return captured;
}

const find = (statements, pattern) => {
  const found = statements.find(({ sql }) => pattern.test(sql));
  if (!found) throw new Error(`kamd no longer sends a statement like ${pattern}; it sends:\n${statements.map(({ sql }) => sql).join('\n')}`);
  return found;
};
const SELECT_ACCOUNT = /^select t\.id.* from account t/;

async function forFastify(world) {
  const { get, list, post, columns, made } = await capture(world);
  const insert = find(post, /^insert into account/);
  const { id: _, ...preset } = JSON.parse(insert.values[0])[0];
  return {
    columns, get: find(get, SELECT_ACCOUNT).sql, list: { text: find(list, SELECT_ACCOUNT).sql, values: find(list, SELECT_ACCOUNT).values },
    post: {
      lock: find(post, /advisory/).sql, seen: find(post, /from idempotency/).sql, insert: insert.sql, preset, back: find(post, SELECT_ACCOUNT).sql,
      store: find(post, /^insert into idempotency/).sql, made: made.id,
    },
  };
}

// An account by key; with `pipeline` the context travels along, as kamd sends it.
async function getScript(world, pipeline) {
  const { get } = await capture(world);
  const move = { [idOf(FIRST)]: `('${PREFIX}' || :n)` };
  const select = written(find(get, SELECT_ACCOUNT), move);
  const head = `\\set n random(${FIRST}, ${FIRST + world.accounts - 1})\n`;
  return pipeline ? `${head}\\startpipeline\n${written(find(get, /^select set_config/))}\n${select}\n\\endpipeline\n` : `${head}${select}\n`;
}

// kamd's three round trips, with an id, a number and a key of its own for each.
async function postScript(world) {
  const { post, made, unique } = await capture(world);
  const moving = { [made.id]: "('01980000-0000-7000-8000-' || :a || :b)", [unique]: "('p' || :a || :b)" };
  const lines = post.map((statement) => ({ sql: statement.sql, text: statement.values.length ? written(statement, moving) : `${statement.sql};` }));
  const trips = [[]];
  for (const { sql, text } of lines) {
    trips.at(-1).push(text);
    if (/from idempotency/.test(sql) || SELECT_ACCOUNT.test(sql)) trips.push([]);
  }
  return `\\set a random(100000, 999999)\n\\set b random(100000, 999999)\n${trips.map((trip) => `\\startpipeline\n${trip.join('\n')}\n\\endpipeline\n`).join('')}`;
}

async function againstPgbench(world, load, script, clients) {
  const kamd = await startKamd(world.settings, NO_REDIS);
  const text = await script(world);
  return pairs((seconds) => wrk(kamd, { ...load, seconds }), (seconds) => pgbench(world.settings.DATABASE_URL, 'reference', text, clients, seconds));
}

async function againstFastify(world, load) {
  const statements = await forFastify(world);
  const kamd = await startKamd(world.settings, NO_REDIS);
  const fastify = await startFastify(world.settings, statements);
  // Two seconds at least: 64 pages at once take one process of Node their time.
  const turn = (server) => (seconds) => wrk(server, { ...load, seconds: Math.max(2, seconds ?? SECONDS) });
  return pairs(turn(kamd), turn(fastify));
}

function postLoad(world) {
  const body = at('body.json');
  writeFileSync(body, JSON.stringify(ACCOUNT));
  return { body, headers: bearer(world) };
}

// The page that a client comes to after many, against the first.
async function latePage(world, path) {
  const kamd = await startKamd(world.settings);
  const first = `${path}page_size=50`;
  let late = first;
  for (let page = 1; page < Math.min(1000, world.accounts / 50); page++) {
    const { page: { next_cursor: cursor } } = await send(kamd, world, 'GET', late, `page${page}`);
    late = `${first}&cursor=${encodeURIComponent(cursor)}`;
  }
  const turn = (page) => (seconds) => wrk(kamd, { paths: [page], headers: bearer(world), seconds });
  return pairs(turn(late), turn(first));
}

// ---- many at once ---------------------------------------------------------------------------------

const UPSERT = 200, CALLS = 10;

function rowsOf(run, call) {
  return Array.from({ length: UPSERT }, (_, i) => ({ ...ACCOUNT, name: `Sync ${run}-${call}-${i}`, account_number: `${run}-${call}-${i}` }));
}

async function upsert(kamd, world, run) {
  const bodies = Array.from({ length: CALLS }, (_, call) => JSON.stringify({ records: rowsOf(run, call).map((row) => ({ external_id: row.account_number, ...row })) }));
  const started = performance.now();
  for (const [call, body] of bodies.entries()) {
    const { summary } = await send(kamd, world, 'POST', '/v1/sync/bench/accounts', `${run}-${call}`, body, { 'idempotency-key': `${run}-${call}` });
    if (summary.created !== UPSERT) throw new Error(`upsert: ${JSON.stringify(summary)}`);
  }
  return { rate: (UPSERT * CALLS * 1000) / (performance.now() - started) };
}

const array = (list) => `{${list.map((text) => `"${text}"`).join(',')}}`;
// By a superuser: PostgreSQL has no COPY for a role under row level security.
async function copy(world, run) {
  const lines = ["select set_config('kamd.actor', 'bench', false) \\gset"];
  const names = ['id', 'external_ids', ...Object.keys(ACCOUNT)];
  for (let call = 0; call < CALLS; call++) {
    lines.push('begin;', `copy account (${names.join(', ')}) from stdin;`);
    for (const row of rowsOf(run, call)) {
      const values = [crypto.randomUUID(), { bench: row.account_number }, ...Object.values(row)];
      lines.push(values.map((value, i) => (['phones', 'emails'].includes(names[i]) ? array(value) : typeof value === 'object' ? JSON.stringify(value) : value)).join('\t'));
    }
    lines.push('\\.', 'commit;');
  }
  const file = at('copy.sql');
  writeFileSync(file, `${lines.join('\n')}\n`);
  const started = performance.now();
  await promisify(execFile)('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', file, world.settings.DATABASE_SUPERUSER_URL]);
  return { rate: (UPSERT * CALLS * 1000) / (performance.now() - started) };
}

async function upsertAgainstCopy(world) {
  const kamd = await startKamd(world.settings);
  let run = 0;
  const name = () => `s${Date.now()}${run++}`;
  return pairs(() => upsert(kamd, world, name()), () => copy(world, name()));
}

// ---- due at once ----------------------------------------------------------------------------------

const DUE = 100_000;

// So many fall due in the same second; how long until the last one's event is written. The floor is one statement that writes as many event rows.
const DUE_SQL = `insert into follow_up (id, account_id, title, due_at) select uuid_v7(), ('${PREFIX}' || (${FIRST} + n % $1))::uuid, 'Due at once', $2::timestamptz + n * interval '1 second' / $3
  from generate_series(1, $3) n`;
const FLOOR_SQL = `insert into event (id, type, account_id, resource, record_id, version, sequence, data)
select uuid_v7(), 'bench.floor', f.account_id, 'follow_up', f.id, 1, 1, jsonb_build_object('account_id', f.account_id, 'follow_up_id', f.id, 'title', f.title)
  from follow_up f where f.title = 'Due at once' order by f.id limit $1`;

async function dueAtOnce(world) {
  const client = await connect(world.settings.DATABASE_SUPERUSER_URL);
  const values = [], floors = [];
  for (let i = 0; i < FEW; i++) {
    const { rows: [{ at: due }] } = await client.query("select date_trunc('second', now()) + interval '10 minutes' as at");
    await client.query(DUE_SQL, [world.accounts, due, DUE]);
    await client.query('vacuum analyze follow_up_timer');
    const kamd = await startKamd(world.settings);
    // The timers are moved to now, rather than waiting for them; the clock runs from the commit.
    const { rows: [{ moved }] } = await client.query('select clock_timestamp() as moved');
    await client.query('update follow_up_timer set due_at = now() where level = 0 and due_at >= $1', [due]);
    const { rows: [{ begin }] } = await client.query('select clock_timestamp() as begin');
    const told = async () => Number((await client.query("select count(*) as n from event where type = 'follow_up.due' and at >= $1", [moved])).rows[0].n);
    while (await told() < DUE) await sleep(100);
    values.push(Number((await client.query("select extract(epoch from max(at) - $1::timestamptz) as s from event where type = 'follow_up.due' and at >= $1", [begin])).rows[0].s));
    await kamd.stop();
    const started = performance.now();
    await client.query(FLOOR_SQL, [DUE]);
    floors.push((performance.now() - started) / 1000);
    await client.query("delete from event where type = 'bench.floor'");
  }
  await client.end();
  return { ...summary(values), subject: { rate: DUE / summary(values).median }, reference: { rate: DUE / summary(floors).median } };
}

// ---- the whole portfolio scored -------------------------------------------------------------------

const SCORED = Number(process.env.BENCH_SCORED || 1_000_000);

// Bare accounts beside those of the portfolio, past the triggers: each with its status and two days of sales in a year.
const SCORED_SQL = [
  'set session_replication_role = replica',
  `insert into account (id, name, account_number, currency_code) select uuid_v7(), 'Scored ' || n, 'S-' || n, 'USD' from generate_series(1, ${SCORED}) n
     where n > (select count(*) from account)`,
  'insert into account_status (account_id) select id from account on conflict do nothing',
  'insert into account_sequence (account_id, last) select id, 0 from account on conflict do nothing',
  `insert into day_sales select a.id, current_date - (n * 300 + hashtext(a.id::text) % 60 + 60), 'USD', 1000 + abs(hashtext(a.id::text)) % 90000, abs(hashtext(a.id::text)) % 20000, 0, 1
     from account a, generate_series(0, 1) n on conflict do nothing`,
  'set session_replication_role = origin', 'vacuum analyze account', 'vacuum analyze account_status', 'vacuum analyze day_sales',
];
// So that each status differs from the one before.
const WEIGHT_SQL = `insert into criteria (version, metrics) select max(version) + 1, '[{"metric": "revenue_ttm", "weight": "50", "floor": "0", "ceiling": "100000"},
  {"metric": "margin_ttm", "weight": "30", "floor": "0", "ceiling": "30000"}, {"metric": "growth", "weight": "20", "floor": "-0.5", "ceiling": "0.5"}]'::jsonb
  || jsonb_build_array(jsonb_build_object('metric', 'never_assessed_' || max(version), 'weight', '1', 'floor', '0', 'ceiling', '1')) from criteria`;

async function fullEvaluation(world) {
  const superuser = await connect(world.settings.DATABASE_SUPERUSER_URL), worker = await connect(world.settings.DATABASE_WORKER_URL);
  for (const statement of SCORED_SQL) await superuser.query(statement);
  await worker.query("set statement_timeout = 0");
  // Both as a worker: what others update is noted for the cache, row by row.
  for (const client of [worker, superuser]) await client.query("select set_config('kamd.scope', 'all', false), set_config('kamd.areas', '-1', false), set_config('kamd.actor', 'worker', false)");
  const timed = async (client, statement) => {
    await superuser.query('vacuum account_status');
    const started = performance.now();
    const { rows: [{ n }] } = await client.query(statement);
    return { n: Number(n), seconds: (performance.now() - started) / 1000 };
  };
  const evaluate = async () => {
    await superuser.query(WEIGHT_SQL);
    await superuser.query('update program set criteria_version = (select max(version) from criteria)');
    return timed(worker, "select count(*) as n from evaluate(null, true, 'bench')");
  };
  await evaluate(); // the first one moves tiers, and tells of it
  const ratios = [], ours = [], floors = [];
  for (let i = 0; i < FEW; i++) {
    const run = await evaluate();
    const floor = await timed(superuser, 'with u as (update account_status set version = version + 1, updated_at = now() returning 1) select count(*) as n from u');
    if (run.n !== floor.n) throw new Error(`${run.n} statuses evaluated, ${floor.n} updated`);
    ours.push(run.n / run.seconds);
    floors.push(floor.n / floor.seconds);
    ratios.push(floor.seconds / run.seconds);
  }
  await worker.end();
  await superuser.end();
  return { ...summary(ratios), subject: { rate: summary(ours).median }, reference: { rate: summary(floors).median } };
}

// ---- memory and start -----------------------------------------------------------------------------

const FEW = 3;

async function idleMemory({ settings }) {
  return repeat(async () => {
    const kamd = await startKamd(settings);
    await sleep(2000);
    const mb = memoryOf(kamd.pid);
    await kamd.stop();
    return mb;
  }, FEW);
}

async function loadedMemory(world) {
  return repeat(async () => {
    const kamd = await startKamd(world.settings);
    await wrk(kamd, { paths: accountPaths(1000, world), headers: bearer(world), connections: 1000, seconds: 5 });
    const mb = memoryOf(kamd.pid, 'VmHWM');
    await kamd.stop();
    return mb;
  }, FEW);
}

// Each asks once, is answered, and stays.
const hold = (server, head) => new Promise((done, fail) => {
  const socket = dial(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(head));
  socket.once('data', () => done(socket)).once('error', fail);
});

async function idleConnections(world) {
  return repeat(async () => {
    const kamd = await startKamd(world.settings, { KAMD_HTTP_CONNECTIONS: '12000' });
    const head = `GET /v1/accounts/${idOf(FIRST)} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${world.key}\r\n\r\n`;
    const sockets = [];
    while (sockets.length < 10_000) sockets.push(...await Promise.all(Array.from({ length: 100 }, () => hold(kamd, head))));
    await sleep(1000);
    const mb = memoryOf(kamd.pid);
    const { status } = await answerOf(`${kamd.url}/livez`);
    for (const socket of sockets) socket.destroy();
    await kamd.stop();
    if (status !== 200) throw new Error(`a new client was answered ${status}`);
    return mb;
  }, FEW);
}

async function startTime({ settings }) {
  await (await startKamd(settings)).stop();
  return repeat(async () => {
    const started = performance.now();
    const kamd = await startKamd(settings, {}, 2);
    const ms = performance.now() - started;
    await kamd.stop();
    return ms;
  }, PAIRS);
}

// ---- the table ------------------------------------------------------------------------------------

export const ROWS = [
  { name: 'GET /livez, against raw MHD', goal: 0.85, measure: (world) => againstRaw(world, ['/livez'], {}) },
  {
    name: 'GET /v1/accounts/{id} from Redis, against raw MHD', goal: 0.35,
    // The ids fit into what lives 30 s, so that nearly all are hits.
    measure: (world) => againstRaw(world, accountPaths(100, world), bearer(world)),
  },
  {
    name: 'GET /v1/recognition, against raw MHD', goal: 0.65,
    measure: (world) => againstRaw(world, some(100, KEY_ACCOUNTS).map((n) => `/v1/recognition?phone=${encodeURIComponent(phoneOf(n))}`), bearer(world)),
  },
  {
    name: 'GET /v1/accounts/{id} from PostgreSQL, against pgbench c8', goal: 0.5,
    measure: (world) => againstPgbench(world, { paths: accountPaths(1000, world), headers: bearer(world) }, (w) => getScript(w, false), 8),
  },
  {
    name: 'the same, against pgbench c8 with the context in the pipeline',
    measure: (world) => againstPgbench(world, { paths: accountPaths(1000, world), headers: bearer(world) }, (w) => getScript(w, true), 8),
  },
  {
    name: 'GET /v1/accounts/{id} from PostgreSQL, against fastify', goal: 3,
    measure: (world) => againstFastify(world, { paths: accountPaths(1000, world), headers: bearer(world) }),
  },
  { name: 'page of 50 accounts, against fastify', goal: 4, measure: (world) => againstFastify(world, { paths: [LIST], headers: bearer(world) }) },
  { name: 'the 1,000th page of accounts, against the first', goal: 0.9, measure: (world) => latePage(world, '/v1/accounts?') },
  { name: 'the 1,000th page of accounts by name, against the first', goal: 0.9, measure: (world) => latePage(world, '/v1/accounts?order_by=name&') },
  { name: 'POST /v1/accounts, against pgbench c16', goal: 0.6, measure: (world) => againstPgbench(world, postLoad(world), postScript, 16) },
  { name: 'POST /v1/accounts, against fastify', goal: 2, measure: (world) => againstFastify(world, postLoad(world)) },
  { name: 'upsert of 200 records in one call, against COPY', goal: 0.2, measure: upsertAgainstCopy },
  ...syncRows,
  { name: '100,000 follow-ups due in the same second: all events written', most: 10, unit: 's', measure: dueAtOnce },
  ...webhookRows((world) => ({ paths: accountPaths(1000, world), headers: bearer(world) }), postLoad),
  { name: 'memory, idle', most: 25, unit: 'MB', measure: idleMemory },
  { name: 'memory, 1,000 connections under load', most: 60, unit: 'MB', measure: loadedMemory },
  { name: 'memory, 10,000 idle connections', most: 120, unit: 'MB', measure: idleConnections },
  { name: 'start to ready, warm', most: 300, unit: 'ms', measure: startTime },
  { name: `full evaluation of ${SCORED.toLocaleString('en')} accounts, each written, against an UPDATE of as many rows`, goal: 0.5, measure: fullEvaluation }, // the last: it fills the database
];
