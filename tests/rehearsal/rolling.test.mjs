// Two instances behind a load balancer are replaced one after the other while clients go on: not one request fails. The
// counter-proof kills one instead, and must fail: else the first half could not.
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { startHaproxy } from './lib/servers.mjs';
import { load } from './lib/load.mjs';
import { startKamd } from '../e2e/lib/kamd.mjs';
import { until } from '../e2e/lib/wait.mjs';
import { makeAccount, openWorld, unique } from '../e2e/lib/world.mjs';

const REQUESTS = Number(process.env.REQUESTS || 100_000);
const SETTINGS = { KAMD_DRAIN_MS: '2000', KAMD_RATE_LIMIT: '0', KAMD_LOG_LEVEL: 'warn' };

let world;
let proxy;
const portsOf = (kamd) => ({ KAMD_PORT: new URL(kamd.url).port, KAMD_ADMIN_PORT: new URL(kamd.adminUrl).port });
before(async () => {
  world = await openWorld({ own: true, processes: 2, settings: SETTINGS });
  proxy = await startHaproxy(world.kamds.map((kamd) => ({ port: new URL(kamd.url).port, adminPort: new URL(kamd.adminUrl).port })));
});
after(async () => {
  await proxy?.stop();
  await world?.close();
});

// Mostly reads, a write in ten.
async function traffic(enough) {
  const { id } = await makeAccount(world.api);
  let n = 0;
  return load({ url: proxy.url, key: world.api.key, enough,
    next: () => (++n % 10 === 0 ? { method: 'POST', path: '/v1/accounts', body: { name: unique('Rolling') } } : { method: 'GET', path: `/v1/accounts/${id}` }) });
}

// As a Deployment does with maxSurge 1 in place of ports that stay: stop one, start the new one where it was.
async function replace(i) {
  const old = world.kamds[i];
  await old.stop({ ms: 30_000 });
  world.kamds[i] = await startKamd({ ...world.settings, ...SETTINGS }, { ports: portsOf(old) });
}

test(`rolling replacement under load: no error among ${REQUESTS} requests`, { timeout: 1_800_000 }, async (t) => {
  let rounds = 0;
  let over = false;
  const running = traffic((done) => done >= REQUESTS && over);
  while (rounds < 2) {
    for (const i of [0, 1]) {
      await replace(i);
      // The balancer must have seen the new one before the other goes.
      await until(async () => (await fetch(`${proxy.url}/readyz`)).status === 200, { ms: 15_000 });
      await new Promise((done) => { setTimeout(done, 1500); });
    }
    rounds++;
  }
  over = true;
  const { done, errors } = await running;
  t.diagnostic(`${done} requests, ${rounds * 2} replacements, errors: ${JSON.stringify(errors)}`);
  assert.ok(done >= REQUESTS);
  assert.deepEqual(errors, []);
});

test('the counter-proof: killed instead, requests do fail', { timeout: 300_000 }, async (t) => {
  let killed = false;
  const running = traffic((done) => killed && done >= 2000);
  await new Promise((done) => { setTimeout(done, 1500); });
  await world.kamds[0].kill();
  world.kamds.shift();
  await new Promise((done) => { setTimeout(done, 1500); });
  killed = true;
  const { done, errors } = await running;
  t.diagnostic(`${done} requests, errors: ${JSON.stringify(errors)}`);
  assert.ok(errors.length > 0, 'the load notices nothing');
});
