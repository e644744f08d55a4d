// The events that wait to be published: in order, bounded, and clear about what is lost when the
// bounds are reached. Pure; it knows nothing of who takes them.

/** An encoded event that waits. */
export interface QueuedEvent {
  /** "step": the first to go. */
  readonly kind: string;
  /** Message id. */
  readonly id: string;
  readonly subject: string;
  readonly body: Uint8Array;
}

/** Bounds of the queue. */
export interface QueueLimits {
  readonly events: number;
  readonly bytes: number;
}

/** An hour of two steps a second, and a fair share of memory. */
const defaultQueueLimits: QueueLimits = { events: 8192, bytes: 32 * 1024 * 1024 };

export interface EventQueue {
  readonly length: number;
  /** Adds an event; gives those that had to go for it, which may include itself. */
  push(event: QueuedEvent): QueuedEvent[];
  /** The oldest event; it stays in the queue, and is never dropped, until it is `taken`. */
  first(): QueuedEvent | undefined;
  /** Removes the oldest event: it is published. */
  taken(): void;
}

/** Creates an empty queue. Step metrics go first when it is full, the oldest of them first. */
export function createEventQueue(limits: QueueLimits = defaultQueueLimits): EventQueue {
  const events: QueuedEvent[] = [];
  let bytes = 0;
  const removeAt = (index: number): QueuedEvent => {
    const [event] = events.splice(index, 1) as [QueuedEvent];
    bytes -= event.body.length;
    return event;
  };
  // The first may be on its way at this moment.
  const nextToDrop = (): number => {
    const step = events.findIndex(({ kind }, index) => index > 0 && kind === 'step');
    return step > 0 ? step : 1;
  };
  return {
    get length() {
      return events.length;
    },
    push(event) {
      events.push(event);
      bytes += event.body.length;
      const dropped: QueuedEvent[] = [];
      while (events.length > 1 && (events.length > limits.events || bytes > limits.bytes))
        dropped.push(removeAt(nextToDrop()));
      return dropped;
    },
    first: () => events[0],
    taken: () => void removeAt(0),
  };
}
