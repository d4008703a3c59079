// openapi.yaml as the tests read it, and the program's own account of itself.
import { OPENAPI, readYaml } from '../../../api/openapi/lib/inputs.mjs';

export { KAMD, OPENAPI, printApi, top } from '../../../api/openapi/lib/inputs.mjs';
export const METHODS = ['get', 'put', 'post', 'patch', 'delete', 'head', 'options', 'trace'];

export const readOpenapi = () => readYaml(OPENAPI);

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
