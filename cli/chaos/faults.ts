// The faults of `lockstep chaos`: their names, what each needs, and the list that the operator
// gives of them. Pure; how a fault is done is injection.ts.

import { OperatorError, type Problem } from '../../shared/problems.js';

/** All faults, in the order in which they are listed. */
export const faultKinds = [
  'kill',
  'freeze',
  'drain',
  'mute',
  'half-open',
  'flip',
  'coordinator',
  'coordinator-freeze',
  'scale',
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** What each does, in a few words. */
export const faultWords: Readonly<Record<FaultKind, string>> = {
  kill: 'a worker is killed (SIGKILL)',
  freeze: 'a worker stands still for some seconds (SIGSTOP, SIGCONT)',
  drain: 'a worker is asked to leave (SIGTERM)',
  mute: 'nothing passes between two workers for some seconds',
  'half-open': "a worker's connections stay open and say nothing for some seconds",
  flip: "one bit of a worker's state changes",
  coordinator: 'the coordinator is killed (SIGKILL)',
  'coordinator-freeze': 'the coordinator stands still for some seconds',
  scale: 'the run gets another number of workers',
};

/** Faults that a worker obeys only if it was started with --allow-faults. */
export const obeyedFaults: ReadonlySet<FaultKind> = new Set(['mute', 'half-open', 'flip']);

/** Faults by signal, for which the processes must be on this machine. */
export const signalFaults: ReadonlySet<FaultKind> = new Set([
  ...(['kill', 'freeze', 'drain', 'coordinator', 'coordinator-freeze'] as const),
]);

/** Faults that strike the coordinator. */
export const coordinatorFaults: ReadonlySet<FaultKind> = new Set([
  ...(['coordinator', 'coordinator-freeze'] as const),
]);

/** A fault and how often it is wanted, compared with the others. */
export interface WeightedFault {
  readonly kind: FaultKind;
  readonly weight: number;
}

/**
 * The faults of a list such as "kill:3,freeze" or "all,kill:3"; what comes later in the list
 * counts. Throws an OperatorError with all that is wrong.
 */
export function parseFaults(list: string): WeightedFault[] {
  const problems: Problem[] = [];
  const weights = new Map<FaultKind, number>();
  for (const item of list.split(',')) {
    const [name = '', text = '1'] = item.trim().split(':', 2);
    const weight = Number(text);
    const kinds = name === 'all' ? faultKinds : faultKinds.filter((kind) => kind === name);
    if (kinds.length === 0)
      problems.push({ key: '--faults', given: name, allowed: [...faultKinds, 'all'].join(', ') });
    else if (!(weight > 0 && weight <= 1000) || text.trim() === '')
      problems.push({
        key: `--faults ${name}`,
        given: text,
        allowed: 'a weight above 0, up to 1000',
      });
    for (const kind of kinds) weights.set(kind, weight);
  }
  if (problems.length > 0) throw new OperatorError('the faults are not clear', problems);
  return faultKinds.flatMap((kind) => {
    const weight = weights.get(kind);
    return weight === undefined ? [] : [{ kind, weight }];
  });
}
