// What the programs of this folder share: settings from the test, the person's part, a report for the test.
import { webcrypto } from 'node:crypto';

// Node 18, which Debian 12 has, knows it under another name only. The libraries read it when they are called.
globalThis.crypto ??= webcrypto;

const [step, text] = process.argv.slice(2);
export const settings = JSON.parse(text);
export const issuer = new URL(settings.issuer);

/** Opens an address as a browser would, and decides; answers the address that the browser is sent back to. */
export async function person(url, decision) {
  const answer = await fetch(`${settings.person}/${decision}`, { method: 'POST', body: url.href });
  return new URL(await answer.text());
}

/** What the library says when it refuses. */
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    const { name, code, status, error: word } = error;
    return { name, code, status, error: word };
  }
  return { name: 'accepted' };
}

/** Does the step that the test names. */
export async function run(steps) {
  console.log(JSON.stringify(await steps[step]()));
}
