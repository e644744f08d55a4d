// A run's picture as lines of text, for a terminal of any width: how far it is, what it costs, how
// good the faces are, the workers, and what happened last.

import { printable } from '../../shared/problems.js';
import { lossCauses, type Happening, type RunPicture } from '../../watch/history/picture.js';
import { formatTable, type Row } from '../output.js';
import { formatDuration, progressLine } from '../progress.js';

/** How a line is to look, where there are colours. */
export type Tone = 'plain' | 'title' | 'good' | 'bad' | 'warning' | 'dim';

export interface PictureLine {
  readonly text: string;
  readonly tone: Tone;
}

export interface PictureView {
  /** Columns of the terminal; no line is longer. */
  readonly width: number;
  /** Lines of the terminal; the workers and the news share what is left. */
  readonly height: number;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Times are shown as they are there; default: here. */
  readonly timeZone?: string;
}

/** Lines that fit the view. */
export function pictureLines(picture: RunPicture, view: PictureView): PictureLine[] {
  const head: PictureLine[] = [
    titleLine(picture, view.width),
    ...silenceLines(picture, view.nowMs),
    ...progressLines(picture, view),
    ...figureLines(picture, view),
  ];
  const left = Math.max(4, view.height - head.length - 2);
  const news = newsLines(picture, view).slice(-Math.max(3, Math.min(8, Math.floor(left / 2))));
  const workers = workerLines(picture, view.width, Math.max(1, left - news.length));
  const blank: PictureLine = { text: '', tone: 'plain' };
  return [
    ...head,
    ...(workers.length > 0 ? [blank, ...workers] : []),
    ...(news.length > 0 ? [blank, ...news] : []),
  ].map(({ text, tone }) => ({ text: fit(printable(text), view.width), tone }));
}

/** Cut, with a sign that it is. */
function fit(text: string, width: number): string {
  const letters = [...text];
  return letters.length <= width ? text : `${letters.slice(0, Math.max(0, width - 1)).join('')}…`;
}

const tones: Readonly<Record<RunPicture['state'], Tone>> = {
  ...({ unknown: 'dim', starting: 'title', running: 'title' } as const),
  ...({ finished: 'good', stopped: 'warning', failed: 'bad' } as const),
};

function titleLine(picture: RunPicture, width: number): PictureLine {
  const { run, state, reason, url, workers, target, term } = picture;
  const members = workers.filter(({ rank }) => rank >= 0).length;
  const world = `${members} of ${target} workers, term ${term}`;
  const isOver = reason !== '' || state === 'unknown';
  const text = `${run === '' ? 'a run' : run}  ${isOver ? reason || state : `${state}, ${world}`}`;
  const where = text.length + url.length + 2 <= width && url !== '' ? `  ${url}` : '';
  return { text: text + where, tone: tones[state] };
}

/** Steps, and how the workers are, are told much more often. */
const longSilenceS = 60;

function silenceLines({ state, time, url }: RunPicture, nowMs: number): PictureLine[] {
  const silentS = time === '' ? 0 : (nowMs - Date.parse(time)) / 1000;
  if (state !== 'running' || silentS < longSilenceS) return [];
  const hint = `if it was killed: lockstep resume ${url}`;
  return [{ text: `nothing was heard for ${formatDuration(silentS)}; ${hint}`, tone: 'warning' }];
}

function progressLines(picture: RunPicture, { width }: PictureView): PictureLine[] {
  const { step, until, last_step: last, eta_s: eta, state } = picture;
  if (last === 0) return [];
  const halts = until === last ? '' : `, halts after ${until}`;
  const phase = picture.phase === '' ? '' : `, phase ${picture.phase}`;
  const isGoing = state === 'running' || state === 'starting';
  const left = isGoing && eta > 0 ? `, ${formatDuration(eta)} left` : '';
  const percent = Math.floor((100 * step) / last);
  const figures = `step ${step} of ${last} (${percent}%)${left}${phase}${halts}`;
  const cells = Math.max(10, Math.min(60, width - 2));
  const done = Math.min(cells, Math.round((cells * step) / last));
  const bar = `[${'='.repeat(done)}${' '.repeat(cells - done)}]`;
  return [
    { text: bar.slice(0, width), tone: 'plain' },
    { text: figures, tone: 'plain' },
  ];
}

function figureLines(picture: RunPicture, { width, nowMs }: PictureView): PictureLine[] {
  const { metrics, evaluation, checkpoint, health } = picture;
  const lines: PictureLine[] = [];
  const say = (name: string, parts: readonly string[], tone: Tone = 'plain'): void => {
    const said = parts.filter((part) => part !== '');
    const texts = said.length === 0 ? [] : wrapped(name.padEnd(8), said, width);
    lines.push(...texts.map((text) => ({ text, tone })));
  };
  say('loss', namedMetrics(metrics, 'loss/'));
  say('D', namedMetrics(metrics, 'score/'));
  if (evaluation !== undefined) say('faces', evaluationParts(picture, evaluation));
  say('speed', [
    picture.images_per_s > 0 ? `${figure(picture.images_per_s)} images/s` : '',
    picture.bytes_per_step > 0 ? `${formatBytes(picture.bytes_per_step)} a step` : '',
  ]);
  say('goodput', goodputParts(picture));
  say('counts', countParts(picture));
  if (checkpoint !== undefined) {
    const ago = Math.max(0, (nowMs - Date.parse(checkpoint.time)) / 1000);
    const parts = [`step ${checkpoint.step}, ${formatDuration(ago)} ago`];
    say('saved', [...parts, checkpoint.sha256.slice(0, 12)]);
  }
  if (health !== '') say('health', [health], 'warning');
  return lines;
}

/** Parts beside each other, as many a line as fit, below the name. */
function wrapped(name: string, parts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  let line = name;
  for (const [i, part] of parts.entries()) {
    const isFirst = i === 0 || line === ' '.repeat(name.length);
    const next = isFirst ? line + part : `${line}  ${part}`;
    if (next.length > width && !isFirst) {
      lines.push(line);
      line = ' '.repeat(name.length) + part;
    } else line = next;
  }
  return [...lines, line];
}

function namedMetrics(metrics: RunPicture['metrics'], prefix: string): string[] {
  return Object.entries(metrics)
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, value]) => `${name.slice(prefix.length)} ${figure(value)}`);
}

function evaluationParts(
  { best }: RunPicture,
  evaluation: NonNullable<RunPicture['evaluation']>,
): string[] {
  const { step, psnr, ssim, bicubic_psnr: bicubicPsnr, bicubic_ssim: bicubicSsim } = evaluation;
  return [
    `PSNR ${fixed(psnr, 2)} dB, bicubic ${fixed(bicubicPsnr, 2)}`,
    `SSIM ${fixed(ssim, 3)}, bicubic ${fixed(bicubicSsim, 3)}`,
    `at step ${step}`,
    best === undefined || best.step === step
      ? ''
      : `best ${best.psnr.toFixed(2)} dB at step ${best.step}`,
  ];
}

function goodputParts({ goodput }: RunPicture): string[] {
  if (goodput.wall_s === 0) return [];
  const lost = lossCauses
    .filter((cause) => goodput.lost_s[cause] >= 0.5)
    .map((cause) => `${cause} ${formatDuration(goodput.lost_s[cause])}`);
  return [`${Math.round(100 * goodput.share)}% of ${formatDuration(goodput.wall_s)}`, ...lost];
}

function countParts({ counts }: RunPicture): string[] {
  return (['joined', 'lost', 'drained', 'redone', 'skipped'] as const)
    .filter((name) => counts[name] > 0)
    .map((name) => `${counts[name]} ${name}`);
}

/** Columns of the workers' table: the first are there at any width, the others as they fit. */
const columns = ['rank', 'worker', 'step', 'data', 'compute', 'exchange', 'update', 'wait'];
const moreColumns = ['stage', 'host'];

function workerLines(picture: RunPicture, width: number, most: number): PictureLine[] {
  const { workers, straggler } = picture;
  if (workers.length === 0) return [];
  const shown = workers.length <= most - 2 ? workers : workers.slice(0, Math.max(1, most - 3));
  const rows = shown.map((one): Record<string, string | number> => {
    const { seconds } = one;
    const cell = (value = 0, name = ''): string => value.toFixed(2).padStart(name.length);
    return {
      rank: one.rank < 0 ? '-' : one.rank,
      ...{ worker: one.worker, step: one.step, stage: one.stage, host: one.host },
      data: cell(seconds.data, 'data'),
      compute: cell(seconds.compute, 'compute'),
      exchange: cell(seconds.exchange, 'exchange'),
      update: cell(seconds.update, 'update'),
      wait: cell(seconds.wait, 'wait'),
    };
  });
  const table = fittingTable(rows, width);
  const more = workers.length - shown.length;
  return [
    { text: table[0], tone: 'dim' },
    ...table.slice(1).map((text, i): PictureLine => {
      return { text, tone: shown[i].worker === straggler?.worker ? 'warning' : 'plain' };
    }),
    ...(more > 0 ? [{ text: `and ${more} more`, tone: 'dim' } as const] : []),
    ...(straggler === null ? [] : [stragglerLine(straggler)]),
  ];
}

/** As many columns as fit. */
function fittingTable(rows: readonly Record<string, string | number>[], width: number): string[] {
  let names: readonly string[] = [...columns, ...moreColumns];
  for (;;) {
    const table: Row[] = [names, ...rows.map((row) => names.map((name) => row[name] ?? ''))];
    const lines = formatTable(table);
    if (names.length <= 3 || Math.max(...lines.map((line) => line.length)) <= width) return lines;
    names = names.slice(0, -1);
  }
}

function stragglerLine(straggler: NonNullable<RunPicture['straggler']>): PictureLine {
  const { worker, phase, excess_s: excess } = straggler;
  const text = `slowest ${worker}, in ${phase}: ${excess.toFixed(3)} s a step more than the others`;
  return { text, tone: 'warning' };
}

const newsTones: Partial<Readonly<Record<Happening['kind'], Tone>>> = {
  ...({ lost: 'bad', failed: 'bad', rolledBack: 'warning', skipped: 'warning' } as const),
  ...({ health: 'warning', notice: 'warning', finished: 'good', joined: 'good' } as const),
};

function newsLines({ news }: RunPicture, { timeZone }: PictureView): PictureLine[] {
  return news.map((one) => ({
    text: `${clockTime(one.time, timeZone)}  ${one.text}`,
    tone: newsTones[one.kind] ?? 'plain',
  }));
}

/** "14:03:07" */
export function clockTime(time: string, timeZone?: string): string {
  const options = timeZone === undefined ? {} : { timeZone };
  return new Date(time).toLocaleTimeString('en-GB', options);
}

/** "run faces: step 120/550 (21%), 3 min left, loss 0.012, ..." for what is no terminal. */
export function pictureNote(picture: RunPicture): string {
  const { step, last_step: last, eta_s: eta, metrics, evaluation } = picture;
  const loss = metrics['loss/generator'] ?? null;
  const note = [
    loss === null ? '' : `loss ${figure(loss)}`,
    evaluation === undefined ? '' : `PSNR ${fixed(evaluation.psnr, 2)} dB`,
    picture.images_per_s > 0 ? `${figure(picture.images_per_s)} images/s` : '',
  ];
  const text = note.filter((part) => part !== '').join(', ');
  return printable(progressLine(picture.run, step, last, eta > 0 ? eta : undefined, text));
}

/** Three digits that count. */
function figure(value: number | null): string {
  if (value === null) return 'not finite';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(2);
  return size >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function fixed(value: number | null, digits: number): string {
  return value === null ? 'not finite' : value.toFixed(digits);
}

/** "12.3 MiB", as the page has it. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
