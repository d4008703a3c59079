// Many follow-ups fall due while processes are killed and their connections cut, on machines whose
// clocks are an hour off: each makes exactly one event, none early, and each of a series exactly one
// next occurrence. With SOAK=1 40,000 of them within 20 s.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { KAMD, sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

const SOAK = Boolean(process.env.SOAK);
const [MANY, SECONDS, KILL_MS, AHEAD] = SOAK ? [40_000, 20, 1500, 10] : [2_000, 4, 1000, 2];
const ACCOUNTS = 40;
const FAKETIME = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((machine) => `/usr/lib/${machine}/faketime/libfaketime.so.1`).find(existsSync);
// Sanitizers cannot share a process with it.
const FAKED = FAKETIME && !readFileSync(KAMD).includes('__asan_init');
const CLOCKS = FAKED ? ['-1h', null, '+1h'] : [null, null, null];

let world;
before(async () => { world = await openWorld({ own: SOAK }); });
after(() => world?.close());

// A process whose clock is off.
const clockOf = (offset) => (offset ? { LD_PRELOAD: FAKETIME, FAKETIME: offset, FAKETIME_DONT_FAKE_MONOTONIC: '1' } : {});

async function insert(ids, offset) {
  for (let at = 0; at < MANY; at += 5000) {
    sql(world.settings, `insert into follow_up (id, account_id, title, due_at, time_zone, recurrence)
      select uuid_v7(), ('{${ids}}'::uuid[])[1 + n % ${ACCOUNTS}], 'Soak ' || n, to_timestamp(${offset}) + ${SECONDS} * random() * interval '1 second', 'Europe/Berlin',
             case when n % 10 = 0 then 'FREQ=DAILY' end
        from generate_series(${at + 1}, ${Math.min(at + 5000, MANY)}) n`);
  }
}

test(`${MANY} due within ${SECONDS} s, a process killed every ${KILL_MS} ms, connections cut, clocks at -1 h, 0, +1 h`, async (t) => {
  if (!FAKED) t.diagnostic(`all clocks are right: ${FAKETIME ? 'this build is one of a sanitizer' : 'libfaketime is not installed'}`);
  const { api, stack } = world;
  const ids = [];
  while (ids.length < ACCOUNTS) ids.push((await makeAccount(api)).id);
  const tomorrow = Math.ceil(Date.now() / 1000) + 86_400;
  await insert(ids, tomorrow);
  await world.killAll();
  const alive = await Promise.all(CLOCKS.map((offset) => world.add(clockOf(offset))));
  for (const [i, kamd] of alive.entries()) {
    if (!CLOCKS[i]) continue;
    const { headers: { date } } = await api.at(kamd.url).call(200, 'GET', '/livez');
    assert.ok(Math.abs(Date.parse(date) - Date.now()) > 3_500_000, `the clock of process ${i} is off: ${date}`);
  }
  // All are there; now their stored times are moved at once, so that the first falls due in a moment.
  const begin = Number(sql(stack.settings, `begin; set local session_replication_role = replica;
    update follow_up set due_at = due_at - (to_timestamp(${tomorrow}) - now()) + interval '${AHEAD} s' where title like 'Soak %';
    update follow_up_timer t set due_at = f.due_at from follow_up f where f.id = t.follow_up_id and f.title like 'Soak %';
    select extract(epoch from now()) + ${AHEAD}; commit`));

  let kills = 0, cuts = 0, over = false;
  const killing = (async () => {
    while (!over) {
      await sleep(KILL_MS);
      const i = kills++ % alive.length;
      await alive[i].kill();
      world.kamds.splice(world.kamds.indexOf(alive[i]), 1);
      alive[i] = await world.add(clockOf(CLOCKS[i]));
    }
  })();
  const cutting = (async () => {
    while (!over) {
      await sleep(500);
      cuts += Number(sql(stack.settings, "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity where usename = 'kamd_worker' order by random() limit 1) p"));
    }
  })();

  const mine = `from event e where e.type = 'follow_up.due' and e.account_id = any ('{${ids}}')`;
  const count = (more) => Number(sql(stack.settings, `select count(*) ${mine} ${more}`));
  await sleep(begin * 1000 + SECONDS * 1000 - Date.now());
  over = true;
  await Promise.all([killing, cutting]);
  await until(() => count('') >= MANY, { ms: 120_000, every: 500, what: `${MANY} events` });
  await sleep(2000); // three processes have time to say it twice
  sql(stack.settings, 'analyze follow_up, event');
  assert.equal(count(''), MANY, 'events');
  assert.equal(Number(sql(stack.settings, `select count(distinct (e.record_id, e.data ->> 'revision')) ${mine}`)), MANY, 'none twice');
  const told = `from event e join follow_up f on f.id = e.record_id where e.type = 'follow_up.due' and f.occurrence_no = 1 and f.account_id = any ('{${ids}}')`;
  assert.equal(sql(stack.settings, `select count(*) || ' ' || count(*) filter (where e.at < f.due_at) ${told}`), `${MANY} 0`, 'none early');
  const repeating = `from follow_up f where f.title like 'Soak %' and f.account_id = any ('{${ids}}') and f.recurrence is not null`;
  assert.equal(sql(stack.settings, `select count(*) || ' ' || count(distinct series_id) || ' ' || max(occurrence_no) ${repeating}`), `${MANY / 5} ${MANY / 10} 2`, 'one next occurrence each');
  const late = sql(stack.settings, `select round(extract(epoch from percentile_disc(0.99) within group (order by e.at - f.due_at))::numeric, 2) ${told}`);
  t.diagnostic(`${kills} kills, ${cuts} connections cut, p99 ${late} s late`);
});
