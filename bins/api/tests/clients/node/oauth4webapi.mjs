// oauth4webapi, which checks every answer against the standards: each request is made and each answer judged by itself.
import { issuer, person, refusal, run, settings } from './common.mjs';
import * as oauth from 'oauth4webapi';

const plain = { [oauth.allowInsecureRequests]: true };
const { redirect_uri, scope } = settings;
const client = { client_id: settings.client_id };
const authentication = settings.client_secret ? oauth.ClientSecretBasic(settings.client_secret) : oauth.None();
const as = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { ...plain, algorithm: 'oauth2' }),
);

async function authorize(decision = 'allow') {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(as.authorization_endpoint);
  const parameters = {
    client_id: client.client_id,
    redirect_uri,
    response_type: 'code',
    scope,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  return { url: await person(url, decision), state, verifier };
}

async function tokens() {
  const { url, state, verifier } = await authorize();
  const answer = oauth.validateAuthResponse(as, client, url, state);
  return oauth.processAuthorizationCodeResponse(
    as,
    client,
    await oauth.authorizationCodeGrantRequest(as, client, authentication, answer, redirect_uri, verifier, plain),
  );
}

async function introspect(token) {
  const answer = await oauth.introspectionRequest(as, client, authentication, token, plain);
  return oauth.processIntrospectionResponse(as, client, answer);
}

await run({
  metadata: () => as,
  code: tokens,
  refresh: async () => {
    const first = await tokens();
    const answer = await oauth.refreshTokenGrantRequest(as, client, authentication, first.refresh_token, plain);
    return { first, second: await oauth.processRefreshTokenResponse(as, client, answer) };
  },
  introspect: async () => introspect((await tokens()).access_token),
  revoke: async () => {
    const { access_token, refresh_token } = await tokens();
    const answer = await oauth.revocationRequest(as, client, authentication, refresh_token, plain);
    await oauth.processRevocationResponse(answer);
    return introspect(access_token);
  },
  own: async () => {
    const answer = await oauth.clientCredentialsGrantRequest(as, client, authentication, { scope }, plain);
    return oauth.processClientCredentialsResponse(as, client, answer);
  },
  wrong_secret: () => refusal(tokens()),
  denied: async () => {
    const { url, state } = await authorize('deny');
    return refusal((async () => oauth.validateAuthResponse(as, client, url, state))());
  },
  no_issuer: async () => {
    const { url, state } = await authorize();
    url.searchParams.delete('iss');
    return refusal((async () => oauth.validateAuthResponse(as, client, url, state))());
  },
  // A resource server that never asks us: it has the published keys.
  jwt: async () => {
    const { access_token } = await tokens();
    const request = new Request(`${issuer}api`, { headers: { authorization: `Bearer ${access_token}` } });
    return oauth.validateJwtAccessToken(as, request, settings.issuer, plain);
  },
  resource: async () => {
    const answer = await oauth.resourceDiscoveryRequest(issuer, plain);
    return oauth.processResourceDiscoveryResponse(issuer, answer);
  },
});
