// What answers at an address, for commands that got no answer: TLS, something in clear, nobody.

import { connect as connectTcp } from 'node:net';
import { connect } from 'node:tls';

/** `tls`: it speaks TLS, whoever it is; `clear`: something else is there. */
export type AnswerKind = 'tls' | 'clear' | 'nobody';

const patienceMs = 2_000;

/** Knocks at "host:port", and sends nothing but the beginning of a handshake. Never throws. */
export function answerAt(address: string): Promise<AnswerKind> {
  const colon = address.lastIndexOf(':');
  const place = {
    host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'),
    port: Number(address.slice(colon + 1)),
  };
  return new Promise((resolve) => {
    if (!(place.port > 0 && place.port < 65_536)) return resolve('nobody');
    let answer: AnswerKind = 'nobody';
    const tcp = connectTcp(place, () => {
      answer = 'clear';
      // It is not trusted for anything.
      const socket = connect({ socket: tcp, rejectUnauthorized: false, ALPNProtocols: ['h2'] });
      socket.on('secureConnect', () => end('tls'));
      socket.on('error', () => end('clear'));
      socket.on('close', () => end('clear'));
    });
    const end = (kind: AnswerKind): void => {
      clearTimeout(timer);
      resolve(kind);
      tcp.destroy();
    };
    const timer = setTimeout(() => end(answer), patienceMs);
    tcp.on('error', () => end('nobody'));
  });
}
