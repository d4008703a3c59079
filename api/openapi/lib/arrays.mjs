// Each array has an example, so that a mock server need not invent as many items as `maxItems` allows. It is what the
// examples of bodies and answers have at that place; a source says `example` only where none of them shows the array.

const isMap = (value) => value && typeof value === 'object' && !Array.isArray(value);
const isArray = (schema) => isMap(schema) && schema.type === 'array' && isMap(schema.items);
const nameOf = (ref) => ref.split('/').pop();

// All values that are known of schemas: of an array what the examples have there, of a property by
// `Schema.property` and by `property` alone.
class Known {
  constructor(doc) {
    this.doc = doc;
    this.arrays = new Map(); // also by the name of their items' schema
    this.values = new Map();
  }

  deref(node) {
    return node?.$ref ? node.$ref.replace(/^#\//, '').split('/').reduce((inner, key) => inner[key], this.doc) : node;
  }

  keep(key, value) {
    if (!this.values.has(key)) this.values.set(key, []);
    this.values.get(key).push(value);
  }

  // Walks a value along its schema. `owner`: name of the schema that the node is in.
  look(node, value, owner) {
    const name = node?.$ref ? nameOf(node.$ref) : owner;
    const schema = this.deref(node);
    if (!schema || value === null || value === undefined) return;
    for (const part of schema.allOf ?? []) this.look(part, value, name);
    const fitting = schema.anyOf?.find((part) => (this.deref(part).required ?? []).every((key) => key in Object(value)));
    if (fitting) this.look(fitting, value, name);
    if (isArray(schema) && Array.isArray(value)) {
      for (const place of [schema, schema.items.$ref]) if (value.length && !this.arrays.has(place)) this.arrays.set(place, value);
      for (const item of value) this.look(schema.items, item, name);
    } else if (isMap(value)) {
      for (const [key, member] of Object.entries(value)) {
        this.lookAtMember(schema, key, member, name);
      }
    }
  }

  lookAtMember(schema, key, member, name) {
    for (const one of [member].flat().filter((some) => some !== null && typeof some !== 'object')) {
      for (const place of [`${name}.${key}`, key]) this.keep(place, one);
    }
    this.look(schema.properties?.[key] ?? schema.additionalProperties, member, name);
  }
}

function fits(schema, value) {
  if (schema.enum) return schema.enum.includes(value);
  if (schema.type === 'integer') return Number.isInteger(value);
  if (schema.type !== 'string' || typeof value !== 'string' || value.length > (schema.maxLength ?? Infinity)) return false;
  const pattern = { uuid: '^[0-9a-f]{8}-', date: '^\\d{4}-\\d\\d-\\d\\d$', 'date-time': '^\\d{4}-.*Z$', email: '@' }[schema.format];
  return [schema.pattern, pattern].every((one) => !one || new RegExp(one).test(value));
}

// Enough items: those that must be there; else one record, or two words.
const some = (schema, values) => values.slice(0, Math.max(schema.minItems ?? 0, typeof values[0] === 'object' ? 1 : 2));

const BY_FORM = { uuid: ['01a200d5-5088-7677-b700-e9146ba022f0'], date: ['2026-11-22'], 'date-time': ['2026-11-22T01:24:30.190408Z'] };

// `key`: `Account.phones` of a property.
function exampleOf(schema, key, known) {
  const items = known.deref(schema.items);
  const { $ref } = schema.items;
  const record = $ref && known.doc.components.examples[nameOf($ref)]?.value;
  const values = known.values.get(key) ?? known.values.get(key.split('.').pop()) ?? [];
  return known.arrays.get(schema) ?? (record && [record]) ?? ($ref && known.arrays.get($ref))
    ?? items.enum ?? found(values.filter((value) => fits(items, value)))
    ?? BY_FORM[items.format] ?? (items.type === 'boolean' ? [true] : undefined);
}

const found = (values) => (values.length ? [...new Set(values)].slice(0, 1) : undefined);

function lookAtAll(known, node) {
  if (!node || typeof node !== 'object') return;
  if (node.schema && (node.example !== undefined || node.examples)) {
    for (const value of [node.example, ...Object.values(node.examples ?? {}).map((one) => known.deref(one).value)]) known.look(node.schema, value, '');
  }
  for (const [key, member] of Object.entries(node)) if (key !== 'example' && key !== 'examples') lookAtAll(known, member);
}

// Calls work(schema, key) for each array of a body or an answer. A mock server invents no parameters, and a page that
// tries calls out would send an example of one.
function eachArray(node, key, work) {
  if (!node || typeof node !== 'object' || (node.in && node.schema)) return;
  if (isArray(node)) work(node, key);
  for (const [name, member] of Object.entries(node)) {
    if (name === 'example' || name === 'examples') continue;
    eachArray(member, keyBelow(key, name), work);
  }
}

const keyBelow = (key, name) => (/^(properties|items|schemas|components|parameters)$/.test(name) ? key : `${key.split('.')[0] || name}.${name}`);

export function withArrayExamples(doc) {
  const known = new Known(doc);
  lookAtAll(known, doc);
  const without = [];
  eachArray(doc, '', (schema, key) => {
    schema.example ??= exampleOf(schema, key, known);
    if (schema.example === undefined) without.push(key);
    else schema.example = some(schema, schema.example);
  });
  if (without.length) throw new Error(`no example shows these arrays: ${without.join(', ')}`);
  return doc;
}
