// What the training thread and the evaluation thread say to each other. Plain data only.

import type { RunSpec } from '../../shared/spec/schema.js';
import type { Step } from '../../shared/words.js';
import type { CloneableStoreOptions } from '../../shared/store/open-store.js';

/** What the evaluation thread needs to know for the whole run. */
export interface EvaluationSetup {
  readonly spec: RunSpec;
  /** Folder of the run; sample pictures go there. */
  readonly runUrl: string;
  /** For the stores of the run and of its dataset. */
  readonly storeOptions: CloneableStoreOptions;
  /** Compute threads of the evaluation. */
  readonly threads: number;
}

/** A generator to judge: flat parameters and statistics, in the task's own layouts. */
export interface EvaluationRequest {
  readonly step: Step;
  readonly parameters: Float32Array;
  readonly statistics: Float32Array;
  /** The run's last evaluation, which is never skipped. */
  readonly isLast: boolean;
}

/** Means over the test faces. */
export interface Evaluation {
  readonly step: Step;
  readonly psnr: number;
  readonly ssim: number;
  readonly bicubicPsnr: number;
  readonly bicubicSsim: number;
  /** Test faces the means are taken over. */
  readonly faces: number;
  /** Key of the sample picture below the run. */
  readonly sampleKey: string;
  readonly seconds: number;
}

/** How a request ended. A failure is a fact to report; training goes on. */
export type EvaluationOutcome =
  | ({ readonly kind: 'evaluated' } & Evaluation)
  | { readonly kind: 'skipped'; readonly step: Step }
  | { readonly kind: 'failed'; readonly step: Step; readonly reason: string };
