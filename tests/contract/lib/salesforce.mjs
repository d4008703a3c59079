// What Salesforce External Services can import, as rules (conventions.md, "Salesforce profile"): violations(doc) lists every breach.

// Apex reserved words (Apex Developer Guide), which cannot name a property or parameter of a generated class.
const RESERVED = new Set(`abstract activate and any array as asc autonomous begin bigdecimal blob boolean break bulk by byte case cast catch char class
  collect commit const continue currency date datetime decimal default delete desc do double else end enum exception exit export extends false final
  finally float for from global goto group having hint if implements import in inner insert instanceof int integer interface into join like limit list
  long loop map merge new not null nulls number object of on or order outer override package parallel pragma private protected public retrieve return
  rollback select set short sobject sort static string super switch synchronized system testmethod then this throw time transaction trigger true try
  undelete update upsert using virtual void webservice when where while`.split(/\s+/));
const TYPES = new Set(['string', 'integer', 'number', 'boolean', 'array', 'object']);
const METHODS = ['get', 'put', 'post', 'patch', 'delete'];

export function violations(doc) {
  const found = [];
  const breach = (where, what) => found.push(`${where}: ${what}`);
  const named = (where, name) => {
    if (RESERVED.has(name.toLowerCase())) breach(where, `${name} is an Apex reserved word`);
    if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(name) || /__|_$/.test(name)) breach(where, `${name} is no name for Apex`);
  };
  const lookUp = (ref) => ref.replace(/^#\//, '').split('/').reduce((node, part) => node?.[part], doc);

  function schema(node, where) {
    if (!node || typeof node !== 'object') return breach(where, 'is no schema');
    if (node.$ref) return lookUp(node.$ref) ? undefined : breach(where, `${node.$ref} leads nowhere`);
    for (const word of ['oneOf', 'anyOf', 'allOf', 'not', 'discriminator']) if (word in node) breach(where, word);
    if (!TYPES.has(node.type)) breach(where, `has the type ${JSON.stringify(node.type)}`);
    if (node.additionalProperties && typeof node.additionalProperties === 'object') breach(where, 'is a map');
    if (node.type === 'array') {
      const items = node.items?.$ref ? lookUp(node.items.$ref) : node.items;
      if (items?.type === 'array') breach(where, 'is an array of arrays');
      schema(node.items, `${where}[]`);
    }
    if (node.type === 'object' && Object.keys(node.properties ?? {}).length === 0) breach(where, 'is an object without properties');
    if (node.enum?.includes(null)) breach(where, 'null is among the values');
    for (const [name, value] of Object.entries(node.properties ?? {})) {
      named(where, name);
      schema(value, `${where}.${name}`);
    }
    for (const name of node.required ?? []) if (!(name in (node.properties ?? {}))) breach(where, `needs ${name}, which is not there`);
  }
  function content(node, where) {
    for (const [type, media] of Object.entries(node ?? {})) {
      if (type !== 'application/json') breach(where, `the media type ${type}`);
      schema(media.schema, where);
    }
  }
  function parameter(node, where) {
    named(where, node.name);
    schema(node.schema, where);
    if (!['path', 'query', 'header'].includes(node.in)) breach(where, `is in ${node.in}`);
    if (node.in === 'path' && node.required !== true) breach(where, 'is in the path and not required');
    if (node.schema?.type === 'array' && node.explode !== false) breach(where, 'is an exploded array');
    if (node.content) breach(where, 'has a content');
  }
  function operation(node, where) {
    if (!/^[a-z][A-Za-z0-9]{2,59}$/.test(node.operationId ?? '')) breach(where, `the operationId ${node.operationId}`);
    for (const one of node.parameters ?? []) parameter(one, `${where} ${one.name}`);
    if (node.requestBody) content(node.requestBody.content, `${where} body`);
    if (!Object.keys(node.responses ?? {}).some((status) => /^2/.test(status))) breach(where, 'has no success');
    for (const [status, response] of Object.entries(node.responses ?? {})) {
      if (response.headers) breach(`${where} ${status}`, 'has headers');
      if (status === '204' || (/^2/.test(status) && !response.content)) breach(`${where} ${status}`, 'is empty');
      content(response.content, `${where} ${status}`);
    }
    if (node.callbacks) breach(where, 'has callbacks');
  }

  if (doc.openapi !== '3.0.3') breach('openapi', doc.openapi);
  if (doc.servers?.length !== 1) breach('servers', `${doc.servers?.length} of them`);
  const ids = [];
  for (const [path, item] of Object.entries(doc.paths)) {
    for (const key of Object.keys(item)) if (!METHODS.includes(key)) breach(path, `has ${key}`);
    for (const method of METHODS.filter((name) => item[name])) {
      operation(item[method], `${method} ${path}`);
      ids.push(item[method].operationId);
      for (const [, name] of path.matchAll(/\{(\w+)\}/g)) if (!item[method].parameters?.some((one) => one.in === 'path' && one.name === name)) breach(`${method} ${path}`, `does not say what ${name} is`);
    }
  }
  if (ids.length > 40) breach('paths', `${ids.length} operations`);
  if (new Set(ids).size !== ids.length) breach('paths', 'an operationId comes twice');
  for (const [name, node] of Object.entries(doc.components?.schemas ?? {})) {
    named('components.schemas', name);
    schema(node, name);
  }
  (function descriptions(node, where) {
    for (const [key, value] of Object.entries(node)) {
      if (key === 'description' && typeof value === 'string' && value.length >= 1333) breach(where, 'a description that is too long');
      if (value && typeof value === 'object') descriptions(value, `${where}.${key}`);
    }
  }(doc, 'doc'));
  return found;
}
