// The plan's nine sections, and the log of events that others pull from.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { inParallel, sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const TYPED = ['competitive_environment', 'contacts_and_decisions', 'negotiations', 'leader_perceptions', 'values_beliefs', 'capabilities', 'strategies', 'internal_processes'];
let world, api, apis, account, plan;
before(async () => {
  world = await openWorld({ processes: 2 });
  ({ api, apis } = world);
  account = await makeAccount(api);
  plan = await api.create('/v1/plans', { account_id: account.id, title: 'Plan', period_start: '2026-01-01', period_end: '2026-12-31' });
});
after(() => world?.close());

const section = (name) => `/v1/plans/${plan.id}/sections/${name}`;

test('a new plan is a draft with eight empty sections of one template', async () => {
  assert.deepEqual([plan.status, plan.version_no], ['draft', 0]);
  for (const name of TYPED) {
    const { section: which, state, content, contributors, stale } = await api.get(section(name));
    assert.deepEqual([which, state, content, contributors, stale], [name, 'empty', {}, [], false]);
  }
  const { sections } = await api.get(`/v1/plans/${plan.id}?expand=sections`);
  assert.deepEqual(sections.map((one) => one.section).sort(), [...TYPED].sort());
  await api.fails(404, 'not_found', 'GET', section('miscellaneous'));
});

test('a section is written by PUT and PATCH under its own ETag', async () => {
  const empty = await api.get(section('capabilities'));
  const content = { production: ['two mills', { own: true }], finance: { credit: 'A' } };
  const put = (etag, body, status = 200) => api.call(status, 'PUT', section('capabilities'), { body, headers: { 'if-match': etag } });
  const written = (await put(empty.etag, { state: 'in_progress', content, contributors: [{ function: 'finance', due_on: '2026-06-30' }] })).body;
  assert.deepEqual([written.content, written.state, written.version], [content, 'in_progress', empty.version + 1]);
  assert.equal((await put(empty.etag, { state: 'complete' }, 412)).body.code, 'precondition_failed');
  const patched = await api.patch(section('capabilities'), written.etag, { state: 'complete', content: { finance: null } });
  assert.deepEqual([patched.content, patched.state], [{ production: content.production }, 'complete']);
  assert.deepEqual(await api.get(section('capabilities')), patched);
  await put(patched.etag, { state: 'finished' }, 400);
  await put(patched.etag, { contributors: [{}] }, 422);
  assert.equal((await api.get(section('strategies'))).version, 1, 'the others are untouched');
});

test('the interaction history writes itself', async () => {
  const before_ = await api.get(section('interaction_history'));
  await api.create(`/v1/accounts/${account.id}/interactions`, { kind: 'visit', channel: 'in_person', occurred_at: '2026-05-05T10:00:00Z', subject: 'The new mill' });
  await api.create(`/v1/accounts/${account.id}/problems`, { category: 'delay', title: 'Late again', opened_at: '2026-05-06T10:00:00Z' });
  const now = await api.get(section('interaction_history'));
  assert.ok(!JSON.stringify(before_).includes('The new mill'));
  assert.ok(JSON.stringify(now).includes('The new mill') && JSON.stringify(now).includes('Late again'));
  for (const method of ['PUT', 'PATCH', 'POST', 'DELETE']) {
    const { headers } = await api.call(405, method, section('interaction_history'), { body: method === 'DELETE' ? undefined : {}, headers: { 'if-match': '"x"' } });
    assert.match(headers.allow, /GET/);
    assert.doesNotMatch(headers.allow, /PUT|PATCH/);
  }
});

test('events: pulled in order, none missed while eight clients write at two processes', async () => {
  const { page: start } = await api.get('/v1/events?after=now');
  const accounts = await inParallel(4, Array(8).fill(), () => makeAccount(api));
  let done = false;
  const pulled = [];
  const puller = (async () => {
    for (let after_ = start.next_cursor, idle = 0; idle < 10;) {
      const { data, page } = await apis[1].get(`/v1/events?page_size=20&after=${after_}`);
      pulled.push(...data);
      after_ = page.next_cursor;
      idle = done && !data.length ? idle + 1 : 0;
      if (!data.length) await sleep(50);
    }
  })();
  await inParallel(8, accounts, async (one, i) => {
    for (let n = 0, { etag } = one; n < 15; n++) ({ etag } = await apis[(i + n) % 2].patch(`/v1/accounts/${one.id}`, etag, { industry: `${i} ${n}` }));
  });
  done = true;
  await puller;
  assert.equal(new Set(pulled.map(({ id }) => id)).size, pulled.length, 'no event twice');
  for (const one of accounts) {
    const mine = pulled.filter(({ data }) => data.account_id === one.id);
    assert.deepEqual(mine.map(({ sequence }) => sequence), mine.map((_, i) => i + 1), 'without gaps, in order');
    assert.deepEqual(mine.filter(({ type }) => type === 'account.updated').map(({ data }) => data.version), Array.from({ length: 15 }, (_, i) => i + 2));
  }
});

test('an event names what changed; types have a schema and an example', async () => {
  const made = await makeAccount(api);
  await api.patch(`/v1/accounts/${made.id}`, made.etag, { industry: 'steel', name: unique('Renamed') });
  const updated = await until(async () => (await events(api, `account_id=${made.id}&types=account.updated`)).at(-1), { what: 'the event' });
  assert.deepEqual(updated.data.changed_fields, ['industry', 'name']);
  assert.deepEqual(updated.previous, { version: 1 });
  for (const field of ['id', 'type', 'timestamp', 'sequence', 'api_version', 'data', 'previous']) assert.ok(field in updated, field);
  const types = (await api.get('/v1/event-types')).data;
  for (const name of ['account.created', 'account.key_status.slipped', 'follow_up.due', 'webhook.ping']) {
    const type = types.find((one) => one.name === name);
    assert.ok(type?.schema && type?.example, name);
  }
});
