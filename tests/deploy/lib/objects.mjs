// Kubernetes objects from files, from kustomize and from Helm.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import YAML from 'js-yaml';
import { run, top } from './tools.mjs';

export const KUSTOMIZE = join(top, 'deploy/kubernetes');
export const CHART = join(top, 'deploy/helm/kamd');

// A key given twice is an error, as it is for the API server.
export const parse = (text) => YAML.loadAll(text).filter(Boolean);

const yamlFiles = (folder) => readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? yamlFiles(join(folder, entry.name))
  : /\.ya?ml$/.test(entry.name) ? [join(folder, entry.name)] : []));

// Of the files as they are written; needs no program.
export const written = () => yamlFiles(KUSTOMIZE).filter((path) => !path.endsWith('kustomization.yaml'))
  .flatMap((path) => parse(readFileSync(path, 'utf8')));
export const readBase = () => yamlFiles(join(KUSTOMIZE, 'base')).filter((path) => !path.endsWith('kustomization.yaml'))
  .flatMap((path) => parse(readFileSync(path, 'utf8')));

export const kustomize = (folder) => parse(run('kubectl', ['kustomize', join(KUSTOMIZE, folder)]));
export const helm = (...args) => parse(run('helm', ['template', 'kamd', CHART, '--namespace', 'kamd', ...args]));

export const nameOf = (object) => `${object.kind} ${object.metadata?.name}`;

// The pod template of whatever has one.
export function podOf(object) {
  if (object.kind === 'Pod') return object;
  if (object.kind === 'CronJob') return object.spec.jobTemplate.spec.template;
  return object.apiVersion === 'postgresql.cnpg.io/v1' ? undefined : object.spec?.template;
}

export const containersOf = (pod) => [...(pod.spec.initContainers ?? []), ...pod.spec.containers, ...(pod.spec.ephemeralContainers ?? [])];
