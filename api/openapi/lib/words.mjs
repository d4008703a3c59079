// Lists of words that the program has are not written out again: a source names them (`enum: account.tier`).

// {name: list} of all that the program says: of fields by `resource.field`, of parameters by
// `operationId.parameter`, and others by one word.
export function wordLists(api) {
  const lists = {
    ...api.words, problem_code: api.problems.map(({ code }) => code), synced_path: api.resources.filter(({ sync }) => sync).map(({ path }) => path),
  };
  const addFields = (fields, owner) => {
    for (const { name, values, fields: inner } of fields) {
      if (values) lists[`${owner}.${name}`] = values;
      if (inner) addFields(inner, `${owner}.${name}`);
    }
  };
  for (const { name, fields } of api.resources) addFields(fields, name);
  for (const { operation_id: id, parameters } of api.routes) for (const { name, values } of parameters) if (values) lists[`${id}.${name}`] = values;
  return lists;
}

// A copy of what people wrote, with the lists in it. What may be null has null among its words.
export function withWords(node, lists) {
  if (Array.isArray(node)) return node.map((item) => withWords(item, lists));
  if (!node || typeof node !== 'object') return node;
  const copy = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, /^examples?$/.test(key) ? value : withWords(value, lists)]));
  if (typeof copy.enum !== 'string') return copy;
  const list = lists[copy.enum];
  if (!list) throw new Error(`the program has no list of words named ${copy.enum}`);
  return { ...copy, enum: copy.nullable ? [...list, null] : list };
}
