// The whole of openapi.yaml from what the program says and what people write.
import { withArrayExamples } from './arrays.mjs';
import { page, pageExample, response } from './components.mjs';
import { parameters, schemas } from './descriptors.mjs';
import { operation, pathParameters } from './operations.mjs';
import { examplesOf, kindOf, patterned, wordsOf } from './plain.mjs';
import { parameterOf, schemaOf } from './shorthand.mjs';
import { withWords, wordLists } from './words.mjs';

const WORDS = ['one', 'a', 'many', 'examples'];
const OF_OPERATION = ['summary', 'description', 'right', 'like', 'text', 'path', 'parameters', 'body', 'answers', 'errors', 'callbacks'];
const OF_FILE = ['file', 'tag', 'description', 'resources', 'operations', 'parameters', 'pages', 'schemas', 'examples'];
const mapValues = (map, make) => Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, make(value, key)]));

// One map of all; a name that is there twice is a mistake.
function joined(what, ...maps) {
  const result = {};
  for (const map of maps) {
    for (const [name, value] of Object.entries(map ?? {})) {
      if (name in result) throw new Error(`${what}: ${name} is there twice`);
      result[name] = value;
    }
  }
  return result;
}

// What a source says of nothing that there is, and what it says in words that nobody reads.
function checked(api, sources, claimed) {
  const known = new Set(api.routes.map((route) => route.operation_id));
  const wrong = [];
  const only = (file, what, members, allowed) => {
    for (const member of Object.keys(members)) if (!allowed.includes(member)) wrong.push(`${file}: nothing reads ${member} of ${what}`);
  };
  for (const tag of sources.tags) {
    const { file, operations, resources } = tag;
    only(file, 'a file', tag, OF_FILE);
    for (const [id, source] of Object.entries(operations ?? {})) {
      if (!known.has(id)) wrong.push(`${file}: no route has the operation ${id}`);
      only(file, id, source, OF_OPERATION);
    }
    for (const [name, source] of Object.entries(resources ?? {})) {
      for (const member of Object.keys(source)) {
        if (!WORDS.includes(member) && !claimed.has(`${name} ${member}`)) wrong.push(`${file}: no route of ${name} is a plain ${member}`);
      }
    }
  }
  return wrong;
}

// {operation_id: {tag, short}}
function shortForms(api, sources, listed) {
  const result = {};
  const wrong = [];
  const claimed = new Set();
  const resourceOf = (name) => api.resources.find((one) => one.name === name);
  const holders = joined('resources', ...sources.tags.map((tag) => mapValues(tag.resources, (source) => ({ tag, source }))));
  const special = joined('operations', ...sources.tags.map((tag) => mapValues(tag.operations, (source) => ({ tag, source }))));
  for (const name of Object.keys(holders)) if (!resourceOf(name)) wrong.push(`no resource is named ${name}`);
  for (const route of api.routes) {
    const resource = resourceOf(route.resource);
    const kind = kindOf(route, resource);
    const own = special[route.operation_id];
    const holder = kind && holders[resource.name];
    if (holder) claimed.add(`${resource.name} ${kind}`);
    if (own) {
      const { like, ...rest } = own.source;
      result[route.operation_id] = { tag: own.tag, short: like ? patterned(sources.plain.likes[like], rest) : rest };
    } else if (holder) {
      const taken = { list: listed.lists, of_account: listed.lists, get: listed.reads, export: listed.exports }[kind]?.[resource.name];
      const pattern = { ...sources.plain.kinds[kind], ...(taken && { parameters: taken }) };
      result[route.operation_id] = { tag: holder.tag, short: patterned(pattern, holder.source[kind], wordsOf(resource, holder.source)) };
    } else {
      wrong.push(`nothing is said of ${route.method} ${route.path} (${route.operation_id})`);
    }
  }
  wrong.push(...checked(api, sources, claimed));
  if (wrong.length) throw new Error(wrong.join('\n'));
  return result;
}

function missing(name) {
  throw new Error(`no file has the parameter ${name} of the path`);
}

function pathsOf(api, sources, shorts) {
  const paths = {};
  const finder = (tag) => (name) => {
    const fits = (source) => Object.entries(source.parameters ?? {}).find(([, one]) => one.in === 'path' && one.name === name)?.[0];
    return [tag, sources.common, ...sources.tags].map(fits).find(Boolean) ?? missing(name);
  };
  for (const route of api.routes) {
    const { tag, short } = shorts[route.operation_id];
    const item = paths[route.path] ??= { parameters: pathParameters(route.path, short.path, finder(tag), sources.common.types) };
    item[route.method.toLowerCase()] = operation(route, tag.tag, short, { api, types: sources.common.types });
  }
  return paths;
}

function examples(api, sources, all) {
  const made = sources.tags.map(({ resources }) => Object.assign({}, ...Object.entries(resources ?? {}).map(([name, source]) => {
    const resource = api.resources.find((one) => one.name === name);
    return examplesOf(resource, source, wordsOf(resource, source), (schema) => schema in all);
  })));
  const result = joined('examples', ...sources.tags.flatMap((tag, i) => [made[i], tag.examples]), sources.common.examples);
  return mapValues(result, (example) => (example.page_of ? pageExample(example, result) : example));
}

export function documentOf(api, given) {
  const sources = withWords(given, wordLists(api));
  const { common, tags } = sources;
  const listed = parameters(api);
  const made = schemas(api);
  const written = (kind) => [common[kind], ...tags.map((tag) => tag[kind])];
  const types = common.types;
  const allSchemas = joined('schemas', ...written('schemas').map((some) => mapValues(some, (one) => schemaOf(one, types))), ...written('pages').map((pages) => mapValues(pages, page)), made);
  return withArrayExamples({
    openapi: common.openapi, info: common.info, servers: common.servers, security: common.security,
    tags: tags.map(({ tag, description }) => ({ name: tag, description })),
    paths: pathsOf(api, sources, shortForms(api, sources, listed)),
    components: {
      securitySchemes: common.securitySchemes,
      parameters: joined('parameters', ...written('parameters').map((some) => mapValues(some, (one) => parameterOf(one, types))), listed.components),
      headers: common.headers,
      responses: mapValues(common.responses, (source, name) => response(name, source)),
      schemas: allSchemas,
      examples: examples(api, sources, allSchemas),
    },
  });
}
