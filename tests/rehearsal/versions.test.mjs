// Two versions on one schema, under load (expand, then contract): the older one serves, the schema is brought up to date
// beneath it, the newer one joins, the older one goes. Not one request fails. Twice: this version and a next one that only
// expands; and the version before and this one, as far as the migrations between them allow it (`-- min-binary`).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { startHaproxy } from './lib/servers.mjs';
import { load } from './lib/load.mjs';
import { Client } from '../e2e/lib/client.mjs';
import { startKamd, statusOf } from '../e2e/lib/kamd.mjs';
import { KAMD, emptyDatabase, environment, freePort, openStack, sql } from '../e2e/lib/stack.mjs';
import { sleep, until } from '../e2e/lib/wait.mjs';
import { makeAccount, unique } from '../e2e/lib/world.mjs';

const top = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = process.env.BUILD || join(top, '.build');
const MIGRATIONS = 'service/store/migrations/';
const git = (...args) => execFileSync('git', ['-C', top, ...args], { encoding: 'utf8' }).trim();
const treeOf = (commit) => git('ls-tree', commit, MIGRATIONS).split('\n').sort((a, b) => (a.slice(53) < b.slice(53) ? -1 : 1)); // with digests: mode, type, digest, path
const migrationsOf = (commit) => treeOf(commit).map((line) => line.slice(line.indexOf('\t') + 1 + MIGRATIONS.length));
const numberOf = (name) => Number(name.slice(0, 4));

const headerOf = (name, word) => new RegExp(`^-- ${word}: (\\d+)$`, 'm').exec(git('show', `HEAD:${MIGRATIONS}${name}`))?.[1];

// The newest commit whose migrations are today's without the last ones, or end with those that today's first one replaces: what may have been released before.
function previous() {
  if (process.env.PREVIOUS) return git('rev-parse', process.env.PREVIOUS);
  const now = treeOf('HEAD');
  const replaced = Number(headerOf(migrationsOf('HEAD')[0], 'replaces') ?? 0);
  const found = git('log', '--format=%H', '--', MIGRATIONS).split('\n').find((commit) => {
    const then = treeOf(commit);
    return (then.length < now.length && then.every((name, i) => name === now[i])) || numberOf(migrationsOf(commit).at(-1)) === replaced;
  });
  assert.ok(found, 'no commit has fewer migrations');
  return found;
}

// The program of a commit, with more migrations.
function build(commit, name, added = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-version-'));
  const out = join(BUILD, 'versions', name);
  try {
    execFileSync('bash', ['-c', `git -C '${top}' archive ${commit} | tar -x -C '${folder}'`]);
    for (const [file, text] of Object.entries(added)) writeFileSync(join(folder, MIGRATIONS, file), text);
    execFileSync('bash', ['-c', `unset MAKEFLAGS MAKELEVEL MFLAGS; make -s -C '${folder}' build BUILD='${out}'`], { stdio: ['ignore', 'ignore', 'inherit'] });
    return join(out, 'kamd');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const runOf = (program, settings) => (...args) => execFileSync(program, args, { env: environment(settings), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

// A database with the schema of `older` alone.
async function emptyStack(older) {
  const stack = await openStack({ own: true });
  await emptyDatabase(stack);
  runOf(older, stack.settings)('migrate');
  return stack;
}

const notReady = async (kamd) => {
  const answer = await fetch(`${kamd.adminUrl}/readyz`);
  return answer.status === 503 ? (await answer.json()).reasons : null;
};

// `older` serves, `newer` migrates and joins, `older` goes. Gives what was seen; `between` runs while both serve.
async function upgrade(stack, older, newer, between = async () => {}) {
  const settings = { ...stack.settings, KAMD_DRAIN_MS: '2000', KAMD_LOG_LEVEL: 'warn', KAMD_RATE_LIMIT: '0' };
  const kamds = [await startKamd(settings, { program: older })];
  let proxy;
  let running;
  let over = false;
  try {
    const ports = { KAMD_PORT: await freePort(), KAMD_ADMIN_PORT: await freePort() };
    proxy = await startHaproxy([{ port: new URL(kamds[0].url).port, adminPort: new URL(kamds[0].adminUrl).port }, { port: ports.KAMD_PORT, adminPort: ports.KAMD_ADMIN_PORT }]);
    const key = runOf(older, stack.settings)('api-key', 'create', '--role', 'admin', '--name', 'rehearsal').trim();
    const api = new Client(kamds[0].url, key);
    const account = await makeAccount(api);
    await until(async () => await statusOf(`${proxy.url}/readyz`) === 200, { ms: 15_000 });
    let n = 0;
    running = load({ url: proxy.url, key, width: 8, enough: () => over,
      next: () => (++n % 5 === 0 ? { method: 'POST', path: '/v1/accounts', body: { name: unique('Version') } } : { method: 'GET', path: `/v1/accounts/${account.id}` }) });
    await sleep(2000);
    runOf(newer, stack.settings)('migrate');
    await sleep(3000); // the older version alone on the new schema
    const alone = await notReady(kamds[0]);
    kamds.push(await startKamd(settings, { program: newer, ports }));
    await sleep(3000); // both
    const made = await makeAccount(api.at(kamds[1].url));
    const seen = alone ? null : await api.get(`/v1/accounts/${made.id}`);
    await between({ api, older: kamds[0], newer: kamds[1], account });
    await kamds[0].stop({ ms: 30_000 });
    await sleep(2000); // the newer version alone
    over = true;
    const { done, errors } = await running;
    assert.equal((await api.at(kamds[1].url).get(`/v1/accounts/${account.id}`)).name, account.name);
    api.close();
    return { alone, seen: seen?.name === made.name, done, errors };
  } finally {
    over = true;
    await running;
    await Promise.allSettled(kamds.map((kamd) => kamd.stop({ ms: 30_000 })));
    await proxy?.stop();
  }
}

test('this version beneath a next one that expands the schema: no request fails; one that closes it is refused with its reason', { timeout: 1_800_000 }, async (t) => {
  const newest = Math.max(...migrationsOf('HEAD').map(numberOf));
  const next = build(git('rev-parse', 'HEAD'), 'next', {
    [`${String(newest + 1).padStart(4, '0')}_rehearsal.sql`]: `-- What a release may add beneath the version before it.
-- min-binary: ${newest}
alter table account add column rehearsal text not null default 'next';
create index account_rehearsal_idx on account(rehearsal) where deleted_at is null;
create table rehearsal (id uuid primary key default gen_random_uuid(), account_id uuid not null references account, note text);
grant select, insert on rehearsal to kamd_app;
create function rehearsal_note() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into rehearsal(account_id, note) select id, rehearsal from added;
    return null;
end $$;
create trigger rehearsal_note after insert on account referencing new table as added for each statement execute function rehearsal_note();
`,
  });
  const stack = await emptyStack(KAMD);
  try {
    const { alone, seen, done, errors } = await upgrade(stack, KAMD, next, async ({ api, older, newer, account }) => {
      // Writes of both at the same record.
      const one = await api.patch(`/v1/accounts/${account.id}`, (await api.get(`/v1/accounts/${account.id}`)).etag, { name: 'By the older' });
      const other = await api.at(newer.url).patch(`/v1/accounts/${account.id}`, one.etag, { name: account.name });
      assert.equal((await api.get(`/v1/accounts/${account.id}`)).etag, other.etag);
      // A rollback runs the older version's migrate, which leaves the newer schema alone.
      assert.match(runOf(KAMD, stack.settings)('migrate'), /./);
      assert.equal(sql(stack.settings, 'select max(number) from schema_migration'), String(newest + 1));
      // A schema that closes what the older one needs: refused with its reason, by serve, readyz and migrate; not by who knows it.
      sql(stack.settings, `update schema_migration set min_binary = ${newest + 1} where number = ${newest + 1}`);
      const reasons = await until(() => notReady(older), { ms: 15_000, what: 'the older version giving up' });
      assert.equal(reasons[0], 'schema');
      assert.match(reasons[1], new RegExp(`newer than this program: its migration ${newest + 1} needs a program that knows migration ${newest + 1}`));
      assert.equal(await notReady(newer), null);
      assert.throws(() => runOf(KAMD, stack.settings)('migrate'), ({ stdout, stderr }) => /newer than this program/.test(stdout + stderr));
      sql(stack.settings, `update schema_migration set min_binary = ${newest} where number = ${newest + 1}`);
      await until(async () => await notReady(older) === null, { ms: 15_000, what: 'the older version being ready again' });
    });
    t.diagnostic(`migration ${newest} beneath ${newest + 1}: ${done} requests, errors: ${JSON.stringify(errors)}`);
    assert.equal(alone, null);
    assert.ok(seen);
    assert.deepEqual(errors, []);
    assert.equal(sql(stack.settings, `select count(*) from account where id not in (select account_id from rehearsal) and created_at > (select applied_at + interval '1 s' from schema_migration where number = ${newest + 1})`), '0', 'what both wrote has met the new trigger');
    assert.ok(Number(sql(stack.settings, 'select count(*) from rehearsal')) > 0);
  } finally {
    await stack.stop();
  }
});

test('the version before and this one', { timeout: 1_800_000 }, async (t) => {
  const commit = previous();
  const before = migrationsOf(commit);
  const between = migrationsOf('HEAD').filter((name) => !before.includes(name));
  const known = Math.max(...before.map(numberOf));
  const closing = between.filter((name) => Number(headerOf(name, 'min-binary') ?? numberOf(name)) > known);
  const program = build(commit, commit.slice(0, 12));
  const stack = await emptyStack(program);
  try {
    const { alone, seen, done, errors } = await upgrade(stack, program, KAMD);
    t.diagnostic(`${commit.slice(0, 12)} with ${before.length} migrations beneath ${between.join(', ')} (closing: ${closing.join(', ') || 'none'}): ${done} requests, errors: ${JSON.stringify(errors)}`);
    if (closing.length) {
      assert.ok(alone, 'the version before serves on a schema that is closed to it');
      return;
    }
    assert.equal(alone, null);
    assert.ok(seen);
    assert.deepEqual(errors, []);
  } finally {
    await stack.stop();
  }
});
