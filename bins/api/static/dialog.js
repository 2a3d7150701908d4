// Dialogs: the platform's own, which keep the focus and close by Escape.

import { h, replace, uid } from "./dom.js";
import { field, problem, run, showErrors } from "./parts.js";

/** Opens a dialog, whose promise ends when it closes: with what `close` was given, or `undefined` when it was left.
 *
 *  `build` gets `close` and makes the content. What was typed is not lost by a press beside the dialog. With `held` Escape
 *  doesn't close it either: for what is shown once. */
export function open(title, build, { wide = false, held = false } = {}) {
  return new Promise((resolve) => {
    const id = uid("dialog");
    let result;
    const close = (value) => {
      result = value;
      dialog.close();
    };
    const dialog = h("dialog", { "aria-labelledby": id, class: wide ? "dialog wide" : "dialog" });
    const heading = h("h2", { id, tabindex: "-1" }, title);
    const leave = held ? null : h("button", { type: "button", class: "icon", "aria-label": "Close", onclick: () => close() }, "×");
    replace(dialog, h("div", { class: "dialog-head" }, heading, leave), build(close, dialog, heading));
    dialog.addEventListener("cancel", (event) => { if (held) event.preventDefault(); });
    // Chromium lets a second Escape through whatever the first was told.
    dialog.addEventListener("keydown", (event) => { if (held && event.key === "Escape") event.preventDefault(); });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (!dialog.querySelector("[autofocus]")) heading.focus();
  });
}

/** Asks before something is done, does it within the dialog, and stays with the reason when that fails. `typed` has to be
 *  typed first. The promise is what `act` has answered, or `undefined`. `act` gets the form's fields. */
export function confirm(title, { text, fields = [], typed, label, danger = false, act, wide = false }) {
  return open(title, (close) => {
    const button = h("button", { type: "submit", class: danger ? "button danger" : "button strong", disabled: Boolean(typed) }, label);
    const check = typed === undefined ? null : field({
      label: ["Type ", h("b", { class: "name" }, typed), " to confirm"], name: "typed", autocomplete: "off", spellcheck: "false",
      oninput: (event) => { button.disabled = event.target.value.trim() !== typed.trim(); },
    });
    const said = problem();
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const values = Object.fromEntries(new FormData(form));
        await run(button, async () => close(await act(values, form) ?? true), (error) => showErrors(form, said, error));
      },
    }, [text].flat().map((part) => (typeof part === "string" ? h("p", {}, part) : part)), fields, check, said,
    h("div", { class: "actions" }, h("button", { type: "button", class: "button", onclick: () => close() }, "Cancel"), button));
  }, { wide });
}

/** The session has ended: asks for the password, and for nothing that is on the page. */
export function askToSignIn(email, signIn) {
  return open("Sign in to go on", (close) => {
    const said = problem();
    const button = h("button", { type: "submit", class: "button strong" }, "Sign in");
    return h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        const form = event.currentTarget;
        const values = new FormData(form);
        await run(button, async () => {
          await signIn(values.get("email"), values.get("password"));
          close();
        }, (error) => showErrors(form, said, error));
      },
    }, h("p", {}, "Your session has ended. What you have entered is kept, and goes on when you are signed in."),
    field({ label: "Email", name: "email", type: "email", value: email, autocomplete: "username", required: true }),
    field({ label: "Password", name: "password", type: "password", autocomplete: "current-password", required: true, autofocus: true }),
    said, h("div", { class: "actions" }, button));
  }, { held: true });
}
