// GET /v1/events/stream: server-sent events of the same log, for the same eyes as /v1/events, to a thousand listeners.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { after, before, test } from 'node:test';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
const open = new Set();
const agent = new Agent({ keepAlive: false, maxSockets: Infinity });

before(async () => {
  world = await openWorld({ settings: { KAMD_HTTP_CONNECTIONS: '200' } });
  api = world.api;
});
after(async () => {
  for (const one of open) one.close();
  await world?.close();
});

// A listener as the HTML standard has it: fields by line, a message at each empty line.
function listen(client, query = '', headers = {}) {
  const stream = { events: [], comments: [], status: null, ended: false, body: '' };
  open.add(stream);
  const call = request(new URL(`/v1/events/stream${query}`, client.url), { agent, headers: { authorization: `Bearer ${client.key}`, accept: 'text/event-stream', ...headers } });
  stream.close = () => { open.delete(stream); call.destroy(); };
  call.on('error', () => { stream.ended = true; });
  call.on('response', (response) => {
    Object.assign(stream, { status: response.statusCode, headers: response.headers });
    let text = '', message = {};
    response.setEncoding('utf8').on('data', (chunk) => {
      stream.body += stream.status === 200 ? '' : chunk;
      text += chunk;
      for (let at; (at = text.indexOf('\n')) >= 0; text = text.slice(at + 1)) {
        const line = text.slice(0, at);
        if (line === '') {
          if (message.data) stream.events.push({ ...message, data: JSON.parse(message.data) });
          message = {};
        } else if (line.startsWith(':')) stream.comments.push(line.slice(1).trim());
        else message[line.slice(0, line.indexOf(':'))] = line.slice(line.indexOf(':') + 2);
      }
    }).on('end', () => { stream.ended = true; }).on('error', () => { stream.ended = true; }).on('close', () => { stream.ended = true; });
  });
  call.end();
  return stream;
}
async function listening(...args) {
  const stream = listen(...args);
  await until(() => stream.status !== null && (stream.comments.length > 0 || stream.status !== 200), { what: 'the stream' });
  assert.equal(stream.status, 200, stream.body);
  return stream;
}
const sees = (stream, id, ms = 15_000) => until(() => stream.events.find(({ data }) => data.account_id === id), { ms, what: `an event of ${id}` });

test('what happens comes as it is in the list, with an id to come again by', async () => {
  const all = await listening(api);
  assert.match(all.headers['content-type'], /^text\/event-stream/);
  const mine = await makeAccount(api);
  const other = await makeAccount(api);
  const [contacts, account] = [await listening(api, '?types=contact.created,plan.created'), await listening(api, `?account_id=${mine.id.toUpperCase()}`)];
  for (const { id } of [other, mine]) await api.create('/v1/contacts', { account_id: id, family_name: unique('Name') });
  await until(() => contacts.events.length === 2 && account.events.some(({ event }) => event === 'contact.created'), { what: 'the contacts' });
  await until(() => all.events.length >= 4, { what: 'all four' });
  assert.deepEqual(contacts.events.map(({ event }) => event), ['contact.created', 'contact.created']);
  assert.ok(account.events.every(({ data }) => data.account_id === mine.id));
  const { data } = await api.get(`/v1/events?account_id=${mine.id}`);
  const streamed = all.events.filter(({ data: { account_id: id } }) => id === mine.id);
  assert.deepEqual(streamed.map((event) => event.data), data);
  for (const { id, event, data: { cursor, type } } of streamed) assert.deepEqual([id, event], [cursor, type]);
  for (const stream of [all, contacts, account]) stream.close();
});

test('Last-Event-ID: nothing is lost and nothing comes twice, also over the end of a process', async () => {
  const { page: { next_cursor: start } } = await api.get('/v1/events?after=now');
  const got = [];
  let last = start;
  const take = (stream) => {
    stream.close();
    got.push(...stream.events);
    last = got.at(-1)?.id ?? last;
  };
  const ids = [];
  for (let round = 0; round < 3; round++) {
    // 300 at once are more than a page of the past.
    const records = Array.from({ length: round === 1 ? 200 : 30 }, () => ({ name: unique('Many') }));
    const { body } = await api.call(200, 'POST', '/v1/accounts/bulk', { body: { records }, headers: { 'idempotency-key': unique('bulk') } });
    ids.push(...body.results.map(({ id }) => id));
    const stream = await listening(api, '?after=0', { 'last-event-id': last });
    const one = await makeAccount(api); // while it catches up
    ids.push(one.id);
    await sees(stream, one.id);
    take(stream);
    if (round === 1) {
      await world.kamds[0].kill();
      world.kamds.length = 0;
      const kamd = await world.add();
      api = world.api = world.api.at(kamd.url);
    }
  }
  const rest = await listening(api, `?after=${last}`);
  const end = await makeAccount(api);
  ids.push(end.id);
  await sees(rest, end.id);
  take(rest);
  const cursors = got.map(({ id }) => Number(id));
  assert.deepEqual(cursors, [...cursors].sort((a, b) => a - b));
  assert.equal(new Set(cursors).size, cursors.length);
  const created = got.filter(({ event }) => event === 'account.created').map(({ data }) => data.account_id);
  assert.deepEqual(new Set(created), new Set(ids));
});

test('the same eyes as the list: a manager gets what happens at accounts that it sees, from when it sees them', async () => {
  const user = await api.create('/v1/users', { name: unique('Manager') });
  const manager = await world.clientOf('account_manager', { user_id: user.id });
  const [theirs, foreign] = [await makeAccount(api, { manager_id: user.id }), await makeAccount(api)];
  const stream = await listening(manager);
  const past = await listening(manager, '?after=0');
  for (const { id } of [foreign, theirs]) await api.create('/v1/contacts', { account_id: id, family_name: unique('Name') });
  for (const one of [stream, past]) await until(() => one.events.some(({ event, data }) => event === 'contact.created' && data.account_id === theirs.id), { what: 'the contact' });
  const now = await api.get(`/v1/accounts/${foreign.id}`);
  await api.patch(`/v1/accounts/${foreign.id}`, now.etag, { manager_id: user.id });
  await sees(stream, foreign.id);
  assert.ok(!stream.events.some(({ event, data }) => event === 'contact.created' && data.account_id === foreign.id), 'from before it was seen');
  const listed = async (client) => {
    const cursors = new Set();
    for (let after = 0, more = true; more;) {
      const { data, page } = await client.get(`/v1/events?page_size=200&after=${after}`);
      for (const { cursor } of data) cursors.add(cursor);
      [after, more] = [page.next_cursor, page.has_more];
    }
    return cursors;
  };
  const seen = await listed(manager);
  assert.ok(seen.size < (await listed(api)).size);
  for (const { id } of [...stream.events, ...past.events]) assert.ok(seen.has(id), `event ${id}`);
  stream.close();
  past.close();
  manager.close();
});

test('a key that is revoked listens no longer', async () => {
  const { body: key } = await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('Listener'), role: 'director' } });
  const client = api.as(key.key);
  const stream = await listening(client);
  const one = await makeAccount(api);
  await sees(stream, one.id);
  await api.call(204, 'DELETE', `/v1/api-keys/${key.id}`);
  await until(() => stream.ended, { ms: 15_000, what: 'its end' });
  client.close();
});

test('what is no stream', async () => {
  for (const [query, headers] of [['?after=x'], ['?page_size=5'], ['?nonsense=1'], ['?max_seconds=0'], ['?max_seconds=x'], ['?account_id=x'], ['', { 'last-event-id': 'x' }], ['?after=-1']]) {
    const stream = listen(api, query, headers);
    await until(() => stream.ended, { what: 'the refusal' });
    assert.equal(stream.status, 400, `${query}: ${stream.body}`);
  }
  const short = await listening(api, '?max_seconds=1');
  await until(() => short.ended, { what: 'its end' });
  const nobody = listen({ url: api.url, key: 'kamd_live_nobody' });
  await until(() => nobody.ended, { what: 'the refusal' });
  assert.equal(nobody.status, 401);
  const head = await api.send('HEAD', '/v1/events/stream');
  assert.equal(head.status, 200);
});

test('a thousand listeners hold no thread and no place of others; each gets what happens; they hear from us when nothing does', async () => {
  const streams = [];
  // Places of those who left are free within two seconds or so.
  const place = () => until(async () => {
    const stream = listen(api);
    await until(() => stream.status !== null && (stream.comments.length > 0 || stream.status !== 200), { ms: 15_000, what: 'an answer' });
    return stream.status === 200 && stream;
  }, { ms: 30_000, what: 'a place' });
  for (let i = 0; i < 10; i++) streams.push(...await Promise.all(Array.from({ length: 100 }, place)));
  const more = listen(api);
  await until(() => more.status !== null, { what: 'the refusal' });
  assert.equal(more.status, 503, more.body);
  assert.ok(more.headers['retry-after']);
  // Five times as many as KAMD_HTTP_CONNECTIONS, and there is room for others all the same.
  const account = await makeAccount(api);
  for (let i = 0; i < 20; i++) await api.get(`/v1/accounts/${account.id}`);
  await until(() => streams.every(({ events }) => events.some(({ data }) => data.account_id === account.id)), { ms: 60_000, what: 'all of them' });
  await until(() => streams.every(({ comments }) => comments.includes('heartbeat')), { ms: 60_000, what: 'the heartbeats' });
  assert.ok(streams.every(({ ended }) => !ended));
  assert.match(await (await fetch(`${world.kamds[0].adminUrl}/metrics`)).text(), /^kamd_event_streams 1000$/m);
  for (const stream of streams.slice(100)) stream.close();
  // Places are free again once we have noticed, and the end of the process ends the others.
  const again = await place();
  await world.kamds[0].stop();
  world.kamds.length = 0;
  await until(() => again.ended && streams.slice(0, 100).every(({ ended }) => ended), { ms: 15_000, what: 'the end of all' });
});
