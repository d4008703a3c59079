// The image, built twice and run with as few rights as the manifests give it. Skips where there is no podman.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from '../e2e/lib/client.mjs';
import { makeKey, statusOf } from '../e2e/lib/kamd.mjs';
import { freePort, openStack } from '../e2e/lib/stack.mjs';
import { until } from '../e2e/lib/wait.mjs';
import { makeAccount } from '../e2e/lib/world.mjs';

const top = fileURLToPath(new URL('../../', import.meta.url));
const TAG = 'kamd:rehearsal';
const MOST = 30_000_000;

function podman(...args) {
  return execFileSync('podman', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 << 20 }).trim();
}
const there = (() => {
  try {
    execFileSync('podman', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

test('the image: same twice, small, of listed parts, and it runs read-only without rights', { skip: !there && 'there is no podman', timeout: 3_600_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-image-'));
  // Where containers cannot have all that podman would give them by default.
  const conf = join(folder, 'containers.conf');
  writeFileSync(conf, '[containers]\ndefault_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n');
  process.env.CONTAINERS_CONF ??= conf;
  const stack = await openStack({ own: true });
  let container;
  try {
    const identity = [];
    const commit = execFileSync('git', ['-C', top, 'rev-parse', 'HEAD'], { encoding: 'utf8' }).trim();
    for (let i = 0; i < 2; i++) {
      execFileSync(join(top, 'deploy/image/build'), [TAG], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, KAMD_ENGINE: 'podman', KAMD_COMMIT: commit, KAMD_NO_CACHE: i ? '1' : '0' } });
      identity.push(podman('image', 'inspect', TAG, '--format', '{{.Id}} {{.Digest}}'));
    }
    assert.equal(identity[0], identity[1], 'two builds of one commit');
    const [image] = JSON.parse(podman('image', 'inspect', TAG));
    assert.ok(image.Size <= MOST, `${image.Size} bytes`);
    assert.equal(image.User ?? image.Config.User, '10001:10001');
    for (const label of ['title', 'version', 'revision', 'created']) assert.ok(image.Labels[`org.opencontainers.image.${label}`], label);

    const made = podman('create', TAG);
    podman('cp', `${made}:/usr/share/kamd/sbom.spdx.json`, folder);
    podman('rm', made);
    const parts = new Map(JSON.parse(readFileSync(join(folder, 'sbom.spdx.json'), 'utf8')).packages.map((part) => [part.name, part.versionInfo]));
    assert.match(parts.get('libmicrohttpd12t64'), /^1\./);
    assert.match(parts.get('libhiredis1.1.0'), /^1\.2/);
    for (const name of ['kamd', 'libc6', 'libpq5', 'libulfius2.7t64', 'libcurl3t64-gnutls', 'ca-certificates']) assert.ok(parts.has(name), name);

    const port = await freePort();
    const adminPort = await freePort();
    copyFileSync(stack.settings.KAMD_MASTER_KEY_FILE, join(folder, 'key'));
    const env = { ...stack.settings, KAMD_PORT: port, KAMD_ADMIN_PORT: adminPort, KAMD_HTTP_CONNECTIONS: 512, KAMD_MASTER_KEY: readFileSync(join(folder, 'key'), 'utf8').trim() };
    delete env.KAMD_MASTER_KEY_FILE;
    delete env.DATABASE_SUPERUSER_URL;
    container = podman('run', '-d', '--read-only', '--read-only-tmpfs=false', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--user', '10001:10001', '--memory=256m', '--pids-limit=200', '--network=host',
      ...Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]), TAG);
    await until(async () => await statusOf(`http://127.0.0.1:${port}/readyz`) === 200, { ms: 60_000, what: 'the container' }).catch((error) => {
      throw new Error(podman('logs', container), { cause: error });
    });
    const { State: { Pid: pid } } = JSON.parse(podman('inspect', container))[0];
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name) => new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)[1];
    assert.match(field('Uid'), /^10001\b/);
    assert.equal(Number(`0x${field('CapEff')}`), 0);
    assert.equal(field('NoNewPrivs'), '1');
    const api = new Client(`http://127.0.0.1:${port}`, await makeKey(stack.settings, 'admin'));
    const account = await makeAccount(api);
    assert.equal((await api.get(`/v1/accounts/${account.id}`)).name, account.name);
    api.close();
    const resident = Number(field('VmRSS').split(' ')[0]);
    podman('stop', '-t', '30', container);
    assert.equal(podman('inspect', container, '--format', '{{.State.ExitCode}}'), '0');
    t.diagnostic(`${identity[0]}: ${image.Size} bytes, ${(resident / 1024).toFixed(0)} MiB in RAM, ${parts.size} packages, uid 10001, no capabilities, read-only, ended with 0`);
  } finally {
    if (container) podman('rm', '-f', container);
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
