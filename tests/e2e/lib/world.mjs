// What a test file stands on: the servers, one or more kamd on them, and an administrator's client.
import { Client } from './client.mjs';
import { makeKey, startKamd } from './kamd.mjs';
import { openStack, sql } from './stack.mjs';
import { until } from './wait.mjs';

let count = 0;
// A name that no other record of this run has.
export const unique = (word) => `${word}-${process.pid}-${++count}`;

// Built with a sanitizer and beside other tests, everything takes ten times as long, or a hundred: the product's deadlines are for tests that are about them. A
// busy machine must not look like one whose database, Redis or receivers are away. Each connection costs PostgreSQL a third of a second until it knows the schema
// and the statements: a process of a test gets half as many as the product opens.
export const DEADLINES = {
  KAMD_REQUEST_MS: '20000', KAMD_DB_ACQUIRE_MS: '10000', KAMD_REDIS_MS: '1000', KAMD_WEBHOOK_CONNECT_MS: '60000', KAMD_WEBHOOK_TOTAL_MS: '120000',
  KAMD_DB_POOL: '4', KAMD_DB_WORKER_POOL: '2',
};

// `settings` go to kamd beside those of the servers; with `own` the servers are the test's alone, and the deadlines the product's, unless others are given;
// PostgreSQL then has the library `preload`. `workers` of the processes have workers inside: each of those costs a machine its part, also where nothing happens.
export async function openWorld({ processes = 1, workers = processes, settings = {}, own = false, deadlines = own ? {} : DEADLINES, preload } = {}) {
  const stack = await openStack({ own, preload });
  // The runner does the same for the servers of its lanes.
  if (stack.start && deadlines === DEADLINES) sql(stack.settings, "alter role kamd_app set statement_timeout = '8s'");
  // Behind no load balancer nobody needs a process that serves on after it was told to end.
  const env = { ...stack.settings, KAMD_DRAIN_MS: '0', ...deadlines, ...settings };
  const world = {
    stack,
    settings: env,
    kamds: [],
    async add(more = {}, ...args) {
      const kamd = await startKamd({ ...env, ...more }, ...args);
      world.kamds.push(kamd);
      return kamd;
    },
    async killAll() {
      await Promise.all(world.kamds.splice(0).map((kamd) => kamd.kill()));
    },
    // A key of its own for a role; `more` may name a user_id, scopes, expires_at.
    async clientOf(role, more = {}) {
      const { key } = (await world.api.call(201, 'POST', '/v1/api-keys', { body: { name: unique(role), role, ...more } })).body;
      return world.api.as(key);
    },
    async close() {
      world.api?.close();
      const ends = await Promise.allSettled(world.kamds.map((kamd) => kamd.stop()));
      await stack.stop();
      const bad = ends.find((end) => end.status === 'rejected');
      if (bad) throw bad.reason;
    },
  };
  try {
    const started = await Promise.all(Array.from({ length: processes }, (_, i) => world.add({}, ...(i < workers ? [] : ['serve', '--no-worker']))));
    world.kamds.splice(0, processes, ...started); // those with workers first
    world.api = new Client(world.kamds[0].url, await makeKey(stack.settings, 'admin'));
    world.apis = world.kamds.map((kamd) => world.api.at(kamd.url));
  } catch (error) {
    await world.killAll();
    await stack.stop();
    throw error;
  }
  return world;
}

// An account with a name and number of its own.
export const makeAccount = (api, fields = {}) => api.create('/v1/accounts', { name: unique('Account'), account_number: unique('N'), ...fields });
// An account that has been scored: from now on its ETag changes only when somebody writes.
export const scored = (api, { id }) => until(async () => {
  const account = await api.get(`/v1/accounts/${id}`);
  return account.health !== null && account;
}, { ms: 30_000, what: 'the first score' });
