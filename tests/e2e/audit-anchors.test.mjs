// Anchors of the audit: everything that is committed comes into one, however late, and where nothing is new a look costs nothing. PostgreSQL counts the rows; no time is
// measured. Looks are taken here, as a worker takes them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { sql, sqlBeside } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { openWorld } from './lib/world.mjs';

const CHAINS = 2000;
let world, ids;
const ask = (statement) => sql(world.settings, statement);
const asking = (statement) => sqlBeside(world.settings, statement);
const SCOPE = "set kamd.scope = 'all'; set kamd.areas = '-1'";
const change = (id) => `update account set industry = gen_random_uuid(), version = version + 1 where id = '${id}'`;
// So many walks, each anchor in a transaction of its own: one for what is seen, a second for what was not seen then.
const look = (walks = 2, most = 5000) => `call look(${walks}, ${most})`;
const LOOK = `create procedure look(walks int, most int) language plpgsql as $$
  declare a record;
  begin
    while walks > 0 loop
      select * into a from audit_anchor_next(0, most);
      perform audit_anchor_write(a.body, 'test', '', '', '') where a.body is not null;
      commit;
      walks := walks - (not a.more)::int;
    end loop;
  end $$`;
// Transactions that last, overlap and are rolled back. Each takes its rows in the order of the ids, so that none waits for another in a circle.
const WRITE = `create procedure write(ids uuid[]) language plpgsql as $$
  declare one uuid;
  begin
    for i in 1 .. 15 loop
      perform pg_sleep(random() / 50);
      for k in 1 .. 1 + i % 3 loop
        one := ids[k * 10 + floor(random() * 10)::int];
        update account set industry = gen_random_uuid(), version = version + 1 where id = one;
        perform pg_sleep(random() / 50);
      end loop;
      if i % 5 = 0 then rollback; else commit; end if;
    end loop;
  end $$`;

const behind = () => Number(ask('select count(*) from audit_heads h left join audit_anchored a using (account_id, kind) where h.seq > coalesce(a.seq, 0)'));
const isSettled = () => ask('select settled = audit_drawn() from audit_look') === 't';
// Whoever else writes to this server, its autovacuum for one, may make another walk needed.
const settle = () => until(() => { ask(look()); return isSettled(); }, { ms: 30_000, what: 'nothing to be left to look for' });
// Rows of all tables that so many looks read, in one transaction.
const rowsRead = (looks) => Number(ask(`begin; ${'select from audit_anchor_next(0, 5000);'.repeat(looks)}
  select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables; rollback`).split('\n').at(-1));

// Somebody at the database who leaves a transaction open; they end it with a word.
const sessions = [];
async function open(...statements) {
  const child = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', world.settings.DATABASE_SUPERUSER_URL], { stdio: ['pipe', 'pipe', 'inherit'] });
  sessions.push(child);
  const ended = new Promise((done) => { child.on('exit', done); });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text) => { said += text; });
  child.stdin.write(`${SCOPE}; begin; ${statements.join('; ')}; select 'open';\n`);
  await until(() => said.includes('open'), { ms: 30_000, what: 'the transaction' });
  return async (words) => { child.stdin.end(`${words};\n`); assert.equal(await ended, 0); };
}

before(async () => {
  world = await openWorld();
  await world.kamds.pop().stop();
  ask(`${SCOPE}; ${LOOK}; ${WRITE}; insert into account (id, name) select uuid_v7(), 'Account ' || n from generate_series(1, ${CHAINS}) n`);
  ids = ask('select id from account order by id').split('\n');
  ask('vacuum analyze');
  await settle();
});
after(() => {
  for (const session of sessions) session.kill();
  return world?.close();
});

test('where nothing is new a look reads a few rows, however many chains there are', () => {
  assert.equal(behind(), 0);
  const read = rowsRead(20);
  assert.ok(read <= 20 * 5, `${read} rows in 20 looks`);
});

test('one change costs a look no more than that', async () => {
  await settle();
  ask('analyze'); // as autovacuum does at any time: now the planner knows that one anchor has all leaves
  ask(`${SCOPE}; ${change(ids[7])}`);
  const read = rowsRead(1);
  assert.ok(read <= 50, `${read} rows`);
  ask(look(1));
  assert.equal(behind(), 0);
});

test('more chains than an anchor may have: each comes into one of several, once', () => {
  ask(`${SCOPE}; update account set industry = 'many', version = version + 1`);
  const was = ask('select max(number) from audit_anchor');
  ask(look(1, 100));
  assert.equal(behind(), 0);
  assert.equal(ask(`select count(*), count(distinct account_id), max(number) - ${was} from audit_leaf where number > ${was}`), `${CHAINS}|${CHAINS}|${CHAINS / 100}`);
});

test('who commits long after others, and after looks, is anchored all the same; who rolls back leaves nothing to look for', async () => {
  const [late, never, idle] = [await open(change(ids[0])), await open(change(ids[1])), await open('select 1')];
  for (let i = 2; i < 5; i++) {
    ask(`${SCOPE}; ${change(ids[i])}`);
    ask(look());
    assert.equal(behind(), 0, 'what is committed is anchored while others are at work');
  }
  await never('rollback');
  const later = await open(change(ids[5]));
  await late('commit');
  ask(look());
  assert.equal(behind(), 0, 'the one who was late');
  ask(`${SCOPE}; ${change(ids[2])}`);
  ask(look());
  await later('commit');
  await idle(`${change(ids[6])}; commit`);
  ask(look());
  assert.equal(behind(), 0, 'who came later, and who had begun before all and wrote last');
  await settle();
  assert.ok(rowsRead(20) <= 20 * 5, 'and nobody looks again');
});

test('a walk that was long ago anchored is passed in short calls', () => {
  ask('update audit_look set settled = 0, next = 0, reached = 0, upto = 0');
  const calls = () => ask('select body is null, more from audit_anchor_next(0, 100)');
  const seen = Array.from({ length: 3 }, calls);
  assert.deepEqual(seen, Array(3).fill('t|t'));
  assert.equal(ask('select reached from audit_look'), '3000');
  ask(look(1, 100));
  assert.equal(ask('select reached = upto from audit_look'), 't');
});

test('whatever writers, rollbacks and looks come together: in the end all is anchored, and each anchor holds', async () => {
  let writing = true;
  const looking = (async () => { while (writing) await asking(look(10, 7)); })();
  await Promise.all(Array.from({ length: 5 }, () => asking(`call write('{${ids.slice(0, 50)}}')`))).finally(() => { writing = false; });
  await looking;
  ask(look());
  assert.equal(behind(), 0);
  assert.equal(ask('select count(*) from audit_anchor a where audit_anchor_broken(a) is not null'), '0');
  assert.equal(ask(`select count(*) from unnest('{${ids.slice(0, 50)}}'::uuid[]) id cross join lateral audit_breaks(id) b`), '0');
});

test('a worker keeps that it has looked, also where nothing came of it', async () => {
  const never = await open(change(ids[9]));
  await never('rollback');
  assert.equal(isSettled(), false);
  await world.add({ KAMD_AUDIT_ANCHOR_MS: '100' });
  await until(isSettled, { ms: 60_000, what: 'nothing to be left to look for' });
});
