// The events that wait to be published: in order, bounded, and clear about what is lost when the
// bounds are reached. Pure; it knows nothing of who takes them.

/** An encoded event that waits. */
export interface WaitingEvent {
  /** "step": the first to go. */
  readonly kind: string;
  readonly body: Uint8Array;
}

/** An event that waits for the bus. */
export interface QueuedEvent extends WaitingEvent {
  /** Message id. */
  readonly id: string;
  readonly subject: string;
}

/** Bounds of the queue. */
export interface QueueLimits {
  readonly events: number;
  readonly bytes: number;
}

/** An hour of two steps a second, and a fair share of memory. */
const defaultQueueLimits: QueueLimits = { events: 8192, bytes: 32 * 1024 * 1024 };

export interface EventQueue<E> {
  readonly length: number;
  /** Adds an event; gives those that had to go for it, which may include itself. */
  push(event: E): E[];
  /** The oldest event; it stays in the queue, and is never dropped, until it is `taken`. */
  first(): E | undefined;
  /** As many of the oldest as have `bytes` in all, and one at least; they stay as `first` does. */
  oldest(bytes: number): E[];
  /** Removes the oldest events: they are published. */
  taken(count?: number): void;
}

/** Creates an empty queue. Step metrics go first when it is full, the oldest of them first. */
export function createEventQueue<E extends WaitingEvent = QueuedEvent>(
  limits: QueueLimits = defaultQueueLimits,
): EventQueue<E> {
  const events: E[] = [];
  let bytes = 0;
  /** So many of the oldest may be on their way at this moment. */
  let held = 1;
  const removeAt = (index: number, count = 1): E[] => {
    const removed = events.splice(index, count);
    for (const { body } of removed) bytes -= body.length;
    return removed;
  };
  const nextToDrop = (): number => {
    const step = events.findIndex(({ kind }, index) => index >= held && kind === 'step');
    return step > 0 ? step : held;
  };
  return {
    get length() {
      return events.length;
    },
    push(event) {
      events.push(event);
      bytes += event.body.length;
      const dropped: E[] = [];
      while (events.length > held && (events.length > limits.events || bytes > limits.bytes))
        dropped.push(...removeAt(nextToDrop()));
      return dropped;
    },
    first: () => events[0],
    oldest(most) {
      let left = most;
      const end = events.findIndex(({ body }) => (left -= body.length) < 0);
      const count = end < 0 ? events.length : Math.max(1, end);
      held = Math.max(held, count);
      return events.slice(0, count);
    },
    taken(count = 1) {
      removeAt(0, count);
      held = Math.max(1, held - count);
    },
  };
}
