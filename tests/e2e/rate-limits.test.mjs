// Rate limits: a token bucket per key over all processes (conventions.md, "Rate limits"; reliability.md 4.1, API4), and nobody locked out by wrong keys.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { startRedis } from './lib/stack.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld({ workers: 0 });
  ({ api } = world);
});
after(() => world?.close());

// A busy machine must not look like one whose Redis is away.
const SLOW = { KAMD_RATE_LIMIT: '1', KAMD_RATE_BURST: '10', KAMD_REDIS_MS: '1000' };
// Processes with these limits beside the world's own, and a key that they know. They end with their test: a
// dozen that only idle, built with a sanitizer, leave a busy machine no time to start the next one.
async function limited(t, settings, n = 1) {
  const client = await world.clientOf('auditor');
  const kamds = [];
  t.after(() => Promise.all(kamds.map((kamd) => kamd.stop())));
  for (let i = 0; i < n; i++) kamds.push(await world.add(settings, 'serve', '--no-worker'));
  const clients = kamds.map((kamd) => client.at(kamd.url));
  return { kamds, clients, client: clients[0] };
}
const me = (client, headers) => client.send('GET', '/v1/me', { headers });
// A refusal. Twenty at once: one more is allowed each second, and a busy machine may not manage two in turn.
const refusalOf = (send) => until(async () => (await inParallel(20, Array.from({ length: 20 }), send)).find(({ status }) => status === 429), { ms: 20_000, what: 'a refusal' });
const policyOf = ({ headers }) => /^"(\w+)";q=(\d+);w=(\d+)$/.exec(headers['ratelimit-policy'])?.slice(1);
const stateOf = ({ headers }) => /^"(\w+)";r=(\d+);t=(\d+)$/.exec(headers.ratelimit)?.slice(1);
const limitedTotal = async (kamd, by) => {
  const { text } = await api.at(kamd.adminUrl).send('GET', '/metrics');
  return Number(new RegExp(`^kamd_rate_limited_total\\{by="${by}"\\} (\\d+)$`, 'm').exec(text)[1]);
};

test('every answer says how much is left; the default is beyond what honest clients do', async () => {
  const first = await me(api);
  assert.deepEqual(policyOf(first), ['client', '20000', '4']);
  const [name, left] = stateOf(first);
  assert.ok(name === 'client' && left > 15_000, first.headers.ratelimit);
  for (const [status, method, path] of [[404, 'GET', '/v1/accounts/01970000-0000-7000-8000-000000000000'], [400, 'GET', '/v1/accounts?nothing=1'], [403, 'POST', '/v1/api-keys']]) {
    const client = status === 403 ? await world.clientOf('auditor') : api;
    const answer = await client.call(status, method, path, method === 'POST' ? { body: {} } : {});
    assert.ok(policyOf(answer) && stateOf(answer), path);
  }
  const anonymous = await api.as().call(200, 'GET', '/openapi.json');
  assert.deepEqual(policyOf(anonymous), ['address', '20000', '4']);
  for (const path of ['/livez', '/readyz']) assert.equal((await api.call(200, 'GET', path)).headers.ratelimit, undefined, path);
});

test('beyond it 429 with Retry-After, also in the body; probes are free, other keys are not touched', async (t) => {
  const { client, kamds: [kamd] } = await limited(t, SLOW);
  const answers = [];
  for (let i = 0; i < 10; i++) answers.push(await me(client));
  assert.deepEqual(answers.map(({ status }) => status), Array(10).fill(200));
  const left = answers.map((answer) => Number(stateOf(answer)[1]));
  assert.ok(left[0] === 9 && left.every((n, i) => i === 0 || n >= left[i - 1] - 1), left.join());
  const refused = await refusalOf(() => me(client));
  assert.deepEqual([refused.body.code, refused.headers['retry-after'], refused.body.retry_after_seconds], ['too_many_requests', '1', 1]);
  assert.deepEqual([policyOf(refused), stateOf(refused).slice(0, 2)], [['client', '10', '10'], ['client', '0']]);
  assert.ok(await limitedTotal(kamd, 'client') >= 1);
  for (let i = 0; i < 30; i++) await client.call(200, 'GET', '/livez');
  await client.call(200, 'GET', '/readyz');
  const other = (await world.clientOf('auditor')).at(client.url);
  await other.call(200, 'GET', '/v1/me');
  // It comes back by itself.
  await until(async () => (await me(client)).status === 200, { what: 'another token', every: 200 });
});

test('three processes share one bucket, to the request', async (t) => {
  const { clients } = await limited(t, SLOW, 3);
  const started = Date.now();
  const answers = await inParallel(6, Array.from({ length: 60 }), (_, i) => me(clients[i % 3]));
  const flowed = Math.floor((Date.now() - started) / 1000) + 1;
  const served = answers.filter(({ status }) => status === 200).length;
  assert.ok(answers.every(({ status }) => [200, 429].includes(status)));
  assert.ok(served >= 10 && served <= 10 + flowed, `${served} of 60 served, ${flowed} flowed back`);
});

test('a large limit costs few round trips to Redis, and is exact to two batches a process', async (t) => {
  const redis = await startRedis();
  try {
    const { clients } = await limited(t, { KAMD_RATE_LIMIT: '1000', KAMD_RATE_BURST: '1000', KAMD_REDIS_MS: '1000', REDIS_URL: redis.url }, 2);
    const calls = () => Number(/cmdstat_evalsha:calls=(\d+)/.exec(redis.cli('info', 'commandstats'))?.[1] ?? 0);
    const before_ = calls();
    const started = Date.now();
    const answers = await inParallel(16, Array.from({ length: 1500 }), (_, i) => me(clients[i % 2]));
    const most = 1000 + (Date.now() - started) + 2 * 2 * 50;
    const served = answers.filter(({ status }) => status === 200).length;
    assert.ok(served >= 1000 && served <= most, `${served} served, at most ${most}`);
    const refusedSome = answers.length - served;
    assert.ok(calls() - before_ <= 1500 / 50 + 10 + refusedSome, `${calls() - before_} calls for 1500 requests, ${refusedSome} refused`);
  } finally {
    redis.stop();
  }
});

test('while Redis is away each process counts for itself', async (t) => {
  const redis = await startRedis();
  const { clients } = await limited(t, { ...SLOW, REDIS_URL: redis.url }, 2);
  await clients[0].call(200, 'GET', '/v1/me');
  redis.stop();
  const served = await Promise.all(clients.map(async (client) => {
    const started = Date.now();
    let n = 0;
    for (let i = 0; i < 20; i++) n += (await me(client)).status === 200;
    return { n, most: 10 + Math.floor((Date.now() - started) / 1000) + 1 };
  }));
  for (const { n, most } of served) assert.ok(n >= 9 && n <= most, `${n} of 20, at most ${most}`);
});

test('304 is free', async (t) => {
  const account = await makeAccount(api);
  const { client } = await limited(t, SLOW);
  const path = `/v1/accounts/${account.id}`;
  const { headers: { etag } } = await client.call(200, 'GET', path);
  for (let i = 0; i < 40; i++) await client.call(304, 'GET', path, { headers: { 'if-none-match': etag } });
  await client.call(200, 'GET', path);
});

test('wrong keys run into the limit of their address; a good key from there never does', async (t) => {
  const { client, kamds: [kamd] } = await limited(t, { KAMD_RATE_LIMIT: '1', KAMD_RATE_BURST: '20', REDIS_URL: '' });
  const person = await api.create('/v1/users', { name: 'Calendar' });
  const { url } = (await api.call(200, 'POST', `/v1/users/${person.id}/agenda-token`)).body;
  const wrong = client.as(`kamd_live_${randomBytes(8).toString('hex')}`);
  for (let i = 0; i < 20; i++) assert.equal((await me(wrong)).status, 401);
  const nobody = client.as();
  for (const one of [wrong, nobody]) await refusalOf(() => me(one));
  const guess = await refusalOf(() => nobody.send('GET', `/v1/users/${person.id}/agenda.ics?token=${'x'.repeat(43)}`));
  assert.deepEqual([guess.body.code, guess.body.retry_after_seconds >= 1], ['too_many_requests', true]);
  // All from the same address: good keys, a good calendar address, probes.
  await client.call(200, 'GET', '/v1/me');
  await client.as().call(200, 'GET', new URL(url, client.url).pathname + new URL(url, client.url).search);
  await client.as().call(200, 'GET', '/livez');
  // A key that was made this moment, too.
  const fresh = (await world.clientOf('auditor')).at(client.url);
  await fresh.call(200, 'GET', '/v1/me');
  assert.ok(await limitedTotal(kamd, 'address') >= 2);
});

// ASVS 5.0, 4.1.3: what proxies say of clients cannot be forged by clients.
test('behind trusted proxies each client has its own limit, and the log its address; nobody can make up another', async (t) => {
  const few = { KAMD_RATE_LIMIT: '1', KAMD_RATE_BURST: '5', REDIS_URL: '' };
  const behind = await limited(t, { ...few, KAMD_TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8' });
  const open = await limited(t, few);
  const wrong = (client, ...forwarded) => client.as('kamd_live_wrong').send('GET', '/v1/me', { headers: { 'x-forwarded-for': forwarded } });
  await refusalOf(() => wrong(behind.client, '198.51.100.7, 10.1.2.3'));
  assert.equal((await wrong(behind.client, '198.51.100.8')).status, 401, 'another client of the same proxy');
  // What the client wrote himself stands left of what the proxy added, in the same line or one before.
  await refusalOf(() => wrong(behind.client, `203.0.113.${Math.floor(Math.random() * 250)}, 198.51.100.9`));
  await refusalOf(() => wrong(behind.client, `203.0.113.${Math.floor(Math.random() * 250)}`, '198.51.100.10'));
  // Not through a proxy: it is not read at all.
  await refusalOf(() => wrong(open.client, `203.0.113.${Math.floor(Math.random() * 250)}`));
  assert.match(behind.kamds[0].log(), /"client":"198\.51\.100\.7"/);
  assert.doesNotMatch(behind.kamds[0].log(), /"client":"203\.0\.113/);
  await until(() => /"client":"127\.0\.0\.1"/.test(open.kamds[0].log()), { what: 'the log' });
  assert.doesNotMatch(open.kamds[0].log(), /"client":"203\.0\.113/);
});

test('0 switches it off', async (t) => {
  const { client } = await limited(t, { KAMD_RATE_LIMIT: '0', KAMD_RATE_BURST: '1' });
  for (let i = 0; i < 20; i++) {
    const { headers } = await client.call(200, 'GET', '/v1/me');
    assert.deepEqual([headers.ratelimit, headers['ratelimit-policy']], [undefined, undefined]);
  }
});
