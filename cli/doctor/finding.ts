// What an examination of the machine finds.

export interface Finding {
  readonly what: string;
  /** `absent`: not there, and not needed unless a run asks for it. */
  readonly state: 'ok' | 'absent' | 'bad';
  readonly detail: string;
}

/** A finding that is in order, or not. */
export function judged(what: string, isGood: boolean, detail: string): Finding {
  return { what, state: isGood ? 'ok' : 'bad', detail };
}
