// Components that need not be written out: error responses, pages.
import { headers, media, reference } from './operations.mjs';

const isMap = (value) => value && typeof value === 'object' && !Array.isArray(value);

// A response is a text: then it is a problem document, with the example `Problem<Name>`. Or a map of
// text, headers, examples (of the problem) or content.
export function response(name, source) {
  const { text, headers: more, examples, content } = isMap(source) ? source : { text: source };
  const problem = (names) => media({ schema: 'ProblemDetails', examples: names });
  const usual = { problem: `Problem${name}` };
  const made = content ?? { 'application/problem+json': problem(examples ?? usual), 'application/json': problem(usual) };
  return { description: text, headers: headers(more), ...(Object.keys(made).length && { content: made }) };
}

// `pages: {DeliveryPage: Delivery}` in a source.
export const page = (item) => ({
  type: 'object', required: ['data', 'page'],
  properties: { data: { type: 'array', maxItems: 200, items: reference('schemas', item) }, page: reference('schemas', 'Page') },
});

// An example `{summary, page_of: Delivery}` has one record: that of the example Delivery.
export const pageExample = ({ summary, page_of: name }, examples) => ({
  summary, value: { data: [examples[name].value], page: { next_cursor: null, has_more: false } },
});
