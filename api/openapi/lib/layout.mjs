// The document as text, in the order and the layout that openapi.yaml always had.
import { block } from './yaml.mjs';

const HEAD = `# The contract of kamd. Nobody writes in this file: \`make openapi\` assembles it from api/openapi/*.yaml, from the
# descriptors in service/domain, and from the routes in api/routes.c. api/openapi/README.md says where what comes from.
# Tests in tests/contract compare it with those, and with the program as it runs.`;

// Nesting level from which on what is short goes on one line.
const FLOW = { info: 2, servers: 3, tags: 3, paths: 4, securitySchemes: 2, parameters: 2, headers: 2, responses: 2, schemas: 3, examples: 3 };

export function written(doc) {
  const { paths, components, ...head } = doc;
  const lines = [HEAD];
  const put = (key, value, indent) => lines.push(...block({ [key]: value }, indent, FLOW[key] ?? 2));
  for (const [key, value] of Object.entries(head)) put(key, value, 0);
  lines.push('');
  put('paths', paths, 0);
  lines.push('', 'components:');
  for (const [i, [key, value]] of Object.entries(components).entries()) {
    if (i > 0) lines.push('');
    put(key, value, 2);
  }
  return `${lines.join('\n')}\n`;
}
