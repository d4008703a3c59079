// What is measured, and what is made of it (008-4): rules and their unit tests, dashboards whose every query a real
// Prometheus answers after it scraped a kamd that had something to do, a page of the runbook for every alert.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import YAML from 'js-yaml';
import { startReceiver, subscribe } from '../e2e/lib/receiver.mjs';
import { freePort } from '../e2e/lib/stack.mjs';
import { until } from '../e2e/lib/wait.mjs';
import { makeAccount, openWorld, unique } from '../e2e/lib/world.mjs';
import { find, missing, run, top } from './lib/tools.mjs';

const { spec: rules } = YAML.load(readFileSync(join(top, 'deploy/kubernetes/components/prometheus-operator/rules.yaml'), 'utf8'));
const alerts = rules.groups.flatMap((group) => group.rules).filter((rule) => rule.alert);
const DASHBOARDS = join(top, 'deploy/dashboards');
const dashboards = readdirSync(DASHBOARDS).filter((name) => name.endsWith('.json')).map((name) => JSON.parse(readFileSync(join(DASHBOARDS, name), 'utf8')));
const panels = dashboards.flatMap((dashboard) => dashboard.panels);
const queries = panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => ({ title: panel.title, expr })));
const noPromtool = missing('promtool');

let folder;
let world;
let receiver;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kamd-prometheus-'));
  writeFileSync(join(folder, 'rules.yaml'), YAML.dump(rules));
  receiver = await startReceiver();
  world = await openWorld();
});
after(async () => {
  await world?.close();
  await receiver?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const scrape = async () => (await fetch(`${world.kamds[0].adminUrl}/metrics`)).text();
const PARTS = /_(bucket|sum|count)$/;

test('the rules are sound, and each alert rings when it should and only then', { skip: noPromtool }, () => {
  assert.match(run('promtool', ['check', 'rules', join(folder, 'rules.yaml')]), /SUCCESS/);
  cpSync(join(top, 'tests/deploy/rules.test.yaml'), join(folder, 'rules.test.yaml'));
  assert.match(run('promtool', ['test', 'rules', join(folder, 'rules.test.yaml')]), /SUCCESS/);
  const tested = new Set([...readFileSync(join(folder, 'rules.test.yaml'), 'utf8').matchAll(/alertname: (\w+)/g)].map(([, name]) => name));
  assert.deepEqual(alerts.map(({ alert }) => alert).filter((name) => !tested.has(name)), []);
});

test('a rule that cannot ring is found out', { skip: noPromtool }, () => {
  writeFileSync(join(folder, 'rules.yaml'), YAML.dump(rules).replace('14.4 * 0.001', '144 * 0.1'));
  cpSync(join(top, 'tests/deploy/rules.test.yaml'), join(folder, 'rules.test.yaml'));
  assert.throws(() => run('promtool', ['test', 'rules', join(folder, 'rules.test.yaml')]), /FAILED/);
  writeFileSync(join(folder, 'rules.yaml'), YAML.dump(rules));
});

test('each alert has a severity, a sentence, and its section in the runbook', () => {
  const book = readFileSync(join(top, 'deploy/README.md'), 'utf8');
  for (const { alert, labels, annotations } of alerts) {
    assert.ok(['page', 'ticket'].includes(labels.severity) && annotations.summary.endsWith('.'), alert);
    assert.equal(annotations.runbook_url, `deploy/README.md#${alert.toLowerCase()}`);
    assert.match(book, new RegExp(`^#+ ${alert}$`, 'm'), `a section for ${alert}`);
  }
  const written = [...book.matchAll(/^#+ (Kamd\w+)$/gm)].map(([, name]) => name);
  assert.deepEqual(written.filter((name) => !alerts.some(({ alert }) => alert === name)), [], 'sections of alerts that are gone');
});

test('dashboards: panels with ids of their own, and a title', () => {
  assert.ok(dashboards.length > 0 && queries.length > 30);
  for (const { title, panels: own } of dashboards) {
    assert.equal(new Set(own.map(({ id }) => id)).size, own.length, title);
    for (const panel of own) assert.ok(panel.title && panel.gridPos && (panel.type === 'row' || panel.fieldConfig.defaults.unit), `${title}: ${panel.title}`);
  }
});

test('every metric that a rule or a dashboard names is served', async () => {
  const served = new Set([...(await scrape()).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const named = [...rules.groups.flatMap((group) => group.rules), ...queries].flatMap(({ expr }) => expr.match(/\b(kamd|process)_\w+/g) ?? []);
  assert.ok(named.length > 50);
  assert.deepEqual([...new Set(named)].filter((name) => !served.has(name) && !served.has(name.replace(PARTS, ''))), []);
});

// Something of everything that the dashboards show.
async function work() {
  const { api } = world;
  if (!receiver.secret) await subscribe(api, receiver, ['account.created']);
  const account = await makeAccount(api);
  await api.call(201, 'POST', '/v1/follow-ups', { body: { account_id: account.id, title: 'Call', due_at: new Date(Date.now() + 500).toISOString() } });
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (let i = 0; i < 15; i++) {
      await api.get(`/v1/accounts/${account.id}`);
      await api.get('/v1/accounts?page_size=5');
      await makeAccount(api, { name: unique('Measured') });
    }
  }));
  await api.send('GET', '/v1/accounts/none');
}

test('requests are counted by the route\'s template, method and class of status, never by what a client sent', async () => {
  await work();
  const text = await scrape();
  const count = (route, method, status) => Number(new RegExp(`^kamd_http_request_duration_seconds_count\\{route="${route}",method="${method}",status="${status}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0);
  assert.ok(count('/v1/accounts/\\{id\\}', 'GET', '2xx') >= 60);
  assert.ok(count('/v1/accounts/\\{id\\}', 'GET', '4xx') >= 1);
  assert.ok(count('/v1/accounts', 'POST', '2xx') >= 60);
  assert.doesNotMatch(text, /[0-9a-f]{8}-[0-9a-f]{4}/, 'an id in a label');
  assert.match(text, /^kamd_build_info\{version="[\d.]+"\} 1$/m);
  for (const [line] of text.matchAll(/^kamd_http_request_duration_seconds_bucket\{.*$/gm)) assert.match(line, /le="(0\.\d+|\d+(\.5)?|\+Inf)"/);
});

test('promtool finds nothing to complain about', { skip: noPromtool }, async () => {
  execFileSync(find('promtool'), ['check', 'metrics'], { input: await scrape(), stdio: ['pipe', 'pipe', 'pipe'] });
});

test('a real Prometheus that scraped it answers every query of the dashboards and every rule', { skip: missing('prometheus') }, async () => {
  const port = await freePort();
  writeFileSync(join(folder, 'prometheus.yml'), YAML.dump({
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: ['rules.yaml'],
    scrape_configs: [{ job_name: 'kamd', static_configs: [{ targets: [new URL(world.kamds[0].adminUrl).host] }] }],
  }));
  const server = spawn(find('prometheus'), [`--config.file=${join(folder, 'prometheus.yml')}`, `--storage.tsdb.path=${join(folder, 'data')}`, `--web.listen-address=127.0.0.1:${port}`, '--log.level=error'],
    { stdio: ['ignore', 'ignore', 'inherit'] });
  const ask = async (expr) => {
    const answer = await (await fetch(`http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expr)}`)).json();
    assert.equal(answer.status, 'success', `${expr}: ${answer.error}`);
    return answer.data.result;
  };
  try {
    await until(async () => (await ask('sum(up{job="kamd"})')).length > 0, { ms: 30_000, what: 'the first scrape' });
    await work();
    await until(async () => Number((await ask('sum(increase(kamd_webhook_attempts_total[1m]))'))[0]?.value[1]) > 0, { ms: 30_000, what: 'deliveries in a scrape' });
    let left = queries;
    await until(async () => {
      const empty = [];
      for (const { title, expr } of left) {
        const result = await ask(expr.replaceAll('$__rate_interval', '1m'));
        if (!result.length || result.every(({ value }) => value[1] === 'NaN')) empty.push({ title, expr });
        if (process.env.SHOW) console.log(`${title}: ${result.slice(0, 4).map(({ metric, value }) => `${Object.values(metric).join(' ')} ${value[1]}`).join('; ')}`);
      }
      left = empty;
      return left.length === 0;
    }, { ms: 20_000, every: 500, what: 'an answer to each query' }).catch(() => {});
    assert.deepEqual(left.map(({ title, expr }) => `${title}: ${expr}`), []);
    const all = await until(async () => {
      const { data } = await (await fetch(`http://127.0.0.1:${port}/api/v1/rules`)).json();
      const found = data.groups.flatMap((group) => group.rules);
      return found.every(({ health }) => health !== 'unknown') && found;
    }, { ms: 20_000, every: 500, what: 'all rules being evaluated' });
    assert.equal(all.length, rules.groups.flatMap((group) => group.rules).length);
    assert.deepEqual(all.filter(({ health }) => health === 'err').map(({ name, lastError }) => `${name}: ${lastError}`), []);
    assert.deepEqual(all.filter(({ state, name }) => state === 'firing' && name !== 'KamdDown').map(({ name }) => name), []);
  } finally {
    const ended = new Promise((done) => { server.on('exit', done); });
    server.kill('SIGTERM');
    await ended;
  }
});
