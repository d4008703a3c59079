// One effect per Idempotency-Key, and no lost update: whoever asks, how often, wherever.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { sleep } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis;
before(async () => {
  world = await openWorld({ processes: 2 });
  ({ api, apis } = world);
});
after(() => world?.close());

const post = (client, key, body, path = '/v1/accounts') => client.send('POST', path, { body, headers: { 'idempotency-key': key } });

// As a good client does: the same request again, while it is being worked on.
async function insist(client, key, body) {
  for (;;) {
    const answer = await post(client, key, body);
    if (answer.status !== 409 || answer.body.code !== 'request_in_flight') return answer;
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
    const doomed = await world.add({ KAMD_FAULT: 'after_commit:kill' });
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
  const account = await makeAccount(api);
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
      const answer = await client.send('PATCH', path, { body: { emails: [...now.emails.slice(0, 19), `c${i}@example.com`] }, headers: { 'if-match': now.etag } });
      if (answer.status === 200) return;
      assert.equal(answer.status, 412, answer.text);
    }
  }));
  assert.equal((await api.get(path)).version, account.version + 40);
  assert.equal((await api.all(`${path}/history`)).length, 41);
});
