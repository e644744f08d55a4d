// What an earlier coordinator or an earlier world asks for changes nothing once a worker has heard
// of a later one; and a generation names one world only.

import { termOf } from '../../../shared/words.js';
import { Violation, type Oracle, type Who } from '../facts.js';

const name = 'fencing';

/** Effects by which an order is carried out. */
const obeying: ReadonlySet<string> = new Set([
  ...['prepare', 'enter', 'join', 'train', 'voteStop', 'abort', 'finish'],
]);

export function createFencingOracle(): Oracle {
  const worlds = new Map<number, string>();
  /** Highest term and generation that a process has obeyed. */
  const terms = new Map<string, number>();
  const generations = new Map<string, number>();
  const keyOf = ({ worker, incarnation }: Who): string => `${worker}.${incarnation}`;
  const note = (generation: number, members: string): void => {
    const known = worlds.get(generation) ?? members;
    if (known !== members)
      throw new Violation(name, `two worlds ${generation}: ${known} and ${members}`);
    worlds.set(generation, members);
  };
  const describe = (members: readonly (Who & { readonly rank: number })[], step: number): string =>
    `${members.map((m) => `${m.rank}=${keyOf(m)}`).join(' ')} from ${step}`;
  const forbid = (who: Who, generation: number, what: string): void => {
    const key = keyOf(who);
    const newest = generations.get(key) ?? 0;
    if (generation < newest)
      throw new Violation(name, `${key} ${what} in world ${generation} after ${newest}`);
    generations.set(key, generation);
  };
  return {
    name,
    observe(fact) {
      if (fact.kind === 'formed') {
        if (termOf(fact.world.generation) !== fact.term)
          throw new Violation(name, `term ${fact.term} formed world ${fact.world.generation}`);
        note(fact.world.generation, describe(fact.world.members, fact.world.step));
      } else if (fact.kind === 'heard') {
        const { who, term, message, effects } = fact;
        const key = keyOf(who);
        if (message.kind === 'world')
          note(message.generation, describe(message.members, message.step));
        const newest = terms.get(key) ?? 0;
        const obeyed = effects.find(({ kind }) => obeying.has(kind));
        if (term < newest && obeyed !== undefined)
          throw new Violation(name, `${key} obeys term ${term} after ${newest}: ${obeyed.kind}`);
        if (message.kind === 'welcome') terms.set(key, Math.max(newest, term));
      } else if (fact.kind === 'wanted') {
        const { effect, who } = fact;
        if (effect.kind === 'enter') forbid(who, effect.generation, 'enters');
        if (effect.kind === 'train') forbid(who, effect.generation, 'trains');
        if (effect.kind === 'finish') forbid(who, effect.generation, 'finishes');
        if (effect.kind === 'join') forbid(who, effect.world.generation, 'connects');
      } else if (fact.kind === 'committed') forbid(fact.who, fact.generation, 'commits');
    },
  };
}
