/**
 * What generated policies and requests are written with: few values, so that they meet, and odd ones among them.
 */

/** The workload's port, the same on both sides: Envoy's listeners have an address each and this one port. */
export const WORKLOAD_PORT = 18_080;

/** MeshConfig of a set: names that bring every row of the table of trust domains. */
export interface TrustDomains {
  readonly own: string;
  readonly aliases: readonly string[];
}

export const TRUST_DOMAINS: readonly TrustDomains[] = [
  { own: 'cluster.local', aliases: [] },
  { own: 'td1', aliases: [] },
  { own: 'td1', aliases: ['cluster.local'] },
  { own: 'new-td', aliases: ['old-td', 'some-trustdomain'] },
];

export const ALL_TRUST_DOMAINS: readonly string[] = [
  ...new Set(TRUST_DOMAINS.flatMap(({ aliases, own }) => [own].concat(aliases))),
];

/** What follows the trust domain in the SPIFFE IDs of callers. */
export const ID_PATHS = [
  'ns/foo/sa/sleep',
  'ns/foo/sa/sleep2',
  'ns/bar/sa/sleep',
  'ns/foo-bar/sa/a',
  // What the patterns of namespaces and service accounts also find.
  'x/ns/foo/sa/a',
  'ns/foo/x/sa/sleep/y',
] as const;

/** Loopback addresses that callers have. */
export const CALLER_IPS = ['127.88.0.1', '127.88.0.2', '127.88.1.1'] as const;

export const SNIS = ['', 'a.example.com', 'outbound_.80_._.httpbin.foo.svc.cluster.local'] as const;

export const SNI_VALUES = ['a.example.com', '*.example.com', 'outbound_.80*', '*', 'A.example.com'] as const;

export const NAMESPACES = [
  'foo',
  'bar',
  'foo-bar',
  'fo',
  'f*',
  '*oo',
  '*',
  'f*o',
  'fo*bar',
  'FOO',
  'x',
] as const;

export const SERVICE_ACCOUNTS = [
  'sleep',
  'sleep2',
  'a',
  'foo/sleep',
  'bar/sleep',
  'foo/sleep2',
  'foo-bar/a',
  'foo/slee',
] as const;

export const TRUST_DOMAIN_VALUES = [
  ...ALL_TRUST_DOMAINS,
  '*',
  'old*',
  '*-td',
  'td*',
  'new-t',
  '*.local',
  'other',
  'TD1',
] as const;

export const IP_BLOCKS = [
  '127.88.0.1',
  '127.88.0.1/32',
  '127.88.0.0/31',
  '127.88.0.2/31',
  '127.88.0.0/24',
  '127.88.1.0/24',
  '127.88.0.0/23',
  '127.0.0.0/8',
  '0.0.0.0/0',
  '10.0.0.0/8',
  '128.0.0.0/1',
  '::/0',
  '2001:db8::/32',
] as const;

/** What callers write into x-forwarded-for. */
export const FORWARDED_FOR = [
  '1.2.3.4',
  '1.2.3.5',
  '1.2.4.4',
  '10.1.2.3',
  '2001:db8::7',
  '9.9.9.9, 1.2.3.4',
  '1.2.3.4, 10.1.2.3',
  '1.2.3.4,unknown',
  'unknown',
  '127.88.0.1',
] as const;

export const REMOTE_IP_BLOCKS = [
  '1.2.3.4',
  '1.2.3.0/24',
  '1.2.3.4/31',
  '10.0.0.0/8',
  '2001:db8::/32',
  '127.88.0.1',
  '127.88.0.0/24',
  '0.0.0.0/0',
  '::/0',
] as const;

export const HOSTS = [
  'a.com',
  'A.com',
  'a.com:*',
  'a.com:8080',
  '*.com',
  '*.a.com',
  'a.*',
  '*',
  'httpbin.foo',
  'b.a.com',
  '*:8080',
] as const;

export const HOSTS_SENT = [
  'a.com',
  'A.COM',
  'a.com:8080',
  'a.com:80',
  'b.a.com',
  'httpbin.foo',
  'ba.com',
  'a.comm',
  'a.com.',
  'xa.com:8080',
] as const;

export const METHODS = ['GET', 'POST', 'PUT', 'DELETE', '*', 'P*', '*T', 'get', 'G*T', 'GE'] as const;

export const METHODS_SENT = ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD'] as const;

export const PATHS = [
  '/info',
  '/info*',
  '/info/*',
  '*/info',
  '*.json',
  '/admin',
  '/admin/',
  '/A',
  '/a*b',
  '*',
  '/',
  '/a.b',
  '/a%20b',
  '/a%2Fb',
  '//a',
  '/info?x=1',
  '/%7Euser',
  '*/*',
  '/pkg.Svc/Method',
] as const;

export const PATH_TEMPLATES = [
  '/{*}',
  '/{**}',
  '/a/{*}/c',
  '/a/{**}',
  '/a/{**}/c',
  '/{*}/info',
  '/{*}/{*}',
  '/a/{*}/{**}',
  '/a.b/{*}',
] as const;

export const PATHS_SENT = [
  '/',
  '/info',
  '/info/',
  '/info/x',
  '/infox',
  '/inf',
  '/INFO',
  '/x/info',
  '/admin',
  '/admin/',
  '/admin/x.json',
  '/A',
  '/a',
  '/a*b',
  '/a-b',
  '/a.b',
  '/axb',
  '/a%20b',
  '/a%2Fb',
  '/a%2fb',
  '/a//b',
  '//a',
  '/a/b/c',
  '/a/c',
  '/a//c',
  '/a/b/x/c',
  '/a/b',
  '/a/',
  '/a.b/x',
  '/info?x=1',
  '/info?',
  '/?/info',
  '/info#f',
  '/x/../info',
  '/./info',
  '/%69nfo',
  '/info/../admin',
  '/info/%2e%2e/admin',
  '/x/..;/info',
  '/info;x',
  '/a\\b\\c',
  '/a%5cb/c',
  '/~user',
  '/%7euser',
  '/a/{x}/c',
  '/a/"b"/c',
  '/a/[b]/c',
  '/a/b%zz/c',
  '/pkg.Svc/Method',
  '/info%00',
] as const;

/** Header names of conditions, and the values that are wanted of them and sent in them. */
export const HEADERS: Readonly<
  Record<string, { readonly wanted: readonly string[]; readonly sent: readonly string[] }>
> = {
  'x-role': {
    wanted: ['admin', 'ad*', '*min', '*', 'a,b', 'a', 'Admin', 'a*n'],
    sent: ['admin', 'Admin', 'adm', 'xmin', '', 'a', 'b', 'a,b', 'a, b', 'admin '],
  },
  'X-Team': { wanted: ['red', 'r*', '*'], sent: ['red', 'blue', 'r', ''] },
  'user-agent': { wanted: ['curl*', '*8.1', 'x'], sent: ['curl/8.1', 'curl', 'x', 'wget'] },
  ':method': { wanted: ['GET', 'P*'], sent: [] },
  ':scheme': { wanted: ['https', 'http'], sent: [] },
  ':path': { wanted: ['/info', '/info*', '*x=1'], sent: [] },
  host: { wanted: ['a.com', '*:8080', 'A.COM'], sent: [] },
  'x-forwarded-proto': { wanted: ['https', 'http'], sent: [] },
  'x-forwarded-client-cert': { wanted: ['*', 'By=*'], sent: [] },
  cookie: { wanted: ['a=1', '*b=2', 'a=1; b=2'], sent: ['a=1', 'b=2', 'a=1; b=2'] },
};

export const ISSUERS = ['https://a.com', 'b', 'https://a.com/x'] as const;
export const SUBJECTS = ['bar', 'ba', 'u/v', ''] as const;

export const REQUEST_PRINCIPALS = [
  '*',
  'https://a.com/bar',
  'b/bar',
  'b/ba*',
  'b/*',
  'b*',
  '*bar',
  '*/bar',
  '*a.com/bar',
  'https://a.com/*',
  '*a.com/ba*',
  'b',
  'https*',
  'https://a.com/x/bar',
  'b/u/v',
  '*/ba',
  'B/bar',
] as const;

export const AUDIENCES = ['app', 'app2', 'http://app', 'ap*', '*2', '*'] as const;
export const PRESENTERS = ['web', 'w*', '*', 'cli'] as const;

/** Brackets of `request.auth.claims` and what is wanted there. */
export const CLAIM_KEYS: Readonly<Record<string, readonly string[]>> = {
  '[groups]': ['x', 'y', '*', 'x*', 'xy'],
  '[role]': ['dev', 'd*', '*v', '*'],
  '[scope]': ['read', 'read write', 'w*'],
  '[a][b]': ['c', '*', 'c*'],
  '[a][l]': ['x', 'y'],
  '[x.y]': ['dot'],
  '[n]': ['1', '*'],
  '[iss]': ['b', 'https*'],
  '[a[b]]': ['c'],
};

/** Values of claims in tokens; undefined: the claim is absent. */
export const CLAIM_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  groups: ['x', ['x', 'y'], ['y'], [], ['xy', 1], [['x']], undefined],
  role: ['dev', 'd', '', 'xv', 1, null, undefined],
  scope: ['read write', 'read', 'write', ' read', ['read write'], undefined],
  a: [{ b: 'c' }, { b: ['c', 'd'] }, { l: ['x'] }, 'c', { b: '' }, undefined],
  'x.y': ['dot', undefined],
  x: [{ y: 'dot' }, undefined],
  n: [1, '1', true, undefined],
  aud: ['app', 'app2', ['app', 'other'], 'http://app', 'app/', undefined],
  azp: ['web', 'cli', 'w', undefined],
};

/** `experimental.…` keys; nothing sets such metadata here. */
export const EXPERIMENTAL_KEYS = [
  'experimental.envoy.filters.network.mysql_proxy[db.table]',
  'experimental.envoy.filters.x.y[z]',
] as const;

export const POLICY_NAMES = ['p', 'a', 'p-1', 'p.x', 'z'] as const;
