// An OpenID provider (panva's, certified) on TLS: node provider.mjs KEY CERTIFICATE CALLBACK
// It says on which port it listens.
// Its own development pages ask for a name, take any password, and ask for consent.
import fs from "node:fs";
import https from "node:https";
import Provider from "oidc-provider";

const [key, certificate, callback] = process.argv.slice(2);
const settings = {
  clients: [{ client_id: "hotmend", client_secret: "a secret of the tests", redirect_uris: [callback] }],
  pkce: { required: () => true },
  claims: { openid: ["sub"], profile: ["preferred_username"] },
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, preferred_username: `name of ${id}` }) }),
};
const options = { key: fs.readFileSync(key), cert: fs.readFileSync(certificate) };
const server = https.createServer(options).listen(0, "127.0.0.1", () => {
  const { port } = server.address();
  server.on("request", new Provider(`https://localhost:${port}`, settings).callback());
  console.log(`listening on ${port}`);
});
