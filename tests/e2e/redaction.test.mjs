// Keys, tokens and secrets never come out again: not in a log line at any level, an error, a metric, the history or the events (reliability.md 4.5).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { startReceiver } from './lib/receiver.mjs';
import { signalAll, sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { DEADLINES, makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, receiver;
const canaries = new Map(); // text -> what it is
const said = []; // all answers but those that show a secret, as text

before(async () => {
  world = await openWorld({ own: true, deadlines: DEADLINES, settings: { KAMD_LOG_LEVEL: 'debug', KAMD_WEBHOOK_RETRY_MS: '300,300' } });
  ({ api } = world);
  canaries.set(api.key, 'the key that is used');
});
after(async () => {
  await world?.close();
  await receiver?.stop();
});

const canary = (what, text = `canary${randomBytes(12).toString('hex')}`) => {
  canaries.set(text, what);
  return text;
};
async function say(client, method, path, options) {
  const answer = await client.send(method, path, options).catch((error) => ({ status: 0, headers: {}, text: String(error) }));
  said.push(`${method} ${path.split('?')[0]} ${answer.status} ${JSON.stringify(answer.headers)} ${answer.text}`);
  return answer;
}
const raw = (text) => new Promise((done) => {
  let got = '';
  const socket = connect(Number(api.url.port), api.url.hostname, () => socket.write(text));
  socket.setEncoding('latin1').on('data', (more) => { got += more; }).on('error', () => {}).on('close', () => { said.push(got); done(got); });
  setTimeout(() => socket.end(), 1000);
});

let endpoint, person, calendar;
test('what makes secrets shows them once, to who asked', async () => {
  receiver = await startReceiver();
  const made = await api.call(201, 'POST', '/v1/webhook-endpoints', { body: { url: receiver.url, headers: [{ name: 'Authorization', value: canary('a receiver\'s token', `Bearer ${randomBytes(16).toString('hex')}`) }] }, headers: { 'idempotency-key': unique('key') } });
  assert.doesNotMatch(made.text, /Bearer/);
  endpoint = made.body;
  canary('a webhook secret', endpoint.secret);
  receiver.secret = (await api.call(200, 'POST', `/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, { body: {}, headers: { 'idempotency-key': unique('key') } })).body.secret;
  canary('a rotated webhook secret', receiver.secret);
  person = await api.create('/v1/users', { name: 'Somebody' });
  const token = (await api.call(200, 'POST', `/v1/users/${person.id}/agenda-token`, { body: {}, headers: { 'idempotency-key': unique('key') } })).body;
  calendar = token.url;
  canary('a calendar token', token.token);
  canary('a new key', (await api.call(201, 'POST', '/v1/api-keys', { body: { name: 'x', role: 'auditor' } })).body.key);
  for (const path of ['/v1/webhook-endpoints', `/v1/webhook-endpoints/${endpoint.id}`, `/v1/webhook-endpoints/${endpoint.id}/history`, '/v1/api-keys', `/v1/users/${person.id}`, '/v1/events?page_size=200']) {
    assert.equal((await say(api, 'GET', path)).status, 200, path);
  }
});

test('used rightly and wrongly, in every place where one can be', async () => {
  const nobody = api.as();
  const wrongKey = canary('a wrong key', `kamd_live_${randomBytes(24).toString('hex')}`);
  const wrongToken = canary('a wrong calendar token');
  assert.equal((await say(nobody, 'GET', calendar)).status, 200);
  await say(nobody, 'GET', `/v1/users/${person.id}/agenda.ics?token=${wrongToken}`);
  await say(nobody, 'GET', `${calendar}&other=1`);
  await say(nobody, 'PUT', calendar, { body: {} });
  await say(nobody, 'GET', `/v1/users/nonsense/agenda.ics?token=${wrongToken}`);
  await say(nobody, 'GET', `${calendar}%zz`);
  await say(nobody, 'GET', `${calendar}${'x'.repeat(9000)}`);
  await say(api.as(wrongKey), 'GET', '/v1/accounts');
  for (const authorization of [`Basic ${canary('a basic password')}`, `Bearer ${canary('a token')}`, `bearer  ${canary('a spaced token')}`, canary('no scheme'), `Bearer ${canary('the head of a JWT')}.${canary('its claims')}.${canary('its signature')}`]) {
    await say(nobody, 'GET', '/v1/me', { headers: { authorization } });
  }
  // A key where none belongs, and in requests that are cut off before anything is known of them.
  await say(api, 'GET', `/v1/accounts?api_key=${canary('a key in the query')}`);
  await say(api, 'GET', '/v1/accounts', { headers: { cookie: `session=${canary('a cookie')}`, 'x-api-key': canary('a key in a header') } });
  await raw(`GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${canary('a key of a cut request')}\r\n`);
  await raw(`GET ${calendar.replace(/token=.*/, `token=${canary('a token of a cut request')}`)} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc`);
  await raw(`GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${canary('a key beside a bad line')}\r\nno colon\r\n\r\n`);
  await raw(`GET /v1/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer ${canary('the second of two keys')}\r\n\r\n`);
  for (let i = 0; i < 20; i++) {
    await new Promise((done) => {
      const socket = connect(Number(api.url.port), api.url.hostname, () => socket.write(`GET ${calendar} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${api.key}\r\n\r\n`.repeat(5), () => socket.resetAndDestroy()))
        .on('error', () => {}).on('close', done);
    });
  }
  // Bodies that fail late: in the decoder, by a rule, in the database.
  const account = await makeAccount(api);
  await say(api, 'POST', '/v1/webhook-endpoints', { raw: `{"url": "https://example.com/${canary('a secret in broken JSON')}"` });
  await say(api, 'POST', '/v1/webhook-endpoints', { body: { url: `ftp://example.com/${canary('a secret in a URL')}`, headers: [{ name: 'Authorization', value: `Bearer ${canary('a receiver\'s token')}\n` }] } });
  await say(api, 'POST', '/v1/api-keys', { body: { name: 'x', role: 'member', user_id: account.id, secret: canary('a member that there is not') } });
  nobody.close();
});

test('deliveries that arrive, and some that fail', async () => {
  await makeAccount(api);
  const { errors } = await receiver.wait(({ event }) => event.type === 'account.created', 'a delivery');
  assert.deepEqual(errors, []);
  receiver.answer = () => 500;
  await makeAccount(api);
  const failed = () => api.get(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}&page_size=50`).then(({ data }) => data.find(({ state }) => state === 'failed' || state === 'dead' || state === 'retrying'));
  const delivery = await until(failed, { ms: 30_000, what: 'a failure' });
  await say(api, 'GET', `/v1/webhook-deliveries/${delivery.id}`);
  await say(api, 'GET', `/v1/webhook-deliveries/${delivery.id}/attempts`);
});

test('with the database and Redis gone', async () => {
  world.stack.killPostgres();
  signalAll([world.stack.redis()], 'SIGKILL');
  for (const client of [api, api.as([...canaries.keys()].find((text) => text.startsWith('kamd_live_') && text !== api.key))]) {
    for (const path of ['/v1/me', '/v1/accounts', calendar]) await say(client, 'GET', path);
    await say(client, 'POST', `/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, { body: {} });
  }
  await world.stack.start();
  await until(async () => (await api.send('GET', '/readyz')).status === 200, { ms: 30_000, what: 'kamd being ready again' });
});

// What shows a secret itself is not in `said`; the calendar's own file and its own path are the caller's.
test('none of it is found anywhere', async () => {
  const [kamd] = world.kamds;
  const metrics = (await api.at(kamd.adminUrl).send('GET', '/metrics')).text;
  const tables = sql(world.settings, "select string_agg(format('%I', relname), ',') from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace").split(',');
  assert.ok(tables.includes('history') && tables.includes('event'), tables.join());
  const rows = sql(world.settings, tables.map((table) => `select t::text from ${table} t`).join(' union all '));
  await kamd.stop();
  world.kamds.splice(0);
  const places = { 'the log': kamd.log(), 'the metrics': metrics, 'the tables': rows, 'an answer': said.join('\n') };
  assert.ok(kamd.log().split('\n').length > 50 && canaries.size > 20, 'there is something to look through');
  for (const [text, what] of canaries) {
    // Base64 of a secret's bytes, and the longest piece of a key: what is shown of it is its beginning.
    const pieces = [text, ...(text.startsWith('kamd_live_') ? [text.slice(18)] : []), ...(text.startsWith('whsec_') ? [text.slice(6)] : [])];
    for (const [place, all] of Object.entries(places)) for (const piece of pieces) {
      const at = all.indexOf(piece);
      assert.ok(at < 0, `${place} has ${what}: ${all.slice(Math.max(0, at - 200), at + 60)}`);
    }
  }
});
