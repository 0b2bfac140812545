// Partners as other people's libraries make them: `oauth4webapi` and `openid-client`, each with its own checks switched
// on. Driven like driver.mjs: a line {"command", "arguments"} in, a line {"result"} or {"error"} out.

import { createInterface } from "node:readline";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";

const insecure = { [oauth.allowInsecureRequests]: true }; // the server under test speaks http on this machine

async function keys(jwk) {
  const dpop = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const key = await crypto.subtle.importKey("jwk", jwk, { name: "Ed25519" }, false, ["sign"]);
  return { dpop, key };
}

// The library says when the server asks for a nonce, and has taken it down by then.
async function withNonce(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return await attempt();
  }
}

class Oauth4webapi {
  async begin({ issuer, client_id, jwk, redirect_uri, details }) {
    const url = new URL(issuer);
    const found = await oauth.discoveryRequest(url, { algorithm: "oauth2", ...insecure });
    this.as = await oauth.processDiscoveryResponse(url, found);
    const { dpop, key } = await keys(jwk);
    this.client = { client_id };
    this.auth = oauth.PrivateKeyJwt(key);
    this.options = { DPoP: oauth.DPoP(this.client, dpop), ...insecure };
    this.redirect_uri = redirect_uri;
    this.verifier = oauth.generateRandomCodeVerifier();
    this.state = oauth.generateRandomState();
    const parameters = new URLSearchParams({
      response_type: "code",
      redirect_uri,
      state: this.state,
      code_challenge: await oauth.calculatePKCECodeChallenge(this.verifier),
      code_challenge_method: "S256",
      authorization_details: JSON.stringify(details),
    });
    const pushed = await withNonce(async () => {
      const answer = await oauth.pushedAuthorizationRequest(this.as, this.client, this.auth, parameters, this.options);
      return await oauth.processPushedAuthorizationResponse(this.as, this.client, answer);
    });
    const authorize = new URL(this.as.authorization_endpoint);
    authorize.searchParams.set("client_id", client_id);
    authorize.searchParams.set("request_uri", pushed.request_uri);
    return authorize.href;
  }

  async finish({ redirect }) {
    const answer = oauth.validateAuthResponse(this.as, this.client, new URL(redirect), this.state);
    this.tokens = await withNonce(async () => {
      const response = await oauth.authorizationCodeGrantRequest(
        this.as, this.client, this.auth, answer, this.redirect_uri, this.verifier, this.options,
      );
      return await oauth.processAuthorizationCodeResponse(this.as, this.client, response);
    });
    return this.tokens;
  }

  async read({ path }) {
    const url = new URL(path, this.as.issuer);
    const answer = await withNonce(() =>
      oauth.protectedResourceRequest(this.tokens.access_token, "GET", url, new Headers(), null, this.options));
    return await answer.json();
  }

  async refresh() {
    const renewed = await withNonce(async () => {
      const response = await oauth.refreshTokenGrantRequest(
        this.as, this.client, this.auth, this.tokens.refresh_token, this.options,
      );
      return await oauth.processRefreshTokenResponse(this.as, this.client, response);
    });
    this.tokens = { ...this.tokens, ...renewed };
    return renewed;
  }

  async introspect() {
    const answer = await oauth.introspectionRequest(this.as, this.client, this.auth, this.tokens.access_token, insecure);
    return await oauth.processIntrospectionResponse(this.as, this.client, answer);
  }

  async revoke() {
    const answer = await oauth.revocationRequest(this.as, this.client, this.auth, this.tokens.refresh_token, insecure);
    return (await oauth.processRevocationResponse(answer)) ?? null;
  }

  async whole() {
    return await withNonce(async () => {
      const response = await oauth.clientCredentialsGrantRequest(this.as, this.client, this.auth, {}, this.options);
      this.tokens = await oauth.processClientCredentialsResponse(this.as, this.client, response);
      return this.tokens;
    });
  }
}

class OpenidClient {
  async begin({ issuer, client_id, jwk, redirect_uri, details }) {
    const { dpop, key } = await keys(jwk);
    const options = { algorithm: "oauth2", execute: [openid.allowInsecureRequests] };
    this.config = await openid.discovery(new URL(issuer), client_id, undefined, openid.PrivateKeyJwt(key), options);
    this.options = { DPoP: openid.getDPoPHandle(this.config, dpop) };
    this.verifier = openid.randomPKCECodeVerifier();
    this.state = openid.randomState();
    const parameters = {
      redirect_uri,
      state: this.state,
      code_challenge: await openid.calculatePKCECodeChallenge(this.verifier),
      code_challenge_method: "S256",
      authorization_details: JSON.stringify(details),
    };
    return (await openid.buildAuthorizationUrlWithPAR(this.config, parameters, this.options)).href;
  }

  async finish({ redirect }) {
    const checks = { pkceCodeVerifier: this.verifier, expectedState: this.state };
    this.tokens = await openid.authorizationCodeGrant(this.config, new URL(redirect), checks, undefined, this.options);
    return this.tokens;
  }

  async read({ path }) {
    const url = new URL(path, this.config.serverMetadata().issuer);
    const answer = await openid.fetchProtectedResource(
      this.config, this.tokens.access_token, url, "GET", undefined, undefined, this.options,
    );
    return await answer.json();
  }

  async refresh() {
    const renewed = await openid.refreshTokenGrant(this.config, this.tokens.refresh_token, undefined, this.options);
    this.tokens = { ...this.tokens, ...renewed };
    return renewed;
  }

  async introspect() {
    return await openid.tokenIntrospection(this.config, this.tokens.access_token);
  }

  async revoke() {
    await openid.tokenRevocation(this.config, this.tokens.refresh_token);
    return null;
  }

  async whole() {
    this.tokens = await openid.clientCredentialsGrant(this.config, {}, this.options);
    return this.tokens;
  }
}

const COMMANDS = new Set(["begin", "finish", "read", "refresh", "introspect", "revoke", "whole"]);
const party = process.argv[2] === "openid-client" ? new OpenidClient() : new Oauth4webapi();

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
}

async function answer({ command, arguments: given }) {
  try {
    if (!COMMANDS.has(command)) throw new Error(`unknown command ${command}`);
    return { result: await party[command](given) };
  } catch (error) {
    return { error: await told(error) };
  }
}

// What a library says, with all the causes that it gives.
async function told(error) {
  const said = [];
  for (let one = error; one && said.length < 5; one = one.cause) {
    if (one instanceof Response) said.push(one.bodyUsed ? String(one.status) : await one.text());
    else said.push(`${one.code ?? ""} ${one.error ?? ""} ${one.stack ?? one.message ?? JSON.stringify(one)}`);
  }
  return said.join("\n");
}
