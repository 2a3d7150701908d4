// openid-client as its documentation uses it: RFC 8414 discovery, then everything by the configuration found.
import { issuer, person, refusal, run, settings } from './common.mjs';
import * as client from 'openid-client';

const { client_id, client_secret, redirect_uri, scope } = settings;
const authentication = client_secret ? client.ClientSecretPost(client_secret) : client.None();
const config = await client.discovery(issuer, client_id, undefined, authentication, {
  algorithm: 'oauth2',
  execute: [client.allowInsecureRequests],
});

async function authorize(decision = 'allow') {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope,
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  });
  return { url: await person(url, decision), checks: { pkceCodeVerifier, expectedState } };
}

async function tokens() {
  const { url, checks } = await authorize();
  return client.authorizationCodeGrant(config, url, checks);
}

await run({
  metadata: () => config.serverMetadata(),
  code: tokens,
  refresh: async () => {
    const first = await tokens();
    return { first, second: await client.refreshTokenGrant(config, first.refresh_token) };
  },
  introspect: async () => client.tokenIntrospection(config, (await tokens()).access_token),
  revoke: async () => {
    const { access_token, refresh_token } = await tokens();
    await client.tokenRevocation(config, refresh_token);
    return client.tokenIntrospection(config, access_token);
  },
  own: () => client.clientCredentialsGrant(config, { scope }),
  wrong_secret: () => refusal(tokens()),
  denied: async () => {
    const { url, checks } = await authorize('deny');
    return refusal(client.authorizationCodeGrant(config, url, checks));
  },
  no_issuer: async () => {
    const { url, checks } = await authorize();
    url.searchParams.delete('iss');
    return refusal(client.authorizationCodeGrant(config, url, checks));
  },
});
