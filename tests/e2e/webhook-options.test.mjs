// What an endpoint may choose beside types and accounts; keys that anybody can verify by; how one that only fails is warned of and disabled.
import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { after, afterEach, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { startReceiver, subscribe } from './lib/receiver.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
const opened = [];

before(async () => {
  // What is done between two attempts has a second and a half where it is quick, and where it is not there are still attempts to come.
  world = await openWorld({ settings: { KAMD_WEBHOOK_RETRY_MS: [1500, ...Array(30).fill(500)].join(',') } });
  api = world.api;
});
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
async function register(fields, answer) {
  const receiver = await listen(answer);
  const endpoint = await api.create('/v1/webhook-endpoints', { url: receiver.url, ...fields });
  receiver.secret = endpoint.secret;
  return { receiver, endpoint };
}
const query = (statement) => sql(world.settings, statement);
// Signed by every key that is published, as somebody without any secret would find.
function verifiedBy(keys, { headers, body }) {
  const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  const signatures = headers['webhook-signature'].split(' ').filter((one) => one.startsWith('v1a,')).map((one) => Buffer.from(one.slice(4), 'base64'));
  return keys.filter(({ public_key: text }) => {
    const x = Buffer.from(text.replace(/^whpk_/, ''), 'base64').toString('base64url');
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
    return signatures.some((signature) => verify(null, signed, key, signature));
  }).map(({ id }) => id);
}
async function ping({ endpoint, receiver }) {
  const { body } = await api.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/test`, { body: {} });
  return receiver.wait(({ id }) => id === body.event_id, 'the ping');
}

test('headers of its own are sent, beside those that are signed', async () => {
  const it = await register({ headers: [{ name: 'X-Tenant', value: 'north 1' }, { name: 'Authorization', value: 'Bearer abc' }] });
  assert.deepEqual(it.endpoint.headers.map(({ name }) => name), ['X-Tenant', 'Authorization']);
  for (const { value } of it.endpoint.headers) assert.match(value, /^sealed:[0-9a-f-]{36}$/);
  const { headers, errors } = await ping(it);
  assert.deepEqual([errors, headers['x-tenant'], headers.authorization], [[], 'north 1', 'Bearer abc']);
  const now = await api.get(`/v1/webhook-endpoints/${it.endpoint.id}`);
  await api.patch(`/v1/webhook-endpoints/${it.endpoint.id}`, now.etag, { headers: Array.from({ length: 10 }, (_, i) => ({ name: `X-${i}`, value: `${i}` })) });
  const second = await ping(it);
  assert.deepEqual([second.errors, second.headers['x-tenant'], second.headers['x-0'], second.headers['x-9']], [[], undefined, '0', '9']);
});

test('values of headers are sealed: a reference keeps one, at its own endpoint only, and what is replaced is forgotten', async () => {
  const it = await register({ headers: [{ name: 'X-One', value: 'first' }, { name: 'X-Two', value: 'second' }] });
  const path = `/v1/webhook-endpoints/${it.endpoint.id}`;
  const [one, two] = it.endpoint.headers;
  const stored = () => Number(query(`select count(*) from webhook_header where endpoint_id = '${it.endpoint.id}'`));
  // What was read is sent back with a change: as a form does it.
  const kept = await api.patch(path, it.endpoint.etag, { headers: [two, { name: 'X-New', value: 'third' }] });
  assert.deepEqual([kept.headers[0], kept.headers[1].name, stored()], [two, 'X-New', 2]);
  const { headers } = await ping(it);
  assert.deepEqual([headers['x-one'], headers['x-two'], headers['x-new']], [undefined, 'second', 'third']);
  const untouched = await api.patch(path, kept.etag, { description: 'The same headers' });
  assert.deepEqual([untouched.headers, stored()], [kept.headers, 2]);
  const other = await register({});
  for (const value of [two.value, one.value, 'sealed:nonsense', 'sealed:01970000-0000-7000-8000-000000000000']) {
    const refused = await api.send('PATCH', `/v1/webhook-endpoints/${other.endpoint.id}`, { body: { headers: [{ name: 'X-A', value }] }, headers: { 'if-match': other.endpoint.etag } });
    assert.deepEqual([refused.status, places(refused.body)], [422, ['/headers/0/value']], value);
    const made = await api.send('POST', '/v1/webhook-endpoints', { body: { url: 'https://example.com/', headers: [{ name: 'X-A', value }] } });
    assert.equal(made.status, 422, value);
  }
  await api.fails(412, 'precondition_failed', 'PATCH', path, { body: { headers: [] }, headers: { 'if-match': it.endpoint.etag } });
  await api.fails(404, 'not_found', 'PATCH', '/v1/webhook-endpoints/01970000-0000-7000-8000-000000000000', { body: { headers: [{ name: 'X-A', value: 'x' }] }, headers: { 'if-match': '"a"' } });
  await api.patch(path, untouched.etag, { headers: [] });
  assert.equal(stored(), 0);
  for (const secret of ['first', 'second', 'third']) assert.equal(query(`select count(*) from history h where h::text like '%"${secret}"%'`), '0', secret);
});

test('headers that HTTP, the message or its signature needs are refused', async () => {
  const refuse = async (headers, place) => {
    const answer = await api.send('POST', '/v1/webhook-endpoints', { body: { url: 'https://example.com/', headers } });
    assert.equal(answer.status, 422, `${JSON.stringify(headers)}: ${answer.text}`);
    assert.deepEqual(places(answer.body), [place], JSON.stringify(headers));
  };
  for (const name of ['Host', 'connection', 'Transfer-Encoding', 'TE', 'Upgrade', 'Proxy-Authorization', 'Content-Length', 'content-type', 'Webhook-Id', 'WEBHOOK-SIGNATURE', 'svix-id',
    'Expect', 'User-Agent', 'traceparent', 'a b', 'a:', 'é', '']) await refuse([{ name, value: 'x' }], '/headers/0/name');
  for (const value of ['', 'a\r\nHost: b', 'a\nb', 'é', ' a', 'a ', 'x'.repeat(1001)]) await refuse([{ name: 'X-A', value }], '/headers/0/value');
  await refuse([{ name: 'X-A', value: '1' }, { name: 'x-a', value: '2' }], '/headers/1/name');
  await refuse(Array.from({ length: 11 }, (_, i) => ({ name: `X-${i}`, value: 'x' })), '/headers');
});

test('by tier and key status of the account, and by what changed', async () => {
  const [key, plain] = [await makeAccount(api), await makeAccount(api)];
  await api.call(201, 'POST', `/v1/accounts/${key.id}/designate`, { body: {} });
  const byStatus = await register({ event_types: ['contact.*'], account_key_statuses: ['key', 'at_risk'] });
  const byTier = await register({ event_types: ['contact.*'], account_tiers: ['C'] });
  const byField = await register({ event_types: ['contact.*'], changed_fields: ['title'] });
  query(`update account_status set tier = 'A' where account_id = '${key.id}'`);
  for (const under of [plain, key]) {
    const made = await api.create('/v1/contacts', { account_id: under.id, family_name: unique('Name') });
    const second = await api.patch(`/v1/contacts/${made.id}`, made.etag, { family_name: unique('Other') });
    await api.patch(`/v1/contacts/${made.id}`, second.etag, { title: 'Head' });
  }
  const types = ['contact.created', 'contact.updated', 'contact.updated'];
  const accounts = ({ receiver }) => receiver.deliveries.map(({ event }) => event.data.account_id);
  await until(() => accounts(byStatus).length >= 3 && accounts(byTier).length >= 3 && accounts(byField).length >= 4, { what: 'all that are wanted' });
  assert.deepEqual(new Set(accounts(byStatus)), new Set([key.id]));
  assert.deepEqual(new Set(accounts(byTier)), new Set([plain.id]));
  assert.deepEqual(byStatus.receiver.deliveries.map(({ event }) => event.type).sort(), types);
  // What names no fields comes whatever changed.
  for (const { event } of byField.receiver.deliveries) assert.ok(event.type === 'contact.created' || event.data.changed_fields.includes('title'), JSON.stringify(event));
  assert.equal(byField.receiver.of('contact.updated').length, 2);
  // The list of deliveries has the same view of what is wanted, also of what has not gone out.
  const { data } = await api.get(`/v1/webhook-deliveries?endpoint_id=${byTier.endpoint.id}`);
  assert.deepEqual(new Set(data.map(({ account_id: id }) => id)), new Set([plain.id]));
  for (const wrong of [{ account_tiers: ['D'] }, { account_key_statuses: ['lost'] }, { changed_fields: ['A b'] }]) {
    const answer = await api.send('POST', '/v1/webhook-endpoints', { body: { url: 'https://example.com/', ...wrong } });
    assert.ok([400, 422].includes(answer.status), answer.text);
  }
});

test('payload full: the record as its owner reads it; thin stays as it is', async () => {
  const full = await register({ event_types: ['account.*', 'contact.*'], payload: 'full' });
  const thin = await register({ event_types: ['account.*'] });
  const account = await makeAccount(api, { industry: 'steel' });
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Ørsted', email: `${unique('a')}@example.com`.toLowerCase() });
  const about = (type) => full.receiver.wait(({ event }) => event.type === type && event.data.account_id === account.id, type);
  const made = await about('contact.created');
  assert.deepEqual(made.errors, []);
  const { etag: _, ...record } = await api.get(`/v1/contacts/${contact.id}`);
  assert.deepEqual(made.event.record, record);
  assert.equal((await about('account.created')).event.record.industry, 'steel');
  const { event } = await thin.receiver.wait(({ event: { data } }) => data.account_id === account.id, 'the thin one');
  assert.ok(!('record' in event));
  await api.remove(`/v1/contacts/${contact.id}`, contact.etag);
  assert.equal((await about('contact.deleted')).event.record, null);
});

test('payload full holds only the areas that its owner has, and nothing of accounts that it does not see', async () => {
  const user = await api.create('/v1/users', { name: unique('Owner') });
  const mine = await makeAccount(api, { manager_id: user.id });
  const other = await makeAccount(api);
  const { receiver, endpoint } = await register({ event_types: ['contact.created', 'problem.created'], payload: 'full' });
  const PROBLEMS = 14; // area.h: AREA_PROBLEMS
  query(`update account_access set areas = 1 << ${PROBLEMS} where user_id = '${user.id}' and account_id = '${mine.id}';
    update webhook_endpoint set owner_scope = 'acl', owner_user_id = '${user.id}' where id = '${endpoint.id}'`);
  for (const { id } of [other, mine]) {
    await api.create('/v1/contacts', { account_id: id, family_name: 'Hidden' });
    await api.create(`/v1/accounts/${id}/problems`, { category: 'other', severity: 'low', title: 'It squeaks', opened_at: '2026-11-20T10:00:00Z' });
  }
  const problem = await receiver.wait(({ event }) => event.type === 'problem.created', 'the problem');
  const held = await until(() => api.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}&state=withheld`).then((all) => all.length > 0 && all), { what: 'the contact being withheld' });
  assert.deepEqual(held.map(({ event_type: type, account_id: id }) => [type, id]), [['contact.created', mine.id]]);
  assert.equal(problem.event.record.title, 'It squeaks');
  assert.ok(!receiver.deliveries.some(({ body }) => body.includes('Hidden')));
  assert.deepEqual(new Set(receiver.deliveries.map(({ event }) => event.data.account_id)), new Set([mine.id]));
});

test('signatures that need no secret: published keys, also in the middle of a rotation', async () => {
  const it = await register({ event_types: ['webhook.ping'] });
  const published = async () => (await api.call(200, 'GET', '/.well-known/webhook-keys', { headers: { authorization: '' } })).body.keys;
  const first = await published();
  assert.equal(first.length, 1);
  assert.match(first[0].public_key, /^whpk_[A-Za-z0-9+/]{43}=$/);
  assert.deepEqual([first[0].algorithm, first[0].expires_at], ['ed25519', null]);
  const one = await ping(it);
  assert.deepEqual([one.errors, verifiedBy(first, one)], [[], [first[0].id]]);
  assert.deepEqual(verifiedBy(first, { ...one, body: `${one.body} ` }), []);
  const { body } = await api.call(200, 'POST', '/v1/webhook-keys/rotate', { body: { grace_seconds: 600 } });
  assert.deepEqual(body.keys, await published());
  assert.equal(body.keys.length, 2);
  const both = await ping(it);
  assert.deepEqual([both.errors, verifiedBy(body.keys, both).length, verifiedBy(first, both)], [[], 2, [first[0].id]]);
  const { body: last } = await api.call(200, 'POST', '/v1/webhook-keys/rotate', { body: { grace_seconds: 0 } });
  assert.equal(last.keys.length, 1);
  const only = await ping(it);
  assert.deepEqual([verifiedBy(last.keys, only).length, verifiedBy(body.keys, only)], [1, []]);
  const user = await api.create('/v1/users', { name: unique('Person') });
  const manager = await world.clientOf('account_manager', { user_id: user.id });
  await manager.fails(403, 'forbidden', 'POST', '/v1/webhook-keys/rotate', { body: {} });
  manager.close();
});

test('ten secrets are live at most, and all of them sign', async () => {
  const it = await register({ event_types: ['webhook.ping'] });
  const rotate = (status, body) => api.call(status, 'POST', `/v1/webhook-endpoints/${it.endpoint.id}/rotate-secret`, { body });
  for (let i = 1; i < 10; i++) await rotate(200, { grace_seconds: 604800 });
  await rotate(409, {});
  const delivery = await ping(it);
  assert.deepEqual(delivery.errors, []); // by the first of them
  assert.equal(delivery.headers['webhook-signature'].split(' ').filter((one) => one.startsWith('v1,')).length, 10);
  await rotate(200, { grace_seconds: 0 }); // the others end, so there is room
});

test('half of the time of only failures: a warning; all of it: disabled, and said', async () => {
  const told = await register({ event_types: ['webhook.failing', 'webhook.disabled'] });
  const { endpoint } = await register({ event_types: ['account.created'] }, () => 500);
  const since = (interval) => query(`update webhook_endpoint_state set failing_since = now() - interval '${interval}', next_at = null where endpoint_id = '${endpoint.id}'`);
  await makeAccount(api);
  await until(() => query(`select failures from webhook_endpoint_state where endpoint_id = '${endpoint.id}'`) > 0, { what: 'a failure' });
  since('2 days 13 hours');
  await makeAccount(api);
  const warning = await told.receiver.wait(({ event }) => event.type === 'webhook.failing', 'the warning');
  assert.equal(warning.event.data.webhook_endpoint_id, endpoint.id);
  assert.equal(Date.parse(warning.event.data.disable_at) - Date.parse(warning.event.data.failing_since), 5 * 86_400_000);
  assert.equal((await api.get(`/v1/webhook-endpoints/${endpoint.id}`)).state, 'enabled');
  await makeAccount(api);
  await until(async () => {
    since('5 days 1 minute');
    return (await api.get(`/v1/webhook-endpoints/${endpoint.id}`)).state === 'disabled';
  }, { ms: 30_000, what: 'it being disabled' });
  const end = await told.receiver.wait(({ event }) => event.type === 'webhook.disabled', 'the end');
  assert.deepEqual([end.event.data.webhook_endpoint_id, end.event.data.reason], [endpoint.id, 'Every attempt has failed for five days.']);
  assert.equal(told.receiver.of('webhook.failing').length, 1);
});

test('410 is told of', async () => {
  const told = await register({ event_types: ['webhook.disabled'] });
  const { endpoint } = await register({ event_types: ['account.created'] }, () => 410);
  await makeAccount(api);
  const { event } = await told.receiver.wait(() => true, 'that it is disabled');
  assert.deepEqual([event.type, event.data.webhook_endpoint_id, event.data.reason], ['webhook.disabled', endpoint.id, 'The receiver answered 410 Gone.']);
});

test('half of twenty within a minute failed, never five in a row: the breaker opens, and closes again', async () => {
  let bad = true;
  let nth = 0;
  const { receiver, endpoint } = await register({ event_types: ['account.created'] }, () => (bad && nth++ % 2 === 0 ? 500 : 200));
  const opened = () => Number(query(`select opened from webhook_endpoint_state where endpoint_id = '${endpoint.id}'`));
  for (let i = 0; i < 30; i++) await makeAccount(api);
  await until(opened, { what: 'the breaker' });
  bad = false;
  await until(async () => (await api.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}&state=delivered`)).length === 30, { ms: 30_000, what: 'all of them' });
  await until(() => opened() === 0, { what: 'the breaker being closed' });
  assert.equal(new Set(receiver.deliveries.filter(({ status }) => status === 200).map(({ id }) => id)).size, 30);
});

test('an event in an area that the owner may not read at the time of the attempt is withheld, and a replay asks again (004-25)', async () => {
  const user = await api.create('/v1/users', { name: unique('Owner') });
  const account = await makeAccount(api, { manager_id: user.id });
  let status = 200;
  const { receiver, endpoint } = await register({ event_types: ['account.key_status.*', 'contact.created'], ordering: 'account' }, () => status);
  const ALL = (1 << 18) - 1, ECONOMICS = 12; // area.h
  const areas = (mask) => query(`update account_access set areas = ${mask} where user_id = '${user.id}' and account_id = '${account.id}'`);
  query(`update webhook_endpoint set owner_scope = 'acl', owner_user_id = '${user.id}' where id = '${endpoint.id}'`);
  areas(ALL & ~(1 << ECONOMICS));
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: {} });
  await api.create('/v1/contacts', { account_id: account.id, family_name: 'After' });
  await receiver.wait(({ event }) => event.type === 'contact.created', 'the contact: nothing waits for what is withheld');
  const withheld = () => api.all(`/v1/webhook-deliveries?endpoint_id=${endpoint.id}&state=withheld`);
  const [held, ...others] = await withheld();
  assert.deepEqual([held.event_type, held.attempt_count, others.length], ['account.key_status.designated', 0, 0]);
  assert.equal((await api.get(`/v1/webhook-endpoints/${endpoint.id}/stats`)).withheld, 1);
  assert.ok(!receiver.deliveries.some(({ event }) => event.type.startsWith('account.key_status')));

  // With the area it is sent, and its explanation with it.
  areas(ALL);
  await api.call(202, 'POST', `/v1/webhook-endpoints/${endpoint.id}/replay`, { body: { since: '2020-01-01T00:00:00Z', only_failed: true } });
  const { event, errors } = await receiver.wait(({ event: { type } }) => type === 'account.key_status.designated', 'what was withheld');
  assert.deepEqual(errors, []);
  assert.ok(Array.isArray(event.data.contributions) && Array.isArray(event.data.missing) && 'criteria_version' in event.data, JSON.stringify(event.data));
  await until(async () => (await withheld()).length === 0, { what: 'it being delivered' });

  // Taken away between two attempts: it is not tried again.
  status = 500;
  await api.call(200, 'POST', `/v1/accounts/${account.id}/de-designate`, { body: { reason: 'Left us' } });
  await receiver.wait((delivery) => delivery.status === 500, 'the first attempt');
  areas(ALL & ~(1 << ECONOMICS));
  const [last] = await until(async () => {
    const found = await withheld();
    return found.length > 0 && found;
  }, { ms: 30_000, what: 'it being withheld' });
  assert.ok(last.event_type.startsWith('account.key_status.') && last.attempt_count >= 1);
  // The same for one that no longer sees the account at all, and for one whose role never read the area.
  status = 200;
  query(`update webhook_endpoint set owner_scope = 'all', owner_areas = ${ALL & ~(1 << ECONOMICS)} where id = '${endpoint.id}'`);
  await api.call(202, 'POST', `/v1/webhook-deliveries/${last.id}/retry`, { body: {} });
  await until(async () => (await withheld()).some(({ id }) => id === last.id), { ms: 30_000, what: 'it being withheld again' });
  query(`update webhook_endpoint set owner_areas = ${ALL} where id = '${endpoint.id}'`);
  await api.call(202, 'POST', `/v1/webhook-deliveries/${last.id}/retry`, { body: {} });
  await until(async () => (await withheld()).length === 0, { ms: 30_000, what: 'it being delivered' });
});

test('another manager is told of, beside the change of the account (001-13)', async () => {
  const [one, two] = [await api.create('/v1/users', { name: unique('One') }), await api.create('/v1/users', { name: unique('Two') })];
  const { receiver } = await register({ event_types: ['account.manager_changed'] });
  const account = await makeAccount(api, { manager_id: one.id });
  const renamed = await api.patch(`/v1/accounts/${account.id}`, account.etag, { industry: 'steel' });
  const moved = await api.patch(`/v1/accounts/${account.id}`, renamed.etag, { manager_id: two.id });
  await api.patch(`/v1/accounts/${account.id}`, moved.etag, { manager_id: null });
  await until(() => receiver.deliveries.length >= 2, { what: 'both changes' });
  assert.deepEqual(receiver.deliveries.map(({ event: { data, previous } }) => [data.account_id, data.manager_id_before, data.manager_id, previous.manager_id]).sort((a, b) => (a[2] === null) - (b[2] === null)),
    [[account.id, one.id, two.id, one.id], [account.id, two.id, null, two.id]]);
});
