// Verifies messages with the JavaScript library of Standard Webhooks; where the secret is a public key (whpk_), which that library
// does not know, with Node's own ed25519.
//
// Reads a JSON array of {"secret", "body", "headers"} on standard input, writes a JSON array of booleans. Its argument is a
// directory that the library is installed in.

import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.argv[2]}/`);
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

function isValidByPublicKey({ secret, body, headers }) {
  const x = Buffer.from(secret.slice("whpk_".length), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  return headers["webhook-signature"].split(" ").some((signature) => {
    const [version, base64] = signature.split(",");
    return version === "v1a" && verify(null, signed, key, Buffer.from(base64, "base64"));
  });
}

function isValid({ secret, body, headers }) {
  if (secret.startsWith("whpk_")) {
    return isValidByPublicKey({ secret, body, headers });
  }
  try {
    new Webhook(secret).verify(body, headers, { jsonParse: false });
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) {
      return false;
    }
    throw error;
  }
}

const cases = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(isValid)));
