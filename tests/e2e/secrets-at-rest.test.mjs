// Secrets in the database are sealed, name the master key that sealed them, and outlive it (reliability.md 4.5).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { makeKey, runKamd } from './lib/kamd.mjs';
import { startReceiver } from './lib/receiver.mjs';
import { sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const OLD = randomBytes(32).toString('base64');
const NEW = randomBytes(32).toString('base64');
// The setting comes by its own name: the servers' KAMD_MASTER_KEY_FILE would win.
const masters = (...keys) => ({ KAMD_MASTER_KEY: keys.join(','), KAMD_MASTER_KEY_FILE: '' });
const TOKEN = `Bearer ${randomBytes(24).toString('hex')}`; // a receiver's
const receivers = [];
let world, api;
before(async () => {
  world = await openWorld({ settings: masters(OLD) });
  ({ api } = world);
});
after(async () => {
  await world?.close();
  await Promise.all(receivers.map((receiver) => receiver.stop()));
});

const query = (statement) => sql(world.settings, statement);
const rotate = async (...keys) => (await runKamd({ ...world.settings, ...masters(...keys) }, 'rotate-secrets')).stdout.trim();
const marks = (table) => query(`select coalesce(string_agg(distinct encode(substring(sealed from 1 for 5), 'hex'), ',' order by encode(substring(sealed from 1 for 5), 'hex')), '') from ${table}`).split(',').filter(Boolean);
const published = async () => (await api.call(200, 'GET', '/.well-known/webhook-keys')).body.keys;

async function register(key = unique('key')) {
  const receiver = await startReceiver();
  receivers.push(receiver);
  const body = { url: receiver.url, event_types: ['account.created'], headers: [{ name: 'Authorization', value: TOKEN }] };
  const endpoint = await api.create('/v1/webhook-endpoints', body, { 'idempotency-key': key });
  receiver.secret = endpoint.secret;
  return { receiver, endpoint, key, body };
}
// The only process of the world, with other keys. Its client, too.
async function restart(...keys) {
  const [kamd] = world.kamds.splice(0);
  await kamd.stop();
  const next = await world.add(masters(...keys));
  api = api.at(next.url);
}
async function delivered({ receiver }) {
  const account = await makeAccount(api);
  const delivery = await receiver.wait(({ event }) => event.data?.account_id === account.id, 'the delivery');
  assert.deepEqual([delivery.errors, delivery.headers.authorization], [[], TOKEN]);
  return delivery;
}

test('a dump of the database holds no secret, sealed or hashed ones only', async () => {
  const hook = await register();
  const user = await api.create('/v1/users', { name: 'Somebody' });
  const { token } = (await api.call(200, 'POST', `/v1/users/${user.id}/agenda-token`, { body: {}, headers: { 'idempotency-key': unique('key') } })).body;
  const { key } = (await api.call(201, 'POST', '/v1/api-keys', { body: { name: 'x', role: 'auditor' }, headers: { 'idempotency-key': unique('key') } })).body;
  const { secret } = (await api.call(200, 'POST', `/v1/webhook-endpoints/${hook.endpoint.id}/rotate-secret`, { body: {}, headers: { 'idempotency-key': unique('key') } })).body;
  const dump = execFileSync('pg_dump', [world.settings.DATABASE_SUPERUSER_URL], { encoding: 'latin1', maxBuffer: 1 << 30 });
  assert.ok(dump.includes(hook.endpoint.id), 'the dump holds the data');
  const spellings = (text) => [text, Buffer.from(text).toString('hex'), Buffer.from(text).toString('base64').replace(/=+$/, '')];
  const raw = (text) => [Buffer.from(text.slice('whsec_'.length), 'base64')].flatMap((bytes) => [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url')]);
  for (const [what, texts] of Object.entries({
    token: spellings(token), 'a receiver\'s token': spellings(TOKEN.slice(7)), key: spellings(key), 'the rest of the key': spellings(key.slice(18)), secret: [...spellings(secret), ...raw(secret)],
    'the first secret': [...spellings(hook.receiver.secret), ...raw(hook.receiver.secret)], 'the master key': [OLD, Buffer.from(OLD, 'base64').toString('hex')],
  })) for (const text of texts) assert.ok(!dump.includes(text), `the dump holds ${what} as ${text.slice(0, 12)}...`);
});

test('each value is bound to its row: moved to another, it does not open', async () => {
  const [one, other] = [await register(), await register()];
  query(`update webhook_secret s set sealed = o.sealed from webhook_secret o where s.endpoint_id = '${one.endpoint.id}' and o.endpoint_id = '${other.endpoint.id}'`);
  await delivered(other);
  await until(() => query(`select failures from webhook_endpoint_state where endpoint_id = '${one.endpoint.id}'`) > 0, { ms: 20_000, what: 'the failure' });
  assert.deepEqual(one.receiver.deliveries, []);
  query(`delete from webhook_secret where endpoint_id = '${one.endpoint.id}'`);
  await api.remove(`/v1/webhook-endpoints/${one.endpoint.id}`, (await api.get(`/v1/webhook-endpoints/${one.endpoint.id}`)).etag);
});

test('a new master key under running deliveries; then the old one goes, and everything still works', async () => {
  const hooks = [await register(), await register()];
  const keys = await published();
  for (let i = 0; i < 2; i++) await makeAccount(api);
  const page = (await api.call(200, 'GET', '/v1/accounts?page_size=1')).body.page;
  const [oldMark] = marks('webhook_secret');
  assert.match(oldMark, /^01[0-9a-f]{8}$/);
  await restart(NEW, OLD);
  // What was sealed under the old one is read: secrets, signing keys, a replay, a cursor.
  for (const hook of hooks) await delivered(hook);
  assert.deepEqual(await published(), keys);
  assert.equal((await api.create('/v1/webhook-endpoints', hooks[0].body, { 'idempotency-key': hooks[0].key })).secret, hooks[0].receiver.secret);
  await api.call(200, 'GET', `/v1/accounts?page_size=1&cursor=${encodeURIComponent(page.next_cursor)}`);
  const fresh = await register();
  assert.equal(marks('webhook_secret').length, 2);

  let stopped = false;
  const load = (async () => { while (!stopped) await makeAccount(api); })();
  const [first, second] = await Promise.all([rotate(NEW, OLD), rotate(NEW, OLD)]); // at once: no harm
  assert.match(first, /^\d+ secrets sealed anew, 0 that no key opens$/);
  assert.match(second, /0 that no key opens$/);
  stopped = true;
  await load;
  for (const table of ['webhook_secret', 'webhook_header', 'webhook_key']) {
    assert.equal(marks(table).length, 1, table);
    assert.notEqual(marks(table)[0], oldMark, table);
  }
  // Every delivery of that time was signed rightly.
  const total = Number(query('select count(*) from account'));
  await until(() => fresh.receiver.deliveries.length > 0 && total > 0, { what: 'deliveries' });
  for (const { receiver } of [...hooks, fresh]) assert.deepEqual(receiver.deliveries.filter(({ errors, headers }) => errors.length || headers.authorization !== TOKEN), []);

  await restart(NEW);
  for (const hook of [...hooks, fresh]) await delivered(hook);
  assert.deepEqual(await published(), keys);
  for (const hook of [...hooks, fresh]) {
    const again = await api.create('/v1/webhook-endpoints', hook.body, { 'idempotency-key': hook.key });
    assert.equal(again.secret, hook.receiver.secret);
  }
  const { body } = await api.call(200, 'POST', '/v1/webhook-keys/rotate', { body: { grace_seconds: 600 } });
  assert.deepEqual(body.keys.slice(1).map(({ public_key: key }) => key), keys.map(({ public_key: key }) => key));
  assert.equal(marks('webhook_key').length, 1);
});

test('what no key opens is counted, and the command fails', async () => {
  query("insert into webhook_key (number, expires_at, sealed) values (1000, now() - interval '1 day', '\\x0100000000')");
  await assert.rejects(rotate(NEW), (error) => /1 that no key opens/.test(error.stdout));
  query('delete from webhook_key where number = 1000');
  await assert.rejects(rotate('short'), (error) => /KAMD_MASTER_KEY/.test(error.stderr));
});

// PostgreSQL as on a machine that is busy: what the first of a connection's bytes ask is asked so much later.
async function lateDatabase(ms) {
  const { port } = new URL(world.settings.DATABASE_URL);
  const server = createServer((client) => {
    const link = connect(port, '127.0.0.1');
    client.pause();
    sleep(ms).then(() => client.pipe(link).pipe(client));
    for (const [side, other] of [[client, link], [link, client]]) side.on('error', () => {}).on('close', () => other.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = (url) => Object.assign(new URL(url), { port: server.address().port }).href;
  const { DATABASE_URL, DATABASE_WORKER_URL } = world.settings;
  return { urls: { DATABASE_URL: at(DATABASE_URL), DATABASE_WORKER_URL: at(DATABASE_WORKER_URL) }, close: () => server.close() };
}

test('commands of the console wait for a database that takes three seconds to let them in', async () => {
  const { urls, close } = await lateDatabase(3000);
  try {
    const late = { ...world.settings, ...urls, ...masters(NEW) };
    assert.match((await runKamd(late, 'rotate-secrets')).stdout, /0 that no key opens$/m);
    await api.as(await makeKey(late, 'auditor')).get('/v1/me');
  } finally {
    close();
  }
});
