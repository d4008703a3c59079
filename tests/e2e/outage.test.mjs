// PostgreSQL and Redis frozen and killed under load: every answer within 3 s, /livez and /readyz stay
// 200, so that a load balancer goes on sending requests; recovery within 5 s, no restart, and no
// acknowledged write lost.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { checkProblem } from './lib/client.mjs';
import { statusOf } from './lib/kamd.mjs';
import { startService } from './lib/service.mjs';
import { signalAll, sql, sqlBeside } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const BOUND = 3000;
const RECOVERY = 5000;
const FAULT = 5000;
let world, api, account, key, service, behind;

before(async () => {
  world = await openWorld({ processes: 2, own: true });
  ({ api } = world);
  account = await makeAccount(api, { phones: ['+4930555000'] });
  key = account.id;
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: { reason: 'For the outage.', benefits: ['Emergencies first'] } });
  service = await startService(world.kamds);
  behind = api.at(service.url);
});
after(async () => {
  behind?.close();
  await service?.stop();
  await world?.close();
});

// Clients of all kinds, with hardly a pause, at both processes. Each answer is written down.
function load() {
  const answers = [];
  const acknowledged = new Map();
  let stopped = false;
  const clients = world.apis.flatMap((client) => [
    () => client.send('GET', `/v1/accounts/${account.id}`),
    () => client.send('GET', '/v1/accounts?page_size=5'),
    () => client.send('GET', `/v1/recognition?phone=${encodeURIComponent('+4930555000')}`),
    async () => {
      const body = { name: unique('Written') };
      const answer = await client.send('POST', '/v1/accounts', { body, headers: { 'idempotency-key': unique('key') } });
      if (answer.status === 201) acknowledged.set(answer.body.id, body.name);
      return answer;
    },
    async () => ({ status: await statusOf(`${client.url.origin}/livez`, BOUND), livez: true, ms: 0, headers: {} }),
  ]);
  const running = Promise.all(clients.map(async (send, kind) => {
    while (!stopped) {
      const at = Date.now();
      const answer = await send().catch((error) => ({ status: 0, error, headers: {} }));
      answers.push({ kind: kind % 5, at, took: Date.now() - at, ...answer });
      await sleep(30);
    }
  }));
  return { answers, acknowledged, async stop() { stopped = true; await running; } };
}

function judge(answers, { allowed }) {
  for (const answer of answers) {
    const what = `kind ${answer.kind}: ${answer.status} after ${answer.took} ms ${answer.text?.slice(0, 300) ?? answer.error}`;
    assert.ok(answer.took <= BOUND, `too late: ${what}`);
    assert.ok(allowed.includes(answer.status), what);
    if (answer.livez) assert.equal(answer.status, 200, what);
    else if (answer.status >= 400) checkProblem(answer, what);
  }
}

async function works(client) {
  const made = await client.send('POST', '/v1/accounts', { body: { name: unique('After') } });
  const read = await client.send('GET', `/v1/accounts/${account.id}`);
  return made.status === 201 && read.status === 200;
}

const steady = (answers) => answers.length === 100 && answers.every(({ status }) => status < 500);

// Runs the fault under load. Afterwards both processes work within RECOVERY, and keep working.
async function withFault(t, { allowed, inject, during, heal }) {
  const traffic = load();
  try {
    await until(() => traffic.answers.length > 200 && traffic.acknowledged.size > 5, { ms: 30_000, what: 'load' });
    await inject();
    await sleep(FAULT / 2);
    await during?.();
    await sleep(FAULT / 2);
    await heal();
    const healed = Date.now();
    for (const client of world.apis) {
      await until(() => works(client), { ms: RECOVERY - (Date.now() - healed), looks: 0, what: 'recovery' });
    }
    const recovered = Math.max(Date.now(), healed + RECOVERY);
    // A busy machine may fail one of them by itself, a fault that stays fails some of each hundred.
    await until(() => steady(traffic.answers.filter(({ at }) => at > recovered).slice(-100)), { ms: 30_000, what: 'a hundred answers that do not fail' });
  } finally {
    await traffic.stop();
  }
  judge(traffic.answers, { allowed });
  const refused = traffic.answers.filter(({ status }) => status === 503).length;
  const slowest = Math.max(...traffic.answers.map(({ took }) => took));
  t.diagnostic(`${traffic.answers.length} answers, ${refused} of them 503, the slowest after ${slowest} ms, ${traffic.acknowledged.size} rows acknowledged`);
  const rows = new Map(sql(world.settings, 'select id, name from account').split('\n').map((row) => row.split('|')));
  for (const [id, name] of traffic.acknowledged) assert.equal(rows.get(id), name, 'an acknowledged row is there');
  for (const kamd of world.kamds) {
    assert.equal(await statusOf(`${kamd.url}/readyz`, BOUND), 200);
    assert.equal(spawnSync('kill', ['-0', String(kamd.pid)]).status, 0, 'the same process');
  }
}

async function databaseIsGone() {
  for (const kamd of world.kamds) {
    assert.equal(await statusOf(`${kamd.url}/livez`, BOUND), 200);
    assert.equal(await statusOf(`${kamd.adminUrl}/livez`, BOUND), 200);
    assert.equal(await statusOf(`${kamd.url}/readyz`, BOUND), 200);
    assert.equal(await statusOf(`${kamd.adminUrl}/readyz`, BOUND), 200);
    assert.match(await (await fetch(`${kamd.adminUrl}/metrics`)).text(), /^kamd_db_breaker_open\{pool="api"\} 1$/m);
  }
  await service.probed(4);
  assert.equal(service.ready(), world.kamds.length, 'the door is open');
  for (const client of [...world.apis, behind]) {
    const caller = (await client.call(200, 'GET', `/v1/recognition?phone=${encodeURIComponent('+4930555000')}`)).body;
    assert.deepEqual([caller.is_key, caller.account_id, caller.stale], [true, key, true]);
    assert.deepEqual((await client.call(200, 'GET', '/v1/recognition?phone=%2B4930555999')).body.is_key, false);
    // The breaker is open: refused at once, not after the deadline. A busy machine may take as long for one of them, not for each.
    const refusals = [];
    await until(async () => refusals.push(await client.send('GET', '/v1/accounts?page_size=1')) && refusals.at(-1).ms < 1500, { what: 'a refusal at once' });
    for (const refused of refusals) assert.deepEqual([refused.status, refused.body.retry_after_seconds >= 1], [503, true]);
  }
}

test('PostgreSQL frozen (SIGSTOP): bounded answers, recognition from memory, recovery', async (t) => {
  let frozen;
  await withFault(t, {
    allowed: [200, 201, 503],
    inject: () => signalAll(frozen = world.stack.holdPostgres(), 'SIGSTOP'),
    during: databaseIsGone,
    heal: () => signalAll(frozen, 'SIGCONT'),
  });
});

test('PostgreSQL killed (SIGKILL) and started again', async (t) => {
  await withFault(t, {
    allowed: [200, 201, 503],
    inject: () => world.stack.killPostgres(),
    during: databaseIsGone,
    heal: () => world.stack.start(),
  });
});

test('every database session ended by an administrator', async (t) => {
  // Not by a call that holds this process: it takes the answers' times.
  const end = () => sqlBeside(world.settings, "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename like 'kamd%'");
  await withFault(t, { allowed: [200, 201, 503], inject: end, heal: end });
});

test('Redis frozen (SIGSTOP) costs speed only', async (t) => {
  const pid = world.stack.redis();
  await withFault(t, { allowed: [200, 201], inject: () => process.kill(pid, 'SIGSTOP'), heal: () => process.kill(pid, 'SIGCONT') });
});

test('Redis killed (SIGKILL), absent, and started again costs speed only', async (t) => {
  await withFault(t, { allowed: [200, 201], inject: () => process.kill(world.stack.redis(), 'SIGKILL'), heal: () => world.stack.start() });
});

test('kamd starts and serves without Redis, and with one that is not there', async () => {
  for (const url of ['', 'redis://127.0.0.1:1']) {
    const kamd = await world.add({ REDIS_URL: url });
    const client = api.at(kamd.url);
    assert.equal((await client.get(`/v1/accounts/${account.id}`)).id, account.id);
    await makeAccount(client);
    client.close();
    await world.kamds.pop().stop();
  }
});

test('kamd that starts while PostgreSQL is down is alive, not ready, and serves once it is up; then it stays ready', async () => {
  world.stack.killPostgres();
  const kamd = await world.add({}, { probe: '/livez' });
  const door = await startService([kamd]);
  const client = api.at(door.url);
  await door.probed(4);
  const answer = await fetch(`${kamd.adminUrl}/readyz`);
  assert.deepEqual([answer.status, (await answer.json()).reasons], [503, ['database', 'worker_database']]);
  await assert.rejects(client.send('GET', '/v1/accounts'), { code: 'ECONNRESET' });
  await world.stack.start();
  await until(() => works(client).catch(() => false), { ms: RECOVERY, looks: 0, what: 'recovery' });
  world.stack.killPostgres();
  await until(async () => (await client.send('GET', '/v1/accounts?page_size=1')).status === 503, { what: 'the outage being noticed' });
  await door.probed(4);
  const refused = await client.send('GET', '/v1/accounts?page_size=1');
  checkProblem(refused, 'refused');
  assert.deepEqual([refused.status, door.ready()], [503, 1]);
  await world.stack.start();
  await until(() => works(client), { ms: RECOVERY, looks: 0, what: 'recovery' });
  client.close();
  await door.stop();
});
