// Whether a redirect URI can be registered, told while it is typed. The server judges it again and more closely; here are the
// mistakes that people make.

const LONGEST = 2048;
const ANSWERED = ["code", "state", "iss", "error", "error_description"];
const LOOPBACK = /^http:\/\/(127\.0\.0\.1|\[::1\])(:[1-9][0-9]{0,4})?([/?]|$)/;
const LOCALHOST = /^http:\/\/localhost(:[1-9][0-9]{0,4})?([/?]|$)/;
const PRIVATE = /^[a-z][a-z0-9-]*(\.[a-z0-9-]+)+:\/(?!\/$|\/\?)/;

/** What is wrong with it, in words, or an empty text. Nothing is no mistake: a row may be empty. */
export function wrongWith(text, isPublic) {
  if (!text) return "";
  if (text.length > LONGEST) return "It has at most 2,048 characters.";
  if (!/^[!-~]+$/.test(text) || /[\\"<>^`{|}]/.test(text)) return "Only visible ASCII characters, without blanks; percent-encode others.";
  if (text.includes("#")) return "No fragment: leave out # and what follows.";
  if (text.includes("*")) return "No wildcard: register each address by itself.";
  if (/%(?![0-9a-f]{2})/i.test(text)) return "A % is followed by two hexadecimal digits.";
  const url = parse(text);
  if (!url) return "Write the whole address, such as https://app.example/callback.";
  if (url.username || url.password) return "No user name or password (@).";
  if (ANSWERED.some((name) => url.searchParams.has(name))) return `The query can't hold ${ANSWERED.join(", ")}: the answer adds them.`;
  return schemeOf(text, isPublic);
}

function schemeOf(text, isPublic) {
  if (text.startsWith("https://") || LOOPBACK.test(text)) return "";
  if (LOCALHOST.test(text)) return isPublic ? "" : "Only public apps may use localhost. Write http://127.0.0.1 instead.";
  if (PRIVATE.test(text)) return isPublic ? "" : "Only public apps may use a scheme of their own.";
  if (text.startsWith("http:")) return "Plain http is for 127.0.0.1 and [::1] only. Use https.";
  return isPublic
    ? "Use https, http on 127.0.0.1, [::1] or localhost, or a scheme with a dot in it, such as com.example.app:/callback."
    : "Use https, or http on 127.0.0.1 or [::1].";
}

function parse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
