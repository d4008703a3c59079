// The version before and this one on one schema, under load (expand, then contract): the old one serves, the schema is
// brought up to date beneath it, the new one joins, the old one goes. Not one request fails.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { startHaproxy } from './lib/servers.mjs';
import { load } from './lib/load.mjs';
import { Client } from '../e2e/lib/client.mjs';
import { makeKey, runKamd, startKamd, statusOf } from '../e2e/lib/kamd.mjs';
import { environment, freePort, openStack, sql } from '../e2e/lib/stack.mjs';
import { sleep, until } from '../e2e/lib/wait.mjs';
import { makeAccount, unique } from '../e2e/lib/world.mjs';

const top = fileURLToPath(new URL('../../', import.meta.url));
const BUILD = process.env.BUILD || join(top, '.build');
const git = (...args) => execFileSync('git', ['-C', top, ...args], { encoding: 'utf8' }).trim();

// The newest commit whose migrations are today's without the last ones: what may have been released before.
function previous() {
  if (process.env.PREVIOUS) return process.env.PREVIOUS;
  const migrations = (commit) => git('ls-tree', '--name-only', commit, 'service/store/migrations/').split('\n').sort();
  const now = migrations('HEAD');
  const found = git('log', '--format=%H', '--', 'service/store/migrations').split('\n').find((commit) => {
    const then = migrations(commit);
    return then.length < now.length && then.every((name, i) => name === now[i]);
  });
  assert.ok(found, 'no commit has fewer migrations');
  return found;
}

function buildPrevious() {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-previous-'));
  const commit = git('rev-parse', previous());
  const out = join(BUILD, 'previous', commit.slice(0, 12));
  try {
    execFileSync('bash', ['-c', `git -C '${top}' archive ${commit} | tar -x -C '${folder}' && unset MAKEFLAGS MAKELEVEL && make -s -C '${folder}' build BUILD='${out}'`],
      { stdio: ['ignore', 'ignore', 'inherit'] });
    return { commit, program: join(out, 'kamd') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test('the version before and this one, on one schema, under load', { timeout: 1_800_000 }, async (t) => {
  const { commit, program } = buildPrevious();
  const old = (settings, ...args) => execFileSync(program, args, { env: environment(settings), encoding: 'utf8' });
  const stack = await openStack({ own: true });
  const settings = { ...stack.settings, KAMD_DRAIN_MS: '2000', KAMD_LOG_LEVEL: 'warn' };
  const kamds = [];
  let proxy;
  try {
    sql({ DATABASE_SUPERUSER_URL: stack.settings.DATABASE_SUPERUSER_URL.replace(/\/kamd$/, '/postgres') }, 'drop database kamd with (force)');
    await stack.start();
    old(stack.settings, 'migrate');
    const before = sql(stack.settings, 'select count(*) from schema_migration');
    kamds.push(await startKamd(settings, { program }));
    const ports = { KAMD_PORT: await freePort(), KAMD_ADMIN_PORT: await freePort() };
    proxy = await startHaproxy([{ port: new URL(kamds[0].url).port, adminPort: new URL(kamds[0].adminUrl).port }, { port: ports.KAMD_PORT, adminPort: ports.KAMD_ADMIN_PORT }]);
    const key = old(stack.settings, 'api-key', 'create', '--role', 'admin', '--name', 'rehearsal').trim();
    const api = new Client(kamds[0].url, key);
    const account = await makeAccount(api);
    await until(async () => await statusOf(`${proxy.url}/readyz`) === 200, { ms: 15_000 });

    let over = false;
    let n = 0;
    const running = load({ url: proxy.url, key, width: 8, enough: () => over,
      next: () => (++n % 5 === 0 ? { method: 'POST', path: '/v1/accounts', body: { name: unique('Version') } } : { method: 'GET', path: `/v1/accounts/${account.id}` }) });
    await sleep(2000);
    await runKamd(stack.settings, 'migrate');
    const after = sql(stack.settings, 'select count(*) from schema_migration');
    await sleep(3000); // the old version alone on the new schema
    kamds.push(await startKamd(settings, { ports }));
    await sleep(4000); // both
    await kamds[0].stop({ ms: 30_000 });
    await sleep(2000); // the new version alone
    over = true;
    const { done, errors } = await running;
    t.diagnostic(`${commit.slice(0, 12)} with ${before} migrations, then ${after}: ${done} requests, errors: ${JSON.stringify(errors)}`);
    assert.ok(Number(after) > Number(before), 'there is nothing to migrate between the two versions');
    assert.deepEqual(errors, []);
    assert.equal((await api.at(kamds[1].url).get(`/v1/accounts/${account.id}`)).name, account.name);
    assert.ok(await makeKey(stack.settings, 'admin'));
  } finally {
    await Promise.allSettled(kamds.map((kamd) => kamd.stop({ ms: 30_000 })));
    await proxy?.stop();
    await stack.stop();
  }
});
