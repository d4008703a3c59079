// The program: criteria, places, designation under concurrency, explanations, recognition.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { tenThousandths } from './lib/northwind.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api, apis } = world);
});
after(() => world?.close());

const program = async (change) => api.patch('/v1/program', (await api.get('/v1/program')).etag, change);
const designate = (account, client = api) => client.insist('POST', `/v1/accounts/${account.id}/designate`, { body: { reason: 'They grow with us.', benefits: ['Priority'] } });
const members = async () => (await api.get('/v1/program')).key_accounts;

test('the program shows its limits; rules among them hold', async () => {
  const now = await api.get('/v1/program');
  for (const field of ['objective', 'key_accounts', 'max_key_accounts', 'max_net_growth', 'enter_score', 'recover_score', 'exit_score', 'grace_days', 'criteria_version']) {
    assert.ok(field in now, field);
  }
  const fails = (body, status = 422) => api.call(status, 'PATCH', '/v1/program', { body, headers: { 'if-match': now.etag } });
  await fails({ recover_score: '99', enter_score: '98' });
  await fails({ recover_score: '50', exit_score: '50' });
  await fails({ max_key_accounts: -1 });
  await fails({ key_accounts: 5 }, 400);
  await fails({ max_key_accounts: 'many' }, 400);
  const { max_key_accounts: max } = await program({ max_key_accounts: 7 });
  assert.equal(max, 7);
  await api.fails(412, 'precondition_failed', 'PATCH', '/v1/program', { body: { max_key_accounts: 8 }, headers: { 'if-match': now.etag } });
});

test('criteria are versioned, checked, and one version is active', async () => {
  const good = { metric: 'revenue_ttm', weight: '1', floor: '0', ceiling: '1000' };
  for (const metrics of [[], [{ ...good, weight: '0' }], [{ ...good, ceiling: '0' }], [good, good], [{ ...good, metric: 'Good Luck' }], [{ ...good, weight: 'much' }]]) {
    const { status } = await api.send('POST', '/v1/program/criteria', { body: { metrics } });
    assert.ok(status === 400 || status === 422, `${status} for ${JSON.stringify(metrics)}`);
  }
  const was = (await api.get('/v1/program')).criteria_version;
  const { body: made } = await api.call(201, 'POST', '/v1/program/criteria', { body: { note: 'Only revenue.', metrics: [good] } });
  assert.equal((await api.get('/v1/program')).criteria_version, was, 'not active by itself');
  await api.call(200, 'POST', `/v1/program/criteria/${made.version}/activate`, { body: {} });
  assert.equal((await api.get('/v1/program')).criteria_version, made.version);
  assert.ok((await api.all('/v1/program/criteria')).some(({ version }) => version === made.version));
  await api.fails(404, 'not_found', 'POST', '/v1/program/criteria/9999/activate', { body: {} });
});

test('25 at once for one free place: exactly one gets it, the others learn who is weakest (001-07)', async () => {
  await program({ max_key_accounts: await members() + 2 });
  const first = await makeAccount(api);
  assert.equal((await designate(first)).status, 201);
  for (let round = 0; round < 2; round++) {
    const candidates = await inParallel(5, Array(25).fill(), () => makeAccount(api));
    const answers = await Promise.all(candidates.map((account, i) => designate(account, apis[i % 2])));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(24).fill(409)]);
    for (const { status, body } of answers) {
      if (status === 201) continue;
      assert.equal(body.code, 'key_account_cap_reached');
      assert.ok(body.weakest.some(({ account_id: id, name }) => id && name));
    }
    const now = await api.get('/v1/program');
    assert.equal(now.key_accounts, now.max_key_accounts);
    await program({ max_key_accounts: now.max_key_accounts + 1 });
  }
});

test('a lower cap throws nobody out, and lets nobody in (001-07)', async () => {
  const count = await members();
  await program({ max_key_accounts: 1 });
  assert.equal(await members(), count);
  assert.equal((await designate(await makeAccount(api))).body.code, 'key_account_cap_reached');
  await program({ max_key_accounts: 100 });
});

test('only an existing customer; only once; within the manager\'s capacity (001-09, 002-11)', async () => {
  for (const lifecycle of ['prospect', 'former']) {
    const { status, body } = await designate(await makeAccount(api, { lifecycle }));
    assert.deepEqual([status, body.code], [422, 'not_existing_customer']);
  }
  const busy = await api.create('/v1/users', { name: unique('Busy'), capacity: 1 });
  const [one, two] = [await makeAccount(api, { manager_id: busy.id }), await makeAccount(api, { manager_id: busy.id })];
  const { body } = await designate(one);
  assert.deepEqual([body.key_status, body.tier], ['key', 'A']);
  assert.equal((await designate(one)).body.code, 'conflict');
  assert.equal((await designate(two)).body.code, 'manager_capacity_reached');
  const free = await makeAccount(api);
  const problem = await api.fails(400, 'invalid_request', 'POST', `/v1/accounts/${free.id}/designate`, { body: { reason: 5, benefits: 'all' } });
  assert.deepEqual(places(problem).sort(), ['/benefits', '/reason']);
  await api.call(201, 'POST', `/v1/accounts/${free.id}/designate`, { body: {} });
  const account = await api.get(`/v1/accounts/${one.id}`);
  assert.deepEqual([account.tier, account.key_status, account.version], ['A', 'key', 1], 'a derived value is no edit');
  await api.patch(`/v1/accounts/${one.id}`, one.etag, { industry: 'steel' });
  await api.fails(409, 'conflict', 'DELETE', `/v1/accounts/${one.id}`, { headers: { 'if-match': (await api.get(`/v1/accounts/${one.id}`)).etag } });
});

test('the growth of the list in a program year is bounded (002-20)', async () => {
  await program({ max_net_growth: await members() + 1 });
  assert.equal((await designate(await makeAccount(api))).status, 201);
  assert.equal((await designate(await makeAccount(api))).body.code, 'key_account_growth_reached');
  await program({ max_net_growth: null });
});

test('an order is scored within two seconds; the contributions add up to the digit', async () => {
  const thirds = [['revenue_ttm', '1', '0', '7'], ['margin_ttm', '1', '0', '11'], ['growth', '1', '-1', '1']]
    .map(([metric, weight, floor, ceiling]) => ({ metric, weight, floor, ceiling }));
  const { body: made } = await api.call(201, 'POST', '/v1/program/criteria', { body: { metrics: thirds } });
  await api.call(200, 'POST', `/v1/program/criteria/${made.version}/activate`, { body: {} });
  const today = new Date().toISOString().slice(0, 10);
  const lastYear = new Date(Date.now() - 400 * 86_400_000).toISOString().slice(0, 10);
  for (let i = 1; i <= 5; i++) {
    const account = await makeAccount(api);
    const order = (day, amount) => ({ external_id: unique('o'), ordered_on: day, currency_code: 'USD', lines: [{ line_no: 1, amount, cost: '0.3' }] });
    await api.call(200, 'POST', `/v1/accounts/${account.id}/orders/bulk`, { body: { records: [order(today, `${i}.37`), order(lastYear, '4.1')] }, headers: { 'idempotency-key': unique('k') } });
    const explained = await until(async () => {
      const now = await api.get(`/v1/accounts/${account.id}/key-status`);
      return now.contributions[0]?.value === `${i}.3700` && now;
    }, { ms: 4000, what: 'the score' });
    const sum = explained.contributions.reduce((part, { contribution }) => part + tenThousandths(contribution), 0n);
    assert.equal(sum, tenThousandths(explained.score), JSON.stringify(explained.contributions));
    assert.deepEqual(explained.missing, []);
    assert.equal((await api.get(`/v1/accounts/${account.id}`)).score, explained.score);
    const asOf = await api.get(`/v1/accounts/${account.id}/key-status?as_of=${lastYear}`);
    assert.equal(asOf.contributions[0].value, '4.1000');
    assert.ok(asOf.missing.includes('growth'));
  }
});

test('a currency without a rate is a missing input, not a zero', async () => {
  const account = await makeAccount(api);
  await api.create(`/v1/accounts/${account.id}/orders`, { ordered_on: new Date().toISOString().slice(0, 10), currency_code: 'CHF', lines: [{ line_no: 1, amount: '5' }] });
  const explained = await until(async () => {
    const now = await api.get(`/v1/accounts/${account.id}/key-status`);
    return now.missing.includes('revenue_ttm') && now;
  }, { ms: 5000, what: 'the score' });
  assert.equal(explained.contributions.find(({ metric }) => metric === 'revenue_ttm').value, null);
});

test('who is calling: by phone, e-mail, domain, number, Salesforce id; unknown callers too (001-04)', async () => {
  const manager = await api.create('/v1/users', { name: unique('Manager'), email: 'm@example.com' });
  const account = await makeAccount(api, {
    phones: ['+4930888001'], emails: ['key@caller.example'], domain: 'caller.example', manager_id: manager.id, external_ids: { salesforce: '001M00000062mQq' } });
  assert.equal((await designate(account)).status, 201);
  const salesforce = (await api.get(`/v1/accounts/${account.id}`)).external_ids.salesforce;
  const queries = ['phone=%2B4930888001', 'email=key@caller.example', 'email=KEY@caller.example', 'domain=caller.example', `account_number=${account.account_number}`, `salesforce_id=${salesforce}`, `salesforce_id=${salesforce.slice(0, 15)}`];
  for (const client of apis) {
    for (const query of queries) {
      const caller = await until(async () => {
        const found = await client.get(`/v1/recognition?${query}`);
        return found.is_key && found;
      }, { ms: 2000, what: `recognition by ${query}` });
      assert.deepEqual([caller.account_id, caller.tier, caller.benefits, caller.stale], [account.id, 'A', ['Priority'], false]);
      assert.equal(caller.manager.name, manager.name);
      assert.equal(caller.open_emergencies, 0);
    }
    for (const query of ['phone=%2B4930888999', 'email=nobody@nowhere.example', 'domain=nowhere.example', 'account_number=nobody']) {
      assert.equal((await client.get(`/v1/recognition?${query}`)).is_key, false, query);
    }
  }
  await api.create(`/v1/accounts/${account.id}/problems`, { category: 'other', severity: 'revenue_loss', title: 'The line stands still', opened_at: new Date().toISOString() });
  await until(async () => (await api.get('/v1/recognition?phone=%2B4930888001')).open_emergencies === 1, { ms: 2000, what: 'the emergency' });
  await api.call(400, 'GET', '/v1/recognition');
  await api.call(400, 'GET', '/v1/recognition?name=x');
});
