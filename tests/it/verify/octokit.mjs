// Verifies `sha256=…` signatures with the library that receivers of GitHub's webhooks use, which have the same form.
//
// Reads a JSON array of {"secret", "body", "headers", "signature"} on standard input, the last being the header's name; writes a JSON
// array of booleans. Its argument is a directory that the library is installed in.

import { readFileSync } from "node:fs";

const library = `${process.argv[2]}/node_modules/@octokit/webhooks-methods/dist-node/index.js`;
const { verify } = await import(library);

const cases = JSON.parse(readFileSync(0, "utf8"));
const verdicts = cases.map(({ secret, body, headers, signature }) => verify(secret, body, headers[signature]));
process.stdout.write(JSON.stringify(await Promise.all(verdicts)));
