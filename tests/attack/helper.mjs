// Stands between sqlmap and kamd. It adds what sqlmap cannot make anew for each request and without which a write ends before it reaches the database: If-Match, and an
// Idempotency-Key of its own. And it counts the answers: a parameter whose requests were all refused was not attacked.
import { Agent, createServer, request as ask } from 'node:http';

// Stands in a body for what is another in each request.
export const EACH_TIME = 'zqeachtimeqz';

let made = 0;

// {url, answers(name), close()}: /t/<name>/v1/... goes to `base`/v1/...
export async function startHelper(base) {
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const counts = new Map();
  const { hostname, port } = new URL(base);
  const server = createServer((request, answer) => {
    const [, name, path] = /^\/t\/(\w+)(\/.*)$/s.exec(request.url) ?? [null, '', request.url];
    const headers = { ...request.headers };
    delete headers['content-length'];
    if (/^(PATCH|PUT|DELETE)$/.test(request.method)) headers['if-match'] ??= '*';
    if (request.method === 'POST') headers['idempotency-key'] ??= `attack-${++made}`;
    const inner = ask({ hostname, port, agent, method: request.method, path, headers }, (reply) => {
      const of = counts.get(name) ?? counts.set(name, {}).get(name);
      of[reply.statusCode] = (of[reply.statusCode] ?? 0) + 1;
      answer.writeHead(reply.statusCode, reply.headers);
      reply.pipe(answer);
    });
    inner.on('error', () => answer.destroy());
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1').replaceAll(EACH_TIME, `n${++made}`);
      inner.setHeader('content-length', body.length);
      inner.end(body, 'latin1');
    });
  });
  await new Promise((done) => { server.listen(0, '127.0.0.1', done); });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    // Status -> how many; they are forgotten then.
    answers(name) {
      const of = counts.get(name) ?? {};
      counts.delete(name);
      return of;
    },
    close() {
      agent.destroy();
      server.closeAllConnections?.();
      return new Promise((done) => { server.close(done); });
    },
  };
}
