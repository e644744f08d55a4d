// Contenders in turns: each once a round, so that what else the machine does meets all of them
// alike. They are compared round by round, and by the median of that.

import { median } from '../../shared/median.js';

/** Runs every contender once a round; gives each one's results, in the order of the rounds. */
export async function inTurns<C, R>(
  contenders: readonly C[],
  rounds: number,
  run: (contender: C, round: number) => Promise<R>,
): Promise<R[][]> {
  const results: R[][] = contenders.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, contender] of contenders.entries()) results[i].push(await run(contender, round));
  return results;
}

/** The median of `own` over `others`, round by round; undefined without others. */
export function medianRatio(
  own: readonly number[],
  others: readonly number[] | undefined,
): number | undefined {
  if (others === undefined) return undefined;
  return rounded(median(own.map((value, i) => value / others[i])), 3);
}

/** A value with so many digits behind the point. */
export function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

/** Rows as a table in Markdown; the first is its heading. */
export function markdownTable([heading, ...rows]: readonly (readonly string[])[]): string {
  return [heading, heading.map(() => '---'), ...rows]
    .map((row) => `| ${row.join(' | ')} |`)
    .join('\n');
}
