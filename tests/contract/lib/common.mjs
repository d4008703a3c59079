// What every answer has in openapi.yaml, whatever the route: the headers that go with each, and 429.
// `make openapi` adds them where they are missing.

const COMMON = ['RateLimit', 'RateLimit-Policy', 'Access-Control-Allow-Origin'];
const reference = (name) => `${name}: {$ref: '#/components/headers/${name}'}`;
const ID = "X-Request-Id: {$ref: '#/components/headers/XRequestId'}";
const PROBES = ['/livez', '/readyz']; // nobody is refused there

export function complete(file) {
  const lines = [];
  let path, has429;
  for (const line of file.split('\n')) {
    const pad = /^ */.exec(line)[0];
    path = /^ {2}(\/[^:]*):$/.exec(line)?.[1] ?? path;
    if (/^ {6}responses:$/.test(line)) has429 = false;
    if (/^ {8}'429':/.test(line)) has429 = true;
    if (/^ {8}'(431|5\d\d)':/.test(line) && !has429 && !PROBES.includes(path)) {
      lines.push(`${pad}'429': {$ref: '#/components/responses/TooManyRequests'}`);
      has429 = true;
    }
    if (!line.includes(ID) || line.includes(reference(COMMON[0])) || lines.at(-1)?.trim() === reference(COMMON[2])) {
      lines.push(line);
    } else if (line.trim() === ID) {
      // In a block they come before the id, so that a second run sees them.
      lines.push(...COMMON.map((name) => pad + reference(name)), line);
    } else {
      lines.push(line.replace(ID, [ID, ...COMMON.map(reference)].join(', ')));
    }
  }
  return lines.join('\n');
}
