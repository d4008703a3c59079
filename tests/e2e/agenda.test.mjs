// What is due for a person, as a list and as a calendar that other people's programs read.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import ICAL from 'ical.js';
import { Client } from './lib/client.mjs';
import { sql } from './lib/stack.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, account, person, mine, nobody;
before(async () => {
  world = await openWorld();
  api = world.api;
  person = await api.create('/v1/users', { name: 'Janet Leverling; "Büro", Kö\\ln' });
  account = await makeAccount(api, { name: 'Rattlesnake, Canyon; Grocery', manager_id: person.id });
  mine = await world.clientOf('account_manager', { user_id: person.id });
  nobody = new Client(api.url);
});
after(async () => {
  nobody?.close();
  mine?.close();
  await world?.close();
});

const inMs = (ms) => new Date(Date.now() + ms).toISOString();
const DAY = 86_400_000;
const agenda = (client = mine, query = '') => client.all(`/v1/users/${person.id}/agenda${query}`);
const followUp = (fields) => api.create('/v1/follow-ups', { account_id: account.id, assignee_id: person.id, title: unique('Do'), ...fields });

test('follow-ups, reviews and promises of a person, overdue ones first, in pages', async () => {
  const later = await followUp({ due_at: '2031-05-05T09:00:00Z', priority: 'high' });
  const overdue = await followUp({ due_at: inMs(-2 * DAY) });
  const today = await followUp({ due_on: inMs(0).slice(0, 10), time_zone: 'Etc/GMT+12' });
  const review = await api.create('/v1/reviews', { account_id: account.id, cadence: 'quarterly', due_on: '2031-01-31', time_zone: 'Europe/Berlin' });
  const promise = await api.create(`/v1/accounts/${account.id}/commitments`, { text: 'A loan machine', made_by_id: person.id, due_on: '2031-02-01' });
  const done = await followUp({ due_at: '2031-05-05T09:00:00Z' });
  await api.call(200, 'POST', `/v1/follow-ups/${done.id}/complete`, { body: {} });
  await api.create('/v1/follow-ups', { account_id: account.id, title: 'Of nobody', due_at: '2031-05-05T09:00:00Z' });
  const items = await agenda();
  assert.deepEqual(items.map(({ id }) => id), [overdue, today, review, promise, later].map(({ id }) => id));
  assert.deepEqual(items.map(({ kind, overdue: late }) => [kind, late]), [['follow_up', true], ['follow_up', false], ['review', false], ['commitment', false], ['follow_up', false]]);
  assert.deepEqual(items[2], {
    kind: 'review', id: review.id, account_id: account.id, account_name: account.name, title: 'Review (quarterly)', due_at: '2031-01-30T23:00:00.000000Z', due_on: '2031-01-31',
    time_zone: 'Europe/Berlin', priority: 'normal', overdue: false,
  });
  const paged = await mine.all(`/v1/users/${person.id}/agenda`, 2);
  assert.deepEqual(paged, items);
  assert.deepEqual((await agenda(mine, '?due_before=2031-02-01T00:00:00Z')).map(({ id }) => id), [overdue, today, review].map(({ id }) => id));
  assert.deepEqual(await agenda(api), items, 'an administrator sees it, too');
  const { body } = await mine.call(200, 'GET', `/v1/users/${person.id}/agenda?page_size=2`);
  await mine.fails(400, 'invalid_cursor', 'GET', `/v1/users/${person.id}/agenda?page_size=2&due_before=2031-02-01T00:00:00Z&cursor=${encodeURIComponent(body.page.next_cursor)}`);
  await mine.fails(400, 'invalid_request', 'GET', `/v1/users/${person.id}/agenda?due_before=tomorrow`);
});

test('a review is due for who covers, while the cover lasts (003-09)', async () => {
  const cover = await api.create('/v1/users', { name: 'Cover' });
  const read = async () => api.get(`/v1/accounts/${account.id}`);
  const isReview = ({ kind }) => kind === 'review';
  await api.patch(`/v1/accounts/${account.id}`, (await read()).etag, { delegate_id: cover.id, delegate_until: '2099-01-01T00:00:00Z' });
  assert.equal((await agenda()).filter(isReview).length, 0);
  assert.equal((await api.all(`/v1/users/${cover.id}/agenda`)).filter(isReview).length, 1);
  await api.patch(`/v1/accounts/${account.id}`, (await read()).etag, { delegate_id: null, delegate_until: null });
  assert.equal((await agenda()).filter(isReview).length, 1);
});

test('people see their own agenda, and only of accounts that they see', async () => {
  const other = await api.create('/v1/users', { name: 'Other' });
  const theirs = await world.clientOf('member', { user_id: other.id });
  await theirs.fails(403, 'forbidden', 'GET', `/v1/users/${person.id}/agenda`);
  await theirs.fails(403, 'forbidden', 'POST', `/v1/users/${person.id}/agenda-token`, { body: {} });
  await theirs.fails(403, 'forbidden', 'DELETE', `/v1/users/${person.id}/agenda-token`);
  await api.create('/v1/follow-ups', { account_id: account.id, assignee_id: other.id, title: 'Hidden', due_at: '2031-05-05T09:00:00Z' });
  assert.deepEqual(await theirs.all(`/v1/users/${other.id}/agenda`), [], 'the account is not visible');
  const { body: { url } } = await theirs.call(200, 'POST', `/v1/users/${other.id}/agenda-token`, { body: {} });
  assert.ok(!(await nobody.call(200, 'GET', url)).text.includes('Hidden'));
  assert.equal((await api.all(`/v1/users/${other.id}/agenda`)).length, 1);
  await api.fails(404, 'not_found', 'GET', '/v1/users/01970000-0000-7000-8000-000000000000/agenda');
  await api.fails(404, 'not_found', 'POST', '/v1/users/01970000-0000-7000-8000-000000000000/agenda-token', { body: {} });
  theirs.close();
});

test('the calendar: another program reads from it what the agenda says', async () => {
  const odd = await followUp({ due_at: '2031-06-01T09:30:00Z', title: `Ask: "when", where; who\\what — ${'Süßöl 💧 '.repeat(20)}`, description: 'First line\nsecond, line;\ttab' });
  const { headers, body: { token, url, user_id: user } } = await mine.call(200, 'POST', `/v1/users/${person.id}/agenda-token`, { body: {} });
  assert.deepEqual([headers['cache-control'], user], ['no-store', person.id]);
  assert.equal(url, `/v1/users/${person.id}/agenda.ics?token=${token}`);
  const answer = await nobody.call(200, 'GET', url, { headers: { accept: 'text/calendar' } });
  assert.equal(answer.headers['content-type'], 'text/calendar; charset=utf-8');
  const lines = answer.text.split('\r\n');
  assert.ok(lines.every((line) => Buffer.byteLength(line) <= 75 && !line.includes('\n')), 'folded at 75 octets');
  const calendar = new ICAL.Component(ICAL.parse(answer.text));
  assert.deepEqual([calendar.getFirstPropertyValue('version'), calendar.getFirstPropertyValue('x-wr-calname').replace(/\\(.)/g, '$1')], ['2.0', person.name]); // ical.js leaves X- values as they are
  const entries = calendar.getAllSubcomponents('vevent').map((component) => new ICAL.Event(component));
  const items = await agenda();
  assert.equal(entries.length, items.length);
  for (const [i, entry] of entries.entries()) {
    const item = items[i];
    assert.equal(entry.uid, `${item.kind}-${item.id}@kamd`);
    assert.equal(entry.summary, `${item.account_name}: ${item.title}`);
    assert.equal(entry.startDate.isDate, item.due_on !== null);
    if (item.due_on) assert.equal(entry.startDate.toString(), item.due_on);
    else assert.equal(entry.startDate.toJSDate().getTime(), Math.floor(Date.parse(item.due_at) / 1000) * 1000);
    assert.ok(entry.component.getFirstPropertyValue('dtstamp').toJSDate() <= new Date());
  }
  assert.equal(entries.find(({ uid }) => uid.includes(odd.id)).description, odd.description);
});

test('the secret opens this feed only, is kept as a hash, is replaced and taken back', async () => {
  const path = `/v1/users/${person.id}/agenda-token`;
  const first = (await mine.call(200, 'POST', path, { body: {} })).body;
  const second = (await mine.call(200, 'POST', path, { body: {} })).body;
  assert.notEqual(first.token, second.token);
  await nobody.fails(404, 'not_found', 'GET', first.url);
  await nobody.call(200, 'GET', second.url);
  const other = await api.create('/v1/users', { name: 'Other' });
  for (const url of [`/v1/users/${other.id}/agenda.ics?token=${second.token}`, `/v1/users/${person.id}/agenda.ics`, `/v1/users/${person.id}/agenda.ics?token=`]) {
    await nobody.fails(404, 'not_found', 'GET', url);
  }
  await nobody.fails(401, 'unauthenticated', 'GET', `/v1/users/${person.id}/agenda?token=${second.token}`);
  await nobody.as(second.token).fails(401, 'unauthenticated', 'GET', '/v1/me');
  assert.equal(sql(world.settings, `select count(*) from agenda_token t where t::text like '%${second.token}%'`), '0');
  assert.equal(sql(world.settings, `select count(*) from idempotency t where t::text like '%${second.token}%'`), '0');
  assert.ok(!world.kamds[0].log().includes(second.token), 'not in the log');
  await mine.call(204, 'DELETE', path);
  await nobody.fails(404, 'not_found', 'GET', second.url);
  await mine.fails(404, 'not_found', 'DELETE', path);
  const third = (await api.call(200, 'POST', path, { body: {} })).body;
  await nobody.call(200, 'GET', third.url);
  await api.call(200, 'POST', `/v1/users/${person.id}/deactivate`, { body: { transfer_to_id: other.id } });
  await nobody.fails(404, 'not_found', 'GET', third.url);
});
