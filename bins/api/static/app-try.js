// What a developer configures, and one request to see the flow with.

import { context } from "./api.js";
import { open } from "./dialog.js";
import { h } from "./dom.js";
import { copyButton, facts, section } from "./parts.js";

const issuer = `${location.origin}${context.base}`;
const ENDPOINTS = [
  ["Issuer", issuer], ["Authorize", `${issuer}/oauth/authorize`], ["Token", `${issuer}/oauth/token`], ["Refresh", `${issuer}/oauth/refresh`],
  ["Revoke", `${issuer}/oauth/revoke`], ["Introspect", `${issuer}/oauth/introspect`],
  // RFC 8414 puts the path of an issuer behind the well-known part.
  ["Metadata", `${location.origin}/.well-known/oauth-authorization-server${context.base}`],
];

/** The addresses, and the way to try them. */
export function endpointsOf(app) {
  return section("Connect", {
    actions: app.status === "active"
      ? h("button", { type: "button", class: "button", onclick: () => tryFlow(app) }, "Try the flow") : null,
    lead: "What to configure in the app. Libraries that read the metadata need the issuer and nothing else.",
  }, facts(ENDPOINTS.map(([name, address]) =>
    [name, h("span", { class: "copied" }, h("code", {}, address), copyButton(address, `Copy ${name.toLowerCase()}`))])));
}

/** Prepares a request with a state and a PKCE pair of its own, made here and known to nobody else. */
async function tryFlow(app) {
  // Only there where the page comes by https or from loopback.
  const request = globalThis.crypto.subtle ? await prepare(app) : null;
  await open("Try the flow", (close) => h("div", { class: "stack" }, request ? steps(app, request) : h("p", { class: "problem" },
    "The browser makes PKCE challenges only for pages that came by https or from this computer."),
  h("div", { class: "actions" }, h("button", { type: "button", class: "button", onclick: () => close() }, "Close"))), { wide: true });
}

async function prepare(app) {
  const verifier = encoded(crypto.getRandomValues(new Uint8Array(32)));
  const state = encoded(crypto.getRandomValues(new Uint8Array(16)));
  const challenge = encoded(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
  const redirect = app.redirect_uris[0];
  const query = new URLSearchParams({
    response_type: "code", client_id: app.client_id, redirect_uri: redirect, scope: app.scopes.join(" "), state,
    code_challenge: challenge, code_challenge_method: "S256",
  });
  return { verifier, state, redirect, address: `${issuer}/oauth/authorize?${query}` };
}

function encoded(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function steps(app, { verifier, state, redirect, address }) {
  const isPublic = app.kind === "public";
  const command = [
    `curl -s ${issuer}/oauth/token`, ...(isPublic ? [`-d client_id=${app.client_id}`] : [`-u "${app.client_id}:$CLIENT_SECRET"`]),
    "-d grant_type=authorization_code", '-d "code=$CODE"', `--data-urlencode ${quoted(`redirect_uri=${redirect}`)}`, `-d code_verifier=${verifier}`,
  ].join(" \\\n  ");
  return [
    h("h3", {}, "1. Open the authorize page"),
    h("p", {}, "It opens in a new tab and asks you what this app may do. Allowing gives the app a real access, which you can end under ",
      h("a", { href: `${context.base}/authorized-apps` }, "Authorized apps"), "."),
    h("p", {}, h("span", { class: "copied" },
      h("a", { class: "button strong", href: address, target: "_blank", rel: "noopener" }, "Open the authorize page"),
      copyButton(address, "Copy the link"))),
    h("h3", {}, "2. Read what comes back"),
    h("p", {}, "The browser is sent to ", h("code", {}, redirect), " with ", h("code", {}, "code"), ", ", h("code", {}, "state"),
      " and ", h("code", {}, "iss"), ". Where nothing listens there it shows an error, and the answer stands in its address bar. Compare both before you go on:"),
    facts([["state", h("code", {}, state)], ["iss", h("code", {}, issuer)], ["code", "works once, within 300 seconds"]]),
    h("h3", {}, "3. Redeem the code"),
    h("p", {}, isPublic ? "Set CODE to what came back. " : "Set CODE to what came back, and CLIENT_SECRET to a secret of the app. ",
      "The verifier belongs to this request alone."),
    h("pre", {}, command), h("p", {}, copyButton(command, "Copy the command")),
  ];
}

/** For a shell, whatever it holds. */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
