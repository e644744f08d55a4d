// When a certificate has to be replaced, and how that is said: from two weeks before its end, once
// a day. Of one that holds for less than two months the last quarter counts, so that what is
// replaced every few hours is not complained of each time.

/** When something counts, in milliseconds since 1970. */
export interface Validity {
  readonly fromMs: number;
  readonly endMs: number;
}

const dayMs = 24 * 60 * 60 * 1000;

/** A certificate that holds for long is complained of so long before its end. */
const noticeMs = 14 * dayMs;

/** Whole days until then; below 0 once it is over. */
export function daysLeft({ endMs }: Pick<Validity, 'endMs'>, nowMs: number): number {
  return Math.floor((endMs - nowMs) / dayMs);
}

/** Whether it is time to replace it. */
export function endsSoon({ fromMs, endMs }: Validity, nowMs: number): boolean {
  return endMs - nowMs < Math.min(noticeMs, (endMs - fromMs) / 4);
}

/** The day in UTC, "2027-11-29". */
export function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** What to say of a certificate; undefined as long as there is nothing to say. */
export function endingText(file: string, validity: Validity, nowMs: number): string | undefined {
  if (!endsSoon(validity, nowMs)) return undefined;
  const days = daysLeft(validity, nowMs);
  const when = days === 0 ? 'within a day' : days === 1 ? 'in 1 day' : `in ${days} days`;
  const ending =
    validity.endMs <= nowMs
      ? `ended at ${new Date(validity.endMs).toISOString()}; new connections fail`
      : `ends ${when}, at ${new Date(validity.endMs).toISOString()}; then new connections fail`;
  return `${file} ${ending}. Replace it while the run goes on: docs/security.md#closed-doors`;
}

/** Says a text that is due, once a day at most as long as it is of the same end. */
export function createDailyNotice(
  say: (text: string) => void,
): (text: string | undefined, endMs: number, nowMs: number) => void {
  let last: { readonly endMs: number; readonly saidMs: number } | undefined;
  return (text, endMs, nowMs) => {
    if (text === undefined) return;
    if (last?.endMs === endMs && nowMs - last.saidMs < dayMs) return;
    last = { endMs, saidMs: nowMs };
    say(text);
  };
}
