// Webhook endpoints through the API: secrets, addresses, filters, order, dead letters, and what is
// told of deliveries. Signatures are verified by two libraries that other people wrote.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Webhook as Standard } from 'standardwebhooks';
import { places } from './lib/client.mjs';
import { startReceiver, subscribe } from './lib/receiver.mjs';
import { freePort } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
const opened = [];

before(async () => {
  // No attempt ends by the clock: a handshake with a server in this process takes as long as the machine is busy.
  world = await openWorld({ settings: { KAMD_WEBHOOK_RETRY_MS: '200,200,200', KAMD_WEBHOOK_CONNECT_MS: '60000', KAMD_WEBHOOK_TOTAL_MS: '120000' } });
  api = world.api;
});
// Each test has receivers of its own; endpoints without one must not go on trying.
afterEach(async () => {
  for (const endpoint of await api.all('/v1/webhook-endpoints')) await api.remove(`/v1/webhook-endpoints/${endpoint.id}`, endpoint.etag);
  await Promise.all(opened.splice(0).map((receiver) => receiver.stop()));
});
after(() => world?.close());

async function listen(answer) {
  const receiver = await startReceiver(answer);
  opened.push(receiver);
  return receiver;
}
const deliveries = async (endpoint, query = '') => api.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}${query}`);
const verifies = (secret, { body, headers }) => {
  try {
    new Standard(secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
};

test('a new endpoint: its secret is shown once, and signs what comes', async () => {
  const receiver = await listen();
  const earlier = await makeAccount(api);
  const endpoint = await subscribe(api, receiver, ['account.*']);
  assert.match(endpoint.secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  assert.deepEqual([endpoint.state, endpoint.ordering, endpoint.payload, endpoint.event_types], ['enabled', 'parallel', 'thin', ['account.*']]);
  assert.equal((await api.get(`/v1/webhook-endpoints/${endpoint.id}`)).secret, undefined);
  assert.ok((await api.all('/v1/webhook-endpoints')).every(({ secret }) => secret === undefined));

  const account = await makeAccount(api);
  const { event, headers, errors } = await receiver.wait(({ event: { data } }) => data?.account_id === account.id, 'the webhook');
  assert.deepEqual(errors, []);
  assert.equal(headers['webhook-id'], event.id);
  assert.equal(headers['content-type'], 'application/json');
  assert.deepEqual(Object.keys(event), ['id', 'type', 'timestamp', 'sequence', 'api_version', 'data', 'previous']);
  assert.deepEqual([event.type, event.sequence, event.api_version, event.data.version], ['account.created', 1, 'v1', 1]);
  assert.match(event.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  // The same as in the log to pull from.
  const { data: log } = await api.get(`/v1/events?account_id=${account.id}`);
  for (const name of Object.keys(event)) assert.deepEqual(log[0][name], event[name], name);
  // Nothing of before the endpoint was there.
  await sleep(500);
  assert.ok(!receiver.deliveries.some(({ event: { data } }) => data.account_id === earlier.id));
});

test('the same request again gives the same secret, and one endpoint', async () => {
  const headers = { 'idempotency-key': unique('endpoint') };
  const body = { url: 'https://example.com/hook', description: unique('Twice') };
  const first = await api.call(201, 'POST', '/v1/webhook-endpoints', { body, headers });
  const again = await api.call(201, 'POST', '/v1/webhook-endpoints', { body, headers });
  assert.equal(again.headers['idempotency-replayed'], 'true');
  assert.equal(again.text, first.text);
  assert.match(again.body.secret, /^whsec_/);
  assert.equal((await api.all('/v1/webhook-endpoints')).filter(({ description }) => description === body.description).length, 1);
  const rotate = () => api.call(200, 'POST', `/v1/webhook-endpoints/${first.body.id}/rotate-secret`, { body: {}, headers: { 'idempotency-key': 'r1' } });
  assert.equal((await rotate()).text, (await rotate()).text);
});

test('rotation: both secrets sign until the grace is over', async () => {
  const receiver = await listen();
  const endpoint = await subscribe(api, receiver, ['webhook.ping']);
  const ping = async () => {
    const { body } = await api.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/test`, { body: {} });
    return receiver.wait(({ id }) => id === body.event_id, 'the ping');
  };
  assert.ok(verifies(endpoint.secret, await ping()));
  const { body: second } = await api.call(200, 'POST', `/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, { body: { grace_seconds: 600 } });
  assert.notEqual(second.secret, endpoint.secret);
  assert.ok(Date.parse(second.previous_expire_at) > Date.now() + 590_000);
  let delivery = await ping();
  assert.ok(verifies(endpoint.secret, delivery) && verifies(second.secret, delivery));
  const { body: third } = await api.call(200, 'POST', `/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, { body: { grace_seconds: 0 } });
  delivery = await ping();
  assert.deepEqual([endpoint, second, third].map(({ secret }) => verifies(secret, delivery)), [false, false, true]);
  for (const grace of [-1, 604801, 'x', 1.5]) {
    const answer = await api.send('POST', `/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, { body: { grace_seconds: grace } });
    assert.ok([400, 422].includes(answer.status), `${grace}: ${answer.status}`);
    assert.deepEqual(places(answer.body), ['/grace_seconds']);
  }
});

test('a ping goes to its endpoint alone, whatever types it wants', async () => {
  const [one, other] = [await listen(), await listen()];
  const endpoint = await subscribe(api, one, ['review.*']);
  await subscribe(api, other, []);
  const { body } = await api.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/test`, { body: {} });
  const { event, errors } = await one.wait(({ id }) => id === body.event_id, 'the ping');
  assert.deepEqual(errors, []);
  assert.deepEqual([event.type, event.data.webhook_endpoint_id], ['webhook.ping', endpoint.id]);
  await sleep(500);
  assert.equal(other.of('webhook.ping').length, 0);
});

test('addresses that webhooks may not go to', async () => {
  const bad = ['', 'x', '/hook', 'ftp://example.com/', 'file:///etc/passwd', 'https://', 'https://u:p@example.com/', 'https://10.0.0.1/', 'https://169.254.169.254/latest',
    'https://[::1]/', 'https://[::ffff:10.0.0.1]/', 'https://0xa000001/', 'https://192.168.1.1/', 'http://0/', 'https://example.com/#x', 'https://exa mple.com/', 'gopher://example.com/'];
  for (const url of bad) {
    const answer = await api.send('POST', '/v1/webhook-endpoints', { body: { url } });
    assert.equal(answer.status, 422, `${url}: ${answer.text}`);
    assert.deepEqual(places(answer.body), ['/url'], url);
  }
  const made = await api.create('/v1/webhook-endpoints', { url: 'https://example.com/hook' });
  const patch = await api.send('PATCH', `/v1/webhook-endpoints/${made.id}`, { body: { url: 'https://10.0.0.1/' }, headers: { 'if-match': made.etag } });
  assert.equal(patch.status, 422);
  assert.deepEqual(places(patch.body), ['/url']);
});

test('types and accounts choose what comes; a change of them holds from then on', async () => {
  const receiver = await listen();
  const [account, other] = [await makeAccount(api), await makeAccount(api)];
  const made = await api.create('/v1/webhook-endpoints', { url: receiver.url, event_types: ['contact.created', 'plan.*'], account_ids: [account.id] });
  receiver.secret = made.secret;
  const contact = (under) => api.create('/v1/contacts', { account_id: under.id, family_name: unique('Name') });
  await contact(other);
  const mine = await contact(account);
  await api.patch(`/v1/contacts/${mine.id}`, mine.etag, { title: 'Head' });
  await api.create('/v1/plans', { account_id: account.id, title: 'Plan', period_start: '2026-01-01', period_end: '2026-12-31' });
  await receiver.wait(({ event }) => event.type === 'plan.created', 'the plan');
  await sleep(500);
  assert.deepEqual(receiver.deliveries.map(({ event }) => event.type), ['contact.created', 'plan.created']);
  await api.patch(`/v1/webhook-endpoints/${made.id}`, made.etag, { account_ids: [], event_types: ['contact.updated'] });
  const theirs = await contact(other);
  await api.patch(`/v1/contacts/${theirs.id}`, theirs.etag, { title: 'Head' });
  await receiver.wait(({ event }) => event.type === 'contact.updated' && event.data.contact_id === theirs.id, 'the other account');
});

test('order of an account: nothing overtakes the one that fails', async () => {
  let stubborn;
  const receiver = await listen(({ event }, nth) => (event.data?.account_id === stubborn?.id && nth <= 2 ? 500 : 200));
  const made = await api.create('/v1/webhook-endpoints', { url: receiver.url, event_types: ['account.*'], ordering: 'account' });
  receiver.secret = made.secret;
  stubborn = await makeAccount(api);
  const easy = await makeAccount(api);
  for (let i = 0; i < 4; i++) {
    for (const { id } of [stubborn, easy]) {
      const now = await api.get(`/v1/accounts/${id}`);
      await api.patch(`/v1/accounts/${id}`, now.etag, { industry: `steel ${i}` });
    }
  }
  const taken = (id) => receiver.deliveries.filter(({ event, status }) => status === 200 && event.data.account_id === id).map(({ event }) => event.sequence);
  await until(() => taken(stubborn.id).length >= 5, { ms: 30_000, what: 'all events of the account that fails' });
  for (const { id } of [stubborn, easy]) assert.deepEqual(taken(id), [1, 2, 3, 4, 5]);
  assert.deepEqual(receiver.deliveries.flatMap(({ errors }) => errors), []);
});

test('what fails for good is kept, told, and sent again on request', async () => {
  const receiver = await listen(() => 500);
  const endpoint = await subscribe(api, receiver, ['account.created']);
  const account = await makeAccount(api);
  const dead = await until(async () => (await deliveries(endpoint, '&state=exhausted'))[0], { what: 'the dead letter' });
  assert.deepEqual([dead.event_type, dead.attempt_count, dead.account_id, dead.endpoint_id, dead.last_status, dead.next_attempt_at],
    ['account.created', 4, account.id, endpoint.id, 500, null]);
  assert.equal(receiver.deliveries.length, 4);
  assert.equal(dead.event_id, receiver.deliveries[0].id);
  const { data: attempts } = await api.get(`/v1/webhook-deliveries/${dead.id}/attempts`);
  assert.deepEqual(attempts.map(({ n, status, error, address }) => [n, status, error, address]), [1, 2, 3, 4].map((n) => [n, 500, null, '127.0.0.1']));
  assert.ok(attempts.every(({ started_at: at, duration_ms: ms }) => Date.parse(at) > 0 && ms >= 0));
  receiver.answer = () => 200;
  const { body: again } = await api.call(202, 'POST', `/v1/webhook-deliveries/${dead.id}/retry`, { body: {} });
  assert.equal(again.id, dead.id);
  await until(async () => (await deliveries(endpoint, '&state=delivered')).some(({ id, attempt_count: n }) => id === dead.id && n === 5), { what: 'the delivery' });
  assert.deepEqual(await deliveries(endpoint, '&state=exhausted'), []);
  assert.equal(new Set(receiver.deliveries.map(({ body }) => body)).size, 1);
});

test('while the receiver fails: failed, with the time of the next attempt; what waits is pending', async () => {
  const receiver = await listen(() => 503);
  const endpoint = await subscribe(api, receiver, ['account.created']);
  for (let i = 0; i < 12; i++) await makeAccount(api);
  await until(async () => {
    const rows = await deliveries(endpoint);
    return rows.length === 12 && rows.some(({ state, next_attempt_at: at }) => state === 'failed' && Date.parse(at) > 0) && rows;
  }, { what: 'all twelve, some failed' });
  await until(async () => (await deliveries(endpoint)).every(({ state }) => state === 'exhausted'), { ms: 60_000, what: 'all given up' });
  assert.equal(receiver.deliveries.length, 48);
});

test('410 disables the endpoint; enabled again it gets what it missed', async () => {
  const receiver = await listen(() => 410);
  const endpoint = await subscribe(api, receiver, ['account.*']);
  await makeAccount(api);
  const disabled = await until(async () => {
    const now = await api.get(`/v1/webhook-endpoints/${endpoint.id}`);
    return now.state === 'disabled' && now;
  }, { what: 'the endpoint being disabled' });
  assert.match(disabled.disabled_reason, /410/);
  const missed = await makeAccount(api);
  await api.fails(409, 'conflict', 'POST', `/v1/webhook-endpoints/${endpoint.id}/test`, { body: {} });
  const came = receiver.deliveries.length;
  await sleep(500);
  assert.equal(receiver.deliveries.length, came);
  receiver.answer = () => 200;
  const { body: enabled } = await api.call(200, 'POST', `/v1/webhook-endpoints/${endpoint.id}/enable`, { body: {} });
  assert.deepEqual([enabled.state, enabled.disabled_reason], ['enabled', null]);
  await receiver.wait(({ event, status }) => status === 200 && event.data.account_id === missed.id, 'what it missed');
  assert.equal((await receiver.wait(({ status }) => status === 200, 'the first one again')).errors.length, 0);
});

test('a deleted endpoint gets nothing more; a restored one gets what came meanwhile', async () => {
  const receiver = await listen();
  const endpoint = await subscribe(api, receiver, ['account.created']);
  await makeAccount(api);
  await receiver.wait(() => true, 'the first');
  const now = await api.get(`/v1/webhook-endpoints/${endpoint.id}`);
  await api.remove(`/v1/webhook-endpoints/${endpoint.id}`, now.etag);
  await api.call(404, 'POST', `/v1/webhook-endpoints/${endpoint.id}/test`, { body: {} });
  await api.call(404, 'POST', `/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, { body: {} });
  await makeAccount(api);
  await sleep(700);
  assert.equal(receiver.deliveries.length, 1);
  await api.call(200, 'POST', `/v1/webhook-endpoints/${endpoint.id}/restore`, { body: {} });
  await until(() => receiver.deliveries.length === 2, { what: 'what came meanwhile' });
});

test('the list of deliveries: pages, filters, and what is no parameter', async () => {
  const receiver = await listen();
  const endpoint = await subscribe(api, receiver, ['account.created']);
  const records = Array.from({ length: 25 }, () => ({ name: unique('Listed') }));
  await api.call(200, 'POST', '/v1/accounts/bulk', { body: { records }, headers: { 'idempotency-key': unique('bulk') } });
  await until(async () => (await deliveries(endpoint, '&state=delivered')).length === 25, { what: '25 delivered' });
  const pages = await api.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}`, 7);
  assert.equal(new Set(pages.map(({ id }) => id)).size, 25);
  assert.deepEqual(pages.map(({ id }) => id), pages.map(({ id }) => id).sort().reverse());
  assert.deepEqual(new Set(pages.map(({ event_id: id }) => id)), new Set(receiver.deliveries.map(({ id }) => id)));
  assert.deepEqual(await deliveries(endpoint, '&state=pending'), []);
  const { page } = await api.get(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}&page_size=7`);
  await api.fails(400, 'invalid_cursor', 'GET', `/v1/webhook-deliveries?page_size=7&cursor=${encodeURIComponent(page.next_cursor)}`);
  for (const query of ['endpoint_id=x', 'state=lost', 'page_size=0', 'order_by=id', 'event=1']) await api.fails(400, 'invalid_request', 'GET', `/v1/webhook-deliveries?${query}`);
  const nobody = '01970000-0000-7000-8000-000000000000';
  await api.call(404, 'GET', `/v1/webhook-deliveries/${nobody}/attempts`);
  await api.call(404, 'POST', `/v1/webhook-deliveries/${nobody}/retry`, { body: {} });
});

test('a certificate that nobody vouches for', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-tls-'));
  let server;
  try {
    try {
      execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2',
        '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
    } catch {
      return t.skip('no openssl to make a certificate with');
    }
    let asked = 0;
    server = createTlsServer({ key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) }, (_, response) => { asked++; response.end(); });
    const port = await freePort();
    await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
    const endpoint = await api.create('/v1/webhook-endpoints', { url: `https://127.0.0.1:${port}/`, event_types: ['account.created'] });
    await makeAccount(api);
    const failed = await until(async () => (await deliveries(endpoint)).find(({ state }) => state === 'exhausted'), { what: 'giving up' });
    const { data: attempts } = await api.get(`/v1/webhook-deliveries/${failed.id}/attempts`);
    assert.ok(attempts.every(({ status, error }) => status === null && error === 'certificate_not_trusted'), JSON.stringify(attempts));
    assert.equal(asked, 0);
  } finally {
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('only those who may: endpoints, secrets and deliveries are for admins, directors and integrations', async () => {
  const user = await api.create('/v1/users', { name: unique('Person') });
  const made = await api.create('/v1/webhook-endpoints', { url: 'https://example.com/hook' });
  for (const role of ['account_manager', 'member']) {
    const theirs = await world.clientOf(role, { user_id: user.id });
    for (const [method, path, body] of [['POST', '/v1/webhook-endpoints', { url: 'https://example.com' }], ['POST', `/v1/webhook-endpoints/${made.id}/rotate-secret`, {}],
      ['POST', `/v1/webhook-endpoints/${made.id}/test`, {}], ['GET', '/v1/webhook-deliveries']]) {
      await theirs.fails(403, 'forbidden', method, path, { body });
    }
    theirs.close();
  }
});
