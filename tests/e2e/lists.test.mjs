// Lists: every row once while others write, filters that are never ignored, and cursors that belong to one list.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis, account;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api, apis } = world);
  account = await makeAccount(api);
});
after(() => world?.close());

async function makeContacts(under, records) {
  const body = { records: records.map((record) => ({ account_id: under.id, ...record })) };
  const answer = await api.call(200, 'POST', '/v1/contacts/bulk', { body, headers: { 'idempotency-key': unique('bulk') } });
  assert.equal(answer.body.summary.created, records.length);
  return answer.body.results;
}

for (const order of ['', '&order_by=family_name', '&order_by=-family_name', '&order_by=-updated_at', '&order_by=-id']) {
  test(`walked by cursor while another client inserts and deletes${order}: every surviving row exactly once`, async () => {
    const under = await makeAccount(api);
    const made = await makeContacts(under, Array.from({ length: 150 }, (_, i) => ({ family_name: `Name ${(i * 7919) % 40}` })));
    const survivors = new Set(made.map(({ id }) => id));
    let stop = false;
    const inserted = [];
    const writer = (async () => {
      for (let i = 0; !stop; i++) {
        inserted.push((await apis[1].create('/v1/contacts', { account_id: under.id, family_name: `Name ${i % 40}` })).id);
        const [victim] = [...survivors].slice((i * 31) % survivors.size);
        if (i % 2 === 0 && survivors.size > 100) {
          survivors.delete(victim);
          await apis[1].remove(`/v1/contacts/${victim}`, made.find(({ id }) => id === victim).etag);
        }
      }
    })();
    const seen = await api.all(`/v1/contacts?account_id=${under.id}${order}`, 7);
    stop = true;
    await writer;
    const counts = new Map();
    for (const { id } of seen) counts.set(id, (counts.get(id) ?? 0) + 1);
    assert.deepEqual([...counts].filter(([, count]) => count > 1), [], 'no row twice');
    assert.deepEqual([...survivors].filter((id) => !counts.has(id)), [], 'no surviving row left out');
    assert.ok(inserted.length > 0);
  });
}

test('order_by: both directions, several keys, ties by id, absent values once', async () => {
  const under = await makeAccount(api);
  await makeContacts(under, [{ family_name: 'B' }, { family_name: 'A' }, { family_name: 'C' }, { family_name: 'B' }]);
  const path = `/v1/contacts?account_id=${under.id}`;
  for (const pageSize of [1, 3, 200]) {
    assert.deepEqual((await api.all(`${path}&order_by=family_name`, pageSize)).map((row) => row.family_name), ['A', 'B', 'B', 'C']);
    assert.deepEqual((await api.all(`${path}&order_by=-family_name,id`, pageSize)).map((row) => row.family_name), ['C', 'B', 'B', 'A']);
  }
  const scored = await api.all('/v1/accounts?order_by=-score', 2);
  assert.equal(new Set(scored.map(({ id }) => id)).size, (await api.get('/v1/accounts?include_total=true')).page.total);
});

test('page_size: default 50, larger than 200 is 200; Link names the next page; a total only when asked for', async () => {
  const under = await makeAccount(api);
  for (let i = 0; i < 2; i++) await makeContacts(under, Array.from({ length: 120 }, () => ({ family_name: 'Many' })));
  const path = `/v1/contacts?account_id=${under.id}`;
  assert.equal((await api.get(path)).data.length, 50);
  const { body, headers } = await api.call(200, 'GET', `${path}&page_size=1000`);
  assert.equal(body.data.length, 200);
  assert.equal(body.page.has_more, true);
  assert.ok(!('total' in body.page));
  const [, next] = /^<([^>]+)>; rel="next"$/.exec(headers.link);
  const { pathname, search } = new URL(next, api.url);
  const second = await api.get(pathname + search);
  assert.equal(second.data.length, 40);
  assert.deepEqual([second.page.has_more, second.page.next_cursor ?? null], [false, null]);
  assert.equal((await api.get(`${path}&include_total=true&page_size=1`)).page.total, 240);
});

test('a cursor works only with its own filter, order and list, and unaltered', async () => {
  const under = await makeAccount(api);
  await makeContacts(under, Array.from({ length: 3 }, () => ({ family_name: 'Cursor' })));
  const path = `/v1/contacts?account_id=${under.id}&page_size=1`;
  const { next_cursor: cursor } = (await api.get(path)).page;
  const fails = (url) => api.fails(400, 'invalid_cursor', 'GET', url);
  await api.get(`${path}&cursor=${cursor}`);
  await api.get(`/v1/contacts?account_id=${under.id}&page_size=2&cursor=${cursor}`);
  await fails(`${path}&family_name=Cursor&cursor=${cursor}`);
  await fails(`/v1/contacts?account_id=${account.id}&page_size=1&cursor=${cursor}`);
  await fails(`${path}&order_by=-id&cursor=${cursor}`);
  await fails(`/v1/plans?account_id=${under.id}&page_size=1&cursor=${cursor}`);
  await fails(`${path}&cursor=${cursor.slice(0, -2)}${cursor.endsWith('AA') ? 'BB' : 'AA'}`);
  await fails(`${path}&cursor=nonsense`);
  await fails(`${path}&cursor=`);
  await apis[1].get(`${path}&cursor=${cursor}`);
});

test('filters: equality, comma lists, ranges, search, arrays, custom parts of an account', async () => {
  const tag = unique('Filter');
  const rows = [];
  for (const fields of [
    { name: `${tag} Alpha`, industry: 'steel', lifecycle: 'customer', phones: ['+4930111222'], country_code: 'DE' },
    { name: `${tag} Beta`, industry: 'paper', lifecycle: 'prospect', emails: ['info@beta.example'], country_code: 'FR' },
    { name: `${tag} Gamma`, industry: 'steel', lifecycle: 'former', domain: 'gamma.example' },
  ]) rows.push(await makeAccount(api, fields));
  const names = async (query) => (await api.all(`/v1/accounts?q=${tag}&order_by=name&${query}`)).map(({ name }) => name.slice(tag.length + 1));
  assert.deepEqual(await names(''), ['Alpha', 'Beta', 'Gamma']);
  assert.deepEqual(await names('industry=steel'), ['Alpha', 'Gamma']);
  assert.deepEqual(await names('lifecycle=prospect,former'), ['Beta', 'Gamma']);
  assert.deepEqual(await names('industry=steel&lifecycle=customer'), ['Alpha']);
  assert.deepEqual(await names(`phones=${encodeURIComponent('+4930111222')}`), ['Alpha']);
  assert.deepEqual(await names('emails=info@beta.example'), ['Beta']);
  assert.deepEqual(await names('domain=gamma.example'), ['Gamma']);
  assert.deepEqual(await names(`id=${rows[0].id},${rows[2].id}`), ['Alpha', 'Gamma']);
  assert.deepEqual(await names('tier=A'), []);
  assert.deepEqual(await names(`updated_since=${encodeURIComponent(rows[1].updated_at)}`), ['Beta', 'Gamma']);
  assert.deepEqual((await api.all(`/v1/accounts?q=${tag.toLowerCase()}%20alp`)).map(({ id }) => id), [rows[0].id], 'q ignores case');
  assert.deepEqual(await api.all(`/v1/accounts?q=${encodeURIComponent('%')}&name=${tag}`), [], 'no wildcard is smuggled in');
});

test('what is not known is refused, by name, all at once', async () => {
  const problem = await api.fails(400, 'invalid_request', 'GET', '/v1/accounts?colour=red&tier=Z&page_size=0&order_by=industry&fields=name,nonsense&expand=everything&manager_id=x');
  assert.deepEqual(places(problem).sort(), ['colour', 'expand', 'fields', 'manager_id', 'order_by', 'page_size', 'tier']);
  for (const query of ['page_size=-1', 'page_size=many', 'page_size=', 'updated_since=yesterday', 'include_total=perhaps']) {
    const { errors } = await api.fails(400, 'invalid_request', 'GET', `/v1/accounts?${query}`);
    assert.equal(errors[0].parameter, query.split('=')[0]);
  }
  await api.fails(400, 'invalid_request', 'GET', `/v1/accounts/${account.id}?colour=red`);
  await api.fails(400, 'invalid_request', 'POST', '/v1/accounts?colour=red', { body: { name: 'x' } });
});

test('fields= leaves the rest out, expand= brings what is near, in items and lists', async () => {
  const manager = await api.create('/v1/users', { name: unique('Manager') });
  const under = await makeAccount(api, { manager_id: manager.id });
  const [contact] = await makeContacts(under, [{ family_name: 'Near' }]);
  const path = `/v1/accounts/${under.id}`;
  const sparse = await api.get(`${path}?fields=name,account_number`);
  assert.deepEqual(Object.keys(sparse).filter((key) => !['id', 'etag'].includes(key)).sort(), ['account_number', 'name']);
  const expanded = await api.get(`${path}?expand=manager,contacts`);
  assert.equal(expanded.manager.name, manager.name);
  assert.deepEqual(expanded.contacts.map(({ id }) => id), [contact.id]);
  const [row] = await api.all(`/v1/accounts?id=${under.id}&expand=manager,contacts,parent&fields=name,manager_id`);
  assert.equal(row.manager.id, manager.id);
  assert.equal(row.parent, null);
  assert.ok(!('industry' in row));
  const [person] = await api.all(`/v1/contacts?account_id=${under.id}&expand=account`);
  assert.equal(person.account.id, under.id);
  assert.notEqual(expanded.etag, (await api.get(path)).etag, 'the ETag is of what one sees');
});

test('the lists below an account are the same rows', async () => {
  const under = await makeAccount(api);
  const [contact] = await makeContacts(under, [{ family_name: 'Below' }]);
  assert.deepEqual((await api.all(`/v1/accounts/${under.id}/contacts`)).map(({ id }) => id), [contact.id]);
  for (const below of ['plans', 'reviews', 'follow-ups', 'interactions', 'problems', 'orders', 'team']) {
    assert.deepEqual(await api.all(`/v1/accounts/${under.id}/${below}`), [], below);
  }
  await api.fails(404, 'not_found', 'GET', '/v1/accounts/01970000-0000-7000-8000-000000000000/contacts');
});
