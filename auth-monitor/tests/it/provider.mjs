// A provider that people sign in to through forms, as a production one is set up: a name and a password, then a consent.
import { createServer } from 'node:http';

const [, folder, port, ...more] = process.argv;
const options = JSON.parse(more[0] ?? '{}');
const { Provider } = await import(`${folder}/oidc-provider/lib/index.js`);

const issuer = `http://127.0.0.1:${port}`;
const accounts = { 'ada@example.com': 'right' };
const client = (id, more) => ({
  client_id: id, redirect_uris: ['https://app.example.com/callback'], response_types: ['code'],
  grant_types: ['authorization_code'], ...more,
});

const provider = new Provider(issuer, {
  clients: [
    client('web', { client_secret: 'a secret / with = signs' }),
    client('posts', { client_secret: 'posted', token_endpoint_auth_method: 'client_secret_post' }),
    client('app', { token_endpoint_auth_method: 'none' }),
    client('narrow', { token_endpoint_auth_method: 'none', scope: 'openid' }),
  ],
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  scopes: ['openid', 'email'],
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: ['not a secret'] },
  ...options,
});

const page = (title, form) => `<!DOCTYPE html>
<html><head><title>${title}</title><script>"<form method=post action=/evil><input type=password name=p></form>"</script>
</head><body>
<form action="/search"><input type="search" name="q"></form>
<form method="post" autocomplete="off">${form}</form></body></html>`;
const signIn = page('Sign in &ndash; Example', `
  <input type="hidden" name="csrf" value="a&quot;b">
  <input required type="email" name="login">
  <input required type="password" name="password">
  <button name="do" value="in">Sign in</button>`);
const consent = page('May it?', '<input type="hidden" name="csrf" value="a&quot;b"><button name="do" value="yes">Yes</button>');

async function interact(request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    response.setHeader('content-type', 'text/html');
    return response.end(prompt.name === 'login' ? signIn : consent);
  }
  if (request.headers.origin !== issuer) throw new Error('the form came from elsewhere');
  let body = '';
  for await (const chunk of request) body += chunk;
  const form = new URLSearchParams(body);
  if (form.get('csrf') !== 'a"b') throw new Error('the hidden field did not come back');
  if (prompt.name === 'login') {
    const login = form.get('login');
    if (form.get('do') !== 'in') throw new Error('the button did not come');
    if (accounts[login] !== form.get('password')) {
      response.setHeader('content-type', 'text/html');
      return response.end(signIn);
    }
    return provider.interactionFinished(request, response, { login: { accountId: login } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope);
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } });
}

const callback = provider.callback();
createServer((request, response) => {
  if (!request.url.startsWith('/interaction/')) return callback(request, response);
  interact(request, response).catch((error) => {
    response.statusCode = 500;
    response.end(String(error));
  });
}).listen(Number(port), '127.0.0.1');
