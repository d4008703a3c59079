// A real identity provider (npm oidc-provider) on this machine, whose keys can be changed and which
// can go away; and tokens made by hand with its keys, for what it would never sign.
import { createServer } from 'node:http';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';
import { freePort } from './stack.mjs';
import { unique } from './world.mjs';

export const AUDIENCE = 'https://kamd.example';
const ALGS = ['RS256', 'ES256', 'EdDSA'];

// {kid, alg, privateKey, publicKey, jwk (private), publicJwk}
export async function makeKeyPair(alg) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true, ...(alg === 'EdDSA' && { crv: 'Ed25519' }) });
  const kid = unique(`k_${alg}`);
  const publicJwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
  return { kid, alg, privateKey, publicKey, publicJwk, jwk: { ...(await exportJWK(privateKey)), kid, alg, use: 'sig' } };
}

// `people`: {name: {roles, name, email, ...}}: each is a client there, which gets a token for itself.
export async function startIssuer(people) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const open = new Set();
  let server, provider;
  const issuer = {
    url,
    keys: [],
    fetches: 0, // of the JWK set
    settings: { KAMD_OIDC_ISSUER: url, KAMD_OIDC_AUDIENCE: AUDIENCE, KAMD_OIDC_ALLOW_HTTP: 'true' },
    key: (alg) => issuer.keys.find((key) => key.alg === alg),
    // Signs with the first key of each algorithm from now on; all of them are published.
    use(keys) {
      issuer.keys = keys;
      provider = new Provider(url, {
        clients: Object.keys(people).map((id) => ({
          client_id: id, client_secret: 's', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
        })),
        jwks: { keys: keys.map(({ jwk }) => jwk) },
        features: {
          devInteractions: { enabled: false },
          clientCredentials: { enabled: true },
          resourceIndicators: {
            enabled: true,
            getResourceServerInfo: (context) => ({
              scope: '', audience: AUDIENCE, accessTokenFormat: 'jwt', accessTokenTTL: 600,
              jwt: { sign: { alg: context.get('x-test-alg') || 'RS256' } },
            }),
          },
        },
        extraTokenClaims: (_, { clientId }) => people[clientId],
      }).callback();
    },
    async start() {
      server = createServer((request, answer) => {
        issuer.fetches += request.url === '/jwks';
        return provider(request, answer);
      });
      server.on('connection', (socket) => {
        open.add(socket);
        socket.on('close', () => open.delete(socket));
      });
      await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
    },
    async stop() {
      if (!server) return;
      const closed = new Promise((done) => { server.close(done); });
      for (const socket of open) socket.destroy();
      await closed;
      server = undefined;
    },
    // A token as the provider makes it.
    async token(who, alg = 'RS256') {
      const answer = await fetch(`${url}/token`, {
        method: 'POST',
        headers: { authorization: `Basic ${btoa(`${who}:s`)}`, 'x-test-alg': alg },
        body: new URLSearchParams({ grant_type: 'client_credentials', resource: AUDIENCE }),
      });
      const body = await answer.json();
      if (!body.access_token) throw new Error(`the provider gives no token: ${JSON.stringify(body)}`);
      return body.access_token;
    },
    // One made by hand: right in everything but what is asked for. `claims` and `header` with undefined leave members out.
    sign({ alg = 'RS256', key = issuer.key(alg), claims = {}, header = {} } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const all = { iss: url, aud: AUDIENCE, sub: 'by-hand', roles: ['auditor'], iat: now, exp: now + 600, ...claims };
      return new SignJWT(all).setProtectedHeader({ alg, kid: key.kid, typ: 'at+jwt', ...header }).sign(key.privateKey);
    },
  };
  issuer.use(await Promise.all(ALGS.map(makeKeyPair)));
  await issuer.start();
  return issuer;
}
