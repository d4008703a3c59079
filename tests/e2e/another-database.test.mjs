// The database is another one than before: dumped, and restored into a new cluster, whose transaction ids are far behind, the same, or far ahead. Webhooks, the log and the
// cursors that clients have go on; what was committed and told to nobody is told; nothing comes twice; and who was told of what is gone hears that it is.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { Client } from './lib/client.mjs';
import { makeKey, startKamd } from './lib/kamd.mjs';
import { startReceiver } from './lib/receiver.mjs';
import { asPostgres, emptyDatabase, openStack, sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { DEADLINES, makeAccount } from './lib/world.mjs';

const OLD = 3; // the epoch of the old cluster's transaction ids: each is 2^32 of them
const folder = mkdtempSync(join(tmpdir(), 'kamd-dump-'));
const dump = join(folder, 'kamd.dump');
let receiver, key, account, person, endpoint, unheard, here, walk, lost;

async function setEpoch(stack, epoch) {
  const data = sql(stack.settings, "select current_setting('data_directory')");
  asPostgres('pg_ctl', 'stop', '-s', '-w', '-m', 'fast', '-D', data);
  asPostgres('pg_resetwal', '-e', String(epoch), '-D', data);
  await stack.start();
}

const take = (stack) => execFileSync('pg_dump', ['-Fc', '-f', dump, stack.settings.DATABASE_SUPERUSER_URL], { stdio: 'inherit' });
async function restore(stack) {
  await emptyDatabase(stack);
  execFileSync('pg_restore', ['-1', '-d', stack.settings.DATABASE_SUPERUSER_URL, dump], { stdio: 'inherit' });
}

const spendIds = (stack, n) => sql(stack.settings, `do $$ begin for i in 1..${n} loop perform pg_current_xact_id(); commit; end loop; end $$`);
// Is the transaction id, a piece of SQL, behind those of all events?
const isPast = (stack, id, from = '') => sql(stack.settings, `select ${id}::text::bigint > (select max(xid::text::bigint) from event) ${from}`) === 't';

// `run(api, kamd)` with a kamd of these servers.
async function withKamd(stack, args, run) {
  const kamd = await startKamd({ ...stack.settings, ...DEADLINES, KAMD_DRAIN_MS: '0' }, ...args);
  key ??= await makeKey(stack.settings, 'admin');
  const api = new Client(kamd.url, key);
  try {
    return await run(api, kamd);
  } finally {
    api.close();
    await kamd.stop({ ms: 30_000 });
  }
}

const ALONE = ['serve', '--no-worker'];
const rename = async (api, name) => api.patch(`/v1/accounts/${account.id}`, (await api.get(`/v1/accounts/${account.id}`)).etag, { name });
const cursorNow = async (api) => (await api.get('/v1/changes?after=now')).next_cursor;
const unsequenced = (stack) => Number(sql(stack.settings, 'select count(*) from event e where not exists (select from event_position p where p.at = e.at and p.seq = e.seq)'));
const twice = (stack) => Number(sql(stack.settings, 'select count(*) - count(distinct (at, seq)) from event_position'));
// What of an account came to the receiver, by its sequence, in the order in which it came.
const came = (id, from = 0) => receiver.deliveries.slice(from).filter(({ event }) => event.data.account_id === id).map(({ event }) => event.sequence);

async function changes(api, after) {
  const rows = [];
  for (let more = true; more;) {
    const page = await api.get(`/v1/changes?page_size=200&after=${encodeURIComponent(after)}`);
    rows.push(...page.changes);
    ({ next_cursor: after, has_more: more } = page);
  }
  return rows;
}

before(async () => {
  receiver = await startReceiver();
  const old = await openStack({ own: true });
  try {
    await setEpoch(old, OLD);
    spendIds(old, 50_000); // more than a restore takes, and the rest of the test
    await withKamd(old, [], async (api) => {
      endpoint = await api.create('/v1/webhook-endpoints', { url: receiver.url, event_types: ['account.created', 'account.updated'], ordering: 'account' });
      receiver.secret = endpoint.secret;
      account = await makeAccount(api);
      person = await api.create('/v1/contacts', { account_id: (await makeAccount(api)).id, family_name: 'Anders' });
      await receiver.wait(({ event }) => event.data.account_id === account.id, 'the first event');
      await until(() => unsequenced(old) === 0, { what: 'the log' });
      here = await cursorNow(api);
      walk = (await api.get('/v1/changes?after=snapshot&page_size=1')).next_cursor;
    });
    await withKamd(old, ALONE, async (api) => {
      unheard = await makeAccount(api);
      await rename(api, 'Unheard');
    });
    assert.ok(unsequenced(old) >= 2, 'events that nobody has seen');
    take(old);
    // What is gone: clients and the receiver hear of it, the dump does not.
    await withKamd(old, [], async (api) => {
      await rename(api, 'Gone');
      await until(() => came(account.id).includes(3), { what: 'what will be gone' });
      await until(() => unsequenced(old) === 0, { what: 'the log' });
      lost = await cursorNow(api);
    });
    assert.deepEqual(came(account.id), [1, 2, 3]);
  } finally {
    await old.stop();
  }
});
after(async () => {
  await receiver?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function goesOn(t, epoch, overtake = async () => {}) {
  const stack = await openStack({ own: true });
  t.after(() => stack.stop());
  if (epoch > 0) await setEpoch(stack, epoch);
  await restore(stack);
  const ahead = isPast(stack, 'pg_snapshot_xmax(pg_current_snapshot())');
  assert.equal(ahead, epoch > OLD, 'whose transaction ids are ahead');
  const from = receiver.deliveries.length;
  await withKamd(stack, ALONE, (api) => rename(api, 'Before any worker looked'));
  await withKamd(stack, [], async (api, kamd) => {
    await rename(api, 'After the restore');
    await until(() => came(account.id, from).includes(4), { what: 'what changed after the restore' });
    await until(() => came(unheard.id, from).length > 0, { what: 'what was committed, and told to nobody' });
    assert.deepEqual([came(account.id, from), came(unheard.id, from)], [[2, 3, 4], [1]], 'each once, in order');
    // Who knows a webhook-id takes what comes with it for what it was: what is gone does not lend its own.
    const known = new Map(receiver.deliveries.slice(0, from).map(({ id, body }) => [id, body]));
    for (const { id, body } of receiver.deliveries.slice(from)) assert.equal(known.get(id) ?? body, body, 'another event with an id that is known');
    // Clients go on where they were: to the last change before, and the first after.
    const seen = await changes(api, here);
    assert.deepEqual(seen.filter(({ id }) => id === account.id).map(({ op, sequence }) => [op, sequence]), [['updated', 2], ['updated', 3], ['updated', 4]]);
    assert.deepEqual(seen.filter(({ id }) => id === unheard.id).map(({ op }) => op), ['created']);
    // Who was told of what is gone must begin again, now and later; so must who was walking through what there was.
    for (const path of [`/v1/changes?after=${lost}`, `/v1/events?after=${lost}`, `/v1/events/stream?after=${lost}`, `/v1/changes?after=${encodeURIComponent(walk)}`]) {
      assert.match((await api.fails(410, 'cursor_expired', 'GET', path)).detail, /restored/, path);
    }
    const all = await changes(api, 'snapshot');
    for (const { id } of [account, unheard]) assert.equal(all.filter((change) => change.id === id).length, 1, 'a new walk has every record once');
    await until(() => /"event":"database_changed"/.test(kamd.log()), { what: 'the log line' });
    assert.match(await (await fetch(`${kamd.adminUrl}/metrics`)).text(), /^kamd_database_changed_total 1$/m);
    // Others who read the log find their way over the gap.
    await api.patch(`/v1/contacts/${person.id}`, (await api.get(`/v1/contacts/${person.id}`)).etag, { title: 'Owner' });
    await until(() => unsequenced(stack) === 0, { what: 'the log' });
    const kept = (await api.all(`/v1/contacts/${person.id}/personal-data`)).filter(({ kind }) => kind === 'event').map(({ data }) => data.type);
    assert.deepEqual(kept, ['contact.created', 'contact.updated']);
    assert.equal(sql(stack.settings, `begin; update event_position set at = at - interval '1 hour' where position <= (select min(from_position) from database_change);
      select change_position(now() - interval '30 minutes') - min(from_position) from database_change; rollback`), '0', 'what is known of a time after the leap');
    const stats = await api.get(`/v1/webhook-endpoints/${endpoint.id}/stats`);
    assert.ok(stats.events_behind < 1000, `${stats.events_behind} events behind`);
    await overtake(stack);
  });
  assert.deepEqual([unsequenced(stack), twice(stack)], [0, 0]);
  return stack;
}

test('a new cluster, whose transaction ids are far behind', async (t) => {
  await goesOn(t, 0);
});

test('one whose transaction ids run over those of the events that came along', async (t) => {
  await goesOn(t, OLD, async (stack) => {
    spendIds(stack, 60_000);
    await until(() => isPast(stack, 'pg_snapshot_xmax(snapshot)', 'from sequencer'), { what: 'the sequencer being past all of them' });
  });
});

test('one whose transaction ids are far ahead; and again, from a dump of that one, in its place', async (t) => {
  const stack = await goesOn(t, OLD + 4);
  take(stack);
  await restore(stack);
  const from = receiver.deliveries.length;
  await withKamd(stack, [], async (api, kamd) => {
    await rename(api, 'After the second restore');
    await until(() => came(account.id, from).includes(5), { what: 'what changed after the second restore' });
    assert.deepEqual(came(account.id, from), [5]);
    assert.deepEqual((await changes(api, here)).filter(({ id }) => id === account.id).map(({ sequence }) => sequence), [2, 3, 4, 5]);
    await until(async () => /^kamd_database_changed_total 2$/m.test(await (await fetch(`${kamd.adminUrl}/metrics`)).text()), { what: 'the second change being counted' });
  });
  assert.deepEqual([unsequenced(stack), twice(stack)], [0, 0]);
});
