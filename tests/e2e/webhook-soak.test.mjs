// Webhooks while everything breaks: three processes of which a random one is killed each second, PostgreSQL that crashes twice, Redis flushed and stopped, half of all
// receivers bad, transactions that abort. What is committed arrives at each healthy endpoint, per account in order; what is not committed never does; what comes twice has
// the same webhook-id and body. 20 s of it; with SOAK=1 ten minutes (or SOAK_SECONDS) and many more writes (SOAK_RATE a second), and before that, without faults (SOAK_CALM seconds, or
// none), what the bad receivers cost the good ones: p99 from the event's time to its arrival, against a run in which all are good.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Webhook } from 'standardwebhooks';
import { startKamd } from './lib/kamd.mjs';
import { freePort, sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

const SOAK = Boolean(process.env.SOAK);
const SECONDS = Number(process.env.SOAK_SECONDS ?? (SOAK ? 600 : 20));
const RATE = Number(process.env.SOAK_RATE ?? (SOAK ? 200 : 15)); // writes a second; a tenth of as many again abort
const CALM = Number(process.env.SOAK_CALM ?? (SOAK ? Math.min(60, SECONDS / 4) : 0)); // seconds of each of the two measurements
const CALM_RATE = RATE / 5; // far from all that the machine can do: here it is the waiting that is measured
const SEED = Number(process.env.SOAK_SEED ?? Date.now() % 2 ** 31);
const KINDS = [['hang', 10], ['reset', 5], ['drip', 5], ['fail', 5], ['healthy', 25]];
const ACCOUNTS = SOAK ? 50 : 20;
// Each endpoint wants the events of every SHARE-th account: at 200 writes a second to 25 endpoints, two cores could not carry all of them to all.
const SHARE = SOAK ? 5 : 1;

let world, writer, server, port;
let bad = true; // are the bad receivers bad?
const sockets = new Set();
const endpoints = []; // {kind, id, secret, accounts, came: [record]}
const records = new Map(); // by webhook-id: {id, body, account, sequence}
const changed = []; // ids that came with another body than before

let state = SEED;
const random = (n) => { // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
};

// The body is the same for all endpoints: only the headers are signed for one.
function note(endpoint, request, body) {
  const id = request.headers['webhook-id'];
  let record = records.get(id);
  if (!record) {
    const { data, sequence, timestamp } = JSON.parse(body);
    record = { id, body, sequence, account: data.account_id, at: Date.parse(timestamp) };
    records.set(id, record);
  } else if (record.body !== body) changed.push(id);
  if (endpoint.came.length % 50 === 0) new Webhook(endpoint.secret).verify(body, request.headers);
  if (endpoint.took) endpoint.took.push(Date.now() - record.at);
  endpoint.came.push(record);
}

function answer(endpoint, request, response) {
  const chunks = [];
  request.on('error', () => {}).on('data', (chunk) => chunks.push(chunk)).on('end', () => {
    const kind = bad ? endpoint.kind : 'healthy';
    if (kind === 'hang') return;
    if (kind === 'reset') { request.socket.resetAndDestroy(); return; }
    if (kind === 'fail') { response.writeHead(503).end(); return; }
    if (kind === 'drip') {
      request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n');
      const timer = setInterval(() => request.socket.write('x', () => {}), 1000);
      request.socket.on('close', () => clearInterval(timer));
      return;
    }
    note(endpoint, request, Buffer.concat(chunks).toString('utf8'));
    response.writeHead(200).end();
  });
}

before(async () => {
  // A schedule that ends while the test is there: on a machine without a moment to spare a good receiver, too, is late now and then.
  world = await openWorld({ own: true, processes: 3, settings: { KAMD_WEBHOOK_RETRY_MS: Array(30).fill('4000').fill('1000', 0, 2).join(',') } });
  port = await freePort();
  server = createServer((request, response) => answer(endpoints[Number(request.url.slice(1))], request, response));
  server.on('connection', (socket) => { sockets.add(socket); socket.on('close', () => sockets.delete(socket)).on('error', () => {}); });
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  writer = await world.clientOf('integration');
});
after(async () => {
  for (const socket of sockets) socket.destroy();
  server?.close();
  writer?.close();
  await world?.close();
});

async function prepare() {
  const accounts = [], aborted = [];
  for (let i = 0; i < ACCOUNTS; i++) accounts.push((await makeAccount(world.api)).id);
  for (let i = 0; i < 3; i++) aborted.push((await makeAccount(world.api)).id);
  for (const [kind, n] of KINDS) {
    for (let i = 0; i < n; i++) {
      const at = endpoints.length;
      const wanted = [...accounts.filter((_, nth) => nth % SHARE === i % SHARE), ...aborted];
      endpoints.push({ kind, came: [], accounts: new Set(wanted) });
      const made = await world.api.create('/v1/webhook-endpoints', {
        url: `http://127.0.0.1:${port}/${at}`, event_types: ['account.updated'], ordering: kind === 'healthy' ? 'account' : 'parallel', account_ids: SHARE > 1 ? wanted : [],
      });
      Object.assign(endpoints[at], { id: made.id, secret: made.secret });
    }
  }
  return { accounts, aborted };
}

// Every outcome is fine here, also an unknown one: what is committed is read from the log afterwards.
async function write(accounts, going, counts, rate = RATE) {
  const started = Date.now();
  const one = async (n) => {
    const kamd = world.kamds[n % world.kamds.length];
    const answered = kamd && await writer.at(kamd.url).send('PATCH', `/v1/accounts/${accounts[n % accounts.length]}`, { body: { industry: `steel ${n}` } }).catch(() => null);
    if (answered?.status === 200) counts.acknowledged++;
  };
  for (let n = 0; going();) {
    for (; n < ((Date.now() - started) * rate) / 1000; n++) one(n);
    await sleep(5);
  }
}

// A session that says begin, update, rollback; another one when PostgreSQL is gone. Every other time it is an account that others write to as well.
async function abort(accounts, aborted, going, counts) {
  let session = null;
  while (going()) {
    if (!session) {
      session = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', world.settings.DATABASE_SUPERUSER_URL], { stdio: ['pipe', 'pipe', 'ignore'] });
      const mine = session;
      const gone = () => { if (session === mine) session = null; };
      session.on('exit', gone).on('error', gone).stdin.on('error', gone);
      session.stdout.setEncoding('utf8').on('data', (text) => { counts.aborted += text.split('done').length - 1; });
    }
    const one = counts.asked++ % 2 ? accounts[random(accounts.length)] : aborted[random(aborted.length)];
    session.stdin.write(`begin; update account set industry = 'aborted', version = version + 1 where id = '${one}'; rollback; select 'done';\n`);
    await sleep(10_000 / RATE);
  }
  session?.stdin.end();
}

// One that dies is replaced at once; its successor may meet a database that is down.
async function kill(going, counts) {
  const starts = new Set();
  while (going()) {
    await sleep(1000);
    if (world.kamds.length < 2) continue;
    const [dead] = world.kamds.splice(random(world.kamds.length), 1);
    await dead.kill();
    counts.kills++;
    const start = (async () => {
      for (;;) {
        const kamd = await startKamd(world.settings).catch(() => null);
        if (kamd) return world.kamds.push(kamd);
      }
    })().finally(() => starts.delete(start));
    starts.add(start);
  }
  await Promise.all(starts);
}

async function breakServers(started, counts) {
  const at = async (share) => { while (Date.now() < started + share * SECONDS * 1000) await sleep(50); };
  for (const share of [0.3, 0.6]) {
    await at(share);
    world.stack.killPostgres();
    await sleep(500);
    await world.stack.start();
    counts.crashes++;
  }
  await at(0.7);
  await promisify(execFile)('redis-cli', ['-u', world.settings.REDIS_URL, 'flushall']).catch(() => {});
  process.kill(world.stack.redis(), 'SIGKILL');
  counts.redis++;
}

function judge(healthy, committed, aborted) {
  const known = new Set(committed.map(({ id }) => id));
  assert.deepEqual(changed, [], 'the same id has the same body');
  for (const endpoint of healthy) {
    const got = new Set(endpoint.came.map(({ id }) => id));
    const lost = committed.filter(({ id, account }) => endpoint.accounts.has(account) && !got.has(id));
    assert.deepEqual(lost, [], `endpoint ${endpoint.id} lost ${lost.length}`);
    assert.deepEqual([...got].filter((id) => !known.has(id)), [], 'nothing that was not committed');
    assert.ok(endpoint.came.every(({ account }) => !aborted.includes(account) && endpoint.accounts.has(account)), 'nothing of an aborted transaction, and nothing that it does not want');
    const last = new Map();
    const seen = new Set();
    for (const { id, sequence, account } of endpoint.came) {
      if (seen.has(id)) continue;
      seen.add(id);
      assert.ok(sequence > (last.get(account) ?? 0), `account ${account}: ${sequence} after ${last.get(account)}`);
      last.set(account, sequence);
    }
  }
}

// What is still to be sent to healthy endpoints, and why.
const stuck = (healthy) => sql(world.settings, `select r.endpoint_id, r.state, r.lane, count(*), min(r.attempts), max(r.attempts), min(r.next_at) - now(), max(r.next_at) - now(),
    (select s.owner::text || ' ' || s.failures || ' ' || s.opened || ' ' || coalesce((s.next_at - now())::text, '') from webhook_endpoint_state s where s.endpoint_id = r.endpoint_id),
    (select string_agg(coalesce(a.error, a.status::text), ' ' order by a.n) from webhook_attempt a where a.delivery_id = (array_agg(r.delivery_id order by r.position))[1])
  from webhook_retry r where r.endpoint_id = any ('{${healthy.map(({ id }) => id)}}') group by 1, 2, 3`);

// What healthy endpoints wait for an event, while nothing else is broken: p99 in ms.
async function measure(accounts, healthy, badOnes) {
  bad = badOnes;
  for (const endpoint of healthy) endpoint.took = [];
  const end = Date.now() + CALM * 1000;
  await write(accounts, () => Date.now() < end, { acknowledged: 0 }, CALM_RATE);
  await sleep(2000);
  const took = healthy.flatMap(({ took: list }) => list).sort((a, b) => a - b);
  for (const endpoint of healthy) delete endpoint.took;
  return { p50: took[Math.floor(took.length * 0.5)], p99: took[Math.floor(took.length * 0.99)], n: took.length };
}

test('delivered holds all that is committed and nothing else, per account in order, under kills, crashes and bad receivers', async (t) => {
  const { accounts, aborted } = await prepare();
  const healthy = endpoints.filter(({ kind }) => kind === 'healthy');
  t.diagnostic(`seed ${SEED}`);
  if (CALM) {
    await measure(accounts, healthy, false); // warm
    const [alone, beside] = [await measure(accounts, healthy, false), await measure(accounts, healthy, true)];
    t.diagnostic(`healthy endpoints, ${CALM_RATE} writes/s: all good p50 ${alone.p50} ms, p99 ${alone.p99} ms (${alone.n}); half of them bad p50 ${beside.p50} ms, p99 ${beside.p99} ms (${beside.n}): p99 x ${(beside.p99 / alone.p99).toFixed(2)}`);
  }
  const counts = { acknowledged: 0, asked: 0, aborted: 0, kills: 0, crashes: 0, redis: 0 };
  const started = Date.now();
  const going = () => Date.now() < started + SECONDS * 1000;
  await Promise.all([write(accounts, going, counts), abort(accounts, aborted, going, counts), kill(going, counts), breakServers(started, counts)]);
  await world.stack.start(); // Redis, too
  await until(() => sql(world.settings, "select count(*) from event e where not exists (select 1 from event_position p where p.at = e.at and p.seq = e.seq)") === '0', { ms: 60_000, what: 'every event having a position' });
  const committed = sql(world.settings, `select e.id, e.account_id from event e where e.type = 'account.updated' and e.account_id = any ('{${[...accounts, ...aborted]}}') order by e.seq`)
    .split('\n').filter(Boolean).map((line) => ({ id: line.split('|')[0], account: line.split('|')[1] }));
  assert.ok(committed.length >= counts.acknowledged && counts.acknowledged > 0 && counts.aborted > 0 && counts.kills >= 2 && counts.crashes === 2, JSON.stringify(counts));
  assert.ok(!committed.some(({ account }) => aborted.includes(account)));
  const wanted = healthy.reduce((sum, endpoint) => sum + committed.filter(({ account }) => endpoint.accounts.has(account)).length, 0);
  const arrived = () => healthy.reduce((sum, endpoint) => sum + new Set(endpoint.came).size, 0);
  await until(() => arrived() >= wanted, { ms: 300_000, every: 500, what: 'everything having arrived' }).catch(() => t.diagnostic(`still on its way:\n${stuck(healthy)}`));
  judge(healthy, committed, aborted);
  const came = healthy.reduce((sum, endpoint) => sum + endpoint.came.length, 0);
  t.diagnostic(`${SECONDS} s: ${JSON.stringify(counts)}; ${committed.length} committed, ${came} deliveries to ${healthy.length} healthy endpoints, ${came - arrived()} of them again`);
});
