// Who may ask an HTTP server of Lockstep: this machine's browsers, whoever has the token, or
// anybody. A browser gives the token once, in the address, and has a cookie from then on.

import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Certificates } from '../tls/certificates.js';
import { isFellow, type Identity } from '../tls/identity.js';

/** A certificate and its private key, in PEM. */
export interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Who is answered, and whether it is encrypted. */
export type HttpAccess =
  /** This machine, by its own names; pages of other places are refused. */
  | { readonly kind: 'loopback' }
  /** Anybody: for numbers and health, and where the operator has asked for it. */
  | { readonly kind: 'open' }
  | { readonly kind: 'token'; readonly token: string; readonly tls?: TlsFiles }
  /** Anybody, encrypted. */
  | ({ readonly kind: 'tls' } & TlsFiles)
  /** An observer or operator of our run, by its certificate, or whoever has the token. */
  | {
      readonly kind: 'certificate';
      readonly certificates: Certificates;
      readonly token?: string | undefined;
    };

/** What a request is answered with before any route is asked. */
export type AccessVerdict =
  | { readonly kind: 'admitted' }
  /** The token was in the address: it goes into a cookie, and out of the address. */
  | { readonly kind: 'greeted'; readonly cookie: string }
  | { readonly kind: 'refused'; readonly status: number; readonly text: string };

/** Names by which a browser on this machine calls a server that only this machine reaches. */
const loopbackNames = /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)(:\d+)?$/i;

/** Whether only this machine reaches a host; "::1", "127.0.0.1:7480". */
export function isLoopbackHost(host: string): boolean {
  return loopbackNames.test(host);
}

/** The certificate, where there is one. */
export function tlsOf(access: HttpAccess): TlsFiles | undefined {
  if (access.kind === 'tls') return access;
  if (access.kind === 'certificate') return access.certificates.now();
  return access.kind === 'token' ? access.tls : undefined;
}

/** Access as it is for a caller with a certificate that an authority of ours has signed. */
export function accessOfCaller(
  access: HttpAccess,
  caller: readonly Identity[] | undefined,
): HttpAccess {
  if (access.kind !== 'certificate') return access;
  const { certificates, token } = access;
  const own = certificates.identities();
  const places = [{ role: 'observer' }, { role: 'operator' }] as const;
  if (caller !== undefined && places.some((place) => isFellow(caller, own, place)))
    return { kind: 'open' };
  return token === undefined ? access : { kind: 'token', token, tls: certificates.now() };
}

/** Whether a request is answered. `port` is the server's: cookies know hosts only. */
export function admit(
  { headers }: Pick<IncomingMessage, 'headers'>,
  url: URL,
  access: HttpAccess,
  port: number,
): AccessVerdict {
  const { host = '', origin } = headers;
  const isOwn = origin === undefined || origin.replace(/^https?:\/\//, '') === host;
  if (!isOwn || (access.kind === 'loopback' && !isLoopbackHost(host)))
    return { kind: 'refused', status: 403, text: 'This server answers its own page only.' };
  if (access.kind === 'certificate')
    return {
      ...{ kind: 'refused', status: 403 },
      text: 'A certificate of an observer or an operator of this run is needed.',
    };
  if (access.kind !== 'token') return { kind: 'admitted' };
  const name = `lockstep-${port}`;
  const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined && isSame(bearer, access.token)) return { kind: 'admitted' };
  const cookie = cookieOf(headers.cookie, name);
  if (cookie !== undefined && isSame(cookie, sha256Hex(access.token))) return { kind: 'admitted' };
  const given = url.searchParams.get('token');
  if (given !== null && isSame(given, access.token)) {
    const secure = access.tls === undefined ? '' : '; Secure';
    const value = `${name}=${sha256Hex(access.token)}; Path=/; HttpOnly; SameSite=Strict${secure}`;
    return { kind: 'greeted', cookie: value };
  }
  const text = 'A token is needed: open /?token=TOKEN once, or send "Authorization: Bearer TOKEN".';
  return { kind: 'refused', status: 401, text };
}

/** Takes as long for any wrong text. */
function isSame(given: string, wanted: string): boolean {
  const [a, b] = [given, wanted].map((text) => createHash('sha256').update(text).digest());
  return a !== undefined && b !== undefined && timingSafeEqual(a, b);
}

/** What a browser keeps in the token's place. */
function sha256Hex(text: string): string {
  return createHash('sha256').update(`lockstep page ${text}`).digest('hex');
}

function cookieOf(header: string | undefined, name: string): string | undefined {
  const pairs = (header ?? '').split(';', 64).map((pair) => pair.trim());
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
}
