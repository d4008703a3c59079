// A follow-up falls due: exactly one event for each due time, whatever number of processes run or
// die, at a receiver that verifies with other people's libraries.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { startReceiver, subscribe } from './lib/receiver.mjs';
import { sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const PROCESSES = 3;
const RETRIES = Array(12).fill(300).join(',');
let world, api, receiver, account;

before(async () => {
  world = await openWorld({ processes: PROCESSES, settings: { KAMD_WEBHOOK_RETRY_MS: RETRIES } });
  api = world.api;
  receiver = await startReceiver();
  await subscribe(api, receiver, ['follow_up.due']);
  account = await makeAccount(api);
});
after(async () => {
  await receiver?.stop();
  await world?.close();
});

const inMs = (ms) => new Date(Date.now() + ms).toISOString();
const followUp = (fields) => api.create('/v1/follow-ups', { account_id: account.id, title: unique('Call'), ...fields });
const about = (id) => receiver.deliveries.filter(({ event }) => event.data?.follow_up_id === id);
const arrived = (id, { ms = 30_000, what = 'the webhook' } = {}) => until(() => about(id).find(({ status }) => status === 200), { ms, what });
const dueEvents = async (id) => (await events(api, 'types=follow_up.due')).filter(({ data }) => data.follow_up_id === id);

async function restart() {
  for (let i = 0; i < PROCESSES; i++) await world.add();
  api = world.api.at(world.kamds[0].url);
}

test('due in two seconds: arrives once, not early, signed, complete', async () => {
  const made = await followUp({ due_at: inMs(2000), priority: 'high' });
  await sleep(Date.parse(made.due_at) - Date.now());
  const { event, headers, at, errors } = await arrived(made.id, { ms: 3000 });
  assert.deepEqual(errors, []);
  assert.ok(at >= Date.parse(made.due_at), 'not before it is due');
  assert.equal(event.type, 'follow_up.due');
  assert.equal(event.id, headers['webhook-id']);
  assert.deepEqual({ account_id: event.data.account_id, title: event.data.title, priority: event.data.priority, revision: event.data.revision },
    { account_id: account.id, title: made.title, priority: 'high', revision: 1 });
  assert.ok(event.timestamp && event.api_version && Number.isInteger(event.sequence) && event.previous);
  await sleep(1500); // three processes had time to send it again
  assert.equal(about(made.id).length, 1);
  assert.equal((await dueEvents(made.id)).length, 1);
});

test('200 due in the same second: each exactly once', async () => {
  const due = inMs(1500);
  const records = Array.from({ length: 200 }, (_, i) => ({ account_id: account.id, title: `Of many ${i}`, due_at: due }));
  const { body } = await api.call(200, 'POST', '/v1/follow-ups/bulk', { body: { records }, headers: { 'idempotency-key': unique('bulk') } });
  const ids = new Set(body.results.map(({ id }) => id));
  assert.equal(ids.size, 200);
  const mine = () => receiver.deliveries.filter(({ event }) => ids.has(event.data?.follow_up_id));
  await until(() => mine().length >= 200, { ms: 30_000, what: '200 webhooks' });
  await sleep(1000);
  assert.equal(mine().length, 200);
  assert.equal(new Set(mine().map(({ event }) => event.data.follow_up_id)).size, 200);
  assert.equal(new Set(mine().map(({ id }) => id)).size, 200);
});

test('the receiver answers 500 twice: the same webhook-id and body come again', async () => {
  let made;
  receiver.answer = ({ event }, nth) => (event.data.follow_up_id === made?.id && nth <= 2 ? 500 : 200);
  made = await followUp({ due_at: inMs(800) });
  await arrived(made.id);
  const tries = about(made.id);
  assert.deepEqual(tries.map(({ status }) => status), [500, 500, 200]);
  assert.equal(new Set(tries.map(({ id }) => id)).size, 1, 'one webhook-id');
  assert.equal(new Set(tries.map(({ body }) => body)).size, 1, 'one body');
  assert.deepEqual(tries.flatMap(({ errors }) => errors), []);
  const delivery = await until(async () => (await api.all('/v1/webhook-deliveries'))
    .find(({ event_id: id, state }) => id === tries[0].id && state === 'delivered'), { what: 'the delivery being noted' });
  assert.equal(delivery.attempt_count, 3);
  assert.equal(delivery.event_type, 'follow_up.due');
});

test('a new due time makes one further event; done and deleted ones make none', async () => {
  const moved = await followUp({ due_at: inMs(600) });
  const [done, deleted] = [await followUp({ due_at: inMs(3_600_000) }), await followUp({ due_at: inMs(3_600_000) })];
  await api.patch(`/v1/follow-ups/${done.id}`, done.etag, { status: 'done' });
  await api.remove(`/v1/follow-ups/${deleted.id}`, deleted.etag);
  sql(world.settings, `update follow_up_timer set due_at = now() where follow_up_id in ('${done.id}', '${deleted.id}')`);
  await arrived(moved.id);
  const again = await api.patch(`/v1/follow-ups/${moved.id}`, (await api.get(`/v1/follow-ups/${moved.id}`)).etag, { due_at: inMs(600) });
  assert.equal(again.revision, 2);
  await until(() => about(moved.id).length === 2, { what: 'the second event' });
  const [first, second] = about(moved.id);
  assert.notEqual(first.id, second.id);
  assert.equal(second.event.data.revision, 2);
  const later = await followUp({ due_at: inMs(0) }); // who looks for this one has looked for all that were due before
  await arrived(later.id);
  assert.deepEqual([about(moved.id).length, (await dueEvents(done.id)).length, (await dueEvents(deleted.id)).length], [2, 0, 0]);
  assert.deepEqual([about(done.id).length, about(deleted.id).length], [0, 0]);
});

test('a day falls due when it begins in its time zone', async () => {
  const made = await followUp({ due_on: '2099-07-01', time_zone: 'America/New_York' });
  assert.equal(made.due_at, '2099-07-01T04:00:00.000000Z');
  assert.equal(made.due_on, '2099-07-01');
});

test('kill -9 of every kamd while the receiver hangs: the event arrives after the restart, once', async () => {
  receiver.answer = () => null;
  const made = await followUp({ due_at: inMs(500) });
  await until(() => about(made.id).length > 0, { what: 'the first attempt' });
  await world.killAll();
  receiver.release();
  receiver.answer = () => 200;
  await restart();
  await arrived(made.id, { what: 'the webhook after the restart' });
  assert.equal(new Set(about(made.id).map(({ id }) => id)).size, 1);
  assert.equal((await dueEvents(made.id)).length, 1);
});

for (const wait of [0, 120, 300]) {
  test(`kill -9 of every kamd ${wait} ms after 20 follow-ups fell due: none is lost, none comes under two ids`, async () => {
    const due = inMs(700);
    const records = Array.from({ length: 20 }, (_, i) => ({ account_id: account.id, title: `Killed ${i}`, due_at: due }));
    const { body } = await api.call(200, 'POST', '/v1/follow-ups/bulk', { body: { records }, headers: { 'idempotency-key': unique('bulk') } });
    const ids = body.results.map(({ id }) => id);
    await sleep(Date.parse(due) + wait - Date.now());
    await world.killAll();
    await restart();
    for (const id of ids) await arrived(id, { what: `the webhook of ${id}` });
    for (const id of ids) assert.equal(new Set(about(id).map((delivery) => delivery.id)).size, 1);
  });
}

test('a date and an instant say the same, or one of them is left out: none is dropped', async () => {
  const [day, begins, later] = ['2099-03-01', '2099-02-28T23:00:00.000000Z', '2099-03-01T09:00:00.000000Z'];
  const both = (due_at) => ({ due_on: day, time_zone: 'Europe/Berlin', due_at });
  const contradicts = async (...request) => {
    const { errors } = await api.fails(422, 'validation_failed', ...request);
    assert.deepEqual(errors.map(({ pointer, code }) => [pointer, code]), [['/due_at', 'contradiction']]);
  };
  const path = ({ id }) => `/v1/follow-ups/${id}`;
  for (const off of [-1, 1]) { // a microsecond before the day begins, and after
    await contradicts('POST', '/v1/follow-ups', { body: { account_id: account.id, title: 'Both', ...both(off < 0 ? '2099-02-28T22:59:59.999999Z' : '2099-02-28T23:00:00.000001Z') } });
  }
  let made = await followUp(both('2099-03-01T00:00:00+01:00'));
  assert.deepEqual([made.due_on, made.due_at], [day, begins]);
  // What a change says of both must agree, also where one of them is only repeated.
  const refused = (body) => contradicts('PATCH', path(made), { body, headers: { 'if-match': made.etag } });
  await refused({ due_at: later, due_on: day });
  await refused({ due_on: '2099-03-02', due_at: begins });
  await refused({ due_on: '2099-03-02', due_at: later });
  await refused({ due_on: day, due_at: begins, time_zone: 'UTC' });
  const patch = async (body) => { made = await api.patch(path(made), made.etag, body); return [made.due_on, made.due_at, made.time_zone, made.revision]; };
  assert.deepEqual(await patch({ due_on: day, due_at: begins, time_zone: 'Europe/Berlin' }), [day, begins, 'Europe/Berlin', 1], 'repeated, nothing changes');
  assert.equal(made.version, 1);
  assert.deepEqual(await patch({ time_zone: 'Europe/Paris', due_on: day, due_at: begins }), [day, begins, 'Europe/Paris', 1], 'the same midnight');
  // What is left out follows.
  assert.deepEqual(await patch({ due_on: '2099-03-02' }), ['2099-03-02', '2099-03-01T23:00:00.000000Z', 'Europe/Paris', 2]);
  assert.deepEqual(await patch({ time_zone: 'UTC' }), ['2099-03-02', '2099-03-02T00:00:00.000000Z', 'UTC', 3]);
  assert.deepEqual(await patch({ due_at: later }), [null, later, 'UTC', 4], 'the date no longer says when');
  assert.deepEqual(await patch({ due_on: day }), [day, '2099-03-01T00:00:00.000000Z', 'UTC', 5]);
  assert.deepEqual(await patch({ due_at: later, time_zone: 'Asia/Tokyo' }), [null, later, 'Asia/Tokyo', 6], 'the instant that is said, not a day that is not');
});
