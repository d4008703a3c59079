// Values against the schemas of openapi.yaml, by ajv.
import Ajv from 'ajv';
import addFormats from 'ajv-formats';
import { lookUp } from './contract.mjs';

const MAY_BE_MORE = ['ProblemDetails']; // further members are allowed by RFC 9457

// Schemas of answers allow more members, so that servers may add some. Here nothing may be there
// that is not written down: every object is closed, and `allOf` becomes one object.
function closed(doc, node, name) {
  if (Array.isArray(node)) return node.map((item) => closed(doc, item));
  if (!node || typeof node !== 'object') return node;
  if (node.allOf) {
    const parts = node.allOf.map((part) => (part.$ref ? lookUp(doc, part.$ref) : part));
    return closed(doc, {
      type: 'object', required: parts.flatMap((part) => part.required ?? []), properties: Object.assign({}, ...parts.map((part) => part.properties)),
    });
  }
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, closed(doc, value)]));
  if (copy.type === 'object' && copy.properties && copy.additionalProperties === undefined && !MAY_BE_MORE.includes(name)) copy.additionalProperties = false;
  return copy;
}

// The schema of an answer to `fields=`: of each record only these, id and etag are there.
export function sparse(doc, schema, fields) {
  const whole = schema.$ref ? lookUp(doc, schema.$ref) : schema;
  const { data } = whole.properties ?? {};
  if (data) return { ...whole, properties: { ...whole.properties, data: { ...data, items: sparse(doc, data.items, fields) } } };
  const names = [...new Set(['id', ...fields, 'etag'])];
  return { ...whole, required: names, properties: Object.fromEntries(names.map((name) => [name, whole.properties[name]])) };
}

// check(schema, value): a sentence that says what is wrong, or nothing.
export function validator(doc) {
  const ajv = new Ajv({ strict: false, allErrors: true });
  addFormats(ajv);
  const components = { schemas: Object.fromEntries(Object.entries(doc.components.schemas).map(([name, schema]) => [name, closed(doc, schema, name)])) };
  ajv.addSchema({ $id: 'openapi', components });
  const compiled = new Map();
  return (schema, value) => {
    const text = JSON.stringify(closed(doc, schema)).replaceAll('"#/components/schemas/', '"openapi#/components/schemas/');
    if (!compiled.has(text)) compiled.set(text, ajv.compile(JSON.parse(text)));
    const check = compiled.get(text);
    return check(value) ? undefined : ajv.errorsText(check.errors, { separator: '; ' });
  };
}
