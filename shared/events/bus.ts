// The event bus: what happened to a run, as CloudEvents. Events carry references and numbers,
// never tensors. A run goes on without a bus.

/** The kinds of event, the last token of the NATS subject `lockstep.v1.<run>.<kind>`. */
export type EventKind = 'run' | 'world' | 'step' | 'checkpoint' | 'sample';

/** An event before it is wrapped: `id` is the same whenever the same thing is told again. */
export interface RunEvent {
  readonly kind: EventKind;
  /** What happened, in the past tense: "started", "committed", "formed". */
  readonly name: string;
  /** Unique within the run: "step-00000012-committed"; makes publishing idempotent. */
  readonly id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface EventBus {
  /** Never throws and never waits: events are queued (bounded) and published in order. */
  publish(event: RunEvent): void;
  /**
   * Waits until the queue is empty or `timeoutMs` is over, less for a bus that has never been
   * there; says how many events are left.
   */
  flush(timeoutMs: number): Promise<number>;
  close(): Promise<void>;
}
