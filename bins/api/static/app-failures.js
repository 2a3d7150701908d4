// The refused exchanges of an app. What the app sees is vague on purpose; here its owner reads why.

import { get, ofOrg } from "./api.js";
import { h } from "./dom.js";
import { when, words } from "./format.js";
import { copyButton, empty, list, section, table } from "./parts.js";

const EXCHANGES = {
  "oauth.authorize": "Authorize", "oauth.token": "Token", "oauth.refresh": "Refresh", "oauth.revoke": "Revoke",
  "oauth.introspect": "Introspect", "oauth.refresh_reuse_detected": "Refresh",
};

/** What happened, and what to do about it where that isn't plain. */
const REASONS = {
  app_suspended: "The app is suspended.",
  app_was_suspended: "The app was suspended after this was issued. Send the person through the flow again.",
  assertion_unsupported: "The app sent a signed assertion. Only a secret is understood.",
  authorization_malformed: "The Authorization header is no Basic header that can be read. Percent-encode id and secret before Base64.",
  authorization_repeated: "The request has several Authorization headers.",
  challenge_malformed: "The code_challenge isn't 43 characters of base64url. It is the SHA-256 of the verifier, without padding.",
  challenge_method_unsupported: "code_challenge_method has to be S256, spelled exactly so.",
  challenge_missing: "The request has no code_challenge, and the app requires PKCE.",
  client_authenticated_twice: "The secret came in the Authorization header and in the body. Use one of them.",
  client_id_differs: "The client id in the body is another than that of the Authorization header.",
  client_id_malformed: "The client id isn't spelled like one.",
  client_is_public: "Public apps can't introspect tokens.",
  client_missing: "The request says no client id.",
  client_unknown: "No app has this client id.",
  code_expired: "The code was older than 300 seconds.",
  code_foreign: "The code was issued to another app.",
  code_malformed: "What was sent as code isn't spelled like one: perhaps cut off, or decoded twice.",
  code_missing: "The request has no code.",
  code_replayed: "The code was redeemed a second time: stolen or used twice. Its access was ended, and an alert opened.",
  code_unknown: "There is no such code.",
  consent_required: "The person would have to be asked, and the request said prompt=none.",
  denied_by_user: "The person said no.",
  grant_expired: "The access ended 180 days after the person's consent.",
  grant_revoked: "The access was ended. Send the person through the flow again.",
  grant_type_missing: "The request has no grant_type.",
  grant_type_not_allowed: "A public app can't use client_credentials.",
  grant_type_unsupported: "The grant_type is none of authorization_code, refresh_token and client_credentials.",
  ip_not_allowed: "The request came from outside the networks that the app or the organization allows.",
  not_a_form: "The body isn't a form: send application/x-www-form-urlencoded.",
  nothing_granted: "The person ticked nothing that the role may give and the app still has.",
  organization_not_chosen: "The person chose no organization for the app to act for.",
  parameter_repeated: "A parameter was sent twice.",
  redirect_uri_malformed: "The redirect URI can't be read.",
  redirect_uri_mismatch: "The redirect URI is none of the registered ones, or another than at authorize. Compared byte for byte.",
  redirect_uri_missing: "The request has no redirect_uri.",
  refresh_reuse_detected: "A refresh token was used twice: one of the two who hold it is a thief, so all of this access was ended.",
  refresh_token_foreign: "The refresh token was issued to another app.",
  refresh_token_idle: "The refresh token wasn't used for 30 days.",
  refresh_token_malformed: "What was sent as refresh token isn't spelled like one.",
  refresh_token_missing: "The request has no refresh_token.",
  refresh_token_unknown: "There is no such refresh token.",
  request_not_supported: "Request objects (request) aren't read.",
  request_uri_not_supported: "Request objects (request_uri) aren't fetched.",
  resource_not_granted: "The resource is another than those the person was asked about.",
  resource_unknown: "The resource is none that this service issues tokens for.",
  response_mode_unsupported: "response_mode can only be query.",
  response_type_missing: "The request has no response_type.",
  response_type_unsupported: "response_type can only be code.",
  scope_malformed: "The scope holds a character that no scope has.",
  scope_missing: "The request names no scope, and the app has no default scopes.",
  scope_not_allowed: "The request names a scope that this app doesn't have.",
  scope_not_granted: "The request asks for more than the person has granted.",
  scope_unknown: "The request names a scope that doesn't exist.",
  secret_ended: "The secret has ended. The app still sends an old one.",
  secret_missing: "The app is confidential and sent no secret.",
  secret_unexpected: "The app is public, and sent a secret. It has none.",
  secret_unknown: "The secret is none of this app's.",
  state_malformed: "The state holds more than visible ASCII characters, or is over 2,048 long.",
  state_missing: "The request has no state, and State Parameter Validation is on.",
  token_foreign: "The token was issued to another app.",
  token_missing: "The request has no token.",
  too_many_failures: "20 failed authentications within 60 seconds from this address. It has to wait.",
  user_removed: "The person isn't in the organization any more.",
  verifier_malformed: "The code_verifier isn't 43 to 128 characters of the allowed ones.",
  verifier_mismatch: "The code_verifier doesn't belong to the code_challenge of this code. Keep it with the person's session.",
  verifier_missing: "The request has no code_verifier, and the code was asked for with PKCE.",
  verifier_unexpected: "The request has a code_verifier, and the code was asked for without PKCE.",
};

/** The refused exchanges of an app, newest first. */
export function failuresOf(app) {
  const entries = list(
    (cursor) => get(ofOrg(`/apps/${app.id}/failures`), { limit: 20, cursor }),
    (items) => table("Refused exchanges", [
      ["Reason", reason], ["Exchange", (item) => EXCHANGES[item.action] ?? words(item.action), "whole"],
      ["Time", (item) => when(item.occurred_at)], ["From", from], ["Request", request],
    ], items),
    () => empty("Nothing was refused", "When a request of this app is refused, the true reason stands here. "
      + "The app itself gets a vaguer answer, so that nobody learns by probing."),
  );
  entries.load();
  return section("Recent failures", {
    actions: h("button", { type: "button", class: "button small", onclick: () => entries.load() }, "Look again"),
    lead: "The client id is public: an entry about a wrong or missing secret may be somebody else's attempt.",
  }, entries);
}

function reason(item) {
  const said = REASONS[item.reason] ?? words(item.reason ?? "unknown");
  const at = Number.isInteger(item.first_difference) ? ` The first difference is at byte ${item.first_difference}.` : "";
  return [said, at, " ", item.reason ? h("code", {}, item.reason) : null];
}

function from(item) {
  return [item.ip ? h("span", { class: "whole" }, item.ip) : h("span", { class: "quiet" }, "unknown"),
    item.user_agent ? h("div", { class: "quiet clipped", title: item.user_agent }, item.user_agent) : null];
}

function request(item) {
  return item.request_id ? [h("code", {}, item.request_id), " ", copyButton(item.request_id, "Copy id")] : h("span", { class: "quiet" }, "–");
}
