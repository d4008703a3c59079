// An account slips below key status: the other half of the main job, end to end.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { tenThousandths } from './lib/northwind.mjs';
import { startReceiver, subscribe } from './lib/receiver.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const PROCESSES = 3;
let world, api, receiver, criteriaVersion;

before(async () => {
  world = await openWorld({ processes: PROCESSES, settings: { KAMD_WEBHOOK_RETRY_MS: Array(12).fill(300).join(',') } });
  api = world.api;
  const metrics = [
    { metric: 'revenue_ttm', weight: '70', floor: '0', ceiling: '100000' },
    { metric: 'margin_ttm', weight: '30', floor: '0', ceiling: '30000' },
  ];
  const criteria = (await api.call(201, 'POST', '/v1/program/criteria', { body: { note: 'For the test.', metrics } })).body;
  criteriaVersion = criteria.version;
  await api.call(200, 'POST', `/v1/program/criteria/${criteriaVersion}/activate`, { body: {} });
  await program({ enter_score: '60', recover_score: '55', exit_score: '50', grace_days: 0, max_key_accounts: 50 });
  receiver = await startReceiver();
  await subscribe(api, receiver, ['account.key_status.designated', 'account.key_status.at_risk', 'account.key_status.slipped', 'account.key_status.recovered']);
});
after(async () => {
  await receiver?.stop();
  await world?.close();
});

const program = async (change) => api.patch('/v1/program', (await api.get('/v1/program')).etag, change);
const status = (id) => api.get(`/v1/accounts/${id}/key-status`);
const today = () => new Date().toISOString().slice(0, 10);

// The one order of an account, sent by its number: sent again, it is a correction.
const sell = (account, amount, cost = '0') => api.call(200, 'POST', '/v1/sync/erp/orders', {
  headers: { 'idempotency-key': unique('sell') },
  body: { records: [{
    external_id: `order of ${account.id}`, account_id: account.id, ordered_on: today(), currency_code: 'USD',
    lines: [{ line_no: 1, amount, cost }],
  }] },
});

async function scored(account, score) {
  await until(async () => (await status(account.id)).score === score, { ms: 5000, what: `the score ${score}` });
}

async function keyAccount() {
  const account = await makeAccount(api);
  await sell(account, '90000', '60000'); // 70 x 90 % + 30 x 100 %
  await scored(account, '93.0000');
  assert.equal((await status(account.id)).key_status, 'candidate');
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: { reason: 'They grow with us.', benefits: ['Priority'] } });
  return account;
}

const of = (account, type) => receiver.deliveries.filter(({ event }) => event.type === type && event.data.account_id === account.id);
const told = (account, type) => until(() => of(account, type).find((delivery) => delivery.status === 200), { ms: 30_000, what: type });

const sum = (contributions) => contributions.reduce((part, { contribution }) => part + (contribution ? tenThousandths(contribution) : 0n), 0n);

test('an order is corrected below the exit score: slipped, with the contributions before and after', async () => {
  const account = await keyAccount();
  const { event: designated } = await told(account, 'account.key_status.designated');
  assert.equal(designated.data.tier, 'A');
  await sell(account, '20000', '17000'); // 70 x 20 % + 30 x 10 %
  const { event, errors } = await told(account, 'account.key_status.slipped');
  assert.deepEqual(errors, []);
  const { data, previous } = event;
  assert.equal(data.score, '17.0000');
  assert.equal(data.score_before, '93.0000');
  assert.equal(data.criteria_version, criteriaVersion);
  assert.ok('score_rank' in data);
  assert.deepEqual(data.contributions.map(({ metric, contribution }) => [metric, contribution]), [['revenue_ttm', '14.0000'], ['margin_ttm', '3.0000']]);
  assert.deepEqual(data.contributions_before.map(({ metric, contribution }) => [metric, contribution]), [['revenue_ttm', '63.0000'], ['margin_ttm', '30.0000']]);
  assert.equal(sum(data.contributions), tenThousandths(data.score));
  assert.equal(previous.key_status, 'key');
  assert.equal(data.key_status, 'none');
  const explained = await status(account.id);
  assert.deepEqual([explained.key_status, explained.score, explained.tier], ['none', '17.0000', 'C']);
  assert.equal(explained.history[0].cause, 'inputs_changed');
  assert.equal(of(account, 'account.key_status.slipped').length, 1);
  assert.equal((await api.get(`/v1/accounts/${account.id}`)).key_status, 'none');
});

test('with grace: at risk first, and key again at the recovery score', async () => {
  const account = await keyAccount();
  await program({ grace_days: 30 });
  await sell(account, '60000', '54000'); // 42 + 6
  const { event } = await told(account, 'account.key_status.at_risk');
  assert.equal(event.data.score, '48.0000');
  const atRisk = await status(account.id);
  assert.deepEqual([atRisk.key_status, atRisk.tier], ['at_risk', 'A']);
  await sell(account, '65000', '58500'); // 45.5 + 6.5: above exit, not above recovery
  await scored(account, '52.0000');
  assert.equal((await status(account.id)).key_status, 'at_risk');
  await sell(account, '80000', '74000'); // 56 + 6
  await told(account, 'account.key_status.recovered');
  assert.equal((await status(account.id)).key_status, 'key');
  assert.equal(of(account, 'account.key_status.slipped').length, 0);
  await program({ grace_days: 0 });
});

test('the receiver answers 500 twice: the same slip comes again under the same webhook-id', async () => {
  const account = await keyAccount();
  receiver.answer = ({ event }, nth) => (event.type.endsWith('slipped') && nth <= 2 ? 500 : 200);
  await sell(account, '1', '0');
  await told(account, 'account.key_status.slipped');
  const tries = of(account, 'account.key_status.slipped');
  assert.deepEqual(tries.map((delivery) => delivery.status), [500, 500, 200]);
  assert.equal(new Set(tries.map(({ id }) => id)).size, 1);
  assert.deepEqual(tries.flatMap(({ errors }) => errors), []);
});

test('kill -9 of every kamd between commit and delivery does not lose the slip', async () => {
  const account = await keyAccount();
  receiver.answer = () => null;
  await sell(account, '2', '0');
  await until(() => of(account, 'account.key_status.slipped').length, { ms: 20_000, what: 'the first attempt' });
  await world.killAll();
  receiver.release();
  receiver.answer = () => 200;
  for (let i = 0; i < PROCESSES; i++) await world.add();
  api = world.api.at(world.kamds[0].url);
  await told(account, 'account.key_status.slipped');
  assert.equal(new Set(of(account, 'account.key_status.slipped').map(({ id }) => id)).size, 1);
  assert.equal((await status(account.id)).key_status, 'none');
});

test('kill -9 of every kamd right after the order is acknowledged: the slip follows after the restart', async () => {
  const account = await keyAccount();
  await sell(account, '3', '0');
  await world.killAll();
  for (let i = 0; i < PROCESSES; i++) await world.add();
  api = world.api.at(world.kamds[0].url);
  await told(account, 'account.key_status.slipped');
  assert.equal(new Set(of(account, 'account.key_status.slipped').map(({ id }) => id)).size, 1);
});
