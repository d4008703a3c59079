// Strict: the API server's own schema, and a field that it does not know is an error. The data is not part of the project.
import Ajv from 'ajv';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { top } from './tools.mjs';

const DATA = process.env.KAMD_KUBERNETES_DATA || join(top, '../shared/data/kubernetes');

export const missingData = existsSync(join(DATA, 'swagger.json')) ? false : `no Kubernetes schemas in ${DATA}: set KAMD_KUBERNETES_DATA`;

// As they come: closed where they list their fields, ints or strings where they say so; patterns in Go's dialect dropped.
function strict(schema, name = '') {
  if (Array.isArray(schema)) return schema.map((one) => strict(one));
  if (!schema || typeof schema !== 'object') return schema;
  const out = {};
  for (const [key, value] of Object.entries(schema)) {
    if (['format', 'description', 'default', 'example'].includes(key) && typeof value !== 'object') continue;
    if (key === 'pattern' && typeof value === 'string' && value.includes('(?')) continue;
    if (key.startsWith('x-kubernetes-') && key !== 'x-kubernetes-preserve-unknown-fields') continue;
    if (key === '$ref') out.$ref = value.replace('#/definitions/', 'k8s#/definitions/');
    else if (key === 'properties') out.properties = Object.fromEntries(Object.entries(value).map(([field, inner]) => [field, strict(inner)]));
    else if (key !== 'default' && key !== 'x-kubernetes-preserve-unknown-fields') out[key] = strict(value);
  }
  const either = schema.format === 'int-or-string' || schema['x-kubernetes-int-or-string'] || name.endsWith('.Quantity');
  if (either) return { type: ['string', 'number'] };
  if (schema.properties && schema.additionalProperties === undefined && !schema['x-kubernetes-preserve-unknown-fields']) out.additionalProperties = false;
  return out;
}

const keyOf = (group, version, kind) => `${group}/${version}/${kind}`.toLowerCase();

export function openSchemas() {
  const { definitions } = JSON.parse(readFileSync(join(DATA, 'swagger.json'), 'utf8'));
  const ajv = new Ajv({ strict: false, allErrors: true, validateFormats: false });
  ajv.addSchema({ $id: 'k8s', definitions: Object.fromEntries(Object.entries(definitions).map(([name, schema]) => [name, strict(schema, name)])) });
  const known = new Map();
  for (const [name, schema] of Object.entries(definitions)) {
    for (const { group, version, kind } of schema['x-kubernetes-group-version-kind'] ?? []) {
      if (!known.has(keyOf(group, version, kind))) known.set(keyOf(group, version, kind), () => ajv.compile({ $ref: `k8s#/definitions/${name}` }));
    }
  }
  for (const file of readdirSync(join(DATA, 'crd'))) {
    const [group, kind, version] = file.replace('.json', '').split('_');
    known.set(keyOf(group, version, kind), () => ajv.compile(strict(JSON.parse(readFileSync(join(DATA, 'crd', file), 'utf8')))));
  }
  const metadata = ajv.compile({ $ref: 'k8s#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' });
  const compiled = new Map();
  const say = (errors) => (errors ?? []).map((error) => `${error.instancePath || '/'} ${error.message} ${error.params?.additionalProperty ?? ''}`.trim());

  // Sentences of what is wrong with an object.
  return (object) => {
    const [version, group = ''] = String(object.apiVersion).split('/').reverse();
    const key = keyOf(group, version, String(object.kind));
    if (!known.has(key)) return [`there is no ${object.kind} in ${object.apiVersion}`];
    if (!compiled.has(key)) compiled.set(key, known.get(key)());
    const check = compiled.get(key);
    return [...(check(object) ? [] : say(check.errors)), ...(metadata(object.metadata) ? [] : say(metadata.errors).map((text) => `/metadata${text}`))];
  };
}
