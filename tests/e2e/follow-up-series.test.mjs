// Follow-ups that come again: RFC 5545's rules compared with another implementation, wall clock time
// across changes of the clock, one row per occurrence, made exactly once (000, 004-32).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import rrule from 'rrule';
import { events, places } from './lib/client.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, account;
before(async () => {
  world = await openWorld({ processes: 2 });
  api = world.api;
  account = await makeAccount(api);
});
after(() => world?.close());

const DAY = 86_400_000;
const day = (time) => new Date(time).toISOString().slice(0, 10);
const inMs = (ms) => new Date(Date.now() + ms).toISOString();
const followUp = (fields) => api.create('/v1/follow-ups', { account_id: account.id, title: unique('Again'), ...fields });
const read = ({ id }) => api.get(`/v1/follow-ups/${id}`);
const act = async (status, { id }, word, body = {}, headers = {}) => (await api.call(status, 'POST', `/v1/follow-ups/${id}/${word}`, { body, headers })).body;
const series = async ({ series_id: id }) => (await api.all(`/v1/follow-ups?series_id=${id}`)).sort((a, b) => a.occurrence_no - b.occurrence_no);

// ---- the rules -----------------------------------------------------------------------------------

const WEEKDAYS = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU'];
// splitmix32: the same rules in every run.
function seeded(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x9e3779b9) | 0;
    let t = state ^ (state >>> 16);
    t = Math.imul(t, 0x21f0aaad);
    t ^= t >>> 15;
    t = Math.imul(t, 0x735a2d97);
    return ((t ^ (t >>> 15)) >>> 0) % below;
  };
}

function randomRule(below) {
  const some = (from, most) => {
    const left = [...from];
    return Array.from({ length: 1 + below(most) }, () => left.splice(below(left.length), 1)[0]);
  };
  const range = (low, high) => Array.from({ length: high - low + 1 }, (_, i) => low + i).filter((n) => n !== 0);
  const freq = ['DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'][below(4)];
  const months = below(10) < 3 ? some(range(1, 12), 4) : null;
  const parts = [`FREQ=${freq}`];
  if (below(10) < 6) parts.push(`INTERVAL=${[1, 2, 2, 3, 4, 5, 6, 7, 10, 12][below(10)]}`);
  if (months) parts.push(`BYMONTH=${months}`);
  const days = freq !== 'WEEKLY' && below(10) < 3;
  if (days) parts.push(`BYMONTHDAY=${some(range(-31, 31), 3)}`);
  if (below(2)) {
    const counted = /MONTHLY|YEARLY/.test(freq) && !days && below(2);
    const top = freq === 'YEARLY' && !months ? 53 : 5;
    parts.push(`BYDAY=${some(WEEKDAYS, 3).map((name) => (counted ? `${range(-top, top)[below(2 * top)]}${name}` : name))}`);
  }
  if (below(10) < 4) parts.push(`WKST=${WEEKDAYS[below(7)]}`);
  if (below(10) < 2) parts.push(`UNTIL=${2026 + below(5)}${String(1 + below(12)).padStart(2, '0')}${String(1 + below(28)).padStart(2, '0')}`);
  return parts.join(';');
}

// The next few days of each, in one call of psql: the functions are what the service runs.
function ourDays(cases, n) {
  const statements = cases.map(([rule, first]) => `select coalesce((with recursive o (d, n) as (select date '${first}', 0 union all
    select recurrence_next('${rule}', date '${first}', o.d), n + 1 from o where o.d is not null and n < ${n}) select string_agg(d::text, ',' order by n) from o where n > 0), '');`);
  return execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', world.settings.DATABASE_SUPERUSER_URL], { input: statements.join('\n'), encoding: 'utf8', maxBuffer: 1 << 26 })
    .split('\n').slice(0, cases.length).map((line) => line.split(',').filter(Boolean));
}

const CENTURY = 36_525 * DAY; // further ahead kamd does not look
function theirDays(rule, first, n) {
  const start = new Date(`${first}T00:00:00Z`);
  const { options } = rrule.rrulestr(rule, { dtstart: start });
  const end = new Date(start.getTime() + (n + 1) * CENTURY); // it would look until the year 9999
  const theirs = new rrule.RRule({ ...rrule.RRule.parseString(rule), dtstart: start, until: options.until && options.until < end ? options.until : end });
  const found = [];
  for (let at = start; found.length < n;) {
    const next = theirs.after(at);
    if (!next || next - at > CENTURY) break;
    found.push(day(next));
    at = next;
  }
  return found;
}

const RULES = process.env.SOAK ? 10_000 : 200;
test(`${RULES} random rules: the same days as another implementation of RFC 5545`, () => {
  const below = seeded(20_261_122);
  const cases = Array.from({ length: RULES }, () => [randomRule(below), day(Date.UTC(2026, 0, 1) + below(1500) * DAY)]);
  const ours = ourDays(cases, 3);
  let some = 0;
  for (const [i, [rule, first]] of cases.entries()) {
    assert.deepEqual(ours[i], theirDays(rule, first, 3), `${rule} from ${first}`);
    some += ours[i].length > 0;
  }
  assert.ok(some > RULES / 2, `${some} rules have days at all`);
});

test('days that a month does not have are left out; -1 is the last (31 January monthly, 29 February)', () => {
  const days = (rule, first, n) => ourDays([[rule, first]], n)[0];
  assert.deepEqual(days('FREQ=MONTHLY', '2026-01-31', 4), ['2026-03-31', '2026-05-31', '2026-07-31', '2026-08-31']);
  assert.deepEqual(days('FREQ=MONTHLY;BYMONTHDAY=-1', '2028-01-31', 3), ['2028-02-29', '2028-03-31', '2028-04-30']);
  assert.deepEqual(days('FREQ=YEARLY', '2028-02-29', 2), ['2032-02-29', '2036-02-29']);
  assert.deepEqual(days('FREQ=YEARLY', '2096-02-29', 1), ['2104-02-29'], '2100 has none');
  assert.deepEqual(days('FREQ=MONTHLY;BYDAY=-1FR', '2026-11-27', 2), ['2026-12-25', '2027-01-29']);
  assert.deepEqual(days('freq=monthly;byday=+2tu;interval=3', '2026-11-10', 2), ['2027-02-09', '2027-05-11']);
  assert.deepEqual(days('FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30', '2026-11-10', 1), [], 'there is none');
});

test('wall clock time in a zone: in the gap it moves forward, of two it is the first', () => {
  const utc = (wall, zone) => sql(world.settings, `select to_char(local_instant('${wall}', '${zone}') at time zone 'UTC', 'YYYY-MM-DD HH24:MI')`);
  assert.equal(utc('2026-03-29 02:30', 'Europe/Berlin'), '2026-03-29 01:30', '03:30 there');
  assert.equal(utc('2026-10-25 02:30', 'Europe/Berlin'), '2026-10-25 00:30', 'still summer time');
  assert.equal(utc('2026-10-25 03:00', 'Europe/Berlin'), '2026-10-25 02:00');
  assert.equal(utc('2026-11-01 01:30', 'America/New_York'), '2026-11-01 05:30');
  assert.equal(utc('2026-10-04 02:15', 'Australia/Lord_Howe'), '2026-10-03 15:45', 'half an hour only');
  assert.equal(utc('2011-12-30 12:00', 'Pacific/Apia'), '2011-12-30 22:00', 'a day that was left out');
  // A zone whose rules changed: Istanbul stayed on summer time from 2016 on.
  assert.deepEqual(['2015-12-01 09:00', '2016-12-01 09:00'].map((wall) => utc(wall, 'Europe/Istanbul')), ['2015-12-01 07:00', '2016-12-01 06:00']);
});

// ---- the rows ------------------------------------------------------------------------------------

// The instant of a wall clock time in Berlin, worked out by JavaScript's own zone data.
function inBerlin(date, hour) {
  const at = new Date(`${date}T${hour}:00Z`);
  const shown = Number(new Intl.DateTimeFormat('en', { timeZone: 'Europe/Berlin', hour: '2-digit', hour12: false }).format(at)) % 24;
  return new Date(at - (((shown - at.getUTCHours()) + 24) % 24) * 3_600_000).toISOString().replace('Z', '000Z');
}

test('completed early: the next is there at once, at the same hour of the clock whatever the offset; it is made once', async () => {
  let one = await followUp({ due_at: '2027-01-15T08:00:00Z', time_zone: 'Europe/Berlin', recurrence: 'FREQ=MONTHLY;COUNT=12', priority: 'high' });
  assert.deepEqual([one.occurrence_no, one.series_id, one.kind], [1, one.id, 'task']);
  for (let n = 1; n < 12; n++) {
    const done = await act(200, one, 'complete', { note: `Nr ${n}` });
    assert.deepEqual([done.status, done.completion_note], ['done', `Nr ${n}`]);
    const rows = await series(one);
    assert.equal(rows.length, n + 1);
    one = rows[n];
    assert.deepEqual([one.status, one.title, one.priority, one.recurrence], ['open', done.title, 'high', 'FREQ=MONTHLY;COUNT=12']);
    const date = `2027-${String(n + 1).padStart(2, '0')}-15`;
    assert.equal(one.due_at, inBerlin(date, '09'), `${date} at nine in Berlin`);
  }
  await act(200, one, 'complete');
  assert.equal((await series(one)).length, 12, 'COUNT=12');
});

test('falls due: one event and one next occurrence, also when it is done right after', async () => {
  const one = await followUp({ due_at: inMs(700), recurrence: 'FREQ=DAILY', time_zone: 'Europe/Berlin' });
  await until(async () => (await series(one)).length === 2, { ms: 30_000, what: 'the next occurrence' });
  await act(200, one, 'complete');
  const rows = await series(one);
  assert.deepEqual(rows.map(({ status, occurrence_no: n }) => [status, n]), [['done', 1], ['open', 2]]);
  const mine = async () => (await events(api, 'types=follow_up.due')).filter(({ data }) => data.series_id === one.series_id);
  await until(async () => (await mine()).length > 0, { ms: 15_000, what: 'the event' });
  assert.deepEqual((await mine()).map(({ data }) => [data.follow_up_id, data.occurrence_no]), [[one.id, 1]]);
});

const told = async ({ series_id: id }, type = 'due') => (await events(api, `types=follow_up.${type}&account_id=${account.id}`)).filter(({ data }) => data.series_id === id).map(({ data }) => data);
// The series' rows once the worker told of one.
const fired = async (one) => {
  await until(async () => (await told(one)).length > 0, { ms: 30_000, what: 'follow_up.due' });
  return series(one);
};

test('of the occurrences that were missed, the latest alone opens, and counts the others: whole days, an hour, UNTIL, COUNT', async () => {
  const ago = (days) => day(Date.now() - days * DAY);
  const cases = [ // what was given; the days ago, by their number, of what opens and of what follows
    [{ due_on: ago(60), time_zone: 'UTC', recurrence: `FREQ=WEEKLY;UNTIL=${ago(30).replaceAll('-', '')}` }, [[5, 32, 4]]],
    [{ due_on: ago(60), time_zone: 'UTC', recurrence: 'FREQ=WEEKLY;COUNT=3' }, [[3, 46, 2]]],
    [{ due_on: ago(60), time_zone: 'UTC', recurrence: 'FREQ=WEEKLY;COUNT=10' }, [[9, 4, 8], [10, -3, 0]]],
    [{ due_on: ago(0), time_zone: 'UTC', recurrence: 'FREQ=DAILY' }, [[1, 0, 0], [2, -1, 0]]],
    [{ due_on: ago(1), time_zone: 'UTC', recurrence: 'FREQ=DAILY' }, [[2, 0, 1], [3, -1, 0]]],
    [{ due_at: new Date(Date.now() - 3650.5 * DAY).toISOString(), time_zone: 'UTC', recurrence: 'FREQ=DAILY' }, [[3651, 0.5, 3650], [3652, -0.5, 0]]],
  ];
  const made = await Promise.all(cases.map(([fields]) => followUp(fields)));
  for (const [i, [fields, wanted]] of cases.entries()) {
    const rows = await fired(made[i]);
    const when = (days) => (fields.due_on ? ago(days) : Date.parse(made[i].due_at) + (3650.5 - days) * DAY);
    assert.deepEqual(rows.map((row) => [row.occurrence_no, row.due_on ?? Date.parse(row.due_at), row.missed_occurrences, row.status]), wanted.map(([no, days, missed]) => [no, when(days), missed, 'open']), fields.recurrence);
    assert.deepEqual((await told(made[i])).map((data) => [data.occurrence_no, data.missed_occurrences ?? 0]), [[wanted[0][0], wanted[0][2]]], 'one event');
    assert.equal(rows[0].id, made[i].id);
  }
  await api.fails(422, 'validation_failed', 'POST', '/v1/follow-ups', { body: { account_id: account.id, title: 'Old', due_on: '1900-01-01', time_zone: 'UTC', recurrence: 'FREQ=DAILY' } });
});

test('one that was told stays; after days without a worker the next one is the latest, also of one that was put off', async () => {
  const one = await followUp({ due_at: inMs(700), time_zone: 'UTC', recurrence: 'FREQ=DAILY' });
  const [first, second] = await until(async () => { const rows = await series(one); return rows.length === 2 && rows; }, { ms: 30_000, what: 'the next occurrence' });
  // Nobody looked for ten days: the stored times are ten days older. A second one was put off meanwhile.
  sql(world.settings, `update follow_up set slot_on = slot_on - 10, series_first_on = series_first_on - 10, due_at = due_at - interval '10 days' + case id when '${second.id}' then interval '2 days' else interval '0' end
    where series_id = '${one.series_id}'`);
  const rows = await until(async () => { const all = await series(one); return all.length === 3 && all; }, { ms: 30_000, what: 'the third' });
  assert.deepEqual(rows.map((row) => [row.occurrence_no, row.missed_occurrences, row.id === first.id || row.id === second.id]), [[1, 0, true], [11, 9, true], [12, 0, false]]);
  assert.deepEqual(rows.slice(1).map(({ due_at }) => due_at), [one.due_at, new Date(Date.parse(one.due_at) + DAY).toISOString().replace('Z', '000Z')], 'at the hour of the rule');
  const ofSecond = async () => (await told(one)).filter(({ follow_up_id: id }) => id === second.id);
  await until(async () => (await ofSecond()).length > 0, { ms: 15_000, what: 'the event' });
  assert.deepEqual((await ofSecond()).map(({ missed_occurrences: missed }) => missed), [9]);
});

test('an occurrence has passed from its instant on', async () => {
  const one = await followUp({ due_on: '2099-03-01', time_zone: 'UTC', recurrence: 'FREQ=DAILY' });
  const passed = (offset) => sql(world.settings, `begin;
    update follow_up set series_first_on = at::date, slot_on = at::date, series_time = at::time from (select (now() at time zone 'UTC') - interval '1 day' + interval '${offset} microseconds' as at) t where id = '${one.id}';
    select 'passed ' || n from follow_up f cross join lateral follow_up_passed(f) where f.id = '${one.id}'; rollback`);
  assert.deepEqual([-1, 0, 1].map(passed), ['passed 1', 'passed 1', 'passed 0']);
});

test('a moved occurrence leaves the rule alone; another rule holds from there on; what was made already says so', async () => {
  const one = await followUp({ due_on: '2027-03-01', time_zone: 'UTC', recurrence: 'FREQ=MONTHLY' });
  const moved = await api.patch(`/v1/follow-ups/${one.id}`, one.etag, { due_on: '2027-03-05' });
  await act(200, moved, 'complete');
  const [, two] = await series(one);
  assert.equal(two.due_on, '2027-04-01');
  const problem = await api.fails(409, 'conflict', 'PATCH', `/v1/follow-ups/${one.id}`, { body: { status: 'open', recurrence: 'FREQ=DAILY' }, headers: { 'if-match': (await read(one)).etag } });
  assert.equal(problem.next_id, two.id);
  const weekly = await api.patch(`/v1/follow-ups/${two.id}`, two.etag, { recurrence: 'FREQ=WEEKLY;COUNT=2', title: 'Weekly now' });
  assert.equal(weekly.series_id, one.series_id);
  await act(200, weekly, 'complete');
  const [, , three] = await series(one);
  assert.deepEqual([three.due_on, three.title, three.occurrence_no], ['2027-04-08', 'Weekly now', 3]);
  await act(200, three, 'complete');
  assert.equal((await series(one)).length, 3, 'COUNT counts from the new rule');
});

test('a corrected time zone keeps the time of the wall clock, of this occurrence and of all later ones', async () => {
  const nine = (date, offset) => `${date}T${String(9 - offset).padStart(2, '0')}:00:00.000000Z`;
  const one = await followUp({ due_at: nine('2027-01-15', -5), time_zone: 'America/New_York', recurrence: 'FREQ=MONTHLY;COUNT=4' });
  const zone = async (status, { id }, time_zone, more = {}) => {
    const { body } = await api.call(status, 'PATCH', `/v1/follow-ups/${id}`, { body: { time_zone, ...more }, headers: { 'if-match': (await read({ id })).etag } });
    return [body.due_at, body.revision];
  };
  assert.deepEqual(await zone(200, one, 'Europe/Berlin', { due_at: one.due_at }), [nine('2027-01-15', 1), 2], 'nine in Berlin');
  await act(200, one, 'complete');
  const [, two] = await series(one);
  assert.deepEqual([two.due_at, two.time_zone], [nine('2027-02-15', 1), 'Europe/Berlin']);
  assert.deepEqual(await zone(200, two, null), [nine('2027-02-15', 0), 2], 'none is UTC');
  assert.deepEqual(await zone(200, two, 'Asia/Tokyo', { due_at: '2027-02-16T00:30:00Z' }), ['2027-02-16T00:30:00.000000Z', 3], 'moved at the same time: this one');
  await act(200, two, 'complete');
  const [, , three] = await series(one);
  assert.equal(three.due_at, nine('2027-03-15', 9), 'the later ones keep their nine');
  const [done] = await zone(200, two, 'UTC');
  assert.equal(done, '2027-02-16T00:30:00.000000Z', 'what is done was due when it was');
  // Once the next one is there, it is the one to correct.
  const due = await followUp({ due_at: inMs(500), time_zone: 'UTC', recurrence: 'FREQ=DAILY' });
  const [, next] = await until(async () => { const rows = await series(due); return rows.length === 2 && rows; }, { ms: 30_000, what: 'the next occurrence' });
  const problem = await api.fails(409, 'conflict', 'PATCH', `/v1/follow-ups/${due.id}`, { body: { time_zone: 'Asia/Tokyo' }, headers: { 'if-match': (await read(due)).etag } });
  assert.deepEqual([problem.next_id, places(problem)], [next.id, ['/time_zone']]);
  const alone = await followUp({ due_at: '2027-01-15T14:00:00Z', time_zone: 'America/New_York' });
  assert.deepEqual(await zone(200, alone, 'Europe/Berlin'), ['2027-01-15T14:00:00.000000Z', 1], 'an instant that does not come again stays');
});

test('cancelling one leaves the series; cancelling the series ends it', async () => {
  const one = await followUp({ due_on: '2027-03-01', time_zone: 'UTC', recurrence: 'FREQ=DAILY' });
  assert.equal((await act(200, one, 'cancel')).status, 'cancelled');
  const [, two] = await series(one);
  assert.deepEqual([two.due_on, two.status], ['2027-03-02', 'open']);
  await act(409, one, 'cancel');
  await act(200, one, 'cancel', { series: true });
  assert.deepEqual((await series(one)).map(({ status }) => status), ['cancelled', 'cancelled']);
  await act(409, one, 'cancel', { series: true });
  const alone = await followUp({ due_on: '2027-03-01', time_zone: 'UTC' });
  assert.equal((await act(200, alone, 'cancel', { series: true })).status, 'cancelled');
});

test('20 completions at once make one next occurrence', async () => {
  const one = await followUp({ due_on: '2027-05-01', time_zone: 'UTC', recurrence: 'FREQ=WEEKLY;BYDAY=MO,TH' });
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => world.apis[i % 2].insist('POST', `/v1/follow-ups/${one.id}/complete`, { body: {} })));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(409)]);
  assert.deepEqual((await series(one)).map(({ due_on: on }) => on), ['2027-05-01', '2027-05-03']);
});

test('what is no rule of kamd\'s is refused with the reason', async () => {
  const wrong = ['DAILY', 'FREQ=HOURLY', 'FREQ=DAILY;FREQ=DAILY', 'FREQ=DAILY;INTERVAL=0', 'FREQ=WEEKLY;BYDAY=2MO', 'FREQ=WEEKLY;BYMONTHDAY=1', 'FREQ=MONTHLY;BYMONTHDAY=32',
    'FREQ=MONTHLY;BYDAY=54MO', 'FREQ=DAILY;COUNT=2;UNTIL=20300101', 'FREQ=DAILY;UNTIL=20300231', 'FREQ=MONTHLY;BYSETPOS=1', 'FREQ=YEARLY;BYWEEKNO=20', 'INTERVAL=2', 'FREQ=DAILY;', 'RRULE:FREQ=DAILY',
    'FREQ=DAILY;BYMONTH=13', 'FREQ=DAILY;WKST=M', "FREQ=DAILY;COUNT=1');--"];
  for (const recurrence of wrong) {
    const problem = await api.fails(422, 'validation_failed', 'POST', '/v1/follow-ups', { body: { account_id: account.id, title: 'x', due_on: '2027-01-01', time_zone: 'UTC', recurrence } });
    assert.deepEqual(places(problem), ['/recurrence'], recurrence);
  }
});
