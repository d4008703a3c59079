// One effect per Idempotency-Key, and no lost update: whoever asks, how often, wherever.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { addUser } from './lib/planning.mjs';
import { sql } from './lib/stack.mjs';
import { sleep } from './lib/wait.mjs';
import { makeAccount, openWorld, scored, unique } from './lib/world.mjs';

let world, api, apis;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1, settings: { KAMD_OAUTH: 'true' } });
  ({ api, apis } = world);
});
after(() => world?.close());

const post = (client, key, body, path = '/v1/accounts') => client.send('POST', path, { body, headers: { 'idempotency-key': key } });

// As a good client does: the same request again, while it is being worked on, or the server has no time for it.
async function insist(client, key, body) {
  for (;;) {
    const answer = await post(client, key, body);
    if (!['request_in_flight', 'overloaded'].includes(answer.body.code)) return answer;
    assert.match(answer.headers['retry-after'], /^\d+$/);
    assert.ok(answer.body.retry_after_seconds >= 0);
    await sleep(50);
  }
}

test('50 identical POSTs at once over two processes make one row', async () => {
  for (let round = 0; round < 3; round++) {
    const body = { name: 'Fifty', account_number: unique('FIFTY') };
    const key = unique('key');
    const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => insist(apis[i % 2], key, body)));
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201]);
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1, 'the same answer, byte for byte');
    assert.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] !== 'true').length, 1, 'one was the first');
    assert.equal((await api.get(`/v1/accounts?account_number=${body.account_number}&include_total=true`)).page.total, 1);
    const { data } = await api.get(`/v1/accounts/${answers[0].body.id}/history`);
    assert.equal(data.length, 1);
  }
});

test('without a field that must be unique, too', async () => {
  const name = unique('Plain');
  const key = unique('key');
  await Promise.all(Array.from({ length: 50 }, (_, i) => insist(apis[i % 2], key, { name })));
  assert.equal((await api.all(`/v1/accounts?name=${name}`)).length, 1);
});

test('a replay says so, quoted or bare, at another process too; another body is refused', async () => {
  const key = unique('key');
  const body = { name: unique('Replayed') };
  const first = await post(apis[0], key, body);
  assert.equal(first.headers['idempotency-replayed'], undefined);
  const again = await post(apis[1], `"${key}"`, body);
  assert.deepEqual([again.status, again.text, again.headers['idempotency-replayed'], again.headers.location, again.headers.etag],
    [201, first.text, 'true', first.headers.location, first.headers.etag]);
  const headers = { 'idempotency-key': key };
  await api.fails(422, 'idempotency_key_reused', 'POST', '/v1/accounts', { body: { name: 'Another' }, headers });
  await api.fails(422, 'idempotency_key_reused', 'POST', '/v1/users', { body, headers });
  const other = await world.clientOf('director');
  assert.notEqual((await post(other, key, body)).body.id, first.body.id, "keys are each caller's own");
});

test('a request that failed does not use its key up', async () => {
  const key = unique('key');
  const headers = { 'idempotency-key': key };
  await api.fails(422, 'validation_failed', 'POST', '/v1/accounts', { body: { industry: 'x' }, headers });
  await api.call(201, 'POST', '/v1/accounts', { body: { name: unique('Mended') }, headers });
});

test('a PATCH is replayed although its ETag is outdated by now', async () => {
  const account = await makeAccount(api);
  const options = { body: { industry: 'steel' }, headers: { 'idempotency-key': unique('key'), 'if-match': account.etag } };
  const first = await api.call(200, 'PATCH', `/v1/accounts/${account.id}`, options);
  const again = await apis[1].call(200, 'PATCH', `/v1/accounts/${account.id}`, options);
  assert.equal(again.text, first.text);
  assert.equal(again.headers['idempotency-replayed'], 'true');
});

// Everything that one can be told of an account, and is told again: by a body, by an id in it or in the path alone, or by nothing but the status.
async function answersOf(client, account) {
  const ask = async (status, method, path, options = {}) => {
    const whole = { ...options, headers: { 'if-match': '*', 'idempotency-key': unique('key') } };
    const first = await client.call(status, method, path, whole);
    return { again: () => client.at(apis[1].url).send(method, path, whole), first, what: `${method} ${path}` };
  };
  const base = `/v1/accounts/${account.id}`;
  const contact = await ask(201, 'POST', '/v1/contacts', { body: { account_id: account.id, family_name: unique('Kept') } });
  const gone = await client.create('/v1/contacts', { account_id: account.id, family_name: unique('Gone') });
  const plan = await client.create('/v1/plans', { account_id: account.id, title: unique('Plan'), period_start: '2026-01-01', period_end: '2026-12-31' });
  const task = await client.create('/v1/follow-ups', { account_id: account.id, title: 'Call', due_at: '2030-01-01T10:00:00Z' });
  return [contact,
    await ask(200, 'PATCH', base, { body: { industry: unique('steel') } }),
    await ask(201, 'POST', `${base}/interactions`, { body: { kind: 'call', channel: 'phone', occurred_at: '2026-05-05T10:00:00Z' } }),
    await ask(200, 'POST', '/v1/contacts/bulk', { body: { records: [{ id: contact.first.body.id }] } }),
    await ask(204, 'DELETE', `/v1/contacts/${gone.id}`),
    await ask(200, 'PUT', `/v1/plans/${plan.id}/sections/strategies`, { body: { content: {} } }),
    await ask(200, 'POST', `/v1/follow-ups/${task.id}/complete`, { body: {} }),
    await ask(200, 'PUT', `${base}/metrics`, { body: { metrics: [{ metric: 'strategic_importance', period: '2026', value: '70', source: 'We' }] } })];
}
async function replays(answers, check) {
  for (const { again, first, what } of answers) await check(await again(), first, what);
}
const sameAgain = ({ status, text, headers }, first, what) => assert.deepEqual([status, text, headers['idempotency-replayed'], headers.etag, headers.location], [first.status, first.text, 'true', first.headers.etag, first.headers.location], what);
const refused = (status) => (answer, first, what) => {
  assert.deepEqual([answer.status, answer.headers['idempotency-replayed'], answer.headers.etag, answer.headers.location], [status, undefined, undefined, undefined], `${what}: ${answer.text}`);
  for (const value of [first.body?.etag, first.body?.account_id, first.body?.id].filter(Boolean)) assert.ok(!answer.text.replace(answer.body.instance, '').includes(value), `${what}: ${answer.text}`);
};
const rowsOf = (account) => sql(world.settings, `select count(*), max(id) from history where account_id = '${account.id}'`);

test('what is kept of an answer is not for who has lost the account since, and nothing is done again', async () => {
  const [one, two] = await Promise.all([addUser(api), addUser(api)]);
  const account = await makeAccount(api, { manager_id: one.id });
  const client = await world.clientOf('account_manager', { user_id: one.id });
  const answers = await answersOf(client, account);
  await replays(answers, sameAgain);
  const give = async (to) => api.patch(`/v1/accounts/${account.id}`, '*', { manager_id: to.id });
  await give(two);
  const rows = rowsOf(account);
  await replays(answers, refused(404));
  assert.equal(rowsOf(account), rows);
  await give(one);
  await replays(answers, sameAgain);
});

test('nor for who reads less of the account, or not any longer', async () => {
  const user = await addUser(api);
  const account = await makeAccount(api);
  const role = unique('role').replaceAll('-', '_');
  const { reads } = (await api.get('/v1/roles')).data.find((one) => one.role === 'admin');
  await api.call(201, 'PUT', `/v1/roles/${role}`, { body: { areas: reads } });
  const member = await api.create(`/v1/accounts/${account.id}/team`, { user_id: user.id, role });
  const client = await world.clientOf('member', { user_id: user.id });
  const { body, headers } = { body: { account_id: account.id, family_name: unique('Kept') }, headers: { 'idempotency-key': unique('key') } };
  const first = await client.call(201, 'POST', '/v1/contacts', { body, headers });
  const again = () => client.send('POST', '/v1/contacts', { body, headers });
  const path = `/v1/accounts/${account.id}/team/${member.id}`;
  for (const grants of [[{ areas: ['contacts'], effect: 'remove' }], []]) {
    await api.patch(path, '*', { grants });
    (grants.length ? refused(403) : sameAgain)(await again(), first, JSON.stringify(grants));
  }
  await client.get(`/v1/contacts/${first.body.id}`);
  sql(world.settings, `update account_access set visible_until = now() where user_id = '${user.id}'`);
  refused(404)(await again(), first, 'its time is over');
  assert.equal((await api.all(`/v1/contacts?account_id=${account.id}`)).length, 1);
});

test('it is kept by who it is that asks: a key\'s other scopes are not its rights', async () => {
  const { body: key } = await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('key'), role: 'admin' } });
  const tokenFor = async (scope) => {
    const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: key.id, client_secret: key.key, ...(scope && { scope }) }).toString();
    return api.as((await api.as().call(200, 'POST', '/oauth/token', { raw: form, type: 'application/x-www-form-urlencoded' })).body.access_token);
  };
  const endpoint = await (await world.clientOf('integration')).create('/v1/webhook-endpoints', { url: 'https://example.com/' });
  const headers = { 'idempotency-key': unique('key') };
  const rotate = async (client) => client.send('POST', `/v1/webhook-endpoints/${endpoint.id}/rotate-secret`, { body: {}, headers });
  const first = await rotate(api.as(key.key));
  sameAgain(await rotate(await tokenFor()), first, 'all its rights');
  refused(403)(await rotate(await tokenFor('write')), first, 'fewer');
  assert.equal(sql(world.settings, `select count(*) from webhook_secret where endpoint_id = '${endpoint.id}'`), '2');
});

test('bulk needs a key; keys have 1 to 255 characters', async () => {
  for (const path of ['/v1/accounts/bulk', '/v1/sync/crm/accounts']) {
    const problem = await api.fails(400, 'invalid_request', 'POST', path, { body: { records: [{ external_id: '1', name: 'x' }] } });
    assert.deepEqual(places(problem).map((place) => place.toLowerCase()), ['idempotency-key']);
  }
  const long = { body: { name: 'x' }, headers: { 'idempotency-key': 'k'.repeat(256) } };
  assert.deepEqual(places(await api.fails(400, 'invalid_request', 'POST', '/v1/accounts', long)).map((place) => place.toLowerCase()), ['idempotency-key']);
  const fits = { body: { name: unique('Long key') }, headers: { 'idempotency-key': 'k'.repeat(240) + unique('') } };
  await api.call(201, 'POST', '/v1/accounts', fits);
});

test('killed between commit and answer: the retry elsewhere gets the answer, and there is one row', async () => {
  for (let round = 0; round < 3; round++) {
    const doomed = await world.add({ KAMD_FAULT: 'after_commit:kill' }, 'serve', '--no-worker');
    const key = unique('key');
    const body = { name: 'Doomed', account_number: unique('DOOMED') };
    await assert.rejects(post(api.at(doomed.url), key, body), /ECONNRESET|socket hang up/);
    assert.equal((await doomed.ended).signal, 'SIGKILL');
    world.kamds.splice(world.kamds.indexOf(doomed), 1);
    const retried = await insist(apis[0], key, body);
    assert.deepEqual([retried.status, retried.headers['idempotency-replayed']], [201, 'true']);
    assert.equal((await api.get(`/v1/accounts?account_number=${body.account_number}&include_total=true`)).page.total, 1);
    assert.equal((await api.get(`/v1/accounts/${retried.body.id}`)).name, 'Doomed');
  }
});

test('two PATCHes with one ETag: one 200, one 412 that names the current one', async () => {
  const account = await scored(api, await makeAccount(api));
  for (let round = 0, { etag } = account; round < 20; round++) {
    const answers = await Promise.all(apis.map((client, i) => client.insist('PATCH', `/v1/accounts/${account.id}`,
      { body: { industry: `round ${round} of ${i}` }, headers: { 'if-match': etag } })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 412]);
    const won = answers.find(({ status }) => status === 200);
    const lost = answers.find(({ status }) => status === 412);
    assert.equal(lost.body.code, 'precondition_failed');
    assert.equal(lost.body.current_etag, won.body.etag);
    etag = won.body.etag;
  }
  assert.equal((await api.get(`/v1/accounts/${account.id}`)).version, account.version + 20);
});

test('40 PATCHes of as many clients, each trying until it wins, all take effect', async () => {
  const account = await makeAccount(api, { custom: {} });
  const path = `/v1/accounts/${account.id}`;
  await Promise.all(Array.from({ length: 40 }, async (_, i) => {
    const client = apis[i % 2];
    for (;;) {
      const now = await client.get(path);
      const answer = await client.insist('PATCH', path, { body: { emails: [...now.emails.slice(0, 19), `c${i}@example.com`] }, headers: { 'if-match': now.etag } });
      if (answer.status === 200) return;
      assert.equal(answer.status, 412, answer.text);
    }
  }));
  assert.equal((await api.get(path)).version, account.version + 40);
  assert.equal((await api.all(`${path}/history`)).length, 41);
});
