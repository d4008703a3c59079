// No read after an acknowledged write is older than that write: writers and readers over three processes, while Redis is flushed and
// evicts. And the one order of events that the lease is for, once with it and once without.
//
// SOAK=1 counts 100,000 cached reads; without it a few thousand.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { startRedis } from './lib/stack.mjs';
import { inParallel, sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const LONG = process.env.SOAK === '1';
const HITS = LONG ? 100_000 : 2500;
const VALUE_BYTES = 3000; // a cached value of this size is told from Redis's other commands
const RECORDS = 6;
const READERS = 12;
let redis;

before(async () => { redis = await startRedis('--maxmemory', '2mb', '--maxmemory-policy', 'allkeys-lru', '--maxmemory-samples', '10'); });
after(() => redis?.stop());

// Sum of a counter over all processes, by the text of /metrics.
async function counted(world, pattern) {
  let sum = 0;
  for (const kamd of world.kamds) {
    const text = await (await fetch(`${kamd.adminUrl}/metrics`)).text();
    for (const [, value] of text.matchAll(new RegExp(`^${pattern} (\\d+)`, 'gm'))) sum += Number(value);
  }
  return sum;
}
const hits = (world) => counted(world, 'kamd_cache_reads_total\\{[^}]*outcome="hit"[^}]*\\}');

// Records of each cached kind, each with the newest version that was acknowledged.
async function makeRecords(api) {
  const account = await makeAccount(api);
  const records = [];
  for (let i = 0; i < RECORDS; i++) {
    const made = i % 3 === 0 ? [`/v1/accounts`, await makeAccount(api, { business_model: 'x'.repeat(4000) })]
      : i % 3 === 1 ? ['/v1/contacts', await api.create('/v1/contacts', { account_id: account.id, family_name: 'Stale' })]
        : ['/v1/plans', await api.create('/v1/plans', { account_id: account.id, title: 'Stale', period_start: '2026-01-01', period_end: '2026-12-31' })];
    records.push({ path: `${made[0]}/${made[1].id}`, acknowledged: made[1].version });
  }
  return records;
}
const change = (path, n) => (path.startsWith('/v1/accounts') ? { industry: `n ${n}` } : path.startsWith('/v1/contacts') ? { department: `n ${n}` } : { title: `n ${n}` });

// Runs until enough cached reads were seen: {stale, reads, writes, hits}.
async function stress(world, wanted) {
  const writers = world.apis.map((api) => api.as(world.integrationKey));
  const records = await makeRecords(world.api);
  const result = { stale: [], reads: 0, writes: 0, hits: 0 };
  const before_ = await hits(world);
  let stop = false;
  const pick = (list) => list[Math.floor(Math.random() * list.length)];
  const write = async () => {
    for (let n = 0; !stop; n++) {
      const record = pick(records);
      const { status, body, text } = await pick(writers).send('PATCH', record.path, { body: change(record.path, `${unique('n')} ${n}`) });
      if (status === 503) continue; // it had no time for us
      assert.equal(status, 200, text);
      record.acknowledged = Math.max(record.acknowledged, body.version);
      result.writes += 1;
      await sleep(Math.random() * 20);
    }
  };
  const read = async () => {
    while (!stop) {
      const record = pick(records);
      const floor = record.acknowledged;
      const { status, body, text } = await pick(world.apis).send('GET', record.path);
      if (status === 503) continue;
      assert.equal(status, 200, text);
      result.reads += 1;
      if (body.version < floor) result.stale.push(`${record.path}: ${body.version} after ${floor} was acknowledged`);
    }
  };
  // Flushes, and values of others that push ours out.
  const disturb = async () => {
    while (!stop) {
      await sleep(50 + Math.random() * 300);
      if (Math.random() < 0.5) redis.cli('flushall');
      else redis.cli('eval', "for i = 1, 60 do redis.call('set', 'filler' .. math.random(1000000), string.rep('x', 20000)) end", '0');
    }
  };
  const watch = async () => {
    while (!stop) {
      await sleep(200);
      result.hits = await hits(world) - before_;
      stop = result.hits >= wanted;
    }
  };
  try {
    await Promise.all([...Array(3).fill(write), ...Array(READERS).fill(read), disturb, watch].map((work) => work().catch((error) => {
      stop = true;
      throw error;
    })));
  } finally {
    stop = true;
  }
  return result;
}

async function withWorld(processes, settings, run) {
  const world = await openWorld({ processes, workers: 1, settings: { REDIS_URL: redis.url, ...settings } });
  try {
    world.integrationKey = (await world.clientOf('integration')).key;
    return await run(world);
  } finally {
    await world.close();
  }
}

test(`0 stale of ${HITS} cached reads`, async (t) => {
  const { stale, reads, writes, hits: seen } = await withWorld(3, {}, (world) => stress(world, HITS));
  t.diagnostic(`${stale.length} stale of ${seen} cached reads (${reads} reads, ${writes} writes)`);
  assert.deepEqual(stale.slice(0, 5), []);
});

test('an account that is deleted takes 1,100 cached contacts with it', async () => {
  await withWorld(3, {}, async ({ api, apis }) => {
    const account = await makeAccount(api);
    const ids = [];
    for (let i = 0; i < 6; i++) {
      const records = Array.from({ length: i < 5 ? 200 : 100 }, (_, n) => ({ account_id: account.id, family_name: `Contact ${i} ${n}` }));
      const { body } = await api.call(200, 'POST', '/v1/contacts/bulk', { body: { records }, headers: { 'idempotency-key': unique('bulk') } });
      ids.push(...body.results.map(({ id }) => id));
    }
    const read = (status) => inParallel(8, ids, (id, i) => apis[i % 3].call(status, 'GET', `/v1/contacts/${id}`));
    redis.cli('config', 'set', 'maxmemory', '64mb');
    await read(200);
    // On a busy machine it may meet the deadline of two seconds; then nothing was done.
    const remove = () => api.send('DELETE', `/v1/accounts/${account.id}`, { headers: { 'if-match': account.etag } });
    await until(async () => [204, 404].includes((await remove()).status), { ms: 30_000, every: 1000, what: 'the deletion' });
    await read(404);
    redis.cli('config', 'set', 'maxmemory', '2mb');
  });
});

// Stands before Redis and passes all on. Once `catchFill` was called, the next value that comes to be cached waits, with all that follows it
// on its connection; the promise is of the function that sends these on, which waits for Redis's answer.
async function slowRedis() {
  let caught = null;
  const server = createServer((client) => {
    const link = connect(new URL(redis.url).port, '127.0.0.1');
    const held = [];
    client.on('data', (bytes) => {
      if (held.length > 0) return held.push(bytes);
      if (!caught || bytes.length < VALUE_BYTES) return link.write(bytes);
      held.push(bytes);
      caught(() => { link.write(Buffer.concat(held.splice(0))); return once(link, 'data'); });
      caught = null;
    });
    link.on('data', (bytes) => client.write(bytes));
    link.on('close', () => client.destroy());
    for (const side of [client, link]) side.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(redis.url);
  url.port = server.address().port;
  return { url: String(url), catchFill: () => new Promise((resolve) => { caught = resolve; }), close: () => server.close() };
}

// One process has read a record and is slow to cache it; meanwhile another one changes the record. Is the next read older than the change?
async function staleAfterSlowFill(settings) {
  const proxy = await slowRedis();
  try {
    return await withWorld(1, settings, async (world) => {
      const slow = world.api.at((await world.add({ REDIS_URL: proxy.url }, 'serve', '--no-worker')).url);
      const account = await makeAccount(world.api, { business_model: randomBytes(VALUE_BYTES).toString('base64') });
      const path = `/v1/accounts/${account.id}`;
      await slow.get(path); // Redis has the scripts from here on
      redis.cli('flushall');
      const fill = proxy.catchFill();
      // On a busy machine a read may find Redis too slow and leave the cache alone: then the next one fills it.
      let reading;
      const goOn = await until(() => { reading = slow.get(path); return Promise.race([fill, reading.then(() => null)]); }, { ms: 30_000, what: 'a fill' });
      const { version } = (await world.api.as(world.integrationKey).call(200, 'PATCH', path, { body: { industry: 'Changed' } })).body;
      await goOn();
      await reading;
      return (await world.api.get(path)).version < version;
    });
  } finally {
    proxy.close();
  }
}

test('what was read before a change is not cached after it', async () => {
  assert.equal(await staleAfterSlowFill({}), false);
});

test('with the lease taken out it is: these tests see what they look for', async () => {
  assert.equal(await staleAfterSlowFill({ KAMD_CACHE_LEASE: 'false' }), true);
});
