// What no schema says: the restricted profile, and that the parts fit together. Each rule gives sentences of what is wrong.
import { containersOf, nameOf, podOf } from './objects.mjs';

const VOLUMES = ['configMap', 'csi', 'downwardAPI', 'emptyDir', 'ephemeral', 'persistentVolumeClaim', 'projected', 'secret'];

// Pod Security Standards, restricted, and what we ask for beyond it. Containers that come first run with the same rights.
export function restricted(object) {
  const pod = podOf(object);
  if (!pod) return [];
  const { spec } = pod;
  const wrong = [];
  const must = (fine, sentence) => { if (!fine) wrong.push(sentence); };
  must(spec.automountServiceAccountToken === false, 'mounts a token of the Kubernetes API');
  must(spec.enableServiceLinks === false, 'enableServiceLinks is not false: a Service named kamd would set KAMD_PORT');
  for (const field of ['hostNetwork', 'hostPID', 'hostIPC', 'hostUsers']) must(!spec[field], `${field} is set`);
  must(spec.securityContext?.sysctls === undefined, 'sysctls');
  for (const volume of spec.volumes ?? []) must(Object.keys(volume).every((key) => key === 'name' || VOLUMES.includes(key)), `volume ${volume.name} is of a forbidden kind`);
  for (const one of containersOf(pod)) {
    const own = one.securityContext ?? {};
    const of = (field) => own[field] ?? spec.securityContext?.[field];
    const may = (fine, sentence) => must(fine, `container ${one.name}: ${sentence}`);
    may(of('runAsNonRoot') === true, 'runAsNonRoot is not true');
    may(of('runAsUser') > 0, 'runAsUser is not a number above 0');
    may(of('seccompProfile')?.type === 'RuntimeDefault', 'no seccomp profile');
    may(own.allowPrivilegeEscalation === false, 'allowPrivilegeEscalation is not false');
    may(own.readOnlyRootFilesystem === true, 'its root is not read-only');
    may(own.capabilities?.drop?.includes('ALL') && !own.capabilities.add, 'does not drop ALL capabilities');
    may(!own.privileged && own.procMount === undefined, 'is privileged');
    may((one.ports ?? []).every((port) => !port.hostPort), 'has a hostPort');
    may(one.resources?.requests?.memory && one.resources.requests.memory === one.resources.limits?.memory, 'memory: request and limit are not the same');
    may(one.resources?.requests?.cpu && !one.resources.limits?.cpu, 'CPU: no request, or a limit');
    may((one.volumeMounts ?? []).every((mount) => !mount.subPath), 'mounts a subPath, which never follows a change');
    may(/^[^:@]+(:[\w.-]+|@sha256:[0-9a-f]{64})$/.test(one.image) && !one.image.endsWith(':latest'), `image ${one.image} has no fixed tag`);
  }
  return wrong;
}

const selects = (selector, labels) => Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels?.[key] === value)
  && (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => ({
    In: values.includes(labels?.[key]), NotIn: !values.includes(labels?.[key]), Exists: labels?.[key] !== undefined, DoesNotExist: labels?.[key] === undefined,
  })[operator]);

const named = (objects, kind, name) => objects.find((object) => object.kind === kind && object.metadata.name === name);
const seconds = (ms) => Math.ceil(Number(ms) / 1000);

function workload(object, objects, facts) {
  const pod = podOf(object);
  const wrong = [];
  const must = (fine, sentence) => { if (!fine) wrong.push(sentence); };
  const selector = object.spec.selector;
  if (selector) must(selects(selector, pod.metadata.labels), 'its selector does not select its own pods');
  const config = named(objects, 'ConfigMap', 'kamd')?.data ?? {};
  for (const one of containersOf(pod)) {
    const ports = new Map((one.ports ?? []).map((port) => [port.name, port.containerPort]));
    const ours = /(^|\/)kamd[:@]/.test(one.image);
    if (ours && ports.has('http')) must(String(ports.get('http')) === config.KAMD_PORT, 'port http is not KAMD_PORT');
    if (ours && ports.has('admin')) must(String(ports.get('admin')) === config.KAMD_ADMIN_PORT, 'port admin is not KAMD_ADMIN_PORT');
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
      const http = one[probe]?.httpGet;
      must(!(ours && selector) || http, `${probe} is missing`);
      if (!http) continue;
      must(http.port === 'admin' && ports.has('admin'), `${probe}: port ${http.port}: probes go to the admin port`);
      must(facts.adminPaths.includes(http.path), `${probe}: nobody serves ${http.path}`);
      must((http.path === '/readyz') === (probe === 'readinessProbe'), `${probe} asks ${http.path}`);
    }
    for (const { configMapRef, secretRef } of one.envFrom ?? []) {
      must(!secretRef, 'secrets come as files, not as environment');
      must(!configMapRef || named(objects, 'ConfigMap', configMapRef.name), `there is no ConfigMap ${configMapRef?.name}`);
    }
    const names = [...(one.env ?? []).map((env) => env.name), ...(one.envFrom ? Object.keys(config) : [])];
    if (ours) {
      for (const name of names) {
        must(facts.settings.has(name.replace(/_FILE$/, '')) || name === 'MALLOC_ARENA_MAX', `${name} is no setting`);
        must(!facts.secrets.has(name), `${name} is a secret and stands in the open`);
      }
      for (const env of (one.env ?? []).filter(({ name }) => name.endsWith('_FILE'))) {
        const mount = (one.volumeMounts ?? []).find(({ mountPath }) => env.value.startsWith(`${mountPath}/`));
        must(mount && pod.spec.volumes.find(({ name }) => name === mount.name)?.secret, `${env.name}: no Secret is mounted at ${env.value}`);
      }
      must((one.args ?? []).length > 0 && facts.commands.includes(one.args[0]), `kamd has no command ${one.args?.[0]}`);
    }
    for (const mount of one.volumeMounts ?? []) {
      must([...(pod.spec.volumes ?? []), ...(object.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata)].some(({ name }) => name === mount.name), `there is no volume ${mount.name}`);
    }
    if (ours && ports.has('http')) {
      const pause = one.lifecycle?.preStop?.sleep?.seconds ?? 0;
      must(pause > 0, 'no pause before it stops: endpoints outlive it');
      const needed = pause + seconds(config.KAMD_DRAIN_MS ?? facts.settings.get('KAMD_DRAIN_MS')) + seconds(facts.settings.get('KAMD_REQUEST_MS')) + 5 + 2;
      must((pod.spec.terminationGracePeriodSeconds ?? 30) > needed, `it is killed after ${pod.spec.terminationGracePeriodSeconds} s and may need ${needed}`);
    }
  }
  for (const spread of pod.spec.topologySpreadConstraints ?? []) {
    must(selects(spread.labelSelector, pod.metadata.labels), `spread over ${spread.topologyKey} counts other pods`);
    must(spread.matchLabelKeys?.includes('pod-template-hash'), `spread over ${spread.topologyKey} counts pods of the old version`);
  }
  if (object.kind === 'Deployment' && selector?.matchLabels['app.kubernetes.io/component']) {
    must(pod.spec.topologySpreadConstraints?.length > 0, 'is not spread');
    const budgets = objects.filter((other) => other.kind === 'PodDisruptionBudget' && selects(other.spec.selector, pod.metadata.labels));
    must(budgets.length === 1, 'has not one disruption budget');
    must(budgets.every(({ spec }) => spec.maxUnavailable === 1 && spec.unhealthyPodEvictionPolicy === 'AlwaysAllow'), 'its disruption budget can block a drain');
    const scaled = objects.some((other) => other.kind === 'HorizontalPodAutoscaler' && other.spec.scaleTargetRef.name === object.metadata.name);
    must(scaled === (object.spec.replicas === undefined), 'replicas: either a number or an autoscaler');
  }
  return wrong;
}

const podsOf = (objects) => objects.map(podOf).filter(Boolean);
const portNames = (pods) => pods.flatMap(containersOf).flatMap((one) => one.ports ?? []);

function service(object, objects) {
  const pods = podsOf(objects).filter((pod) => selects({ matchLabels: object.spec.selector }, pod.metadata.labels));
  if (!pods.length) return ['selects no pod'];
  return object.spec.ports.filter(({ targetPort }) => !portNames(pods).some((port) => port.name === targetPort)).map(({ targetPort }) => `no pod has a port ${targetPort}`);
}

function policy(object, objects) {
  const wrong = [];
  const pods = podsOf(objects).filter((pod) => selects(object.spec.podSelector, pod.metadata.labels));
  if (!pods.length && !objects.some(({ kind }) => kind === 'Cluster')) wrong.push('selects no pod');
  for (const rule of object.spec.ingress ?? []) {
    for (const { port } of rule.ports ?? []) {
      if (typeof port === 'string' && !portNames(pods).some(({ name }) => name === port)) wrong.push(`no pod that it selects has a port ${port}`);
    }
  }
  return wrong;
}

function route(object, objects, facts) {
  const wrong = [];
  const prefixes = object.spec.rules.flatMap((rule) => rule.matches.map(({ path }) => path.value));
  for (const prefix of prefixes) if (!facts.routes.some((path) => path === prefix || path.startsWith(`${prefix}/`) || path.startsWith(prefix))) wrong.push(`nothing is served below ${prefix}`);
  for (const path of facts.routes) {
    const outside = prefixes.some((prefix) => path === prefix || path.startsWith(`${prefix}/`));
    if (outside === facts.adminPaths.includes(path)) wrong.push(`${path} is ${outside ? '' : 'not '}for the outside`);
  }
  for (const { name, port } of object.spec.rules.flatMap((rule) => rule.backendRefs)) {
    if (!named(objects, 'Service', name)?.spec.ports.some((one) => one.port === port)) wrong.push(`there is no Service ${name}:${port}`);
  }
  return wrong;
}

function wholes(objects) {
  const wrong = [];
  const must = (fine, sentence) => { if (!fine) wrong.push(sentence); };
  const namespace = named(objects, 'Namespace', 'kamd');
  must(namespace?.metadata.labels?.['pod-security.kubernetes.io/enforce'] === 'restricted', 'the namespace does not enforce the restricted profile');
  const all = objects.filter(({ kind }) => kind === 'NetworkPolicy');
  must(all.some(({ spec }) => Object.keys(spec.podSelector).length === 0 && spec.policyTypes.length === 2 && !spec.ingress && !spec.egress), 'nothing is denied by default');
  must(all.some(({ spec }) => ['UDP', 'TCP'].every((protocol) => (spec.egress ?? []).some(({ ports = [], to = [] }) => to.length === 1
    && ports.some((port) => port.protocol === protocol && port.port === 53)))), 'no names can be looked up, by UDP and by TCP');
  const names = objects.map((object) => `${object.apiVersion} ${nameOf(object)}`);
  must(new Set(names).size === names.length, 'an object is there twice');
  return wrong;
}

// {settings: Map name -> default, secrets, commands, adminPaths, routes}: what the program itself says.
export function fit(objects, facts) {
  const wrong = wholes(objects);
  for (const object of objects) {
    const more = [...restricted(object)];
    if (['Deployment', 'StatefulSet', 'Job'].includes(object.kind)) more.push(...workload(object, objects, facts));
    if (object.kind === 'Service') more.push(...service(object, objects));
    if (object.kind === 'NetworkPolicy') more.push(...policy(object, objects));
    if (object.kind === 'HTTPRoute') more.push(...route(object, objects, facts));
    if (object.kind === 'HorizontalPodAutoscaler' && !named(objects, object.spec.scaleTargetRef.kind, object.spec.scaleTargetRef.name)) more.push('scales nothing');
    if (object.kind === 'PodMonitor') {
      const pods = podsOf(objects).filter((pod) => selects(object.spec.selector, pod.metadata.labels));
      for (const { port, path } of object.spec.podMetricsEndpoints) {
        if (!pods.length || !pods.every((pod) => portNames([pod]).some(({ name }) => name === port)) || !facts.adminPaths.includes(path)) more.push(`nothing to scrape at ${port} ${path}`);
      }
    }
    wrong.push(...more.map((sentence) => `${nameOf(object)}: ${sentence}`));
  }
  return wrong;
}
