// What a door knows of calls: how many a stranger makes, and how many answers are on their way.
// Whoever asks and does not read must not fill the server's memory: of too many at a time the one
// that has waited longest goes, with its connection.

import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { Door } from './door.js';

/** Answers on their way at a time; of pictures of a run, 3 MiB each, that is 48 MiB. */
const maxAnswers = 16;

/** Leaves calls unheard that the door does not let in. */
export function countCalls(door: Door): ServerInterceptor {
  return (_, call) =>
    door.called(call.getPeer())
      ? new ServerInterceptingCall(call)
      : new ServerInterceptingCall(call, { start: () => undefined });
}

/**
 * Bounds the answers of a service, whose methods' paths begin with `prefix`. Its callers may stay
 * for as long as the door allows after each call, and `lasting` calls as long as they take.
 */
export function boundAnswers(
  door: Door,
  prefix: string,
  lasting: readonly string[],
): ServerInterceptor {
  const underWay = new Set<{ readonly peer: string }>();
  return ({ path }, call) => {
    if (!path.startsWith(prefix)) return new ServerInterceptingCall(call);
    const answer = { peer: call.getPeer() };
    let release = (): void => door.renew(answer.peer);
    const begin = (): void => {
      underWay.add(answer);
      if (lasting.includes(path.slice(prefix.length))) release = door.vouch(answer.peer);
      else door.renew(answer.peer);
      if (underWay.size <= maxAnswers) return;
      const [eldest = answer] = underWay;
      underWay.delete(eldest);
      door.cut(eldest.peer, 'it asks for more than it reads');
    };
    const end = (): void => {
      if (underWay.delete(answer)) release();
    };
    return new ServerInterceptingCall(call, {
      start: (next) => {
        begin();
        next({ onCancel: end });
      },
    });
  };
}
