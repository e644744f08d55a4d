// Adam on flat vectors. Every worker applies the same arithmetic to the same reduced bytes, so
// all hold the same parameters: only + - * / and sqrt, exactly rounded, the same everywhere.

/** Adam's constants; `learningRate` is that of the phase. */
export interface AdamOptions {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** What Adam changes: three vectors of one length, and the number of updates so far. */
export interface AdamState {
  readonly parameters: Float32Array;
  readonly firstMoment: Float32Array;
  readonly secondMoment: Float32Array;
  updates: number;
}

/**
 * One update in place (Kingma and Ba, "Adam", algorithm 1, in double precision, stored as
 * float32). `gradient` has the length of the vectors and is only read.
 */
export function applyAdam(state: AdamState, gradient: Float32Array, options: AdamOptions): void {
  const { parameters, firstMoment, secondMoment } = state;
  const { learningRate, beta1, beta2, epsilon } = options;
  state.updates += 1;
  const scale1 = 1 / (1 - integerPower(beta1, state.updates));
  const scale2 = 1 / (1 - integerPower(beta2, state.updates));
  const [rest1, rest2] = [1 - beta1, 1 - beta2];
  for (let i = 0; i < parameters.length; i++) {
    const g = gradient[i];
    const m = beta1 * firstMoment[i] + rest1 * g;
    const v = beta2 * secondMoment[i] + rest2 * g * g;
    firstMoment[i] = m;
    secondMoment[i] = v;
    parameters[i] -= (learningRate * m * scale1) / (Math.sqrt(v * scale2) + epsilon);
  }
}

/**
 * base^exponent by repeated squaring: `Math.pow` may differ in the last bit between versions of
 * the JavaScript engine.
 */
export function integerPower(base: number, exponent: number): number {
  let [result, square] = [1, base];
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result *= square;
    square *= square;
  }
  return result;
}
