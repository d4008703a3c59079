// A load that counts: clients that keep their connections, and every answer that is not what it should be.
import { Agent, request } from 'node:http';

// `next()` gives {method, path, body}. Ends when `enough(done)` says so: {done, errors: Map text -> count}.
export async function load({ url, key, width = 20, next, enough }) {
  const target = new URL(url);
  const agent = new Agent({ keepAlive: true, maxSockets: width });
  const errors = new Map();
  let done = 0;
  const one = () => new Promise((settle) => {
    const { method, path, body } = next();
    const content = body && JSON.stringify(body);
    const fail = (text) => { errors.set(text, (errors.get(text) ?? 0) + 1); settle(); };
    const call = request({ host: target.hostname, port: target.port, method, path, agent, headers: { authorization: `Bearer ${key}`, ...(content && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(content) }) } }, (answer) => {
      answer.on('data', () => {}).on('error', (error) => fail(error.code ?? error.message)).on('end', () => (answer.statusCode < 300 ? settle() : fail(String(answer.statusCode))));
    });
    call.setTimeout(15_000, () => call.destroy(new Error('no answer within 15 s')));
    call.on('error', (error) => fail(error.code ?? error.message));
    call.end(content);
  });
  await Promise.all(Array.from({ length: width }, async () => {
    while (!enough(done)) {
      await one();
      done++;
    }
  }));
  agent.destroy();
  return { done, errors: [...errors].sort() };
}
