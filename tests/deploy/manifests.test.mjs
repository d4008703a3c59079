// The manifests: strict schema, restricted profile, and that their parts fit each other and the program. Copies that were
// broken on purpose must be found out.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import test from 'node:test';
import YAML from 'js-yaml';
import { KAMD } from '../e2e/lib/stack.mjs';
import { CHART, KUSTOMIZE, helm, kustomize, nameOf, parse, podOf, readBase, written } from './lib/objects.mjs';
import { fit } from './lib/rules.mjs';
import { missingData, openSchemas } from './lib/schema.mjs';
import { missing, run, top } from './lib/tools.mjs';

const kamd = (...args) => execFileSync(KAMD, args, { encoding: 'utf8', maxBuffer: 64 << 20 });

// What the program says of itself.
function readFacts() {
  const settings = new Map();
  const secrets = new Set();
  for (const [, help, name, value] of kamd('--print-defaults').matchAll(/^# (.*)\n([A-Z_]+)=(.*)$/gm)) {
    settings.set(name, value);
    if (help.includes('A secret:')) secrets.add(name);
  }
  const usage = spawnSync(KAMD, ['help-me'], { encoding: 'utf8', env: {} }).stderr;
  const commands = [...usage.matchAll(/^ {2}kamd (\w+)/gm)].map(([, word]) => word);
  return { settings, secrets, commands, adminPaths: ['/livez', '/readyz', '/metrics'], routes: JSON.parse(kamd('--print-api')).routes.map(({ path }) => path) };
}

const facts = readFacts();
const OVERLAYS = ['base', 'overlays/dev', 'overlays/prod', 'overlays/ha'];
const noKubectl = missing('kubectl');
const noHelm = missing('helm');
// Without kubectl the base is read as it is written: it is plain objects.
const rendered = new Map(noKubectl ? [['base', readBase()]] : OVERLAYS.map((name) => [name, kustomize(name)]));
const copy = (value) => structuredClone(value);

test('what the program says of itself is understood', () => {
  assert.ok(facts.settings.size > 35 && facts.secrets.has('DATABASE_URL') && !facts.secrets.has('KAMD_PORT'), [...facts.secrets].join());
  assert.deepEqual(['serve', 'worker', 'migrate'].filter((word) => !facts.commands.includes(word)), []);
  assert.ok(facts.routes.length > 200);
});

test('the overlays can be rendered', { skip: noKubectl }, () => {
  for (const name of OVERLAYS) assert.ok(rendered.get(name).length > 10, name);
});

test('every object is what the Kubernetes API knows, field by field', { skip: missingData }, () => {
  const check = openSchemas();
  for (const object of [...written(), ...[...rendered.values()].flat()]) {
    const what = object.apiVersion.startsWith('kustomize') ? [] : check(object);
    assert.deepEqual(what, [], nameOf(object));
  }
});

for (const [name, objects] of rendered) {
  test(`${name}: restricted pods; ports, probes, routes, settings, selectors and graces fit each other`, () => {
    assert.deepEqual(fit(objects, facts), []);
  });
}

// ---- the settings -----------------------------------------------------------------------------------

// What a container of ours gets as its environment, with secrets where this machine has some.
function environmentOf(object, objects, folder) {
  const [container] = podOf(object).spec.containers;
  const env = { ...(container.envFrom ? objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'kamd').data : {}) };
  for (const { name, value } of container.env) {
    if (!name.endsWith('_FILE')) continue;
    env[name] = join(folder, value.split('/').pop());
    const content = name.startsWith('DATABASE') ? 'postgresql://somebody:secret@db/kamd' : name.startsWith('REDIS') ? 'redis://cache' : Buffer.alloc(32, 7).toString('base64');
    writeFileSync(env[name], `${content}\n`);
  }
  return env;
}

const check = (env) => spawnSync(KAMD, ['config', 'check'], { encoding: 'utf8', env: { PATH: process.env.PATH, ...env } });

test('`kamd config check` takes what each pod is given', () => {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-config-'));
  try {
    for (const objects of rendered.values()) {
      for (const object of objects.filter(({ kind, metadata }) => kind === 'Deployment' && ['kamd-api', 'kamd-worker'].includes(metadata.name))) {
        const { status, stdout } = check(environmentOf(object, objects, folder));
        assert.equal(status, 0, stdout);
        assert.match(stdout, /configuration is fine/);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('`kamd config check` names everything that is wrong, at once, and shows no secret', () => {
  const { status, stdout } = check({
    KAMD_PORT: '99999', KAMD_DB_POOL: 'many', KAMD_LOG_LEVEL: 'loud', KAMD_WORKER: 'maybe', REDIS_URL: 'http://s3cret@x', KAMD_MASTER_KEY: 's3cret',
    DATABASE_URL: 'mysql://s3cret', DATABASE_WORKER_URL_FILE: '/nowhere/at/all', KAMD_WEBHOOK_PORTS: 'all', KAMD_WEBHOOK_RETRY_MS: '1,x', KAMD_OTLP_ENDPOINT: 'collector:4318', KAMD_OTLP_HEADERS: 's3cret', KAMD_TYPO: '1',
  });
  assert.equal(status, 1);
  for (const name of ['KAMD_PORT', 'KAMD_DB_POOL', 'KAMD_LOG_LEVEL', 'KAMD_WORKER', 'REDIS_URL', 'KAMD_MASTER_KEY', 'DATABASE_URL', 'DATABASE_WORKER_URL',
    'KAMD_WEBHOOK_PORTS', 'KAMD_WEBHOOK_RETRY_MS', 'KAMD_OTLP_ENDPOINT', 'KAMD_OTLP_HEADERS', 'KAMD_TYPO']) assert.match(stdout, new RegExp(`^(.*: )?${name}\\b`, 'm'), `${name} in\n${stdout}`);
  assert.doesNotMatch(stdout, /s3cret/);
  const empty = check({ KAMD_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') });
  assert.equal(empty.status, 1);
  assert.match(empty.stdout, /^DATABASE_URL is missing/m);
});

// What an administrator comes to the ConfigMap and the chart's values for, and what nobody needs there.
test('the settings of sign-in are in the ConfigMap and the values, as the program has them', () => {
  const tuning = ['KAMD_OIDC_ALLOW_HTTP', 'KAMD_OIDC_REFRESH_MS'];
  const wanted = [...facts.settings.keys()].filter((name) => /^KAMD_(OIDC_|OAUTH)/.test(name) && !tuning.includes(name));
  assert.ok(wanted.length >= 10, wanted.join(' '));
  const values = YAML.load(readFileSync(join(top, 'deploy/helm/kamd/values.yaml'), 'utf8')).config;
  for (const data of [...[...rendered.values()].map(config), values]) {
    for (const name of wanted) assert.equal(data[name], facts.settings.get(name), name);
  }
  const folder = mkdtempSync(join(tmpdir(), 'kamd-config-'));
  try {
    const objects = rendered.values().next().value;
    const env = environmentOf(api(objects), objects, folder);
    const issuer = { KAMD_OIDC_ISSUER: 'https://login.example.com/realms/main', KAMD_OIDC_AUDIENCE: 'https://kamd.example.com' };
    const good = check({ ...env, ...issuer, KAMD_OIDC_ROLE_CLAIM: '/realm_access/roles', KAMD_OIDC_ROLES: 'kam-leads=director,kam-team=account_manager', KAMD_OAUTH: 'true' });
    assert.equal(good.status, 0, good.stdout);
    for (const [name, value] of [['KAMD_OIDC_AUDIENCE', ''], ['KAMD_OIDC_ROLES', 'kam-leads=king'], ['KAMD_OIDC_DEFAULT_ROLE', 'king'], ['KAMD_OIDC_ISSUER', 'http://login.example.com'], ['KAMD_OIDC_JWKS_URL', 'http://login.example.com/keys'], ['KAMD_OIDC_PROVISION', 'perhaps'], ['KAMD_OAUTH', 'on request']]) {
      const { status, stdout } = check({ ...env, ...issuer, [name]: value });
      assert.equal(status, 1, `${name}=${value}: ${stdout}`);
      assert.match(stdout, new RegExp(`^(.*: )?${name}\\b`, 'm'), name);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

// ---- broken on purpose ------------------------------------------------------------------------------

const find = (objects, kind, name) => objects.find((object) => object.kind === kind && object.metadata.name === name);
const api = (objects) => find(objects, 'Deployment', 'kamd-api');
const container = (objects) => podOf(api(objects)).spec.containers[0];
const config = (objects) => find(objects, 'ConfigMap', 'kamd').data;

const BROKEN = [
  ['runs as root', (o) => { podOf(api(o)).spec.securityContext.runAsNonRoot = false; }, /runAsNonRoot/],
  ['keeps a capability', (o) => { container(o).securityContext.capabilities = { drop: ['NET_RAW'] }; }, /capabilities/],
  ['adds a capability', (o) => { container(o).securityContext.capabilities.add = ['NET_ADMIN']; }, /capabilities/],
  ['may escalate', (o) => { delete container(o).securityContext.allowPrivilegeEscalation; }, /allowPrivilegeEscalation/],
  ['no seccomp profile in the Job', (o) => { delete podOf(find(o, 'Job', 'kamd-migrate')).spec.securityContext.seccompProfile; }, /Job kamd-migrate: .*seccomp/],
  ['a container that comes first with more rights', (o) => { podOf(api(o)).spec.initContainers = [{ name: 'first', image: 'x:1' }]; }, /container first/],
  ['a path of the host', (o) => { podOf(api(o)).spec.volumes.push({ name: 'host', hostPath: { path: '/' } }); }, /volume host/],
  ['a port of the host', (o) => { container(o).ports[0].hostPort = 80; }, /hostPort/],
  ['the host\'s network', (o) => { podOf(api(o)).spec.hostNetwork = true; }, /hostNetwork/],
  ['a token of the Kubernetes API', (o) => { delete podOf(api(o)).spec.automountServiceAccountToken; }, /token/],
  ['links that set KAMD_PORT', (o) => { delete podOf(api(o)).spec.enableServiceLinks; }, /enableServiceLinks/],
  ['a limit of CPU', (o) => { container(o).resources.limits.cpu = '1'; }, /CPU/],
  ['no fixed image', (o) => { container(o).image = 'kamd:latest'; }, /fixed tag/],
  ['a secret by subPath', (o) => { container(o).volumeMounts[0].subPath = 'DATABASE_URL'; }, /subPath/],
  ['a probe of a port that is not there', (o) => { container(o).livenessProbe.httpGet.port = 'web'; }, /livenessProbe/],
  ['a probe of a path that is not there', (o) => { container(o).livenessProbe.httpGet.path = '/healthz'; }, /nobody serves \/healthz/],
  ['liveness that hangs on the database', (o) => { container(o).livenessProbe.httpGet.path = '/readyz'; }, /livenessProbe asks \/readyz/],
  ['no readiness', (o) => { delete container(o).readinessProbe; }, /readinessProbe is missing/],
  ['another port', (o) => { config(o).KAMD_PORT = '9999'; }, /port http is not KAMD_PORT/],
  ['a setting that does not exist', (o) => { config(o).KAMD_HTTP_TREADS = '8'; }, /KAMD_HTTP_TREADS is no setting/],
  ['a secret in the open', (o) => { config(o).DATABASE_URL = 'postgresql://'; }, /DATABASE_URL is a secret/],
  ['a secret that is not mounted', (o) => { container(o).volumeMounts = []; }, /no Secret is mounted/],
  ['a command that does not exist', (o) => { container(o).args = ['server']; }, /no command server/],
  ['too short a grace', (o) => { podOf(api(o)).spec.terminationGracePeriodSeconds = 10; }, /killed after 10 s/],
  ['too long a drain', (o) => { config(o).KAMD_DRAIN_MS = '30000'; }, /killed after 30 s/],
  ['no pause before it stops', (o) => { delete container(o).lifecycle; }, /no pause/],
  ['a Service that selects nothing', (o) => { find(o, 'Service', 'kamd').spec.selector.app = 'other'; }, /Service kamd: selects no pod/],
  ['a Service to a port that is not there', (o) => { find(o, 'Service', 'kamd').spec.ports[0].targetPort = 'web'; }, /no pod has a port web/],
  ['labels that the selector misses', (o) => { delete podOf(api(o)).metadata.labels['app.kubernetes.io/component']; }, /does not select its own pods/],
  ['a disruption budget that blocks every drain', (o) => { find(o, 'PodDisruptionBudget', 'kamd-api').spec = { ...find(o, 'PodDisruptionBudget', 'kamd-api').spec, maxUnavailable: 0 }; }, /block a drain/],
  ['replicas beside an autoscaler', (o) => { api(o).spec.replicas = 2; }, /replicas/],
  ['an autoscaler of nothing', (o) => { find(o, 'HorizontalPodAutoscaler', 'kamd-api').spec.scaleTargetRef.name = 'kamd'; }, /scales nothing/],
  ['not spread', (o) => { delete podOf(api(o)).spec.topologySpreadConstraints; }, /not spread/],
  ['everything may go everywhere', (o) => { o.splice(o.indexOf(find(o, 'NetworkPolicy', 'kamd-default-deny')), 1); }, /nothing is denied/],
  ['names by UDP alone', (o) => { find(o, 'NetworkPolicy', 'kamd-dns').spec.egress[0].ports.pop(); }, /by UDP and by TCP/],
  ['any namespace\'s pods as name servers (two items, an or)', (o) => {
    const [rule] = find(o, 'NetworkPolicy', 'kamd-dns').spec.egress;
    rule.to = [{ namespaceSelector: rule.to[0].namespaceSelector }, { podSelector: rule.to[0].podSelector }];
  }, /names can be looked up/],
  ['a policy for a port that is not there', (o) => { find(o, 'NetworkPolicy', 'kamd-api').spec.ingress[0].ports[0].port = 'web'; }, /port web/],
  ['a namespace without a profile', (o) => { find(o, 'Namespace', 'kamd').metadata.labels = {}; }, /restricted profile/],
];

for (const [what, breakIt, found] of BROKEN) {
  test(`found out: ${what}`, () => {
    const objects = copy(rendered.get('base'));
    breakIt(objects);
    assert.match(fit(objects, facts).join('\n'), found);
  });
}

test('found out in the overlays: routes to the outside, and what is scraped', { skip: noKubectl }, () => {
  const broken = (breakIt) => {
    const objects = copy(rendered.get('overlays/prod'));
    breakIt(objects);
    return fit(objects, facts).join('\n');
  };
  assert.match(broken((o) => { find(o, 'HTTPRoute', 'kamd').spec.rules[1].matches[0].path.value = '/'; }), /is for the outside|not for the outside/);
  assert.match(broken((o) => { find(o, 'HTTPRoute', 'kamd').spec.rules[1].matches.pop(); }), /webhook-keys is not for the outside/);
  assert.match(broken((o) => { find(o, 'HTTPRoute', 'kamd').spec.rules[0].backendRefs[0].port = 8080; }), /no Service kamd:8080/);
  assert.match(broken((o) => { find(o, 'PodMonitor', 'kamd').spec.podMetricsEndpoints[0].port = 'metrics'; }), /nothing to scrape/);
});

test('the schema finds misspelt, misplaced and mistyped fields', { skip: missingData }, () => {
  const wrong = openSchemas();
  const say = (breakIt) => {
    const objects = copy(rendered.get('base'));
    return wrong(breakIt(objects)).join('\n');
  };
  assert.match(say((o) => { container(o).securityContext.readOnlyRootFileSystem = true; return api(o); }), /readOnlyRootFileSystem/);
  assert.match(say((o) => { const one = find(o, 'PodDisruptionBudget', 'kamd-api'); one.spec.maxUnavailble = 1; return one; }), /maxUnavailble/);
  assert.match(say((o) => { container(o).ports[0].containerPort = '8080'; return api(o); }), /containerPort must be integer/);
  assert.match(say((o) => { const one = find(o, 'Service', 'kamd'); delete one.spec.ports[0].port; return one; }), /required property 'port'/);
  assert.match(say((o) => { const one = find(o, 'HorizontalPodAutoscaler', 'kamd-api'); one.apiVersion = 'autoscaling/v2beta2'; return one; }), /no HorizontalPodAutoscaler/);
  const [monitor] = written().filter(({ kind }) => kind === 'PodMonitor');
  monitor.spec.podMetricsEndpoints[0].intervall = '15s';
  assert.match(wrong(monitor).join('\n'), /intervall/);
  assert.throws(() => YAML.load('a: 1\na: 2\n'), /duplicated mapping key/);
});

// ---- Helm -------------------------------------------------------------------------------------------

// Kustomize names the namespace in each object, Helm leaves it to the installation.
const plain = (objects) => Object.fromEntries(objects.map((object) => {
  const { namespace, ...metadata } = object.metadata;
  assert.ok(namespace === undefined || namespace === 'kamd');
  return [nameOf(object), { ...object, metadata }];
}));
// What must exist before the chart is installed is no part of it.
const BEFORE = ['ExternalSecret', 'Cluster', 'Pooler'];
const installed = (objects) => objects.filter(({ kind, metadata }) => !BEFORE.includes(kind) && metadata.name !== 'kamd-db');
const values = (name) => ['-f', join(CHART, `values-${name}.yaml`)];

for (const [name, ...args] of [['base'], ['overlays/prod', ...values('prod')], ['overlays/ha', ...values('prod'), ...values('ha')]]) {
  test(`Helm makes the same objects as ${name}`, { skip: noHelm || noKubectl }, () => {
    assert.deepEqual(plain(helm('--set', 'namespace.create=true', ...args)), plain(installed(rendered.get(name))));
  });
}

test('spans: the component and the chart\'s values give kamd the same settings and the same way to the collector', { skip: noKubectl }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-otlp-'));
  try {
    const at = (path) => relative(realpathSync(folder), join(KUSTOMIZE, path));
    writeFileSync(join(folder, 'kustomization.yaml'), YAML.dump({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', resources: [at('base')], components: [at('components/otlp')] }));
    const objects = parse(run('kubectl', ['kustomize', folder]));
    assert.deepEqual(fit(objects, facts), []);
    assert.match(config(objects).KAMD_OTLP_ENDPOINT, /:4318$/);
    assert.equal(find(objects, 'NetworkPolicy', 'kamd-otlp').spec.egress[0].ports[0].port, 4318);
    const { status, stdout } = check({ ...config(objects), DATABASE_URL: 'postgresql://db/kamd', KAMD_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') });
    assert.equal(status, 0, stdout);
    if (!noHelm) assert.deepEqual(plain(helm('--set', 'namespace.create=true', '--set', 'otlp.enabled=true')), plain(objects));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('helm lint finds nothing, and the templates use every value', { skip: noHelm }, () => {
  assert.match(run('helm', ['lint', '--strict', CHART, ...values('prod')]), /0 chart\(s\) failed/);
  const templates = readdirSync(join(CHART, 'templates')).map((name) => readFileSync(join(CHART, 'templates', name), 'utf8')).join('\n');
  const used = new Set([...templates.matchAll(/\.Values\.([\w.]+)/g)].map(([, path]) => path));
  const leaves = (value, path) => (used.has(path.join('.')) || !value || typeof value !== 'object' ? [path.join('.')]
    : Object.entries(value).flatMap(([key, inner]) => leaves(inner, [...path, key])));
  assert.deepEqual(leaves(YAML.load(readFileSync(join(CHART, 'values.yaml'), 'utf8')), []).sort(), [...used].sort());
});

test('values that are wrong are refused before anything is made', { skip: noHelm }, () => {
  for (const wrong of ['api.minReplica=3', 'api.minReplicas=many', 'worker.replicas=-1', 'spreadZones=Sometimes', 'image.digest=sha256:short', 'config.KAMD_MASTER_KEY=x', 'config.DATABASE_URL=x', 'config.PATH=x']) {
    assert.throws(() => helm('--set', wrong), /don't meet the specifications|Additional property|values/i, wrong);
  }
});

// ---- beside -----------------------------------------------------------------------------------------

test('the database in the cluster is set up as deploy/sql/roles.sql does it', () => {
  const sql = readFileSync(join(top, 'deploy/sql/roles.sql'), 'utf8');
  const wanted = [...sql.matchAll(/^(alter role \w+ +set .*|create extension .*|revoke all on database .*|revoke create on .*|grant connect .*);$/gm)].map(([, line]) => line.replaceAll(/ +/g, ' '));
  assert.ok(wanted.length > 15);
  const { postInitSQL, postInitApplicationSQL } = find(written(), 'Cluster', 'kamd-db').spec.bootstrap.initdb;
  assert.deepEqual(wanted.filter((line) => ![...postInitSQL, ...postInitApplicationSQL].includes(line)), []);
});

test('compose.yaml: settings that exist, and containers with few rights', () => {
  const { services, secrets } = YAML.load(readFileSync(join(top, 'deploy/compose.yaml'), 'utf8'));
  const ours = Object.values(services).filter(({ image }) => /^(\$\{KAMD_IMAGE:-)?kamd:/.test(image));
  assert.ok(ours.length >= 3);
  for (const one of ours) {
    assert.ok(one.read_only && one.cap_drop.includes('ALL') && one.security_opt.includes('no-new-privileges:true') && one.user === '10001:10001');
    for (const name of Object.keys(one.environment)) assert.ok(facts.settings.has(name.replace(/_FILE$/, '')), name);
    for (const name of one.secrets ?? []) assert.ok(secrets[name], name);
    assert.ok(facts.commands.includes([one.command].flat()[0].split(' ')[0]), String(one.command));
  }
});
