// The address of an event bus, as the operator writes it: servers, and what to log in with. Its
// secrets are never shown.

import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { ConnectionOptions, TlsOptions } from 'nats';
import type { Environment } from '../environment.js';
import { OperatorError, withoutLogin } from '../problems.js';
import { natsLoginOptions, natsLoginProblems, type NatsLogin } from './nats-login.js';

/** A parsed NATS url. */
export interface NatsLocation {
  /** "nats://host:4222", no credentials: for messages. */
  readonly shown: string;
  /** "host:port", one or more of a cluster. */
  readonly servers: readonly string[];
  readonly isTls: boolean;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  /** What is not in the url. */
  readonly login?: NatsLogin;
}

/** Where an event bus is and what to log in with, checked. */
export interface NatsAddress {
  readonly url: string;
  readonly login?: NatsLogin | undefined;
}

/**
 * The event bus that --nats names, else the environment; undefined: neither does. Throws an
 * OperatorError for an address or a login that is none.
 */
export function chosenNats(
  flag: string | undefined,
  { natsUrl, natsLogin }: Pick<Environment, 'natsUrl' | 'natsLogin'>,
): NatsAddress | undefined {
  const url = flag ?? natsUrl;
  if (url === undefined) return undefined;
  parseNatsUrl(url, flag === undefined ? undefined : '--nats', natsLogin);
  return { url, login: natsLogin };
}

/**
 * Parses "nats://[user:password@|token@]host:4222[,host2:4222]"; also tls://. Throws an
 * OperatorError for what is none, and for a login that can't be one.
 */
export function parseNatsUrl(
  url: string,
  key = 'LOCKSTEP_NATS_URL',
  login?: NatsLogin,
): NatsLocation {
  const refuse = (hint: string): never => {
    throw new OperatorError('this is not the url of an event bus', [
      {
        key,
        given: withoutLogin(url),
        allowed: 'nats://host:4222, tls://host:4222, with user:password@ or token@ if need be',
        hint,
      },
    ]);
  };
  const match = /^(nats|tls):\/\/(?:(.*)@)?([^@]+?)\/*$/.exec(url);
  if (!match) return refuse('it starts with nats:// or tls://');
  const [, scheme, userinfo, hosts = ''] = match;
  const servers = hosts.split(',').map((host) => host.replace(/^(nats|tls):\/\//, ''));
  if (!servers.every((server) => /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(server)))
    return refuse('after the credentials comes host:port');
  const shown = servers.map((server) => `${scheme}://${server}`).join(',');
  const problems = login === undefined ? [] : natsLoginProblems(login, userinfo !== undefined);
  if (problems.length > 0) throw new OperatorError('this is no login to NATS', problems);
  const location = { shown, servers, isTls: scheme === 'tls', ...loginOf(userinfo) };
  return login === undefined ? location : { ...location, login };
}

function loginOf(login: string | undefined): Pick<NatsLocation, 'user' | 'password' | 'token'> {
  if (login === undefined) return {};
  const colon = login.indexOf(':');
  if (colon < 0) return { token: decode(login) };
  return { user: decode(login.slice(0, colon)), password: decode(login.slice(colon + 1)) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Servers and login, as the client's options say it; throws when a file of the login has gone. */
export function reachNats(location: NatsLocation): ConnectionOptions {
  const { servers, isTls, user, password, token, login = {} } = location;
  const { tls, authenticator } = natsLoginOptions(login);
  return {
    servers: [...servers],
    ...(isTls || tls !== undefined ? { tls: { ...checkingAddresses(servers), ...tls } } : {}),
    ...(user === undefined ? {} : { user, pass: password ?? '' }),
    ...(token === undefined ? {} : { token }),
    ...(authenticator === undefined ? {} : { authenticator }),
  };
}

/**
 * The client checks certificates against names only: of a server that is given by its IP address it
 * would have to be for "localhost". Here it may be for that address.
 */
function checkingAddresses(servers: readonly string[]): TlsOptions {
  const hosts = servers.map((server) => server.replace(/:\d+$/, '').replace(/^\[|\]$/g, ''));
  const addresses = hosts.filter((host) => isIP(host) !== 0);
  if (addresses.length === 0) return {};
  const check: typeof checkServerIdentity = (name, certificate) =>
    addresses.some((address) => checkServerIdentity(address, certificate) === undefined)
      ? undefined
      : checkServerIdentity(name, certificate);
  return { checkServerIdentity: check } as TlsOptions;
}
