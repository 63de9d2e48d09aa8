/**
 * The map of `src` as a checker: who may import whom, what the data path never touches, and how files look.
 *
 * Works on text by regular expression, so that it can also be run on a made-up tree.
 */

/** Path below `src` with `/`, and the text. */
export type SourceTree = ReadonlyMap<string, string>;

const DATA_ROOMS = ['intercept', 'tls', 'http', 'filters', 'upstream'] as const;
const PURE_ROOMS = ['core', 'svid', 'wire', 'observe', 'config', 'path', 'mesh', 'policy'] as const;
const ROAD = [...PURE_ROOMS, ...DATA_ROOMS] as const;

/** Room or top-level file → the rooms and top-level files that it may import, besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  svid: ['core'],
  wire: [],
  observe: ['core'],
  config: ['core', 'svid'],
  path: ['core'],
  mesh: ['core', 'svid', 'config'],
  policy: ['core', 'svid', 'config'],
  // `observe` for Istio's access-log formats.
  translate: ['core', 'svid', 'config', 'mesh', 'policy', 'observe'],
  intercept: ['core', 'observe'],
  tls: ['core', 'svid', 'observe'],
  http: ['core', 'path', 'observe'],
  filters: ['core', 'svid', 'path', 'wire', 'observe', 'http', 'policy'],
  upstream: ['core', 'svid', 'observe', 'tls', 'http'],
  identity: ['core', 'svid', 'wire', 'observe'],
  // The parts of the sidecar that judge, and none that meets a network: `intercept` for what first bytes are, `http` for
  // its codec, `svid` for stated certificates, `observe` for counters that nobody reads.
  explain: ['core', 'svid', 'config', 'mesh', 'policy', 'path', 'filters', 'intercept', 'http', 'observe'],
  'main.ts': ['core', 'cli'],
  // The other top-level files are the maps: those that `sidecar.ts` is made of, and those of the control half, which
  // alone may use `identity`; that is checked by following imports.
  MAPS: [...ROAD, 'identity', 'explain', 'MAPS'],
  cli: [...ROAD, 'identity', 'demo', 'translate', 'explain', 'MAPS'],
  demo: [...ROAD, 'identity', 'explain', 'MAPS'],
};

/** Rooms that meet raw bytes: nobody else's HTTP may come between. */
const RAW_ROOMS: ReadonlySet<string> = new Set(['intercept', 'tls', 'http', 'upstream']);
const FOREIGN_HTTP =
  /^(?:node:)?(?:https?|http2|_http_\w+)$|^(?:http-proxy|undici|llhttp|http-parser-js|axios|got|node-fetch)(?:\/|$)|llhttp/;

/** Parts of the control half that live in rooms which the data half may otherwise import. */
const CONTROL_PARTS = /^(?:control\.ts$|identity\/|config\/watch-|filters\/fetch-|observe\/admin-)/;

const BANNED_NAMES = new Set(['index', 'utils', 'helpers', 'types', 'common', 'misc']);
const MAX_LINES = 400;

/** Everything that is wrong, one sentence each; `packages` are the npm packages that the program may use. */
export function findFaults(tree: SourceTree, packages: readonly string[]): string[] {
  const faults: string[] = [];
  for (const [file, text] of tree) {
    faults.push(...nameFaults(file), ...textFaults(file, text));
    for (const specifier of importsOf(text)) {
      faults.push(
        ...(specifier.startsWith('.')
          ? edgeFaults(file, specifier, tree)
          : packageFaults(file, specifier, packages)),
      );
    }
  }
  return [...faults, ...controlFaults(tree)];
}

/** The row of the table that a file below `src` belongs to: its folder, or what it is at the top level. */
export function roomOf(file: string): string {
  const slash = file.indexOf('/');
  if (slash !== -1) return file.slice(0, slash);
  return MAY_IMPORT[file] === undefined ? 'MAPS' : file;
}

/** What a file imports or re-exports, types and dynamic imports included. */
export function importsOf(text: string): string[] {
  const found: string[] = [];
  for (const pattern of [
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\s*\(\s*['"`]([^'"`]+)['"`]/g,
    /\bgetBuiltinModule\s*\(\s*'(node:\w+)'\s*\)/g,
    /\bnew URL\(\s*['"`](\.[^'"`]+\.[jt]s)['"`]\s*,\s*import\.meta\.url/g,
  ]) {
    for (const match of text.matchAll(pattern)) found.push(match[1] ?? '');
  }
  return found;
}

function nameFaults(file: string): string[] {
  const room = roomOf(file);
  if (MAY_IMPORT[room] === undefined) return [`${file}: "${room}" is not in the table of rooms`];
  const name = (file.split('/').at(-1) ?? '').replace(/\.ts$/, '');
  const faults: string[] = [];
  if (!/^_?[a-z0-9]+(?:-[a-z0-9]+)*$/.test(name) && !file.includes('/gen/'))
    faults.push(`${file}: not kebab-case`);
  if (BANNED_NAMES.has(name) && file !== 'index.ts')
    faults.push(`${file}: "${name}" says nothing of what it is`);
  return faults;
}

function textFaults(file: string, text: string): string[] {
  const faults: string[] = [];
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
  if (lines > MAX_LINES && !file.includes('/gen/'))
    faults.push(`${file}: ${lines} lines, more than ${MAX_LINES}`);
  for (const [what, pattern] of [
    ['an enum', /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?enum\s+\w/m],
    ['a namespace', /^\s*(?:export\s+)?(?:declare\s+)?(?:namespace|module)\s+[\w'"]/m],
    ['a decorator', /^\s*@[A-Za-z]\w*(?:\(|\s*$)/m],
    ['a parameter property', /\bconstructor\s*\([^)]*\b(?:public|private|protected)\s+\w/],
    ['a module loaded by a computed name', /\bimport\s*\(\s*[^'"`\s]|\bimport\s*\(\s*`[^`]*\$\{/],
    [
      'a module loaded past the import table',
      /\b(?:createRequire\s*\(|getBuiltinModule\s*\((?!'node:\w+'\)))|(?<![.\w])require\s*\(/,
    ],
  ] as const) {
    if (pattern.test(text)) faults.push(`${file}: has ${what}`);
  }
  if (RAW_ROOMS.has(roomOf(file)) && /(?<![.#\w])fetch\s*\(/.test(text))
    faults.push(`${file}: calls fetch()`);
  return faults;
}

function edgeFaults(file: string, specifier: string, tree: SourceTree): string[] {
  const target = resolveFrom(file, specifier);
  if (target === null) return [`${file}: imports "${specifier}", which is outside src`];
  if (!tree.has(target)) return [`${file}: imports "${specifier}", which does not exist`];
  const from = roomOf(file);
  const to = roomOf(target);
  // A place that is not in the table was named already.
  if (from === to || MAY_IMPORT[from] === undefined) return [];
  const faults: string[] = [];
  if (!MAY_IMPORT[from].includes(to)) faults.push(`${file}: ${from} must not import ${to} ("${specifier}")`);
  if (target.split('/').at(-1)?.startsWith('_') === true)
    faults.push(`${file}: "${specifier}" is private to ${to}`);
  return faults;
}

function packageFaults(file: string, specifier: string, packages: readonly string[]): string[] {
  const room = roomOf(file);
  if (RAW_ROOMS.has(room) && FOREIGN_HTTP.test(specifier))
    return [`${file}: ${room} must not import "${specifier}"`];
  if (specifier.startsWith('node:')) return [];
  const name = specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
  if (!packages.includes(name)) return [`${file}: "${specifier}" is not among the dependencies`];
  // 117 ms to load and up to 2 ms a certificate: never where connections are served.
  const heavy = name === '@peculiar/x509' || name === 'reflect-metadata';
  return heavy && room !== 'identity' ? [`${file}: only identity may import "${name}"`] : [];
}

/** The data half must not reach the control half, over any number of imports. */
function controlFaults(tree: SourceTree): string[] {
  const faults: string[] = [];
  for (const file of tree.keys()) {
    if (
      file !== 'sidecar.ts' &&
      file !== 'data-worker.ts' &&
      !DATA_ROOMS.some((room) => room === roomOf(file))
    )
      continue;
    const way = wayToControl(file, tree);
    // A direct wrong edge between rooms was told already.
    const isTold =
      way !== null && way.length === 2 && MAY_IMPORT[roomOf(file)]?.includes(roomOf(way[1] ?? '')) !== true;
    if (way !== null && !isTold)
      faults.push(`${file}: the data half reaches the control half: ${way.join(' → ')}`);
  }
  return faults;
}

function wayToControl(start: string, tree: SourceTree): readonly string[] | null {
  const ways: (readonly string[])[] = [[start]];
  const seen = new Set([start]);
  for (const way of ways) {
    const file = way.at(-1) ?? '';
    for (const specifier of importsOf(tree.get(file) ?? '')) {
      const target = specifier.startsWith('.') ? resolveFrom(file, specifier) : null;
      if (target === null || seen.has(target)) continue;
      seen.add(target);
      if (CONTROL_PARTS.test(target)) return [...way, target];
      ways.push([...way, target]);
    }
  }
  return null;
}

/** A relative specifier as a path below `src`; null when it leaves `src`. */
function resolveFrom(file: string, specifier: string): string | null {
  const parts = file.split('/').slice(0, -1);
  for (const part of specifier.split('/')) {
    if (part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return null;
  }
  return parts.join('/');
}
