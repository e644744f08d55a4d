// The steps of a run as columns of numbers, one row a report of a step. Rows may come in any order;
// a step has several when it was taken again. How many are kept is bounded by who adds them.

import type { EventData } from '../../shared/events/kinds.js';

/** In a column: the step has no such number; and its number was not finite. */
export const missing = Number.NaN;
const notFinite = Number.POSITIVE_INFINITY;

/** More names of metrics than a run has; what comes beyond is left out. */
const maxColumns = 96;

const fixedColumns = [
  'images_per_s',
  'eta_s',
  'seconds/data',
  'seconds/compute',
  'seconds/exchange',
  'seconds/update',
  'seconds/wait',
] as const;

/** Columns of `length` rows; the arrays may be longer. */
export interface StepRows {
  readonly length: number;
  readonly step: Float64Array;
  readonly generation: Float64Array;
  /** Milliseconds since 1970. */
  readonly time: Float64Array;
  /** Seconds that the step took by its own report; 0 when it has none. */
  readonly seconds: Float64Array;
  /** 1: its gradients were not finite. */
  readonly skipped: Uint8Array;
  /** False when there is a row of this step and generation. */
  add(timeMs: number, data: EventData<'step.committed'>): boolean;
  /** Rows in the order of step and generation. */
  byStep(): Uint32Array;
  /** Rows in the order of time. */
  byTime(): Uint32Array;
  /** Names of the columns that have values, sorted. */
  columnNames(): string[];
  column(name: string): Float64Array | undefined;
  phaseOf(row: number): string;
  metricsOf(row: number): Record<string, number | null>;
  /** Removes the rows that `isKept` refuses; rows get other numbers. */
  keep(isKept: (row: number) => boolean): void;
}

/** What a column says of a row: null for what is missing or was not finite. */
export function valueAt(column: Float64Array | undefined, row: number): number | null {
  const value = column?.[row] ?? missing;
  return Number.isFinite(value) ? value : null;
}

/** No rows yet. */
export function createStepRows(): StepRows {
  return new Rows();
}

class Rows implements StepRows {
  length = 0;
  step = new Float64Array(256);
  generation = new Float64Array(256);
  time = new Float64Array(256);
  seconds = new Float64Array(256);
  skipped = new Uint8Array(256);
  #phase = new Uint16Array(256);
  /** The row of the same step that was added before; -1: none. */
  #before = new Int32Array(256);
  #columns = new Map<string, Float64Array>(
    fixedColumns.map((name) => [name, new Float64Array(256).fill(missing)]),
  );
  /** Row of a step that was added last. */
  #newestOf = new Map<number, number>();
  #phases: string[] = [];
  #byStep = createOrder((a, b) => this.#compareSteps(a, b));
  #byTime = createOrder((a, b) => this.#compareTimes(a, b));

  add(timeMs: number, data: EventData<'step.committed'>): boolean {
    const newest = this.#newestOf.get(data.step) ?? -1;
    for (let row = newest; row >= 0; row = this.#before[row] ?? -1)
      if (this.generation[row] === data.generation) return false;
    if (this.length === this.step.length) this.#grow();
    const row = this.length++;
    this.#newestOf.set(data.step, row);
    this.#before[row] = newest;
    this.step[row] = data.step;
    this.generation[row] = data.generation;
    this.time[row] = timeMs;
    const { data: loading, compute, exchange, update } = data.seconds;
    this.seconds[row] = loading + compute + exchange + update;
    this.skipped[row] = data.skipped === true ? 1 : 0;
    this.#phase[row] = this.#phaseNumber(data.phase);
    this.#setValues(row, data);
    return true;
  }

  #setValues(row: number, { metrics, seconds, images_per_s, eta_s }: EventData<'step.committed'>) {
    this.#set('images_per_s', row, images_per_s);
    this.#set('eta_s', row, eta_s);
    for (const [name, value] of Object.entries(seconds)) this.#set(`seconds/${name}`, row, value);
    for (const [name, value] of Object.entries(metrics))
      if (!isFixed(name)) this.#set(name, row, value ?? notFinite);
  }

  #set(name: string, row: number, value: number): void {
    let column = this.#columns.get(name);
    if (column === undefined) {
      if (this.#columns.size >= maxColumns) return;
      column = new Float64Array(this.step.length).fill(missing);
      this.#columns.set(name, column);
    }
    column[row] = value;
  }

  #phaseNumber(phase: string): number {
    const known = this.#phases.indexOf(phase);
    if (known >= 0 || this.#phases.length >= 1000) return Math.max(0, known);
    return this.#phases.push(phase) - 1;
  }

  #grow(): void {
    const size = 2 * this.step.length;
    const grown = <A extends Float64Array | Uint8Array | Uint16Array | Int32Array>(
      larger: A,
      column: A,
    ): A => {
      larger.set(column);
      return larger;
    };
    this.step = grown(new Float64Array(size), this.step);
    this.generation = grown(new Float64Array(size), this.generation);
    this.time = grown(new Float64Array(size), this.time);
    this.seconds = grown(new Float64Array(size), this.seconds);
    this.skipped = grown(new Uint8Array(size), this.skipped);
    this.#phase = grown(new Uint16Array(size), this.#phase);
    this.#before = grown(new Int32Array(size), this.#before);
    for (const [name, column] of this.#columns)
      this.#columns.set(name, grown(new Float64Array(size).fill(missing), column));
  }

  #at(column: Float64Array, row: number): number {
    return column[row];
  }

  #compareSteps(a: number, b: number): number {
    const steps = this.#at(this.step, a) - this.#at(this.step, b);
    return steps || this.#at(this.generation, a) - this.#at(this.generation, b);
  }

  #compareTimes(a: number, b: number): number {
    const times = this.#at(this.time, a) - this.#at(this.time, b);
    const worlds = this.#at(this.generation, a) - this.#at(this.generation, b);
    return times || worlds || this.#at(this.step, a) - this.#at(this.step, b);
  }

  byStep(): Uint32Array {
    return this.#byStep.upTo(this.length);
  }

  byTime(): Uint32Array {
    return this.#byTime.upTo(this.length);
  }

  columnNames(): string[] {
    const isFilled = (column: Float64Array): boolean => {
      for (let row = 0; row < this.length; row++) if (!Number.isNaN(column[row])) return true;
      return false;
    };
    return [...this.#columns.keys()].filter((name) => isFilled(this.#columns.get(name)!)).sort();
  }

  column(name: string): Float64Array | undefined {
    return this.#columns.get(name);
  }

  phaseOf(row: number): string {
    return this.#phases[this.#phase[row]] ?? '';
  }

  metricsOf(row: number): Record<string, number | null> {
    const metrics: Record<string, number | null> = {};
    for (const name of [...this.#columns.keys()].sort()) {
      const value = this.#columns.get(name)?.[row] ?? missing;
      if (!isFixed(name) && !Number.isNaN(value))
        metrics[name] = value === notFinite ? null : value;
    }
    return metrics;
  }

  keep(isKept: (row: number) => boolean): void {
    let kept = 0;
    this.#newestOf = new Map();
    for (let row = 0; row < this.length; row++) {
      if (!isKept(row)) continue;
      const step = this.#at(this.step, row);
      const columns = [
        ...[this.step, this.generation, this.time, this.seconds],
        ...[this.skipped, this.#phase],
      ];
      for (const column of [...columns, ...this.#columns.values()]) column[kept] = column[row];
      this.#before[kept] = this.#newestOf.get(step) ?? -1;
      this.#newestOf.set(step, kept++);
    }
    for (const column of this.#columns.values()) column.fill(missing, kept);
    this.length = kept;
    this.#byStep.clear();
    this.#byTime.clear();
  }
}

function isFixed(name: string): boolean {
  return (fixedColumns as readonly string[]).includes(name);
}

/** The numbers 0, 1, ... in the order of `compare`; cheap when most come in order. */
function createOrder(compare: (a: number, b: number) => number) {
  let order = new Uint32Array(256);
  let length = 0;
  const merge = (late: readonly number[]): void => {
    // From the back, where most of them belong.
    let [from, to] = [length - 1, length + late.length - 1];
    for (let next = late.length - 1; next >= 0; to--) {
      const isPast = from >= 0 && compare(order[from], late[next]) > 0;
      order[to] = (isPast ? order[from--] : late[next--]) ?? 0;
    }
    length += late.length;
  };
  return {
    upTo(count: number): Uint32Array {
      if (count > order.length) {
        const larger = new Uint32Array(2 * count);
        larger.set(order);
        order = larger;
      }
      if (count > length)
        merge(Array.from({ length: count - length }, (_, i) => length + i).sort(compare));
      return order.subarray(0, length);
    },
    clear(): void {
      length = 0;
    },
  };
}
