// The regular follow-up of an account: series that keep their day, due dates in local time, and a
// completion that does all of its work or none.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events, places } from './lib/client.mjs';
import { addUser, readyPlan } from './lib/planning.mjs';
import { answerBeside, sql } from './lib/stack.mjs';
import { inParallel, sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

let world, api, account;
before(async () => {
  world = await openWorld({ processes: 2 });
  ({ api } = world);
  account = await makeAccount(api);
});
after(() => world?.close());

// Of an account of its own, unless another is given: one review of a cadence is scheduled at a time.
const review = async (fields = {}, its) => api.create('/v1/reviews', { account_id: (its ?? await makeAccount(api)).id, cadence: 'monthly', due_on: '2099-01-31', time_zone: 'Europe/Berlin', ...fields });
const complete = (status, { id }, body = { outcome: 'keep' }, client = api) => client.call(status, 'POST', `/v1/reviews/${id}/complete`, { body }).then((answer) => answer.body);
const get = ({ id }) => api.get(`/v1/reviews/${id}`);
const told = async (type, { id, account_id }) => (await events(api, `types=${type}&account_id=${account_id}`)).filter(({ data }) => data.review_id === id);
const query = (statement) => sql(world.settings, statement);

// ---- series ----------------------------------------------------------------------------------------

// The due dates after the first, each review completed in its turn.
async function series(first, cadence, n) {
  const dates = [];
  for (let one = await review({ due_on: first, cadence }); dates.length < n;) {
    const { next_review_id: id } = await complete(200, one);
    one = await get({ id });
    dates.push(one.due_on);
  }
  return dates;
}

test('month ends are safe: the series keeps its day (004-32)', async () => {
  assert.deepEqual(await series('2099-01-31', 'monthly', 4), ['2099-02-28', '2099-03-31', '2099-04-30', '2099-05-31']);
  assert.deepEqual(await series('2104-01-31', 'monthly', 2), ['2104-02-29', '2104-03-31'], '29 February');
  assert.deepEqual(await series('2099-11-30', 'quarterly', 2), ['2100-02-28', '2100-05-30'], '2100 has none');
  assert.deepEqual(await series('2099-08-31', 'semiannual', 2), ['2100-02-28', '2100-08-31']);
  assert.deepEqual(await series('2104-02-29', 'annual', 4), ['2105-02-28', '2106-02-28', '2107-02-28', '2108-02-29']);
});

test('random series agree with another calendar', async () => {
  let seed = 41;
  const below = (n) => Math.floor((seed = (seed * 1103515245 + 12345) % 2147483648) / 65536) % n; // its low bits are not random
  const days = (y, m) => new Date(Date.UTC(y, m, 0)).getUTCDate(); // m from 1
  for (let i = 0; i < 8; i++) {
    const [cadence, months] = Object.entries({ monthly: 1, quarterly: 3, semiannual: 6, annual: 12 })[below(4)];
    const [y, m] = [2090 + below(20), 1 + below(12)];
    const d = 1 + below(days(y, m));
    const wanted = Array.from({ length: 3 }, (_, k) => {
      const at = y * 12 + m - 1 + (k + 1) * months;
      const [ny, nm] = [Math.floor(at / 12), at % 12 + 1];
      return [ny, String(nm).padStart(2, '0'), String(Math.min(d, days(ny, nm))).padStart(2, '0')].join('-');
    });
    const first = [y, String(m).padStart(2, '0'), String(d).padStart(2, '0')].join('-');
    assert.deepEqual(await series(first, cadence, 3), wanted, `${cadence} from ${first}`);
  }
});

test('one date that is moved does not move the series; the first one, or another cadence, does', async () => {
  const first = await review();
  const february = await get({ id: (await complete(200, first)).next_review_id });
  await api.patch(`/v1/reviews/${february.id}`, february.etag, { due_on: '2099-02-20' });
  assert.equal((await get({ id: (await complete(200, february)).next_review_id })).due_on, '2099-03-31');
  const moved = await review();
  await api.patch(`/v1/reviews/${moved.id}`, moved.etag, { due_on: '2099-01-15' });
  const next = await get({ id: (await complete(200, moved)).next_review_id });
  assert.deepEqual([next.due_on, next.anchor_on], ['2099-02-15', '2099-01-15']);
  await api.patch(`/v1/reviews/${next.id}`, next.etag, { cadence: 'annual', due_on: '2099-02-28' });
  assert.equal((await get({ id: (await complete(200, next)).next_review_id })).due_on, '2100-02-28');
});

// ---- one at a time ---------------------------------------------------------------------------------

test('004-32: one review of a cadence is scheduled at a time, whatever would make a second one; another cadence may be due on the same day', async () => {
  const its = await makeAccount(api);
  const again = (fields = {}) => ({ body: { account_id: its.id, cadence: 'monthly', due_on: '2099-03-31', ...fields } });
  const twice = async (...request) => {
    const { errors } = await api.fails(409, 'review_is_scheduled', ...request);
    assert.deepEqual(errors.map(({ pointer, code }) => [pointer, code]), [['/cadence', 'review_is_scheduled']]);
  };
  const change = ({ id, etag }, body) => ['PATCH', `/v1/reviews/${id}`, { body, headers: { 'if-match': etag } }];
  const first = await review({}, its);
  await twice('POST', '/v1/reviews', again());
  await twice('POST', '/v1/reviews', again({ due_on: first.due_on }));
  const yearly = await review({ cadence: 'annual' }, its);
  await twice(...change(yearly, { cadence: 'monthly' }));
  const cancelled = await api.patch(`/v1/reviews/${first.id}`, first.etag, { status: 'cancelled' });
  const second = await api.create('/v1/reviews', again().body);
  await twice(...change(cancelled, { status: 'scheduled' }));
  await api.remove(`/v1/reviews/${second.id}`, second.etag);
  await api.create('/v1/reviews', again().body);
  await twice('POST', `/v1/reviews/${second.id}/restore`);
});

test('004-32: the next of a series takes the place of the one before; one that was missed is not scheduled again beside it', async () => {
  const its = await makeAccount(api);
  const first = await review({ due_on: '2000-01-31', time_zone: 'UTC' }, its);
  query(`update review set created_at = '2000-01-01' where id = '${first.id}'`);
  const missed = await until(async () => { const now = await get(first); return now.status === 'missed' && now; }, { ms: 20_000, what: 'it to be missed' });
  assert.equal((await get({ id: missed.next_review_id })).status, 'scheduled');
  await api.fails(409, 'review_is_scheduled', 'PATCH', `/v1/reviews/${first.id}`, { body: { status: 'scheduled' }, headers: { 'if-match': missed.etag } });
  // One that came in as missed has no next one; held late, it makes none beside the one that is scheduled.
  const late = await review({ status: 'missed', due_on: '2020-01-31' }, its);
  assert.deepEqual([(await complete(200, late)).status, (await get(late)).next_review_id], ['held', null]);
});

test('004-32: of many at once, one is scheduled; nor is one beside one that is not committed yet', async () => {
  const its = await makeAccount(api);
  const post = (client = api) => client.insist('POST', '/v1/reviews', { body: { account_id: its.id, cadence: 'quarterly', due_on: '2099-03-31' } });
  const answers = await inParallel(10, Array(10).fill(), (_, i) => post(world.apis[i % 2]));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(9).fill(409)]);
  query(`update review set status = 'cancelled' where account_id = '${its.id}'`);
  const { status, body } = await answerBeside(world.settings,
    `insert into review (id, account_id, cadence, due_on) values (gen_random_uuid(), '${its.id}', 'quarterly', '2099-03-31') returning 'held'`, post);
  assert.deepEqual([status, body.code], [409, 'review_is_scheduled']);
});

// ---- completion ----------------------------------------------------------------------------------------

test('completion: held, follow-ups, the next version of the plan, the next review, one event (002-26, 004-33)', async () => {
  const { account: its, plan } = await readyPlan(api, { world });
  await api.call(200, 'POST', `/v1/plans/${plan.id}/activate`, { body: {} });
  const user = await addUser(api);
  const one = await review({ plan_id: plan.id, decisions: [{ text: 'Typed before', customer_impact: 'neutral' }] }, its);
  const held = await complete(200, one, {
    outcome: 'adapt', held_at: '2099-01-30T15:00:00Z', findings: [{ text: 'Late twice', owner_id: user.id }], participants: [{ user_id: user.id }, { name: 'Maria' }],
    follow_ups: [{ title: 'Second truck', assignee_id: user.id, due_on: '2099-04-01' }, { title: 'Write', due_at: '2099-02-01T09:00:00+01:00', priority: 'high' }],
    plan_changes: { title: 'Broader', objectives: plan.objectives.slice(1) },
  });
  assert.deepEqual([held.status, held.outcome, held.held_at, held.plan_version_no, held.follow_up_ids.length], ['held', 'adapt', '2099-01-30T15:00:00.000000Z', 2, 2]);
  assert.deepEqual([held.decisions[0].text, held.findings[0].text], ['Typed before', 'Late twice'], 'what is not said stays');
  assert.deepEqual(held, await get(one));
  const followUps = await Promise.all(held.follow_up_ids.map((id) => api.get(`/v1/follow-ups/${id}`)));
  const byTitle = Object.fromEntries(followUps.map((each) => [each.title, each]));
  assert.deepEqual(followUps.map((each) => [each.account_id, each.review_id, each.plan_id]), Array(2).fill([its.id, one.id, plan.id]));
  assert.deepEqual([byTitle['Second truck'].due_at, byTitle['Second truck'].time_zone], ['2099-03-31T22:00:00.000000Z', 'Europe/Berlin'], "the review's zone, in summer time");
  assert.deepEqual([byTitle.Write.due_at, byTitle.Write.priority], ['2099-02-01T08:00:00.000000Z', 'high']);
  const version = await api.get(`/v1/plans/${plan.id}/versions/2`);
  assert.deepEqual([version.kind, version.review_id, version.content.title, version.content.objectives.length], ['adapted', one.id, 'Broader', 2]);
  assert.deepEqual((await api.get(`/v1/plans/${plan.id}`)).status, 'active');
  const next = await get({ id: held.next_review_id });
  assert.deepEqual([next.status, next.due_on, next.previous_review_id, next.plan_id, next.time_zone], ['scheduled', '2099-02-28', one.id, plan.id, 'Europe/Berlin']);
  const [event] = await until(async () => { const all = await told('review.completed', one); return all.length > 0 && all; }, { ms: 20_000, what: 'review.completed' });
  assert.deepEqual([event.data.outcome, event.data.plan_version_no, event.data.next_review_id, event.data.follow_up_ids, event.previous.status],
    ['adapt', 2, next.id, held.follow_up_ids, 'scheduled']);
  const adapted = (await events(api, `types=plan.adapted&account_id=${its.id}`)).map(({ data }) => [data.plan_id, data.version_no, data.review_id]);
  assert.deepEqual(adapted, [[plan.id, 2, one.id]]);
});

test('keep leaves the plan alone; replace closes it, and the next review is of none', async () => {
  const { account: its, plan } = await readyPlan(api, { world });
  await api.call(200, 'POST', `/v1/plans/${plan.id}/activate`, { body: {} });
  const kept = await complete(200, await review({ plan_id: plan.id }, its));
  assert.deepEqual([kept.plan_version_no, kept.follow_up_ids, (await api.get(`/v1/plans/${plan.id}`)).version_no], [null, [], 1]);
  assert.ok(Math.abs(Date.parse(kept.held_at) - Date.now()) < 600_000, 'held now, if nothing else is said');
  const replaced = await complete(200, { id: kept.next_review_id }, { outcome: 'replace' });
  assert.equal((await api.get(`/v1/plans/${plan.id}`)).status, 'closed');
  assert.equal((await get({ id: replaced.next_review_id })).plan_id, null);
  assert.equal((await complete(409, await review({ plan_id: plan.id, cadence: 'annual' }, its), { outcome: 'adapt' })).code, 'conflict');
});

test('a review that names no plan is of the one in force', async () => {
  const { account: its, plan } = await readyPlan(api, { world });
  const early = await review({}, its);
  assert.deepEqual(places(await complete(422, early, { outcome: 'adapt' })), ['/outcome'], 'there is none yet');
  await api.call(200, 'POST', `/v1/plans/${plan.id}/activate`, { body: {} });
  const held = await complete(200, early, { outcome: 'adapt', plan_changes: { title: 'Nearer' } });
  assert.deepEqual([held.plan_id, held.plan_version_no, (await get({ id: held.next_review_id })).plan_id], [plan.id, 2, plan.id]);
});

test('who took part takes part in the next one, but for who is gone; also where it was missed', async () => {
  const its = await makeAccount(api), other = await makeAccount(api);
  const [user, gone, left] = [await addUser(api), await addUser(api), await addUser(api)];
  const contact = (fields) => api.create('/v1/contacts', { account_id: its.id, family_name: 'Anders', ...fields });
  const [chief, moved, deleted] = [await contact(), await contact(), await contact()];
  const here = [{ user_id: user.id }, { contact_id: chief.id }, { name: 'Maria' }];
  const one = await review({ participants: [...here, { user_id: gone.id }, { user_id: left.id }, { contact_id: moved.id }, { contact_id: deleted.id }] }, its);
  await api.remove(`/v1/users/${gone.id}`, gone.etag);
  await api.patch(`/v1/users/${left.id}`, left.etag, { active: false });
  await api.call(200, 'POST', `/v1/contacts/${moved.id}/move`, { body: { account_id: other.id } });
  await api.remove(`/v1/contacts/${deleted.id}`, deleted.etag);
  const people = async ({ id }) => (await get({ id })).participants.map(({ user_id, contact_id, name }) => user_id ?? contact_id ?? name);
  const second = { id: (await complete(200, one)).next_review_id };
  assert.deepEqual(await people(second), [user.id, chief.id, 'Maria']);
  const third = { id: (await complete(200, second, { outcome: 'keep', participants: [{ contact_id: chief.id }] })).next_review_id };
  assert.deepEqual(await people(third), [chief.id], 'who took part in the end');
  query(`update review set due_on = '2000-01-31', created_at = '2000-01-01' where id = '${third.id}'`);
  const fourth = await until(async () => (await get(third)).next_review_id, { ms: 20_000, what: 'it to be missed' });
  assert.deepEqual(await people({ id: fourth }), [chief.id]);
});

test('what is incomplete is refused with everything that is wrong (000-30)', async () => {
  const one = await review();
  const problem = await complete(422, one, {
    decisions: [{ text: 'Cut the discount' }, { customer_impact: 'positive' }], expectations: [{ expectation: 'creative', customer: 6 }],
    follow_ups: [{ title: 'Fine', due_on: '2099-01-31' }, { due_on: '2099-01-31' }, { title: 'No time' }],
  });
  assert.deepEqual(places(problem).sort(), ['/decisions/0/customer_impact', '/decisions/1/text', '/expectations/0/customer', '/follow_ups/1/title', '/follow_ups/2/due_at', '/outcome']);
  assert.deepEqual(places(await complete(422, one, {})), ['/outcome']);
  assert.deepEqual(places(await complete(422, one, { outcome: 'adapt' })), ['/outcome'], 'there is no plan to adapt');
  assert.deepEqual(places(await complete(422, one, { outcome: 'keep', plan_changes: { title: 'x' } })), ['/plan_changes']);
  assert.deepEqual(places(await complete(400, one, { outcome: 'perhaps', mood: 'good', follow_ups: [{ title: 'x', due_at: '2099-01-31T00:00:00Z', colour: 'red' }] })).sort(),
    ['/follow_ups/0/colour', '/mood', '/outcome']);
  assert.equal((await get(one)).status, 'scheduled');
  await complete(404, { id: '01970000-0000-7000-8000-000000000000' });
  const member = await world.clientOf('member', { user_id: (await addUser(api)).id });
  await complete(404, one, { outcome: 'keep' }, member);
});

test('twice: 409, and what was held stays held; a cancelled one is not held', async () => {
  const one = await review();
  await api.fails(412, 'precondition_failed', 'POST', `/v1/reviews/${one.id}/complete`, { body: { outcome: 'keep' }, headers: { 'if-match': '"0000000000000000-00000000"' } });
  const held = await complete(200, one);
  assert.equal((await complete(409, one)).code, 'conflict');
  await api.fails(409, 'conflict', 'PATCH', `/v1/reviews/${one.id}`, { body: { status: 'scheduled' }, headers: { 'if-match': held.etag } });
  assert.deepEqual(await get(one), held);
  const cancelled = await review();
  await api.patch(`/v1/reviews/${cancelled.id}`, cancelled.etag, { status: 'cancelled' });
  await complete(409, cancelled);
});

test('50 at once: one 200; everything was made once', async () => {
  const { account: its, plan } = await readyPlan(api, { world });
  const one = await review({ plan_id: plan.id }, its);
  const body = { outcome: 'adapt', follow_ups: [{ title: 'Once', due_on: '2099-02-01' }] };
  const answers = await inParallel(50, Array(50).fill(), (_, i) => world.apis[i % 2].send('POST', `/v1/reviews/${one.id}/complete`, { body }));
  const count = (status) => answers.filter((answer) => answer.status === status).length;
  assert.equal(count(200), 1, `${answers.map(({ status }) => status)}`);
  assert.equal(count(409) + count(503), 49);
  assert.equal((await api.get(`/v1/plans/${plan.id}`)).version_no, 1);
  assert.equal((await get(one)).follow_up_ids.length, 1);
  assert.equal((await api.get(`/v1/accounts/${its.id}/reviews`)).data.length, 2);
  await until(async () => (await told('review.completed', one)).length === 1, { ms: 20_000, what: 'the event' });
});

test('when one part fails, nothing has happened', async () => {
  const { account: its, plan } = await readyPlan(api, { world });
  const one = await review({ plan_id: plan.id }, its);
  const body = { outcome: 'adapt', notes: 'x', follow_ups: [{ title: 'First', due_on: '2099-02-01' }, { title: 'Second', due_on: '2099-02-01' }], plan_changes: { title: 'Changed' } };
  const rows = () => query(['review', 'plan', 'plan_version', 'follow_up', 'history', 'event'].map((table) => `select '${table}', md5(string_agg(t::text, '|' order by t::text)) from ${table} t where account_id = '${its.id}'`).join(' union all '));
  const untouched = rows();
  const unknown = structuredClone(body);
  unknown.follow_ups[1].assignee_id = '01970000-0000-7000-8000-000000000000';
  const refused = await complete(422, one, unknown);
  assert.deepEqual(places(refused), ['/follow_ups/1/assignee_id']);
  assert.equal(rows(), untouched, 'an unknown assignee');
  assert.deepEqual(places(await complete(400, one, { ...body, plan_changes: { title: 'x', status: 'closed' } })), ['/plan_changes/status']);
  assert.equal(rows(), untouched, 'a wrong change of the plan');
  // The database fails at each of the writes.
  query("create function fail_here() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$");
  for (const at of ['insert on plan_version', 'insert on follow_up', 'insert on review', 'update on review', 'insert on event', 'insert on history']) {
    query(`create trigger fail_here before ${at} for each row execute function fail_here()`);
    await complete(500, one, body);
    query(`drop trigger fail_here on ${at.split(' ').at(-1)}`);
    assert.equal(rows(), untouched, at);
  }
  await complete(200, one, body);
  assert.notEqual(rows(), untouched);
});

// ---- due, missed ---------------------------------------------------------------------------------------

// By the database's own zones: those of the Node that happens to be here may be of another year.
test('a day begins where its first moment is, in every zone', () => {
  let seed = 99;
  const below = (n) => Math.floor((seed = (seed * 1103515245 + 12345) % 2147483648) / 65536) % n; // its low bits are not random
  const zones = query("select name from pg_timezone_names where name ~ '^(Africa|America|Asia|Atlantic|Australia|Europe|Indian|Pacific)/' order by name").split('\n');
  assert.ok(zones.length > 300);
  const cases = Array.from({ length: 1500 }, () => [zones[below(zones.length)], new Date(Date.UTC(2000 + below(24), below(12), 1 + below(31))).toISOString().slice(0, 10)]);
  // Both ways at midnight and not, half-hour changes, a day that never was, rules that were given up.
  cases.push(['America/Sao_Paulo', '2018-11-04'], ['America/Sao_Paulo', '2019-11-03'], ['America/Havana', '2023-11-05'], ['America/Havana', '2024-03-10'], ['Asia/Beirut', '2022-03-27'], ['Pacific/Apia', '2011-12-30'],
    ['Australia/Lord_Howe', '2023-10-01'], ['Europe/Berlin', '2024-03-31'], ['Europe/Berlin', '2024-10-27'], ['Africa/Cairo', '2023-04-28'], ['Europe/Volgograd', '2020-12-27'], ['Asia/Tehran', '2022-03-22'], ['Europe/Berlin', '2024-02-29']);
  // Every quarter of an hour that may be the first, each asked for its date there: since 2000 all offsets are whole quarters.
  const wrong = query(`select z, d, day_begin(d, z), first from (values ${cases.map(([z, d]) => `('${z}', date '${d}')`)}) c(z, d) cross join lateral (
    select min(t) as first from generate_series(d::timestamp at time zone 'UTC' - interval '16 hours', d::timestamp at time zone 'UTC' + interval '40 hours', interval '15 minutes') t
     where (t at time zone z)::date >= d) f where day_begin(d, z) is distinct from first`);
  assert.equal(wrong, '');
  // Known from elsewhere: midnight skipped, midnight twice, a day left out, offsets of halves and quarters.
  const known = [['America/Sao_Paulo', '2018-11-04', '2018-11-04T03:00Z'], ['America/Havana', '2023-11-05', '2023-11-05T04:00Z'], ['Asia/Beirut', '2022-03-27', '2022-03-26T22:00Z'], ['Pacific/Apia', '2011-12-30', '2011-12-30T10:00Z'],
    ['Europe/Berlin', '2024-10-27', '2024-10-26T22:00Z'], ['Asia/Kolkata', '2024-02-29', '2024-02-28T18:30Z'], ['Asia/Kathmandu', '2024-02-29', '2024-02-28T18:15Z']];
  assert.equal(query(`select z, d, day_begin(d, z) from (values ${known.map(([z, d, t]) => `('${z}', date '${d}', timestamptz '${t}')`)}) k(z, d, first) where day_begin(d, z) is distinct from first`), '');
});

test('review.due: when its day has begun there, and not where it has not', async () => {
  const today = new Date().toISOString().slice(0, 10);
  const zones = ['Pacific/Kiritimati', 'Asia/Tokyo', 'Europe/Berlin', 'America/New_York', 'Pacific/Honolulu', 'Pacific/Pago_Pago'];
  const days = [-1, 0, 1].map((n) => new Date(Date.parse(today) + n * 86400e3).toISOString().slice(0, 10));
  const made = await Promise.all(zones.flatMap((zone) => days.map((day) => review({ due_on: day, time_zone: zone }))));
  const has = ({ due_on: day, time_zone: zone }) => new Date().toLocaleDateString('sv-SE', { timeZone: zone }) >= day;
  const due = made.filter(has);
  assert.ok(due.length >= 6 && due.length < made.length);
  const toldOf = async () => new Set((await events(api, 'types=review.due')).map(({ data }) => data.review_id));
  await until(async () => { const seen = await toldOf(); return due.every(({ id }) => seen.has(id)); }, { ms: 20_000, what: 'those that are due' });
  await sleep(1500);
  const seen = await toldOf();
  for (const one of made) if (!has(one)) assert.ok(!seen.has(one.id), `${one.due_on} ${one.time_zone}`);
});

test('review.due: never early, and once, though two processes look', async () => {
  // A zone whose midnight is in three seconds.
  const midnight = Math.ceil(Date.now() / 1000) + 3;
  const day = new Date((midnight + 12 * 3600) * 1000).toISOString().slice(0, 10); // a date within half a day of it
  const west = midnight - Date.parse(`${day}T00:00:00Z`) / 1000; // seconds west of Greenwich
  const clock = [3600, 60, 1].map((unit) => String(Math.floor(Math.abs(west) / unit) % (unit === 3600 ? 24 : 60)).padStart(2, '0')).join(':');
  const made = await Promise.all(Array.from({ length: 20 }, () => review({ due_on: '2099-06-30', time_zone: 'UTC' })));
  query(`update review set due_on = '${day}', time_zone = '<K>${west < 0 ? '-' : '+'}${clock}' where id in (${made.map(({ id }) => `'${id}'`)})`);
  const ids = new Set(made.map(({ id }) => id));
  const mine = async () => (await events(api, 'types=review.due')).filter(({ data }) => ids.has(data.review_id));
  await until(async () => (await mine()).length >= 20, { ms: 30_000, what: '20 events' });
  await sleep(1500);
  const all = await mine();
  assert.equal(all.length, 20);
  assert.equal(new Set(all.map(({ data }) => data.review_id)).size, 20);
  for (const { timestamp } of all) assert.ok(Date.parse(timestamp) >= midnight * 1000, `${timestamp} is before ${new Date(midnight * 1000).toISOString()}`);
});

test('review.missed: after the days of grace; the next one is scheduled; it may still be held late', async () => {
  const ago = (days) => new Date(Date.now() - days * 86400e3).toISOString().slice(0, 10);
  const fresh = await review({ due_on: ago(60), cadence: 'annual', time_zone: 'UTC' });
  const waiting = await review({ due_on: ago(14), cadence: 'annual', time_zone: 'UTC' });
  const missed = await review({ due_on: ago(16), cadence: 'annual', time_zone: 'UTC' });
  const long = await review({ due_on: '2024-01-31', cadence: 'monthly', time_zone: 'UTC' });
  query(`update review set created_at = now() - interval '300 days' where id in ('${waiting.id}', '${missed.id}', '${long.id}')`);
  for (const one of [missed, long]) await until(async () => (await get(one)).status === 'missed', { ms: 20_000, what: 'it to be missed' });
  const [event] = await until(async () => { const all = await told('review.missed', missed); return all.length > 0 && all; }, { ms: 20_000, what: 'review.missed' });
  await sleep(1500);
  assert.equal((await told('review.missed', missed)).length, 1);
  assert.deepEqual([(await get(fresh)).status, (await get(waiting)).status], ['scheduled', 'scheduled'], 'grace runs at least since it was entered');
  const next = await get({ id: (await get(missed)).next_review_id });
  assert.deepEqual([event.data.next_review_id, next.status, next.due_on.slice(4)], [next.id, 'scheduled', missed.due_on.slice(4)]);
  const later = await get({ id: (await get(long)).next_review_id });
  assert.ok(later.due_on >= ago(15) && later.due_on < ago(-32) && later.status === 'scheduled', `one that was missed for years goes on today: ${later.due_on}`);
  const held = await complete(200, missed);
  assert.deepEqual([held.status, held.next_review_id], ['held', next.id], 'and there is no second next one');
  assert.equal((await told('review.due', missed)).length, 1);
});

test('nothing is missed before it was told to be due', async () => {
  // A call that takes one review at a time: the other one is due earlier, so that this one is not told yet, though its grace is over.
  const [other, late] = [await review({ due_on: '2099-01-01', time_zone: 'UTC' }), await review({ due_on: '2099-01-02', time_zone: 'UTC' })];
  const seen = query(`begin;
    update review set due_on = '2000-01-01' where id = '${other.id}';
    update review set due_on = '2000-01-02', created_at = '2000-01-01' where id = '${late.id}';
    select reviews_fire(1);
    select 'now ' || status from review where id = '${late.id}';
    select reviews_fire(1);
    select 'now ' || status from review where id = '${late.id}';
    commit`);
  assert.deepEqual(seen.match(/now .*/g), ['now scheduled', 'now missed']);
  await until(async () => (await told('review.missed', late)).length === 1, { ms: 20_000, what: 'review.missed' });
  assert.equal((await told('review.due', late)).length, 1);
});

// ---- the seven buyer expectations -----------------------------------------------------------------------

test('expectations: gap, trend and the weakest, of reviews and of ratings between them (003-05 to 003-12)', async () => {
  const its = await makeAccount(api);
  const path = `/v1/accounts/${its.id}/expectations`;
  const empty = await api.get(path);
  assert.deepEqual([empty.items.length, empty.weakest, empty.rated_at], [7, null, null]);
  const of = (result, name) => { const { customer, internal, gap, trend } = (result.items ?? result.expectation_gaps).find((item) => item.expectation === name); return [customer, internal, gap, trend]; };
  const first = await complete(200, await review({}, its), {
    outcome: 'keep', held_at: '2025-01-31T10:00:00Z',
    expectations: [{ expectation: 'accessible', customer: 2, internal: 4 }, { expectation: 'creative', customer: 4, internal: 4 }, { expectation: 'on_our_side', internal: 5 }],
  });
  assert.deepEqual([of(first, 'accessible'), of(first, 'on_our_side'), first.weakest_expectation], [[2, 4, 2, null], [null, 5, null, null], 'accessible']);
  const second = await complete(200, { id: first.next_review_id }, {
    outcome: 'keep', held_at: '2025-02-28T10:00:00Z',
    expectations: [{ expectation: 'accessible', customer: 4, internal: 4 }, { expectation: 'creative', customer: 3, internal: 5 }],
  });
  assert.deepEqual([of(second, 'accessible'), of(second, 'creative'), second.weakest_expectation], [[4, 4, 0, 2], [3, 5, 2, -1], 'creative']);
  assert.deepEqual(of(await get(first), 'accessible'), [2, 4, 2, null], 'a review looks back, not ahead');
  const now = await api.get(path);
  assert.deepEqual([of(now, 'accessible'), of(now, 'on_our_side'), now.weakest, now.rated_at], [[4, 4, 0, 2], [null, 5, null, null], 'creative', '2025-02-28T10:00:00.000000Z']);
  const rated = (await api.call(201, 'POST', path, { body: { rater: 'customer', ratings: [{ expectation: 'accessible', rating: 1 }], note: 'On the phone' } })).body;
  assert.deepEqual([of(rated, 'accessible'), rated.weakest], [[1, 4, 3, -3], 'accessible']);
  const wrong = (await api.call(422, 'POST', path, { body: { rater: 'internal', ratings: [{ expectation: 'accessible', rating: 0 }] } })).body;
  assert.deepEqual(places(wrong), ['/ratings/0/rating']);
  await api.call(400, 'POST', path, { body: { rater: 'nobody', ratings: [{ expectation: 'speed', rating: 3 }] } });
  await api.fails(404, 'not_found', 'GET', '/v1/accounts/01970000-0000-7000-8000-000000000000/expectations');
});

test('an unknown time zone is refused, however it looks', async () => {
  await api.fails(422, 'validation_failed', 'POST', '/v1/reviews', { body: { account_id: account.id, cadence: 'monthly', due_on: '2099-01-31', time_zone: 'Europe/Atlantis' } });
});
