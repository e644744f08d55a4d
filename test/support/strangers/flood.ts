// Connections of a stranger: many at a time, each says something, reads or does not, and stays
// until it is cut off or the time is over.

import { connect, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';

/** A door under attack. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** Speaks TLS with these; in clear when not given. */
  readonly tls?: ConnectionOptions;
}

export interface FloodOptions {
  readonly connections: number;
  /** What the connection numbered `index` says, piece by piece; it stops when it is cut off. */
  readonly say?: (index: number) => Iterable<Buffer>;
  /** Whether it reads what is answered. */
  readonly reads?: boolean;
  /** Until then they stay. */
  readonly holdMs: number;
  /** Connections that are opened at a time. */
  readonly atOnce?: number;
}

/** What became of the connections. */
export interface FloodOutcome {
  readonly opened: number;
  /** The server has ended them. */
  readonly ended: number;
  readonly answeredBytes: number;
}

/** Opens connections, says what there is to say, waits, and closes what is left. */
export async function flood(target: Target, options: FloodOptions): Promise<FloodOutcome> {
  const { connections, holdMs, atOnce = 256 } = options;
  const outcome = { opened: 0, ended: 0, answeredBytes: 0 };
  const open = new Set<Socket>();
  const gone: Promise<void>[] = [];
  const deadline = performance.now() + holdMs;
  for (let index = 0; index < connections && performance.now() < deadline; index++) {
    gone.push(openOne(target, options, index, outcome, open));
    if (index % atOnce === atOnce - 1) await new Promise((resolve) => setTimeout(resolve, 20));
  }
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, deadline - performance.now()));
  });
  await Promise.race([Promise.all(gone), over]);
  clearTimeout(timer);
  const { opened, ended, answeredBytes } = outcome;
  for (const socket of open) socket.destroy();
  return { opened, ended, answeredBytes };
}

function openOne(
  { host, port, tls }: Target,
  { say, reads = true }: FloodOptions,
  index: number,
  outcome: { opened: number; ended: number; answeredBytes: number },
  open: Set<Socket>,
): Promise<void> {
  return new Promise((resolve) => {
    const socket = tls === undefined ? connect(port, host) : connectTls({ ...tls, host, port });
    open.add(socket);
    socket.on('error', () => undefined);
    if (reads) socket.on('data', (bytes) => (outcome.answeredBytes += bytes.length));
    else socket.pause();
    socket.once('close', () => {
      if (open.delete(socket)) outcome.ended += 1;
      resolve();
    });
    socket.once(tls === undefined ? 'connect' : 'secureConnect', () => {
      outcome.opened += 1;
      if (say !== undefined) speak(socket, say(index)[Symbol.iterator]());
    });
  });
}

/** Says one piece after the other as the socket takes them, and lets others have their turn. */
function speak(socket: Socket, pieces: Iterator<Buffer>): void {
  const { done, value } = pieces.next();
  if (done === true || socket.destroyed) return;
  const next = (): void => void setImmediate(() => speak(socket, pieces));
  if (socket.write(value)) next();
  else socket.once('drain', next);
}
