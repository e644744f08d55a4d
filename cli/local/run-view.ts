// A run as a person sees it: progress with the time left, a line for each evaluation and
// checkpoint, and the result at the end. It reads the coordinator's lines and nothing else.

import { createProgress, progressMode, type Progress } from '../progress.js';
import { printLine, printNote } from '../output.js';

/** One line of the coordinator's `--json` output. */
export type RunLine = Readonly<Record<string, unknown>>;

export interface RunView {
  show(line: RunLine): void;
  close(): void;
}

/** Creates the view of one run; `isPlain` prints lines instead of a moving bar. */
export function createRunView(isPlain: boolean): RunView {
  let progress: Progress | undefined;
  const print = (text: string): void =>
    progress === undefined ? printNote(text) : progress.print(text);
  const close = (): void => {
    progress?.close();
    progress = undefined;
  };
  const show = (line: RunLine): void => {
    const { kind } = line;
    if (kind === 'run' && progress !== undefined)
      print(`a coordinator leads the run from step ${text(line['step'])}`);
    else if (kind === 'run') {
      printNote(
        `run ${text(line['run'])} in ${text(line['url'])}, from step ${text(line['step'])}`,
      );
      progress = createProgress({
        label: 'train',
        total: Number(line['until']),
        start: Number(line['step']),
        mode: progressMode(false, isPlain),
      });
    } else if (kind === 'step') progress?.update(Number(line['step']), describeStep(line));
    else if (kind === 'evaluation') print(describeEvaluation(line));
    else if (kind === 'checkpoint') print(`step ${text(line['step'])}: checkpointed`);
    else if (kind === 'notice') print(text(line['text']));
    else if (kind === 'world') print(describeWorld(line));
    else if (kind === 'lost') print(`${text(line['worker'])} is lost: ${text(line['reason'])}`);
    else if (kind === 'superseded') print(`a coordinator steps down: ${text(line['reason'])}`);
    else if (kind === 'finished' || kind === 'stopped' || kind === 'failed') {
      close();
      for (const row of describeResult(line)) printLine(row);
    }
  };
  return { show, close };
}

function describeStep(line: RunLine): string {
  const metrics = line['metrics'] as Readonly<Record<string, number>>;
  const shown = Object.entries(metrics).map(([name, value]) => `${name} ${value.toPrecision(3)}`);
  return `${text(line['phase'])}, ${text(line['images_per_s'])} images/s, ${shown.join(', ')}`;
}

function describeWorld(line: RunLine): string {
  const members = line['members'] as readonly { readonly worker: string }[];
  const names = members.map(({ worker }) => worker).join(', ');
  return `step ${text(line['step'])}: ${names} train (${text(line['reason'])})`;
}

function describeEvaluation(line: RunLine): string {
  const figure = (key: string, digits: number): string => Number(line[key]).toFixed(digits);
  return (
    `step ${text(line['step'])}: PSNR ${figure('psnr', 2)} dB, SSIM ${figure('ssim', 4)} on ` +
    `${text(line['faces'])} held-out faces (bicubic ${figure('bicubic_psnr', 2)} dB, ` +
    `${figure('bicubic_ssim', 4)})`
  );
}

function describeResult(line: RunLine): string[] {
  const next =
    line['kind'] === 'finished'
      ? `export it with: lockstep export ${text(line['url'])} --format onnx --out model`
      : `go on with it: lockstep resume ${text(line['url'])} --workers ${text(line['world'])}`;
  return [
    `${text(line['kind'])}: ${text(line['reason'])}`,
    `parameters sha256 ${text(line['sha256']) || '(none yet)'}`,
    `world ${text(line['world'])}, ${text(line['images_per_s'])} images/s`,
    next,
  ];
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value ?? '');
}
