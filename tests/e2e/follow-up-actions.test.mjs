// What is done with follow-ups and promises: completed, put off, given away, escalated, told of once.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events, places } from './lib/client.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, account, manager, sponsor;
before(async () => {
  world = await openWorld({ processes: 2 });
  api = world.api;
  manager = await api.create('/v1/users', { name: 'Margaret Peacock' });
  sponsor = await api.create('/v1/users', { name: 'Andrew Fuller' });
  account = await makeAccount(api, { manager_id: manager.id, sponsor_id: sponsor.id });
});
after(() => world?.close());

const DAY = 86_400_000;
const inMs = (ms) => new Date(Date.now() + ms).toISOString();
const day = (ms = 0) => inMs(ms).slice(0, 10);
const followUp = (fields) => api.create('/v1/follow-ups', { account_id: account.id, title: unique('Do'), ...fields });
const act = async (status, { id }, word, body = {}, headers = {}) => (await api.call(status, 'POST', `/v1/follow-ups/${id}/${word}`, { body, headers })).body;
const told = async (type, { id }) => (await events(api, `types=${type}`)).filter(({ data }) => (data.follow_up_id ?? data.commitment_id) === id);
// It falls due in so many milliseconds, whatever was asked for: the time, as the API writes it.
const dueIn = ({ id }, ms) => sql(world.settings, `update follow_up_timer set due_at = now() + interval '${ms} ms' where follow_up_id = '${id}'
  returning to_char(due_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`);
const tellsOf = (type, one, n = 1) => until(async () => { const all = await told(type, one); return all.length >= n && all; }, { ms: 30_000, what: `${n} ${type}` });

test('complete: with a note and a time; an event; once', async () => {
  const one = await followUp({ due_at: '2031-01-01T09:00:00Z' });
  const done = await act(200, one, 'complete', { note: 'By phone', completed_at: '2026-01-01T09:00:00+01:00' }, { 'if-match': one.etag });
  assert.deepEqual([done.status, done.completion_note, done.completed_at], ['done', 'By phone', '2026-01-01T08:00:00.000000Z']);
  assert.match(done.completed_by, /^key:/);
  assert.equal((await act(409, one, 'complete')).code, 'conflict');
  for (const word of ['snooze', 'cancel', 'assign']) await act(409, one, word, { snooze: { minutes: 1 }, assign: { assignee_id: manager.id } }[word]);
  const [event] = await tellsOf('follow_up.completed', one);
  assert.equal(event.data.completed_at, done.completed_at);
  const patched = await followUp({ due_at: '2031-01-01T09:00:00Z' });
  await api.patch(`/v1/follow-ups/${patched.id}`, patched.etag, { status: 'done' });
  await tellsOf('follow_up.completed', patched);
  const early = await followUp({ due_at: '2031-01-01T09:00:00Z' });
  assert.deepEqual(places(await act(422, early, 'complete', { completed_at: '2031-01-01T09:00:00Z' })), ['/completed_at']);
  assert.deepEqual(places(await act(400, early, 'complete', { mood: 'good' })), ['/mood']);
  await act(412, early, 'complete', {}, { 'if-match': '"1-old"' });
  await act(404, { id: '01970000-0000-7000-8000-000000000000' }, 'complete');
  const member = await world.clientOf('member', { user_id: (await api.create('/v1/users', { name: 'Stranger' })).id });
  await member.fails(404, 'not_found', 'POST', `/v1/follow-ups/${early.id}/complete`, { body: {} });
  const headers = { 'idempotency-key': unique('once') };
  const first = await act(200, early, 'complete', {}, headers);
  assert.deepEqual(await act(200, early, 'complete', {}, headers), first, 'the same request again: the same answer');
});

test('snooze: one further event when that falls due; never into the past', async () => {
  const one = await followUp({ due_at: inMs(300) });
  await tellsOf('follow_up.due', one);
  const later = await act(200, one, 'snooze', { until: inMs(60_000) });
  assert.equal(later.revision, 2);
  const due = dueIn(later, 900);
  const both = await tellsOf('follow_up.due', one, 2);
  assert.deepEqual(both.map(({ data }) => data.revision), [1, 2]);
  assert.ok(Date.parse(both[1].timestamp) >= Date.parse(due), 'not early');
  const whole = await followUp({ due_on: '2031-01-01', time_zone: 'Europe/Berlin' });
  const minutes = await act(200, whole, 'snooze', { minutes: 90 });
  assert.equal(minutes.due_on, null);
  const left = Date.parse(minutes.due_at) - Date.parse(minutes.updated_at);
  assert.equal(Math.round(left / 60_000), 90);
  for (const body of [{}, { until: inMs(DAY), minutes: 5 }, { until: inMs(-DAY) }, { minutes: 0 }]) await act(422, whole, 'snooze', body);
});

test('assign: to somebody who is there', async () => {
  const one = await followUp({ due_on: '2031-01-01', time_zone: 'UTC', recurrence: 'FREQ=DAILY' });
  assert.equal((await act(200, one, 'assign', { assignee_id: sponsor.id })).assignee_id, sponsor.id);
  await act(200, one, 'complete');
  const next = (await api.all(`/v1/follow-ups?series_id=${one.id}&status=open`))[0];
  assert.equal(next.assignee_id, sponsor.id, 'the next one follows');
  assert.deepEqual(places(await act(422, next, 'assign', { assignee_id: '01970000-0000-7000-8000-000000000000' })), ['/assignee_id']);
  assert.deepEqual(places(await act(422, next, 'assign')), ['/assignee_id']);
});

test('overdue: to the manager after a day, to the sponsor after a week, each once, never early', async () => {
  const soon = await followUp({ due_at: inMs(-DAY + 2500) });
  const long = await followUp({ due_at: inMs(-8 * DAY) });
  const done = await followUp({ due_at: inMs(DAY) });
  await act(200, done, 'complete');
  dueIn(done, -8 * DAY);
  const both = await tellsOf('follow_up.overdue', long, 2);
  assert.deepEqual(both.map(({ data }) => [data.level, data.escalated_to_id, data.revision]), [['manager', manager.id, 1], ['sponsor', sponsor.id, 1]]);
  const [first] = await tellsOf('follow_up.overdue', soon);
  assert.equal(first.data.level, 'manager');
  assert.ok(Date.parse(first.timestamp) >= Date.parse(soon.due_at) + DAY, 'not early');
  await act(200, long, 'snooze', { until: inMs(60_000) });
  dueIn(long, 0);
  await tellsOf('follow_up.due', long, 2);
  await tellsOf('follow_up.overdue', await followUp({ due_at: inMs(-8 * DAY) }), 2); // who tells of this one has looked at all that are as late
  assert.equal((await told('follow_up.overdue', soon)).length, 1);
  assert.equal((await told('follow_up.overdue', long)).length, 2, 'put off: not overdue any more');
  assert.equal((await told('follow_up.overdue', done)).length, 0);
  const history = await api.all(`/v1/follow-ups/${soon.id}/history`);
  assert.deepEqual(history.map(({ op }) => op), ['created'], 'what kamd notes for itself is no change');
});

test('promises: told of on the day, broken when it is over, counted (000-15)', async () => {
  const other = await makeAccount(api);
  const path = `/v1/accounts/${other.id}/commitments`;
  const promise = (fields) => api.create(path, { text: unique('Promise'), made_by_id: manager.id, due_on: '2031-01-01', ...fields });
  const summary = () => api.get(`${path}/summary`);
  assert.deepEqual(await summary(), { account_id: other.id, kept: 0, broken: 0, open: 0, renegotiated: 0, kept_rate: null });
  const today = await promise({ due_on: day(), time_zone: 'Etc/GMT+12' }); // the day ends there last of all
  const lapsed = await promise({ due_on: day(-3 * DAY) });
  const far = await promise({});
  await tellsOf('commitment.broken', lapsed);
  const broken = await api.get(`${path}/${lapsed.id}`);
  assert.deepEqual([broken.status, typeof broken.settled_at], ['broken', 'string']);
  if (Date.now() > Date.parse(`${day()}T12:00:01Z`)) {
    await tellsOf('commitment.due', today);
    assert.equal((await api.get(`${path}/${today.id}`)).status, 'open', 'its day is not over');
  }
  const moved = await api.patch(`${path}/${far.id}`, far.etag, { status: 'renegotiated', new_due_on: '2031-03-01' });
  const [successor] = await api.all(`${path}?renegotiated_from_id=${far.id}`);
  assert.deepEqual([successor.text, successor.due_on, successor.status, successor.made_by_id], [far.text, '2031-03-01', 'open', manager.id]);
  await api.fails(409, 'conflict', 'PATCH', `${path}/${far.id}`, { body: { status: 'kept', new_due_on: null }, headers: { 'if-match': moved.etag } });
  await api.patch(`${path}/${successor.id}`, successor.etag, { status: 'kept' });
  const said = await promise({});
  await api.patch(`${path}/${said.id}`, said.etag, { status: 'broken' });
  assert.equal((await tellsOf('commitment.broken', said))[0].data.text, said.text);
  assert.deepEqual(await summary(), { account_id: other.id, kept: 1, broken: 2, open: 1, renegotiated: 1, kept_rate: 0.3333 });
  await api.patch(`${path}/${lapsed.id}`, broken.etag, { status: 'kept' });
  assert.equal((await summary()).kept_rate, 0.6667, 'a person has the last word');
  await tellsOf('commitment.broken', await promise({ due_on: day(-3 * DAY) })); // they were looked for once more
  assert.deepEqual([(await told('commitment.broken', lapsed)).length, (await told('commitment.due', lapsed)).length], [1, 1]);
  await api.fails(404, 'not_found', 'GET', '/v1/accounts/01970000-0000-7000-8000-000000000000/commitments/summary');
});

// ---- stay in touch (001-10, 001-11, 003-01) ----------------------------------------------------------

const addMonths = (date, n) => sql(world.settings, `select (date '${date}' + interval '${n} months')::date`);
const isKey = async (fields) => {
  const made = await makeAccount(api, { manager_id: manager.id, ...fields });
  await api.call(201, 'POST', `/v1/accounts/${made.id}/designate`, { body: {} });
  return made;
};
const touches = async ({ id }) => (await api.all(`/v1/accounts/${id}/follow-ups?kind=stay_in_touch&status=open`)).sort((a, b) => (a.channel < b.channel ? -1 : 1));
const touchBecomes = (one, test, what) => until(async () => { const all = await touches(one); return test(all) && all; }, { ms: 30_000, what });
const dueBecomes = (one, on) => touchBecomes(one, (all) => all.length === 1 && all[0].due_on === on, `due on ${on}`);
const interact = (one, fields) => api.create(`/v1/accounts/${one.id}/interactions`, { kind: 'call', channel: 'phone', occurred_at: inMs(-1000), ...fields });
const change = async (one, fields) => api.patch(`/v1/accounts/${one.id}`, (await api.get(`/v1/accounts/${one.id}`)).etag, fields);

test('the cadence of a key account makes one open follow-up per channel; each real interaction moves it (002-23)', async () => {
  const one = await isKey({ cadence: [{ channel: 'phone', every: 'monthly', note: 'Ask for the plant' }, { channel: 'in_person', every: 'quarterly' }] });
  const [visit, call] = await touchBecomes(one, (all) => all.length === 2, 'two follow-ups');
  assert.deepEqual([call.due_on, visit.due_on], [addMonths(day(), 1), addMonths(day(), 3)]);
  assert.deepEqual([call.assignee_id, call.description, call.kind, call.channel, call.occurrence_no], [manager.id, 'Ask for the plant', 'stay_in_touch', 'phone', 1]);
  await interact(one, { occurred_at: inMs(-40 * DAY) });
  const late = addMonths(day(-40 * DAY), 1);
  await touchBecomes(one, (all) => all.find(({ id }) => id === call.id)?.due_on === late, 'the late call');
  await tellsOf('follow_up.due', call);
  await interact(one, { order_taking: true });
  await interact(one, { occurred_at: inMs(-DAY), contact_ids: [] });
  const fresh = addMonths(day(-DAY), 1);
  const moved = (await touchBecomes(one, (all) => all.find(({ id }) => id === call.id)?.due_on === fresh, 'moved by the call of yesterday')).find(({ id }) => id === call.id);
  assert.equal(moved.revision, 3);
  assert.equal((await told('follow_up.due', call)).length, 1);
  const refused = await api.fails(422, 'validation_failed', 'PATCH', `/v1/follow-ups/${call.id}`, { body: { recurrence: 'FREQ=DAILY' }, headers: { 'if-match': moved.etag } });
  assert.deepEqual(places(refused), ['/recurrence']);
});

test('a call that was logged before the reminder fell due comes first', async () => {
  let one, touch, soon, call;
  // Where a request takes longer than the reminder is away, once more with one that is further away.
  for (let ms = 1500; !call || call.created_at >= soon.due_at; ms *= 4) {
    one = await isKey({ cadence: [{ channel: 'phone', every: 'monthly' }] });
    await dueBecomes(one, addMonths(day(), 1));
    [touch] = await touches(one);
    const end = Date.now() + ms;
    const snoozed = await api.send('POST', `/v1/follow-ups/${touch.id}/snooze`, { body: { until: new Date(end).toISOString() } });
    if (snoozed.status === 422 && Date.now() >= end) continue;
    assert.equal(snoozed.status, 200, snoozed.text);
    soon = snoozed.body;
    call = await interact(one, { occurred_at: inMs(-DAY) });
  }
  assert.equal(soon.revision, 2);
  await dueBecomes(one, addMonths(day(-DAY), 1));
  await tellsOf('follow_up.due', await followUp({ due_at: soon.due_at })); // its time has come
  assert.equal((await told('follow_up.due', touch)).length, 0, 'nobody is reminded of a call they made yesterday');
});

test('done by hand it starts anew; what a person put off stays; cover and wishes are heeded; it ends with the cadence', async () => {
  const one = await isKey({ cadence: [{ channel: 'phone', every: 'monthly' }] });
  await dueBecomes(one, addMonths(day(), 1));
  const [touch] = await touches(one);
  await act(200, touch, 'complete');
  const [second] = await touchBecomes(one, (all) => all.length === 1 && all[0].occurrence_no === 2, 'the second');
  assert.deepEqual([second.due_on, second.series_id], [addMonths(day(), 1), touch.series_id]);
  await act(200, second, 'snooze', { until: '2031-01-01T09:00:00Z' });
  await change(one, { delegate_id: sponsor.id });
  const [covered] = await touchBecomes(one, (all) => all[0]?.assignee_id === sponsor.id, 'the cover');
  assert.equal(covered.due_at, '2031-01-01T09:00:00.000000Z');
  await change(one, { contact_preference: { do_not_contact_until: '2032-02-03' } });
  await dueBecomes(one, '2032-02-03');
  await interact(one, { channel: 'email', kind: 'email' });
  await change(one, { contact_preference: { do_not_contact_until: null, min_days_between: 90 } });
  await dueBecomes(one, day(90 * DAY - 1000));
  await change(one, { cadence: [{ channel: 'phone', every: 'monthly' }], contact_preference: { min_days_between: null, max_per_month: 1 } });
  await dueBecomes(one, addMonths(day(), 1)); // the month of today is used up, that one is not
  await change(one, { contact_preference: { max_per_month: null, channels: ['email'] } });
  await touchBecomes(one, (all) => all.length === 0, 'no calls to who wants letters');
  await change(one, { contact_preference: null });
  await touchBecomes(one, (all) => all.length === 1, 'calls again');
  await change(one, { cadence: [] });
  await touchBecomes(one, (all) => all.length === 0, 'the end of the cadence');
});

test('who is not key has none; a month is used up before the next', async () => {
  const plain = await makeAccount(api, { cadence: [{ channel: 'phone', every: 'monthly' }] });
  await interact(plain, {});
  const used = sql(world.settings, `select contact_day('2026-05-10', '{"max_per_month": 2}', a.id, null) from account a where a.id = '${plain.id}'`);
  assert.equal(used, '2026-05-10');
  for (const on of ['2026-05-02', '2026-05-03', '2026-06-01', '2026-06-02']) await interact(plain, { occurred_at: `${on}T10:00:00Z` });
  assert.equal(sql(world.settings, `select contact_day('2026-05-10', '{"max_per_month": 2}', a.id, null) from account a where a.id = '${plain.id}'`), '2026-07-01');
  assert.equal((await touches(plain)).length, 0);
});
