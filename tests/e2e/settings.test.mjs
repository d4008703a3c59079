// Settings and secrets that change while kamd runs (008-3): files swapped as Kubernetes does it, a PostgreSQL password that
// changes under load, connections that are replaced by age, and what is said of it.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

const LAG_MS = 3000; // between the password's change in the database and here

let world;
let folder;
let version = 0;
const content = {};
const appUrl = (password) => world.settings.DATABASE_URL.replace(/:[^:@]+@/, `:${password}@`);

// A folder as the kubelet makes it: each file a link through `..data`, which is replaced at once.
function put(files) {
  Object.assign(content, files);
  const data = `..version${++version}`;
  mkdirSync(join(folder, data));
  for (const [name, text] of Object.entries(content)) writeFileSync(join(folder, data, name), text);
  symlinkSync(data, join(folder, '..new'));
  renameSync(join(folder, '..new'), join(folder, '..data'));
  for (const name of Object.keys(files)) {
    try { symlinkSync(join('..data', name), join(folder, name)); } catch (error) { if (error.code !== 'EEXIST') throw error; }
  }
}

async function metric(kamd, name) {
  const text = await (await fetch(`${kamd.adminUrl}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
}

before(async () => {
  world = await openWorld({ own: true });
  folder = mkdtempSync(join(tmpdir(), 'kamd-secrets-'));
});
after(async () => {
  await world?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('a PostgreSQL password changes under load without a failed request, with three seconds between there and here', async () => {
  put({ DATABASE_URL: world.settings.DATABASE_URL, 'kamd.conf': 'KAMD_LOG_LEVEL=warn\n' });
  const { DATABASE_URL: _, ...rest } = world.settings;
  const kamd = await world.add({ ...rest, DATABASE_URL: '', DATABASE_URL_FILE: join(folder, 'DATABASE_URL'), KAMD_CONFIG_FILE: join(folder, 'kamd.conf'), KAMD_DB_MAX_AGE_SECONDS: '2',
    KAMD_DB_ACQUIRE_MS: '10000', KAMD_REQUEST_MS: '60000' });
  const api = world.api.at(kamd.url);
  const { id } = await makeAccount(api);
  let done = false;
  const statuses = new Map();
  const load = Promise.all(Array.from({ length: 4 }, async (_unused, i) => {
    while (!done) {
      const { status } = i < 3 ? await api.send('GET', `/v1/accounts/${id}/interactions`) : await api.send('POST', '/v1/accounts', { body: { name: `Load ${i}` } });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await sleep(2);
    }
  }));
  sql(world.settings, "alter role kamd_app password 'another'");
  await sleep(LAG_MS);
  const before = sql(world.settings, 'select now()');
  put({ DATABASE_URL: appUrl('another') });
  await until(() => metric(kamd, 'kamd_settings_reloaded_total').then((n) => n === 1), { ms: 20_000, what: 'the new password being read' });
  // All connections of this process are of the time after: made with the new password. The other process has its old ones still.
  await until(() => sql(world.settings, `select count(*) >= 4 from pg_stat_activity where usename = 'kamd_app' and backend_start > '${before}'`) === 't',
    { ms: 30_000, every: 200, what: 'connections with the new password' });
  const good = () => (statuses.get(200) ?? 0) + (statuses.get(201) ?? 0);
  await until(() => good() > 50, { ms: 20_000, what: 'some load' });
  await sleep(1000);
  done = true;
  await load;
  const total = [...statuses.values()].reduce((a, b) => a + b, 0);
  // A machine that stands still for a second makes faults of its own (no answer to a ping); not one may be the password's.
  const failed = kamd.log().match(/.*"event":"request_failed".*/g) ?? [];
  assert.deepEqual(failed.filter((line) => /password|authentication|closing/.test(line)), []);
  assert.ok(good() >= total * (process.env.SOAK ? 1 : 0.95), `${JSON.stringify([...statuses])}\n${failed.slice(0, 5).join('\n')}`);
});

test('connections are replaced by age', async () => {
  const mark = sql(world.settings, 'select now()');
  const kamd = world.kamds[1];
  await until(() => sql(world.settings, `select count(*) from pg_stat_activity where usename = 'kamd_app' and application_name = 'kamd-api' and backend_start > '${mark}'`) >= 4,
    { ms: 30_000, every: 200, what: 'younger connections' });
  await world.api.at(kamd.url).get('/v1/me');
});

test('settings that cannot be read change nothing; what needs a restart is named; what does not takes effect', async () => {
  const kamd = world.kamds[1];
  const api = world.api.at(kamd.url);
  put({ 'kamd.conf': 'KAMD_DB_POOL=many\n' });
  await until(async () => await metric(kamd, 'kamd_settings_refused') === 1, { ms: 20_000, what: 'the refusal' });
  await api.get('/v1/me');
  await until(() => /"event":"settings_not_reloaded"/.test(kamd.log()), { what: 'the line of the refusal' });
  put({ 'kamd.conf': 'KAMD_LOG_LEVEL=info\nKAMD_DB_POOL=9\n' });
  await until(async () => await metric(kamd, 'kamd_settings_waiting') === 1, { ms: 20_000, what: 'what waits' });
  await until(async () => await metric(kamd, 'kamd_settings_refused') === 0, { what: 'the end of the refusal' });
  await until(() => /"event":"settings_need_restart","settings":"KAMD_DB_POOL"/.test(kamd.log()), { what: 'the line of what waits' });
  await api.get('/v1/me');
  await until(() => /"event":"request".*"route":"\/v1\/me"/.test(kamd.log()), { ms: 20_000, what: 'the line of a request' });
  put({ 'kamd.conf': 'KAMD_LOG_LEVEL=warn\n' });
  await until(async () => await metric(kamd, 'kamd_settings_waiting') === 0, { ms: 20_000, what: 'nothing to wait' });
  assert.doesNotMatch(kamd.log(), /another|postgresql:/);
});

test('`kamd worker` answers probes and is scraped; SIGTERM ends it with 0', async () => {
  const worker = await world.add({ DATABASE_URL: appUrl('another') }, 'worker');
  assert.equal((await fetch(`${worker.adminUrl}/livez`)).status, 200);
  await until(async () => (await (await fetch(`${worker.adminUrl}/metrics`)).text()).match(/last_round_timestamp_seconds\{loop="sequence"\} [1-9]/), { ms: 15_000, what: 'a round' });
  await assert.rejects(fetch(`${worker.url}/livez`));
  world.kamds.splice(world.kamds.indexOf(worker), 1);
  await worker.stop({ ms: 30_000 });
});
