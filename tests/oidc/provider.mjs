// A real OpenID provider for the tests: client credentials, JWT access tokens in RS256, ES256 or EdDSA, key rotation on request.
//
//   PORT=0 node provider.mjs       prints "listening PORT"
//   POST /rotate                   rotates the keys; the previous ones stay published, older ones do not
//   GET /fetches                   number of fetches of the key set
import http from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import Provider from 'oidc-provider';

const scope = 'predict audit:read admin';
const kinds = { RS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}] };
const pair = (alg) => ({
  ...generateKeyPairSync(...kinds[alg]).privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomUUID(),
});
const pairs = () => Object.keys(kinds).map(pair);
let keys = pairs();
let answer, fetches = 0;

const server = http.createServer((request, response) => {
  if (request.url === '/rotate') {
    keys = [...pairs(), ...keys.slice(0, Object.keys(kinds).length)];
    provide();
    response.end();
  } else if (request.url === '/fetches') {
    response.end(String(fetches));
  } else {
    fetches += request.url === '/jwks' ? 1 : 0;
    answer(request, response);
  }
});

function provide() {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  answer = new Provider(issuer, {
    jwks: { keys },
    scopes: scope.split(' '),
    clients: Object.keys(kinds).map((alg) => ({
      client_id: alg, client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [], scope,
    })),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:cxr',
        useGrantedResource: () => true,
        getResourceServerInfo: (context, audience, client) => ({
          scope, audience, accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: client.clientId } },
        }),
      },
    },
  }).callback();
}

server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => {
  provide();
  console.log(`listening ${server.address().port}`);
});
