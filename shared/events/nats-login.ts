// What to log in to NATS with beside what its url says: credentials of a user, an nkey, a
// certificate, and the authority that signed the server's. Each is given as the path of a file or
// as its text. All are checked at once, before anything is connected, and are never shown.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { credsAuthenticator, nkeyAuthenticator, nkeys, type ConnectionOptions } from 'nats';
import { natsLoginVariables } from '../environment.js';
import { maskSecrets, messageOf, type Problem } from '../problems.js';

/** Paths of files, or their texts. */
export interface NatsLogin {
  /** Credentials of a user as `nsc` writes them (.creds): a JWT and a seed. */
  readonly creds?: string | undefined;
  /** Seed of a user: "SU..." */
  readonly nkey?: string | undefined;
  /** PEM certificates of authorities that may have signed the server's; with it TLS is a must. */
  readonly ca?: string | undefined;
  /** PEM certificate to show to the server, and its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

const maxBytes = 256 * 1024;
/** A text, where the path of a file could stand. */
const textForm = /^\s*(-----BEGIN |SU[A-Z2-7]{56}\s*$)/;

interface Part {
  readonly allowed: string;
  /** Throws when the text is none; what it throws is not shown. */
  readonly check: (text: string) => void;
}

const parts: Readonly<Record<keyof NatsLogin, Part>> = {
  creds: {
    allowed: 'the path of a .creds file of a user, with its JWT and its seed',
    check: (text) => void credsAuthenticator(encode(text))('nonce'),
  },
  nkey: {
    allowed: 'the path of a file with the seed of a user, which starts with SU',
    check: (text) => {
      const key = nkeys.fromSeed(Buffer.from(text.trim())).getPublicKey();
      if (!key.startsWith('U')) throw new Error('it is the seed of another kind');
    },
  },
  ca: {
    allowed: 'the path of a PEM file with certificates',
    check: (text) => void new X509Certificate(text),
  },
  cert: {
    allowed: 'the path of a PEM file with a certificate',
    check: (text) => void new X509Certificate(text),
  },
  key: {
    allowed: 'the path of a PEM file with a private key that has no passphrase',
    check: (text) => void createPrivateKey(text),
  },
};
const names = Object.keys(parts) as (keyof NatsLogin)[];

/** All that is wrong with a login; `hasUrlLogin`: the url has a user or a token too. */
export function natsLoginProblems(login: NatsLogin, hasUrlLogin: boolean): Problem[] {
  const problems = names.flatMap((name) => partProblem(name, login[name]) ?? []);
  const { creds, nkey, cert, key } = login;
  const ways = [hasUrlLogin && 'a login in the url', creds && 'LOCKSTEP_NATS_CREDS'];
  const given = [...ways, nkey && 'LOCKSTEP_NATS_NKEY'].filter((way) => way);
  if (given.length > 1)
    problems.push({ key: 'login to NATS', given: given.join(' and '), allowed: 'one of them' });
  if ((cert === undefined) !== (key === undefined)) {
    const [has, lacks] =
      cert === undefined ? (['key', 'cert'] as const) : (['cert', 'key'] as const);
    const allowed = `beside ${natsLoginVariables[has]}`;
    problems.push({ key: natsLoginVariables[lacks], given: undefined, allowed });
  }
  if (problems.length > 0 || cert === undefined || key === undefined) return problems;
  if (new X509Certificate(textOf(cert)).checkPrivateKey(createPrivateKey(textOf(key)))) return [];
  const allowed = 'the key of the certificate in LOCKSTEP_NATS_CERT';
  return [{ key: natsLoginVariables.key, given: shown(key), allowed }];
}

function partProblem(name: keyof NatsLogin, given: string | undefined): Problem | undefined {
  if (given === undefined) return undefined;
  const { allowed, check } = parts[name];
  const problem = { key: natsLoginVariables[name], given: shown(given), allowed };
  let text: string;
  try {
    text = textOf(given);
  } catch (error) {
    return { ...problem, hint: maskSecrets(messageOf(error)) };
  }
  try {
    check(text);
    return undefined;
  } catch {
    return { ...problem, hint: 'there is something else in it' };
  }
}

function shown(given: string): string {
  return textForm.test(given) ? `a text of ${given.length} letters` : given;
}

/** Reads anew each time, since credentials are replaced; throws when there is no such file. */
function textOf(given: string): string {
  if (textForm.test(given)) return given;
  if (statSync(given).size > maxBytes) throw new Error(`it has more than ${maxBytes} bytes`);
  return readFileSync(given, 'utf8');
}

/** The login as the client's options say it; throws when a file has gone. */
export function natsLoginOptions(
  login: NatsLogin,
): Pick<ConnectionOptions, 'authenticator' | 'tls'> {
  const { creds, nkey, ca, cert, key } = login;
  const tls = {
    ...(ca === undefined ? {} : { ca: textOf(ca) }),
    ...(cert === undefined || key === undefined ? {} : { cert: textOf(cert), key: textOf(key) }),
  };
  return {
    ...(creds === undefined ? {} : { authenticator: credsAuthenticator(encode(textOf(creds))) }),
    ...(nkey === undefined
      ? {}
      : { authenticator: nkeyAuthenticator(Buffer.from(textOf(nkey).trim())) }),
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
  };
}

/** The client's pattern for credentials wants an end of line after the last of them. */
function encode(text: string): Uint8Array {
  return Buffer.from(`${text.trim()}\n`);
}
