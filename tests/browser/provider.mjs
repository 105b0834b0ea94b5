// An OpenID provider that is certified (npm `oidc-provider`), with people, sign-in pages and faults that a test
// chooses. It listens on loopback only. Its first line on stdin says what it is started with:
//
//   {"port": 1, "client": {"client_id": …, "redirect_uris": […]}, "people": {"alice": {"password": …, "claims": {…}}}}
//
// After that each line is an order (see `orders` below), answered by one line with the same `id`. It ends when
// stdin does, so it never outlives its test.
//
// What it promises: a second factor is in `acr` and `amr` only if the person chose one; `acr_values` is asked for as long as
// `ignore_acr_values` is off, and is met by anything as strong; a person who is disabled neither signs in nor keeps a refresh token.
import { createServer } from 'node:http';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Provider, errors, interactionPolicy } from 'oidc-provider';

/** The ways to sign in, from weak to strong. */
const FACTORS = {
  none: { acr: 'urn:test:pwd', amr: ['pwd'] },
  otp: { acr: 'urn:test:mfa', amr: ['pwd', 'otp', 'mfa'] },
  webauthn: { acr: 'urn:test:phr', amr: ['hwk', 'user', 'mfa'] },
};
const ACRS = Object.values(FACTORS).map((factor) => factor.acr);

const CLAIMS = ['groups', 'roles', 'employment', 'country', 'department', 'contract_end', 'stage', 'risk', 'device_id',
  'device_managed', 'device_compliant', 'device_platform', 'name', 'email', 'email_verified'];

let started;
let keys = [];
let current;
let server;
const store = new Map();
const counts = {};
const faults = { ignore_acr_values: false, slow_millis: 0, refuse: false, only: null };

// === what it remembers ===

/** All that the provider keeps, in memory and without a bound: a test has few people. */
class Adapter {
  constructor(kind) { this.kind = kind; }
  static alive(entry) { return entry && (!entry.until || entry.until > Date.now()) ? entry.payload : undefined; }
  static by(test) { return [...store.values()].map(Adapter.alive).find((payload) => payload && test(payload)); }
  async upsert(id, payload, seconds) {
    store.set(`${this.kind}:${id}`, { payload, until: seconds && Date.now() + seconds * 1000 });
  }
  async find(id) { return Adapter.alive(store.get(`${this.kind}:${id}`)); }
  async findByUid(uid) { return Adapter.by((payload) => payload.kind === this.kind && payload.uid === uid); }
  async findByUserCode() { return undefined; }
  async consume(id) { (await this.find(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { store.delete(`${this.kind}:${id}`); }
  async revokeByGrantId(grant) {
    for (const [key, { payload }] of store) if (payload.grantId === grant) store.delete(key);
  }
}

function newKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'ES256' };
}

const person = (name) => {
  const found = started.people[name];
  return found && !found.disabled ? found : undefined;
};

// === the provider ===

function policy() {
  const base = interactionPolicy.base();
  const { Prompt, Check } = interactionPolicy;
  base.add(new Prompt({ name: 'select_account', requestable: true }), 0);
  base.get('login').checks.add(new Check('acr', 'a stronger sign-in is asked for', 'login_required', (ctx) => {
    const asked = (ctx.oidc.params.acr_values || '').split(' ').map((acr) => ACRS.indexOf(acr)).filter((rank) => rank >= 0);
    if (faults.ignore_acr_values || !asked.length || ctx.oidc.result?.login) return Check.NO_NEED_TO_PROMPT;
    return ACRS.indexOf(ctx.oidc.session.acr) >= Math.min(...asked) ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT;
  }));
  return base;
}

function provider() {
  const made = new Provider(`http://127.0.0.1:${started.port}`, {
    adapter: Adapter,
    jwks: { keys },
    clients: [{
      client_secret: 'not-a-secret-of-anybody-0123456789abcdef',
      grant_types: ['authorization_code', 'refresh_token'],
      id_token_signed_response_alg: 'ES256',
      backchannel_logout_session_required: true,
      ...started.client,
    }],
    cookies: { keys: ['the tests'], names: { session: 'op_session', interaction: 'op_interaction', resume: 'op_resume' } },
    claims: {
      openid: ['sub', 'acr', 'amr', 'auth_time', ...CLAIMS.filter((claim) => !['name', 'email', 'email_verified'].includes(claim))],
      email: ['email', 'email_verified'], profile: ['name'],
      acr: null, amr: null, auth_time: null, iss: null, sid: null,
    },
    conformIdTokenClaims: false,
    acrValues: ACRS,
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      claimsParameter: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { logoutSource: (ctx, form) => { ctx.body = signOutPage(form); } },
    },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}`, policy: policy() },
    findAccount: (_, sub) => person(sub) && { accountId: sub, claims: async () => ({ sub, ...person(sub).claims }) },
    loadExistingGrant: async (ctx) => {
      const grant = new made.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid email profile offline_access');
      await grant.save();
      return grant;
    },
    issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
    expiresWithSession: async () => false,
    rotateRefreshToken: () => started.rotate_refresh_tokens !== false,
    // What it calls is the gateway under test, which is on loopback, too.
    fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
    ttl: { Session: 86_400, Grant: 86_400, RefreshToken: 86_400, AccessToken: 600, IdToken: 600, Interaction: 600 },
  });
  return made;
}

// === its pages ===

const escape = (text) => String(text ?? '').replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

const page = (title, body) => `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<style>body{font:16px/1.6 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem}
input,select,button{font:inherit;width:100%;padding:.4rem;margin:.2rem 0 1rem;box-sizing:border-box}</style>
<h1>${title}</h1>${body}</html>`;

const signInPage = (uid, hint, problem) => page('Corp identity provider', `
${problem ? `<p role="alert">${escape(problem)}</p>` : ''}<form method="post" action="/interaction/${uid}">
<label>User <input name="user" value="${escape(hint)}" autocomplete="username"></label>
<label>Password <input name="password" type="password"></label>
<label for="factor">Second factor</label><select id="factor" name="factor"><option value="none">none</option><option value="otp">one-time password</option>
<option value="webauthn">security key</option></select>
<button name="go" value="in">Sign in</button> <button name="go" value="cancel">Cancel</button></form>`);

const signOutPage = (form) => page('Sign out here, too?', `${form}
<button form="op.logoutForm" name="logout" value="yes">Yes, sign out</button> <button form="op.logoutForm">No, stay</button>`);

async function form(req) {
  let text = '';
  for await (const piece of req) if ((text += piece).length > 16_384) break;
  return new URLSearchParams(text);
}

async function interaction(req, res) {
  const { uid, prompt, params } = await current.interactionDetails(req, res);
  const finish = (result) => current.interactionFinished(req, res, result, { mergeWithLastSubmission: true });
  if (prompt.name === 'consent') return finish({ consent: {} });
  const show = (problem) => res.writeHead(problem ? 403 : 200, { 'content-type': 'text/html' }).end(signInPage(uid, params.login_hint, problem));
  if (req.method !== 'POST') return show();
  const filled = await form(req);
  if (filled.get('go') === 'cancel') return finish({ error: 'access_denied', error_description: 'they do not want to' });
  const [name, factor] = [filled.get('user'), FACTORS[filled.get('factor')] ?? FACTORS.none];
  if (!person(name) || person(name).password !== filled.get('password')) return show('Unknown user or wrong password.');
  return finish({ select_account: {}, login: { accountId: name, remember: true, ...factor } });
}

// === the door ===

async function serve(req, res) {
  const { pathname } = new URL(req.url, 'http://localhost');
  counts[pathname] = (counts[pathname] ?? 0) + 1;
  const meant = !faults.only || faults.only === pathname;
  if (meant && faults.slow_millis) await new Promise((later) => { setTimeout(later, faults.slow_millis); });
  if (meant && faults.refuse) return res.writeHead(503, { 'content-type': 'text/plain' }).end('503: out of order\n');
  if (!pathname.startsWith('/interaction/')) return current.callback()(req, res);
  return interaction(req, res).catch((error) => {
    const gone = error instanceof errors.SessionNotFound;
    res.writeHead(gone ? 400 : 500, { 'content-type': 'text/html' }).end(page('That did not work', `<p>${escape(error.message)}</p>`));
  });
}

const up = () => new Promise((done, failed) => {
  server = createServer((req, res) => { serve(req, res); });
  server.once('error', failed);
  server.listen(started.port, '127.0.0.1', done);
});

const down = () => new Promise((done) => {
  server.close(done);
  server.closeAllConnections();
});

/** What a test can order. */
const orders = {
  start: async (how) => {
    started = how;
    keys = [newKey()];
    current = provider();
    await up();
  },
  /** Other addresses of the client than it was started with. */
  client: async ({ client }) => {
    Object.assign(started.client, client);
    current = provider();
  },
  /** `ignore_acr_values`, `slow_millis`, `refuse` (503), and `only`, the one path that is slow or refuses. */
  faults: async (changed) => { Object.assign(faults, changed); },
  down,
  up,
  /** Adds or changes people: `{"alice": {"disabled": true}}`, or their claims. */
  people: async (changed) => {
    for (const [name, { claims, ...more }] of Object.entries(changed)) {
      const before = started.people[name] ?? {};
      started.people[name] = { ...before, ...more, claims: { ...before.claims, ...claims } };
    }
  },
  /** A new key signs; the old ones stay published unless they are dropped. */
  rotate_keys: async ({ drop_old: drop }) => {
    keys = [newKey(), ...(drop ? [] : keys)];
    current = provider();
  },
  /** Ends the person's sessions here, and tells the client of each (OpenID Connect Back-Channel Logout 1.0). */
  back_channel_logout: async ({ person: name }) => {
    const client = await current.Client.find(started.client.client_id);
    const sessions = [...store].map(([key, entry]) => [key, Adapter.alive(entry)])
      .filter(([, payload]) => payload?.kind === 'Session' && payload.accountId === name);
    for (const [key, payload] of sessions) {
      const sid = payload.authorizations?.[client.clientId]?.sid;
      store.delete(key);
      if (sid) await client.backchannelLogout(name, sid);
    }
    return sessions.length;
  },
  /** How often each path was asked for. */
  counts: async () => counts,
};

const lines = createInterface({ input: process.stdin });
lines.on('line', async (line) => {
  const { id, order, ...rest } = JSON.parse(line);
  let answer;
  try {
    answer = { id, ok: (await orders[order](rest)) ?? null };
  } catch (error) {
    answer = { id, error: String(error.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
lines.on('close', () => process.exit(0));
