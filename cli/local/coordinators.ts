// The coordinator of a local run and, if there is one, its standby: each keeps its address, and
// is started again when it dies, to go on with the run.

import { describeDeparture, type Child, type Departure } from '../processes.js';
import { afterCoordinator } from './restart-policy.js';
import { isResult, type RunLine } from './run-lines.js';
import { parseJson } from '../../shared/bounded-json.js';

/** What a coordinator is started with. */
export interface SeatStart {
  readonly address: string;
  /** How many workers the run is to have by now. */
  readonly workers: number;
}

export interface CoordinatorsOptions {
  /** One address for each. */
  readonly addresses: readonly string[];
  /** Starts the process; `onText` takes the lines of its stdout. */
  start(seat: SeatStart, onText: (text: string) => void): Child;
  readonly workers: number;
  /** How many more processes may be started again; shared with the workers. */
  readonly restarts: { left: number };
  readonly onLine: (line: RunLine) => void;
}

export interface Coordinators {
  /** Starts the coordinator; its standby follows when the run is open. */
  start(): void;
  /** Resolves when the run has ended here, with how the coordinator left that ended it. */
  readonly over: Promise<Departure>;
  /** Asks the leader, whoever it will be, to stop the run. */
  askToStop(): void;
  /** The run is to have so many workers from now on. */
  setWorkers(workers: number): void;
  /** Ends them all at once; with that, the run has ended here. */
  killAll(): void;
}

/** A place at one of the addresses, and who is there now. */
interface Seat {
  readonly address: string;
  child: Child | undefined;
  startedMs: number;
  quickDeaths: number;
  /** It leads the run. */
  isLeading: boolean;
  isStopSent: boolean;
  /** We ended it, to start it with another number of workers. */
  isReplaced: boolean;
  /** It is not started again. */
  isGone: boolean;
}

/** Creates the coordinators of a local run. */
export function createCoordinators(options: CoordinatorsOptions): Coordinators {
  return new LocalCoordinators(options);
}

class LocalCoordinators implements Coordinators {
  readonly over: Promise<Departure>;
  readonly #options: CoordinatorsOptions;
  readonly #seats: readonly Seat[];
  #resolve: (departure: Departure) => void = () => undefined;
  #workers: number;
  #isOpened = false;
  #hasResult = false;
  #isStopAsked = false;
  #isOver = false;

  constructor(options: CoordinatorsOptions) {
    this.#options = options;
    this.#workers = options.workers;
    this.#seats = options.addresses.map(emptySeat);
    this.over = new Promise((resolve) => (this.#resolve = resolve));
  }

  start(): void {
    const [first] = this.#seats;
    if (first !== undefined) this.#fill(first);
  }

  askToStop(): void {
    this.#isStopAsked = true;
    const leaders = this.#seats.filter(({ isLeading }) => isLeading);
    for (const seat of leaders.length > 0 ? leaders : this.#seats.slice(0, 1)) sendStop(seat);
  }

  setWorkers(workers: number): void {
    if (workers === this.#workers) return;
    this.#workers = workers;
    // Whoever stands by would take over with the old number.
    for (const seat of this.#seats.filter((one) => !one.isLeading && this.#isOpened)) {
      seat.isReplaced = seat.child !== undefined;
      seat.child?.kill('SIGKILL');
    }
  }

  killAll(): void {
    this.#isOver = true;
    for (const { child } of this.#seats) child?.kill('SIGKILL');
    this.#resolve({ code: null, signal: 'SIGKILL' });
  }

  #fill(seat: Seat): void {
    if (this.#isOver) return;
    const { address } = seat;
    const child = this.#options.start({ address, workers: this.#workers }, (text) =>
      this.#read(seat, text),
    );
    Object.assign(seat, { child, startedMs: performance.now(), isLeading: false });
    Object.assign(seat, { isStopSent: false, isReplaced: false });
    this.#options.onLine({ kind: 'coordinator', pid: child.pid, address });
    void child.left.then((departure) => this.#left(seat, departure));
  }

  #read(seat: Seat, text: string): void {
    const line = parseLine(text);
    if (line === undefined || this.#hasResult) return;
    if (line['kind'] === 'run') this.#leads(seat);
    this.#hasResult = isResult(line);
    // Whoever stands by must not take an ended run over.
    if (this.#hasResult)
      for (const other of this.#seats) if (other !== seat) other.child?.kill('SIGKILL');
    this.#options.onLine(line);
  }

  #leads(seat: Seat): void {
    for (const other of this.#seats) other.isLeading = other === seat;
    this.#isOpened = true;
    if (this.#isStopAsked) sendStop(seat);
    for (const other of this.#seats)
      if (other.child === undefined && other.startedMs === 0) this.#fill(other);
  }

  #left(seat: Seat, departure: Departure): void {
    const { isLeading, quickDeaths } = seat;
    Object.assign(seat, { child: undefined, isLeading: false });
    if (this.#isOver) return;
    if (seat.isReplaced && !this.#hasResult) return this.#fill(seat);
    const verdict = afterCoordinator(departure, {
      ...{ ageMs: performance.now() - seat.startedMs, quickDeaths, isLeading },
      ...{ isOpened: this.#isOpened, hasResult: this.#hasResult, isStopAsked: this.#isStopAsked },
      isPaired: this.#seats.length > 1,
      restartsLeft: this.#options.restarts.left,
    });
    if (verdict.kind === 'restart') return this.#again(seat, departure, verdict);
    seat.isGone = true;
    const isLast = this.#seats.every(({ isGone, startedMs }) => isGone || startedMs === 0);
    // After the result, the coordinator that reported it counts, not one that we ended.
    if (isLast || (verdict.kind === 'over' && (isLeading || !this.#hasResult)))
      this.#resolve(departure);
  }

  #again(
    seat: Seat,
    departure: Departure,
    { delayMs, quickDeaths }: { readonly delayMs: number; readonly quickDeaths: number },
  ): void {
    this.#options.restarts.left -= 1;
    seat.quickDeaths = quickDeaths;
    setTimeout(() => {
      if (this.#isOver) return;
      const text = `the coordinator ${describeDeparture(departure)}; started again`;
      this.#options.onLine({ kind: 'notice', text });
      this.#fill(seat);
    }, delayMs);
  }
}

function emptySeat(address: string): Seat {
  return {
    address,
    ...{ child: undefined, startedMs: 0, quickDeaths: 0, isLeading: false },
    ...{ isStopSent: false, isReplaced: false, isGone: false },
  };
}

/** Once: the second signal to a process means something else. */
function sendStop(seat: Seat): void {
  if (seat.isStopSent) return;
  seat.isStopSent = true;
  seat.child?.kill('SIGTERM');
}

function parseLine(text: string): RunLine | undefined {
  try {
    const value: unknown = parseJson(text);
    return typeof value === 'object' && value !== null ? (value as RunLine) : undefined;
  } catch {
    return undefined;
  }
}
