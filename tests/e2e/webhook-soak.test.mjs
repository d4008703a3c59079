// Webhooks while everything breaks: three processes of which one is killed each second, PostgreSQL that crashes twice, Redis flushed and stopped, half of all receivers
// bad, transactions that abort. What is committed arrives at each healthy endpoint, per account in order; what is not committed never does; what comes twice has the same
// webhook-id and body. 12 s of it; with SOAK=1 ten minutes (or SOAK_SECONDS), and more writes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Webhook } from 'standardwebhooks';
import { startKamd } from './lib/kamd.mjs';
import { freePort, sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

const SOAK = Boolean(process.env.SOAK);
const SECONDS = Number(process.env.SOAK_SECONDS ?? (SOAK ? 600 : 12));
const RATE = Number(process.env.SOAK_RATE ?? (SOAK ? 40 : 15)); // writes a second; a tenth of as many again abort
const KINDS = [['hang', 10], ['reset', 5], ['drip', 5], ['fail', 5], ['healthy', 25]];
const ACCOUNTS = 20;

let world, writer, server, port;
const sockets = new Set();
const endpoints = []; // {kind, id, secret, came: [], bodies: Map}

function answer(endpoint, request, response) {
  const chunks = [];
  request.on('error', () => {}).on('data', (chunk) => chunks.push(chunk)).on('end', () => {
    const body = Buffer.concat(chunks).toString('utf8');
    const id = request.headers['webhook-id'];
    if (endpoint.kind === 'hang') return;
    if (endpoint.kind === 'reset') { request.socket.resetAndDestroy(); return; }
    if (endpoint.kind === 'fail') { response.writeHead(503).end(); return; }
    if (endpoint.kind === 'drip') {
      request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n');
      const timer = setInterval(() => request.socket.write('x', () => {}), 1000);
      request.socket.on('close', () => clearInterval(timer));
      return;
    }
    const before = endpoint.bodies.get(id);
    if (before !== undefined && before !== body) endpoint.changed.push(id);
    endpoint.bodies.set(id, body);
    if (endpoint.came.length % 50 === 0) new Webhook(endpoint.secret).verify(body, request.headers);
    endpoint.came.push({ id, event: JSON.parse(body) });
    response.writeHead(200).end();
  });
}

before(async () => {
  world = await openWorld({ own: true, processes: 3 });
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

const psql = (statement) => promisify(execFile)('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', statement, world.settings.DATABASE_SUPERUSER_URL]);

async function prepare() {
  for (const [kind, n] of KINDS) {
    for (let i = 0; i < n; i++) {
      const at = endpoints.length;
      endpoints.push({ kind, came: [], bodies: new Map(), changed: [] });
      const made = await world.api.create('/v1/webhook-endpoints', { url: `http://127.0.0.1:${port}/${at}`, event_types: ['account.updated'], ordering: kind === 'healthy' ? 'account' : 'parallel' });
      Object.assign(endpoints[at], { id: made.id, secret: made.secret });
    }
  }
  const accounts = [], aborted = [];
  for (let i = 0; i < ACCOUNTS; i++) accounts.push((await makeAccount(world.api)).id);
  for (let i = 0; i < 3; i++) aborted.push((await makeAccount(world.api)).id);
  return { accounts, aborted };
}

// Every outcome is fine here, also an unknown one: what is committed is read from the log afterwards.
async function write(accounts, going, counts) {
  const one = async (n) => {
    const kamd = world.kamds[n % world.kamds.length];
    const answered = kamd && await writer.at(kamd.url).send('PATCH', `/v1/accounts/${accounts[n % accounts.length]}`, { body: { industry: `steel ${n}` } }).catch(() => null);
    if (answered?.status === 200) counts.acknowledged++;
  };
  for (let n = 0; going(); n++) {
    one(n);
    await sleep(1000 / RATE);
  }
}

async function abort(aborted, going, counts) {
  while (going()) {
    await psql(`begin; update account set industry = 'aborted ${counts.aborted}' where id = '${aborted[counts.aborted % aborted.length]}'; rollback`)
      .then(() => { counts.aborted++; }, () => {});
    await sleep(10_000 / RATE);
  }
}

async function kill(going, counts) {
  while (going()) {
    await sleep(1000);
    const at = counts.kills % world.kamds.length;
    const [dead] = world.kamds.splice(at, 1);
    await dead.kill();
    counts.kills++;
    // The one that takes its place may meet a database that is down.
    for (;;) {
      const kamd = await startKamd(world.settings).catch(() => null);
      if (kamd) { world.kamds.push(kamd); break; }
    }
  }
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
}

function judge(healthy, committed, aborted) {
  for (const endpoint of healthy) {
    const got = new Set(endpoint.came.map(({ id }) => id));
    const lost = committed.filter(({ id }) => !got.has(id));
    assert.deepEqual(lost, [], `endpoint ${endpoint.id} lost ${lost.length} of ${committed.length}`);
    const known = new Set(committed.map(({ id }) => id));
    assert.deepEqual([...got].filter((id) => !known.has(id)), [], 'nothing that was not committed');
    assert.ok(!endpoint.came.some(({ event }) => aborted.includes(event.data.account_id)), 'nothing of an aborted transaction');
    assert.deepEqual(endpoint.changed, [], 'the same id has the same body');
    const last = new Map();
    const seen = new Set();
    for (const { id, event } of endpoint.came) {
      if (seen.has(id)) continue;
      seen.add(id);
      assert.ok(event.sequence > (last.get(event.data.account_id) ?? 0), `account ${event.data.account_id}: ${event.sequence} after ${last.get(event.data.account_id)}`);
      last.set(event.data.account_id, event.sequence);
    }
  }
}

test('delivered holds all that is committed and nothing else, per account in order, under kills, crashes and bad receivers', { timeout: (SECONDS + 240) * 1000 }, async (t) => {
  const { accounts, aborted } = await prepare();
  const counts = { acknowledged: 0, aborted: 0, kills: 0, crashes: 0 };
  const started = Date.now();
  const going = () => Date.now() < started + SECONDS * 1000;
  await Promise.all([write(accounts, going, counts), abort(aborted, going, counts), kill(going, counts), breakServers(started, counts)]);
  await world.stack.start(); // Redis, too
  await until(() => sql(world.settings, "select count(*) from event e where not exists (select 1 from event_position p where p.at = e.at and p.seq = e.seq)") === '0', { ms: 30_000, what: 'every event having a position' });
  const committed = sql(world.settings, `select e.id, e.account_id from event e where e.type = 'account.updated' and e.account_id = any ('{${[...accounts, ...aborted]}}') order by e.seq`)
    .split('\n').filter(Boolean).map((line) => ({ id: line.split('|')[0], account: line.split('|')[1] }));
  assert.ok(committed.length >= counts.acknowledged && counts.acknowledged > 0 && counts.aborted > 0 && counts.crashes === 2, JSON.stringify(counts));
  assert.ok(!committed.some(({ account }) => aborted.includes(account)));
  const healthy = endpoints.filter(({ kind }) => kind === 'healthy');
  const ids = committed.map(({ id }) => id);
  await until(() => healthy.every(({ bodies }) => ids.every((id) => bodies.has(id))), { ms: 180_000, every: 200, what: 'everything having arrived' }).catch(() => {});
  judge(healthy, committed, aborted);
  const came = healthy.reduce((sum, endpoint) => sum + endpoint.came.length, 0);
  const twice = came - healthy.reduce((sum, { bodies }) => sum + bodies.size, 0);
  t.diagnostic(`${SECONDS} s: ${JSON.stringify(counts)}; ${committed.length} committed, ${came} deliveries to ${healthy.length} healthy endpoints, ${twice} of them again`);
});
