// The address of an event bus, as the operator writes it: servers, and what to log in with. Its
// secrets are never shown.

import { OperatorError, withoutLogin } from '../problems.js';

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
}

/** Parses "nats://[user:password@|token@]host:4222[,host2:4222]"; also tls://. */
export function parseNatsUrl(url: string, key = 'LOCKSTEP_NATS_URL'): NatsLocation {
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
  const [, scheme, login, hosts = ''] = match;
  const servers = hosts.split(',').map((host) => host.replace(/^(nats|tls):\/\//, ''));
  if (!servers.every((server) => /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/.test(server)))
    return refuse('after the credentials comes host:port');
  const shown = servers.map((server) => `${scheme}://${server}`).join(',');
  return { shown, servers, isTls: scheme === 'tls', ...loginOf(login) };
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

/** Servers and login, as the client's options say it. */
export function reachNats({ servers, isTls, user, password, token }: NatsLocation) {
  return {
    servers: [...servers],
    ...(isTls ? { tls: {} } : {}),
    ...(user === undefined ? {} : { user, pass: password ?? '' }),
    ...(token === undefined ? {} : { token }),
  };
}
