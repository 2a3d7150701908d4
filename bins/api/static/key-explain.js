// How a call with a key would be judged, step by step.

import { ofOrg, post } from "./api.js";
import { h, replace } from "./dom.js";
import { words } from "./format.js";
import { badge, clearErrors, coded, field, problem, run, section, showErrors } from "./parts.js";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const OUTCOMES = { pass: ["passed", "good"], fail: ["failed", "bad"], skipped: ["not judged", ""] };
const STEPS = {
  client_address: "Client address", allowlist: "Allowlist", state: "State of the key", environment: "Environment", scope: "Scope", rate: "Rate limit",
};

/** A section with the form and, once asked, the verdict. */
export function explainer(id) {
  const said = problem();
  const verdict = h("div", { class: "verdict" });
  const button = h("button", { type: "submit", class: "button strong" }, "Explain");
  const form = h("form", {
    onsubmit: async (event) => {
      event.preventDefault();
      await run(button, async () => {
        const call = Object.fromEntries(new FormData(form));
        const answer = await post(ofOrg(`/keys/${id}/explain`), call);
        clearErrors(form, said);
        replace(verdict, told(call, answer));
        verdict.firstElementChild.focus();
      }, (error) => {
        replace(verdict);
        showErrors(form, said, error);
      });
    },
  }, h("div", { class: "explain" },
    field({ label: "Method", name: "method", value: "GET", options: METHODS.map((name) => [name, name]) }),
    field({ label: "Path", name: "path", required: true, placeholder: "/api/v1/checks", autocomplete: "off", spellcheck: "false" }),
    field({ label: "Client address", name: "client_ip", required: true, placeholder: "203.0.113.7", autocomplete: "off", spellcheck: "false" })),
  said, h("div", {}, button));
  return section("Explain a call", {
    lead: "See how a call would be judged and why. It counts nowhere: not as a use of the key, not for its rate limit, and it opens no alert.",
  }, form, verdict);
}

function told(call, { allowed, code, status, steps }) {
  return [
    h("p", { class: "name", tabindex: "-1" }, badge(allowed ? "allowed" : "refused", allowed ? "good" : "bad"),
      ` ${call.method} ${call.path} from ${call.client_ip}: ${status} `, h("code", {}, code)),
    h("ol", { class: "steps" }, steps.map(({ step, outcome, detail }) => h("li", {}, badge(...(OUTCOMES[outcome] ?? [outcome, ""])),
      h("div", {}, h("span", { class: "name" }, STEPS[step] ?? words(step)), h("p", { class: "quiet" }, coded(detail)))))),
  ];
}
