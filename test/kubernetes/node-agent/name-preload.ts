// Loaded into each pod's Node process by --import: the names of Services and pods resolve to what
// the agent has written into a file, as cluster DNS would answer. The address of this module says
// where the file is, and the pod's namespace. Programs that are not Node know no such names.

import dns from 'node:dns';
import { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isIP } from 'node:net';

const { searchParams } = new URL(import.meta.url);
const file = searchParams.get('names') ?? '';
const namespace = searchParams.get('namespace') ?? '';

type Names = Readonly<Record<string, readonly string[]>>;

/** Addresses of a name of the cluster; none when it has none; undefined for a name of elsewhere. */
function clusterAddresses(given: string): readonly string[] | undefined {
  const inCluster = /\.svc(\.cluster\.local)?\.?$/;
  const name = given.replace(inCluster, '');
  const names = JSON.parse(readFileSync(file, 'utf8')) as Names;
  const found = names[`${name}.${namespace}`] ?? names[name];
  if (found !== undefined) return found;
  const isOurs = inCluster.test(given) || (!given.includes('.') && given !== 'localhost');
  return isOurs && isIP(given) === 0 ? [] : undefined;
}

function notFound(name: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`getaddrinfo ENOTFOUND ${name}`);
  return Object.assign(error, { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: name });
}

const entry = (address: string): dns.LookupAddress => ({ address, family: 4 });
const isAll = (options: unknown): boolean =>
  typeof options === 'object' && options !== null && 'all' in options && options.all === true;

type Callback = (error: Error | null, ...found: unknown[]) => void;
const lookup = dns.lookup as (...args: unknown[]) => void;

function patchedLookup(name: string, ...rest: unknown[]): void {
  const addresses = clusterAddresses(name);
  if (addresses === undefined) return lookup(name, ...rest);
  const callback = rest.at(-1) as Callback;
  const [first] = addresses;
  process.nextTick(() => {
    if (first === undefined) callback(notFound(name));
    else if (isAll(rest[0])) callback(null, addresses.map(entry));
    else callback(null, first, 4);
  });
}

const lookupLater = dns.promises.lookup as (name: string, options?: unknown) => Promise<unknown>;

async function patchedLookupLater(name: string, options?: unknown): Promise<unknown> {
  const addresses = clusterAddresses(name);
  if (addresses === undefined) return lookupLater(name, options);
  const [first] = addresses;
  if (first === undefined) throw notFound(name);
  return isAll(options) ? addresses.map(entry) : entry(first);
}

/** gRPC asks for its configuration by TXT records: a Service has none. */
const resolveTxt = dns.promises.resolveTxt;
const patchedResolveTxt: typeof resolveTxt = async (name) => {
  if (clusterAddresses(name) === undefined) return resolveTxt(name);
  throw Object.assign(notFound(name), { code: 'ENODATA', syscall: 'queryTxt' });
};

Object.assign(dns, { lookup: patchedLookup });
Object.assign(dns.promises, { lookup: patchedLookupLater, resolveTxt: patchedResolveTxt });
syncBuiltinESMExports();
