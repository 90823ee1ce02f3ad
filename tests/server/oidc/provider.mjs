// An OpenID provider (panva's, certified) on TLS: node provider.mjs PORT KEY CERTIFICATE CALLBACK
// Its own development pages ask for a name, take any password, and ask for consent.
import fs from "node:fs";
import https from "node:https";
import Provider from "oidc-provider";

const [port, key, certificate, callback] = process.argv.slice(2);
const provider = new Provider(`https://localhost:${port}`, {
  clients: [{ client_id: "hotmend", client_secret: "a secret of the tests", redirect_uris: [callback] }],
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["preferred_username"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: `name of ${id}` }) }),
});
const options = { key: fs.readFileSync(key), cert: fs.readFileSync(certificate) };
https.createServer(options, provider.callback()).listen(Number(port), "127.0.0.1", () => console.log("listening"));
