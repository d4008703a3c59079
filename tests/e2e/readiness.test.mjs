// A rollout puts new processes in the place of old ones as soon as they say that they are ready: a worker that cannot work must not.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startKamd } from './lib/kamd.mjs';
import { signalAll } from './lib/stack.mjs';
import { inParallel, sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

let world;
before(async () => { world = await openWorld({ own: true }); });
after(() => world?.close());

const wrongPassword = () => {
  const url = new URL(world.settings.DATABASE_WORKER_URL);
  url.password = 'wrong';
  return { DATABASE_WORKER_URL: String(url) };
};

// A process that may never be ready, and what /readyz says: [status, reasons].
async function start(t, settings, ...args) {
  const kamd = await startKamd({ ...world.settings, ...settings }, ...args, { probe: '/livez' });
  t.after(() => kamd.stop());
  return { kamd, look: async () => {
    const answer = await fetch(`${kamd.adminUrl}/readyz`);
    return [answer.status, (await answer.json()).reasons];
  } };
}

const AWAY = [503, ['worker_database']];
const settled = (look, wanted) => until(async () => JSON.stringify(await look()) === JSON.stringify(wanted), { what: `/readyz saying ${wanted}` });

test('a worker whose password is wrong is not ready, and says why in the log', async (t) => {
  const { kamd, look } = await start(t, wrongPassword(), 'worker');
  await settled(look, AWAY);
  await until(() => /"event":"not_ready".*password authentication failed for user \\"kamd_worker\\"/.test(kamd.log()), { what: 'the reason' });
  assert.deepEqual(await look(), AWAY);
  assert.match(await (await fetch(`${kamd.adminUrl}/metrics`)).text(), /^kamd_db_breaker_open\{pool="worker"\} 1$/m);
});

test('a worker is ready while its database answers, and only then; the one of requests is none of its business', async (t) => {
  const other = new URL(world.settings.DATABASE_URL);
  other.password = 'wrong';
  const { look } = await start(t, { DATABASE_URL: String(other) }, 'worker');
  await settled(look, [200, undefined]);
  world.stack.killPostgres();
  await settled(look, AWAY);
  await world.stack.start();
  await settled(look, [200, undefined]);
});

test('kamd serve with workers inside begins when both are there, and then goes on without them', async (t) => {
  const bad = await start(t, wrongPassword());
  await settled(bad.look, AWAY);
  const good = await start(t, {});
  await settled(good.look, [200, undefined]);
  const alone = await start(t, wrongPassword(), 'serve', '--no-worker');
  await settled(alone.look, [200, undefined]);
  world.stack.killPostgres();
  await until(async () => /^kamd_db_breaker_open\{pool="worker"\} 1$/m.test(await (await fetch(`${good.kamd.adminUrl}/metrics`)).text()), { what: 'the outage being noticed' });
  await until(() => /"event":"database_away"/.test(good.kamd.log()), { what: 'the outage in the log' });
  assert.deepEqual([await bad.look(), await good.look(), await alone.look()], [AWAY, [200, undefined], [200, undefined]]);
  await world.stack.start();
  await until(() => /"event":"database_back"/.test(good.kamd.log()), { what: 'the end of the outage in the log' });
});

test('PostgreSQL that stands still for less than half of what a request may take costs that time, and no request', async () => {
  const { url } = await world.add({ KAMD_REQUEST_MS: '60000', KAMD_DB_ACQUIRE_MS: '10000' }, 'serve', '--no-worker');
  const api = world.api.at(url);
  await makeAccount(api);
  const still = world.stack.holdPostgres();
  const statuses = [];
  signalAll(still, 'SIGSTOP');
  // Longer than a reading of who may do what, and a look whether the schema fits, may take with the settings as they come: one second.
  const over = sleep(4000).finally(() => signalAll(still, 'SIGCONT'));
  await inParallel(8, Array.from({ length: 40 }), async () => {
    await sleep(100);
    statuses.push((await api.send('GET', '/v1/accounts?page_size=1')).status);
  });
  await over;
  assert.deepEqual(statuses.filter((status) => status !== 200), []);
});
