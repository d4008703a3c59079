// openapi.yaml and the program's tables (`kamd --print-api`), compared in both directions. What is
// expected is worked out here anew, by other code than that which assembles the file (api/openapi).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pascal } from '../../api/openapi/lib/descriptors.mjs';
import { readSources } from '../../api/openapi/lib/inputs.mjs';
import { deref, operationsOf, printApi, readOpenapi } from './lib/contract.mjs';
import { validator } from './lib/validate.mjs';

const api = printApi();
const doc = readOpenapi();
const operations = operationsOf(doc);
const find = (route) => operations.find(({ path, method }) => path === route.path && method === route.method);
const schemaOf = (name) => doc.components.schemas[name] ?? assert.fail(`no schema ${name}`);
const same = (actual, expected, what) => assert.deepEqual([...actual].sort(), [...expected].sort(), what);

test('every route is there, and nothing else', () => {
  const name = ({ method, path, id }) => `${method} ${path} ${id}`;
  same(operations.map(({ path, method, operation }) => name({ path, method, id: operation.operationId })),
    api.routes.map(({ path, method, operation_id: id }) => name({ path, method, id })));
  const ids = operations.map(({ operation }) => operation.operationId);
  assert.equal(new Set(ids).size, ids.length, 'operationIds differ');
});

test('each operation has prose, a tag and an example', () => {
  const tags = doc.tags.map(({ name }) => name);
  for (const { method, path, operation } of operations) {
    const what = `${method} ${path}`;
    assert.ok(operation.summary && operation.description && operation.tags.every((tag) => tags.includes(tag)), what);
    const media = Object.values(operation.responses).flatMap((response) => Object.values(deref(doc, response).content ?? {}));
    assert.ok(media.some(({ example, examples }) => example || examples), `${what}: no example`);
  }
});

const roles = schemaOf('Role').enum;
const rolesWith = (right) => (roles.every((role) => api.rights[right].includes(role)) ? 'every role' : roles.filter((role) => api.rights[right].includes(role)).join(', '));

// Their answers show a secret, once: they are not kept for a repetition.
const SHOWN_ONCE = ['createApiKey', 'rotateApiKey', 'createAgendaToken', 'createAccessToken'];

test('bodies, rights and keys are those of the table', () => {
  assert.deepEqual(roles, api.rights.any, 'every role may do what any caller may');
  for (const route of api.routes) {
    const { operation, parameters } = find(route);
    const what = `${route.method} ${route.path}`;
    const header = (name) => parameters.find((parameter) => parameter.in === 'header' && parameter.name === name);
    assert.equal(Boolean(operation.requestBody), route.body, `${what}: body`);
    if (route.body) {
      assert.equal(Boolean(operation.requestBody.required), !route.optional_body, `${what}: may the body be left out`);
      same(Object.keys(operation.requestBody.content), route.form ? ['application/x-www-form-urlencoded'] : route.raw ? ['text/csv', 'application/x-ndjson'] : ['application/json', ...(route.merge_patch ? ['application/merge-patch+json'] : [])], what);
    }
    assert.equal(Boolean(header('Idempotency-Key')), route.method !== 'GET' && !SHOWN_ONCE.includes(route.operation_id), `${what}: Idempotency-Key`);
    if (route.bulk) assert.equal(header('Idempotency-Key')?.required, true, what);
    if (route.merge_patch) assert.ok(header('If-Match'), what);
    assert.deepEqual(operation.security, route.verb === 'public' ? [] : undefined, `${what}: security`);
    const right = /Needs the right `(\w+)` \(([^)]+)\)/.exec(operation.description)?.slice(1);
    assert.deepEqual(right, ['public', 'any'].includes(route.verb) ? undefined : [route.verb, rolesWith(route.verb)], `${what}: right`);
  }
});

test('the statuses that every request of a kind can get are there', () => {
  for (const route of api.routes) {
    const { operation, parameters } = find(route);
    const has = (name) => parameters.some((parameter) => parameter.name === name);
    const expected = [400, 414, 431, 500, 503, ...(/^\/(livez|readyz)$/.test(route.path) ? [] : [429]),
      ...(route.verb === 'public' ? [] : [401]), ...(['public', 'any'].includes(route.verb) ? [] : [403]),
      ...(route.path.includes('{') || has('Idempotency-Key') && api.own_accounts.some((role) => api.rights[route.verb].includes(role)) ? [404] : []), ...(route.body ? [413, 415] : []), ...(route.body && !route.form ? [422] : []), ...(has('If-Match') ? [412] : []),
      ...(has('Idempotency-Key') ? [409] : []), ...(has('If-None-Match') ? [304] : [])];
    for (const status of expected) assert.ok(operation.responses[status], `${route.method} ${route.path}: ${status}`);
    assert.equal(Boolean(operation.responses[406]), route.accept, `${route.method} ${route.path}: 406`);
    assert.ok(Object.keys(operation.responses).some((status) => /^2/.test(status)), `${route.method} ${route.path}: success`);
  }
});

// ---- resources --------------------------------------------------------------------------------------

const TYPES = {
  id: { type: 'string', format: 'uuid' }, text: { type: 'string' }, int: { type: 'integer' }, bool: { type: 'boolean' }, decimal: { type: 'string' }, date: { type: 'string', format: 'date' },
  time: { type: 'string', format: 'date-time' }, enum: { type: 'string' }, texts: { type: 'array' }, doc: { type: 'object' }, docs: { type: 'array' }, map: { type: 'object' },
};
const mayBeNull = (field) => !field.required && !field.not_null;

function compareFields(fields, properties, what, readOnly) {
  for (const field of fields) {
    const where = `${what}.${field.name}`;
    const schema = deref(doc, properties[field.name]) ?? assert.fail(`${where} is missing`);
    for (const [key, value] of Object.entries(TYPES[field.type])) assert.equal(schema[key], value, `${where}: ${key}`);
    assert.equal(Boolean(schema.nullable), mayBeNull(field), `${where}: null`);
    if (readOnly) assert.equal(Boolean(schema.readOnly), Boolean(field.read_only), `${where}: readOnly`);
    const closed = field.type === 'texts' ? schema.items : schema;
    if (field.values) assert.deepEqual(closed.enum.filter((value) => value !== null), field.values, `${where}: enum`);
    if (field.type === 'enum') assert.equal(closed.enum.includes(null), mayBeNull(field), `${where}: null in enum`);
    if (field.max > 0 && field.type === 'text') assert.ok(schema.maxLength <= field.max, `${where}: maxLength`);
    if (field.max > 0 && /^(texts|docs)$/.test(field.type)) assert.equal(schema.maxItems, field.max, `${where}: maxItems`);
    if (field.fields) {
      const inner = field.type === 'docs' ? deref(doc, schema.items) : schema;
      same(Object.keys(inner.properties), field.fields.map(({ name }) => name), where);
      same(inner.required ?? [], field.fields.filter(({ required, read_only: kept }) => required || kept).map(({ name }) => name), `${where}: required`);
      compareFields(field.fields, inner.properties, where, false);
    }
  }
}

for (const resource of api.resources) {
  const name = pascal(resource.name);
  test(`the fields of ${resource.name} are those of its descriptor`, () => {
    const writable = resource.fields.filter((field) => !field.read_only);
    const read = schemaOf(name);
    same(Object.keys(read.properties), [...resource.fields.map((field) => field.name), ...resource.expand.map((one) => one.name), ...(resource.name === 'account' ? ['redacted'] : []), 'etag']);
    compareFields(resource.fields, read.properties, name, true);
    // What lies in another area than the record is left out for who does not see that area; all else is always there.
    const always = [...resource.fields.filter(({ area }) => !area).map((field) => field.name), 'etag'];
    same(read.required, always, `${name}: required`);
    if (doc.components.schemas[`Expanded${name}`]) same(schemaOf(`Expanded${name}`).required, always, `Expanded${name}: required`);
    for (const one of resource.expand) {
      const schema = read.properties[one.name];
      assert.equal(one.many ? schema.items.$ref : schema.$ref, `#/components/schemas/${one.many ? '' : 'Expanded'}${pascal(one.target)}`);
    }
    if (api.routes.some(({ resource: of, merge_patch: patch }) => of === resource.name && patch)) {
      const update = schemaOf(`${name}Update`);
      same(Object.keys(update.properties), writable.map((field) => field.name));
      assert.equal(update.required, undefined);
      compareFields(writable, update.properties, `${name}Update`, false);
    }
    if (!api.routes.some(({ resource: of, operation_id: id }) => of === resource.name && id === `create${name}`)) return;
    const create = schemaOf(`${name}Create`);
    same(Object.keys(create.properties), writable.map((field) => field.name));
    same(create.required ?? [], writable.filter((field) => field.required && !(resource.nested && field.name === 'account_id')).map((field) => field.name));
    compareFields(writable, create.properties, `${name}Create`, false);
    for (const field of writable) assert.deepEqual(create.properties[field.name].default, field.preset, `${name}Create.${field.name}: default`);
  });
}

// Texts that are nothing but numbers of requirements explain nothing.
const unexplained = (fields) => fields.flatMap(({ name, about, fields: inner }) => [...(/^\([0-9, -]+\)$/.test(about ?? '') ? [name] : []), ...(inner ? unexplained(inner) : [])]);

test('what is said of a field is said in words', () => {
  for (const { name, fields } of api.resources) assert.deepEqual(unexplained(fields), [], name);
  assert.deepEqual(unexplained([{ name: 'goal', about: '(1-2, 3-4)' }, { name: 'plan', about: 'What to do (1-2).', fields: [{ name: 'step', about: '(1-2)' }] }]), ['goal', 'step']);
});

// ---- parameters of lists -----------------------------------------------------------------------------

function filterNames(resource) {
  const names = new Set(resource.fields.some(({ search }) => search) ? ['q'] : []);
  const byName = new Map(resource.fields.filter(({ filter }) => filter).map((field) => [field.name, field]));
  for (const [name, field] of byName) {
    names.add(name);
    if (['int', 'decimal', 'date', 'time'].includes(field.type)) for (const suffix of ['gt', 'gte', 'lt', 'lte']) names.add(`${name}_${suffix}`);
    if (mayBeNull(field)) names.add(`${name}_is_null`);
    if (['date', 'time'].includes(field.type) && /_(at|on)$/.test(name)) for (const word of ['since', 'after', 'before']) names.add(name.replace(/_(at|on)$/, `_${word}`));
  }
  return [...names];
}

// A route may belong to a resource without showing its records: those are at .../<path> and .../<path>/{id}.
const shows = (end) => api.routes.filter(({ method, resource, path }) => method === 'GET' && path.endsWith(`/${api.resources.find(({ name }) => name === resource)?.path}${end}`));

for (const route of shows('')) {
  test(`the parameters of ${route.operation_id} are those of its descriptor`, () => {
    const resource = api.resources.find(({ name }) => name === route.resource);
    const query = find(route).parameters.filter((parameter) => parameter.in === 'query');
    const expand = resource.expand.map(({ name }) => name);
    same(query.map(({ name }) => name), [...filterNames(resource), 'filter', 'order_by', 'fields', 'page_size', 'cursor', 'include_total', ...(expand.length ? ['expand'] : [])]);
    const choices = (name) => query.find((parameter) => parameter.name === name).schema.items.enum;
    same(choices('order_by'), resource.fields.filter(({ sort }) => sort).flatMap(({ name }) => [name, `-${name}`]));
    same(choices('fields'), resource.fields.map(({ name }) => name));
    if (expand.length) same(choices('expand'), expand);
    for (const field of resource.fields.filter(({ filter, values }) => filter && values)) {
      assert.deepEqual(query.find(({ name }) => name === field.name).schema.items.enum, field.values, field.name);
    }
    for (const { name, schema, style, explode } of query) if (schema.type === 'array') assert.deepEqual([style, explode], ['form', false], name);
  });
}

for (const route of api.routes.filter(({ path }) => path.endsWith('/export'))) {
  test(`the parameters of ${route.operation_id} are those of the list, but for its pages`, () => {
    const resource = api.resources.find(({ name }) => name === route.resource);
    assert.equal(route.path, `/v1/${resource.path}/export`);
    const query = find(route).parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name);
    same(query, [...filterNames(resource), 'filter', 'order_by', 'fields', 'format', 'bom', 'after']);
  });
}

// Parameters that ask for another document in the place of the record.
const OTHER_FORMS = { plan: ['view'] };

test('single reads take fields and, where there is something to expand, expand', () => {
  for (const route of shows('/{id}')) {
    const resource = api.resources.find(({ name }) => name === route.resource);
    same(find(route).parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name), ['fields', ...(resource.expand.length ? ['expand'] : []), ...(OTHER_FORMS[resource.name] ?? [])], route.operation_id);
  }
});

// What a descriptor says is compared above; all else is a table of parameters. Each report takes three more.
const OF_REPORTS = ['format', 'page_size', 'cursor'];
const FORMS = { id: { format: 'uuid' }, date: { format: 'date' }, time: { format: 'date-time' }, month: { maxLength: 7 }, number: { type: 'integer' }, page_size: { type: 'integer' }, some: { type: 'array' } };

test('all other parameters are those of the route\'s table, with its choices and limits', () => {
  for (const route of api.routes.filter(({ query, parameters, report }) => !query || parameters.length || report)) {
    const query = find(route).parameters.filter((parameter) => parameter.in === 'query');
    same(query.map(({ name }) => name), [...route.parameters.map(({ name }) => name), ...(route.report ? OF_REPORTS : [])], route.operation_id);
    for (const { name, type, min, max, values } of route.parameters) {
      const { schema: given, style, explode } = query.find((parameter) => parameter.name === name);
      const schema = deref(doc, given);
      const what = `${name} of ${route.operation_id}`;
      for (const [key, value] of Object.entries(FORMS[type] ?? {})) assert.equal(schema[key], value, `${what}: ${key}`);
      if (type === 'text') assert.ok(schema.type !== 'integer' && !schema.format, `${what}: the program takes any text`);
      if (type === 'number') assert.deepEqual([schema.minimum, schema.maximum], [min, max], what);
      if (values) assert.deepEqual(schema.type === 'boolean' ? ['true', 'false'] : (schema.items ?? schema).enum, values, what);
      if (type === 'some') assert.deepEqual([style, explode], ['form', false], what);
    }
  }
});

// ---- the rest ----------------------------------------------------------------------------------------

// [place, words] of all closed lists, written out (in openapi.yaml) or by name (in its sources).
function listsOf(node, place = '') {
  if (!node || typeof node !== 'object') return [];
  const below = Object.entries(node).filter(([key]) => key !== 'example' && key !== 'examples').flatMap(([key, value]) => listsOf(value, `${place}/${key}`));
  return Array.isArray(node.enum) ? [[place, node.enum.filter((word) => word !== null)], ...below] : below;
}
const text = (words) => [...words].sort().join();

const fieldLists = (fields) => fields.flatMap(({ values, fields: inner }) => [...(values ? [values] : []), ...(inner ? fieldLists(inner) : [])]);
const programLists = [
  ...Object.values(api.words), ...api.resources.flatMap(({ fields }) => fieldLists(fields)), ...api.routes.flatMap(({ parameters }) => parameters.flatMap(({ values }) => (values ? [values] : []))),
  api.problems.map(({ code }) => code), api.resources.filter(({ sync }) => sync).map(({ path }) => path),
];
// Lists in the sources that repeat one of the program's.
const repeated = (sources) => listsOf(sources).filter(([, words]) => words.length > 1 && programLists.some((list) => text(list) === text(words))).map(([place]) => place);

test('lists of words are those of the program, all of them', () => {
  const there = new Set(listsOf(doc).map(([, words]) => words.join()));
  for (const [name, words] of Object.entries(api.words)) assert.ok(words.length && there.has(words.join()), `${name} is in openapi.yaml`);
  const expected = {
    ProblemCode: api.problems.map(({ code }) => code), EventType: api.words.event_type, Area: api.words.area, Role: api.words.role, Scope: api.words.scope,
  };
  for (const [name, words] of Object.entries(expected)) assert.deepEqual(schemaOf(name).enum, words, name);
});

test('no list that the program has is written by hand', () => {
  assert.deepEqual(repeated(readSources()), []);
  assert.deepEqual(repeated({ schemas: { Visit: { properties: { tier: { enum: ['C', 'B', 'A', null] } } } } }), ['/schemas/Visit/properties/tier']);
});

test('what can be synced', () => {
  const synced = api.resources.filter(({ sync }) => sync);
  same(doc.components.parameters.SyncResource.schema.enum, synced.map(({ path }) => path));
  same(schemaOf('SyncedRecord').anyOf.map(({ $ref }) => $ref), synced.map(({ name }) => `#/components/schemas/${pascal(name)}`));
});

test('references lead somewhere, and every component is used', () => {
  const used = new Set();
  const walk = (node) => {
    if (!node || typeof node !== 'object') return;
    if (typeof node.$ref === 'string' && Object.keys(node).length === 1) {
      assert.ok(deref(doc, node), node.$ref);
      used.add(node.$ref);
      return;
    }
    for (const value of Object.values(node)) walk(value);
  };
  walk(doc);
  for (const kind of ['schemas', 'parameters', 'headers', 'responses', 'examples']) {
    for (const name of Object.keys(doc.components[kind])) assert.ok(used.has(`#/components/${kind}/${name}`), `nothing uses ${kind}/${name}`);
  }
});

test('every example is valid by its schema', () => {
  const check = validator(doc);
  let n = 0;
  const look = (media, what) => {
    for (const [name, example] of Object.entries(media.examples ?? {})) {
      assert.equal(check(media.schema, deref(doc, example).value), undefined, `${what}, example ${name}`);
      n++;
    }
    if (media.example !== undefined) assert.equal(check(media.schema, media.example), undefined, what);
  };
  for (const { method, path, operation } of operations) {
    const what = `${method} ${path}`;
    for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) look(media, `${what} ${type}`);
    for (const [status, response] of Object.entries(operation.responses)) {
      for (const [type, media] of Object.entries(deref(doc, response).content ?? {})) look(media, `${what} ${status} ${type}`);
    }
  }
  assert.ok(n > 1000, `${n} examples`);
});

// Examples and defaults of schemas, parameters and headers that do not fit.
function wrongValues(node, check, place = '', named = false) { // named: the keys are names of properties
  if (!node || typeof node !== 'object') return [];
  const pairs = named ? [] : typeof node.type === 'string' ? [[node, node.example], [node, node.default]] : node.schema ? [[node.schema, node.example]] : [];
  const wrong = pairs.filter(([schema, value]) => value !== undefined && check(schema, value)).map(() => place);
  const below = Object.entries(node).filter(([key]) => named || !/^(examples?|default)$/.test(key));
  return [...wrong, ...below.flatMap(([key, value]) => wrongValues(value, check, `${place}/${key}`, !named && key === 'properties'))];
}

test('every example and default of a schema, a parameter and a header is valid', () => {
  const check = validator(doc);
  assert.deepEqual(wrongValues(doc, check), []);
  const some = { a: { type: 'integer', default: 'x' }, b: { name: 'b', schema: { type: 'string', maxLength: 1 }, example: 'xx' }, c: { properties: { example: { type: 'boolean', default: 1 } } }, d: { type: 'integer', default: 0 } };
  assert.deepEqual(wrongValues(some, check), ['/a', '/b', '/c/properties/example']);
});

// [place, schema] of all arrays.
function arraysOf(node, place = '') {
  if (!node || typeof node !== 'object') return [];
  const below = Object.entries(node).filter(([key]) => key !== 'example' && key !== 'examples').flatMap(([key, value]) => arraysOf(value, `${place}/${key}`));
  return node.type === 'array' && node.items ? [[place, node], ...below] : below;
}

// A mock server makes as many items as `maxItems` allows where no example says how few there may be.
const isParameter = (place) => place.includes('/parameters/'); // has none: the page that tries calls out would send the example
const withoutExample = (some) => arraysOf(some).filter(([place, { example }]) => !isParameter(place) && !example?.length).map(([place]) => place);

test('every array is bounded, and has a short example that is valid', () => {
  assert.deepEqual(withoutExample(doc), []);
  const check = validator(doc);
  for (const [place, schema] of arraysOf(doc)) {
    assert.ok(schema.maxItems, `${place}: maxItems`);
    assert.equal(schema.example === undefined, isParameter(place), place);
    if (isParameter(place)) continue;
    assert.ok(schema.example.length <= Math.max(2, schema.minItems ?? 0), `${place}: ${schema.example.length} items`);
    assert.equal(check(schema, schema.example), undefined, place);
  }
});

test('an array without an example is noticed', () => {
  const some = { schemas: { Visit: { properties: { tags: { type: 'array', maxItems: 9, items: { type: 'string' } }, of: { type: 'array', maxItems: 9, items: {}, example: ['x'] } } } } };
  assert.deepEqual(withoutExample(some), ['/schemas/Visit/properties/tags']);
});
