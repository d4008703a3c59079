// openapi.yaml as the tests read it, and the program's own account of itself.
import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const top = fileURLToPath(new URL('../../../', import.meta.url));
export const OPENAPI = join(top, 'openapi.yaml');
export const KAMD = resolve(process.env.KAMD_BIN || resolve(top, process.env.BUILD || '.build', 'kamd'));
export const METHODS = ['get', 'put', 'post', 'patch', 'delete', 'head', 'options', 'trace'];

const json = (command, ...args) => JSON.parse(execFileSync(command, args, { encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'inherit'] }));
export const printApi = () => json(KAMD, '--print-api');
export const readOpenapi = () => json(join(top, 'deploy/build/yaml-to-json'), OPENAPI);

export function lookUp(doc, ref) {
  return ref.replace(/^#\//, '').split('/').reduce((node, name) => node?.[name.replaceAll('~1', '/').replaceAll('~0', '~')], doc);
}
export const deref = (doc, node) => (node?.$ref ? lookUp(doc, node.$ref) : node);

// [{path, method, operation, parameters}], parameters with those of the path and without references.
export function operationsOf(doc) {
  return Object.entries(doc.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method]).map((method) => ({
    path, method: method.toUpperCase(), operation: item[method],
    parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map((parameter) => deref(doc, parameter)),
  })));
}
