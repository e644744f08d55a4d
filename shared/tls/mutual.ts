// Mutual TLS 1.3 for gRPC: both ends show a certificate of the same authority, and the names in it
// decide who they are. Certificates that are replaced count for the next connection; those that are
// open go on.

import { ChannelCredentials, experimental, type ChannelOptions } from '@grpc/grpc-js';
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import type { OnRefused } from '../log.js';
import { messageOf, printable } from '../problems.js';
import { authorityFile, type CertificateSet, type Certificates } from './certificates.js';
import {
  identitiesOf,
  identityText,
  isFellow,
  mayBe,
  type Identity,
  type RunPlace,
} from './identity.js';

/**
 * A channel to who is to be in a place of a run that we are in too; without certificates clear.
 * `onFailure` hears why a handshake came to nothing, once until the reason is another.
 */
export function fellowChannel(
  certificates: Certificates | undefined,
  place: () => RunPlace,
  onFailure: (reason: string) => void = () => undefined,
): { readonly credentials: ChannelCredentials; readonly options: ChannelOptions } {
  if (certificates === undefined)
    return { credentials: ChannelCredentials.createInsecure(), options: {} };
  const accepts = (held: readonly Identity[]): boolean =>
    isFellow(held, certificates.identities(), place());
  const credentials = mutualChannelCredentials(certificates, accepts);
  const createConnector = credentials._createSecureConnector.bind(credentials);
  let said = '';
  // gRPC itself keeps to itself why it could not connect, as long as it goes on trying.
  credentials._createSecureConnector = (...args) => {
    const connector = createConnector(...args);
    const connect = connector.connect.bind(connector);
    connector.connect = async (socket) => {
      try {
        return await connect(socket);
      } catch (error) {
        const { reason: why, detail } = handshakeTrouble(error);
        const reason = detail === undefined ? why : `${why} (${detail})`;
        if (reason !== said) onFailure(reason);
        said = reason;
        throw error;
      }
    };
    return connector;
  };
  return { credentials, options: mutualChannelOptions };
}

/** Why a handshake came to nothing: one of a few reasons, and what the library says. */
interface HandshakeTrouble {
  readonly reason: string;
  readonly detail?: string;
}

/** In words that say what to look at. */
function handshakeTrouble(error: unknown): HandshakeTrouble {
  const { reason } = (error ?? {}) as { readonly reason?: unknown };
  const detail = printable(typeof reason === 'string' ? reason : messageOf(error)).slice(0, 300);
  if (/wrong version number|packet length too long|record layer|http request/i.test(detail))
    return { reason: 'it does not speak TLS' };
  if (/unsupported protocol/i.test(detail)) return { reason: 'it does not speak TLS 1.3' };
  if (/self.signed|unable.to.(get|verify)|unknown ca/i.test(detail))
    return { reason: `its certificate is not of an authority in ${authorityFile}`, detail };
  if (/expired|not.yet.valid/i.test(detail))
    return { reason: 'its certificate is not valid now', detail };
  return { reason: 'the handshake failed', detail };
}

/** Why who calls is not in a place of a run that we are in; undefined if it is, or all is clear. */
export function fellowProblem(
  call: AuthenticatedCall,
  certificates: Certificates | undefined,
  place: RunPlace,
): string | undefined {
  const held = callerOf(call);
  if (held === undefined || certificates === undefined) return undefined;
  if (isFellow(held, certificates.identities(), place)) return undefined;
  const wanted = place.worker === undefined ? place.role : `${place.role} ${place.worker}`;
  return `its certificate is of ${identityText(held)}, not of ${wanted} of this run`;
}

/** A handshake for each connection that comes to a port, and an end to all of them. */
export interface TlsEntrance {
  /** `enter` gets the connection if the other end has shown a certificate of our authority. */
  admit(socket: Socket): void;
  close(): void;
}

/**
 * Asks everybody for a certificate. It is done before gRPC has the connection, since gRPC does not
 * say whom it turned away.
 */
export function tlsEntrance(
  certificates: Certificates,
  enter: (socket: TLSSocket) => void,
  onRefused: OnRefused,
): TlsEntrance {
  // Node turns nobody away, since it would not say why: `enter` gets the authorized ones alone.
  const options = { requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['h2'] };
  const server = createServer({ ...options, ...serverContext(certificates.now()) });
  const forget = certificates.onChange((set) => server.setSecureContext(serverContext(set)));
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    const trouble = refusalOf(socket);
    if (trouble === undefined) return enter(socket);
    onRefused(String(socket.remoteAddress), trouble.reason, trouble.detail);
    socket.destroy();
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    // Who leaves before it has said anything was not turned away.
    const { reason, detail } = handshakeTrouble(error);
    if (error.code !== 'ECONNRESET') onRefused(String(socket.remoteAddress), reason, detail);
    socket.destroy();
  });
  return { admit: (socket) => void server.emit('connection', socket), close: forget };
}

/** Why who has made a handshake is turned away; undefined if it is not. */
function refusalOf(socket: TLSSocket): HandshakeTrouble | undefined {
  if (socket.getPeerX509Certificate() === undefined) return { reason: 'it shows no certificate' };
  if (!socket.authorized) return handshakeTrouble(socket.authorizationError);
  return socket.alpnProtocol === 'h2' ? undefined : { reason: 'it does not speak HTTP/2' };
}

/** Credentials that take a server for who it is by `accepts`, given the names it has. */
export function mutualChannelCredentials(
  certificates: Certificates,
  accepts: (server: readonly Identity[]) => boolean,
): ChannelCredentials {
  const provider = providerOf(certificates);
  return experimental.createCertificateProviderChannelCredentials(provider, provider, {
    // In place of Node's own check, which is of addresses.
    checkServerIdentity: (_, { subjectaltname }) => {
      const held = identitiesOf(subjectaltname);
      if (accepts(held)) return undefined;
      return new Error(`the server's certificate is of ${identityText(held)}`);
    },
  });
}

/** For channels with such credentials: a name for TLS, which does not know addresses. */
export const mutualChannelOptions: ChannelOptions = {
  'grpc.ssl_target_name_override': 'lockstep.internal',
  // Connections of other channels were made with another check.
  'grpc.use_local_subchannel_pool': 1,
};

/** What of a call is asked for who made it. */
export interface AuthenticatedCall {
  getAuthContext(): { sslPeerCertificate?: { subjectaltname?: string | undefined } } | null;
}

/** Who made a call; undefined if its connection is in clear. */
export function callerOf(call: AuthenticatedCall): readonly Identity[] | undefined {
  const certificate = call.getAuthContext()?.sslPeerCertificate;
  return certificate === undefined ? undefined : identitiesOf(certificate.subjectaltname);
}

/**
 * Why a call may not be made in the place `wanted`; undefined if it may. In clear all may: who
 * listens there has decided so.
 */
export function callerProblem(call: AuthenticatedCall, wanted: Identity): string | undefined {
  const held = callerOf(call);
  if (held === undefined || mayBe(held, wanted)) return undefined;
  return `its certificate is of ${identityText(held)}, not of ${identityText([wanted])}`;
}

/** Nobody resumes an earlier session: each connection shows its certificate. */
const secureOptions = constants.SSL_OP_NO_TICKET;

/** Of a server that asks for certificates. */
export function serverContext({ ca, cert, key }: CertificateSet): SecureContextOptions {
  return { ca: [ca], cert: [cert], key: [key], minVersion: 'TLSv1.3', secureOptions };
}

/** As gRPC's clients take certificates, and every later set of them. */
function providerOf(certificates: Certificates): experimental.CertificateProvider {
  const endings = new Map<unknown, () => void>();
  const add = <Update>(
    listener: (update: Update) => void,
    updateOf: (set: CertificateSet) => Update,
  ): void => {
    if (endings.has(listener)) return;
    endings.set(
      listener,
      certificates.onChange((set) => listener(updateOf(set))),
    );
    process.nextTick(() => endings.has(listener) && listener(updateOf(certificates.now())));
  };
  const remove = (listener: unknown): void => {
    endings.get(listener)?.();
    endings.delete(listener);
  };
  return {
    addCaCertificateListener: (listener) => add(listener, ({ ca }) => ({ caCertificate: ca })),
    removeCaCertificateListener: remove,
    addIdentityCertificateListener: (listener) =>
      add(listener, ({ cert, key }) => ({ certificate: cert, privateKey: key })),
    removeIdentityCertificateListener: remove,
  };
}
