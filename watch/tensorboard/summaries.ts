// What TensorBoard shows of an event of the run: numbers by tag, pictures, and the spec as
// hyperparameters. Pure; knows nothing of files.

import type { EventData } from '../../shared/events/kinds.js';
import { learningRateAt, stepInPhase, type TrainedNetwork } from '../../shared/spec/schedule.js';
import type { RunSpec } from '../../shared/spec/schema.js';
import {
  emptyTensor,
  encodeHparams,
  type BoardEvent,
  type HparamsData,
  type HparamValue,
  type SummaryValue,
} from './records.js';

/** Numbers of TensorBoard's enumerations. */
const [sessionStart, succeeded, tensorClass] = [1, 1, 2];
const hparamTypes = { string: 1, boolean: 2, number: 3 } as const;

/** The metrics that TensorBoard's table of runs shows beside the spec. */
const judgedBy = ['evaluation/psnr', 'evaluation/ssim', 'evaluation/identity'];

/** The first event of each file. */
export function fileVersion(wallTime: number): BoardEvent {
  return { wallTime, fileVersion: 'brain.Event:2' };
}

/** The run goes on with `step`: TensorBoard drops what it has read of this step and later ones. */
export function restartAt(step: number, wallTime: number): BoardEvent {
  return { wallTime, step, sessionLog: { status: sessionStart } };
}

/** All numbers of a step. */
export function stepSummary(
  spec: RunSpec,
  data: EventData<'step.committed'>,
  wallTime: number,
): BoardEvent {
  const seconds = Object.entries(data.seconds).map(([part, s]) => scalar(`seconds/${part}`, s));
  const value = [
    ...Object.entries(data.metrics).map(([name, measured]) => scalar(name, measured)),
    ...learningRates(spec, data.step),
    scalar('speed/images_per_s', data.images_per_s),
    ...seconds,
  ];
  return { wallTime, step: data.step, summary: { value } };
}

/** The rates of update number `step`, which are the spec's: no event carries them. */
function learningRates(spec: RunSpec, step: number): SummaryValue[] {
  const phase = phaseOf(spec, step - 1);
  if (phase === undefined) return [];
  const networks: TrainedNetwork[] = ['generator'];
  if (phase.loss.adversarial > 0) networks.push('discriminator');
  const index = stepInPhase(spec, step - 1);
  return networks.map((network) =>
    scalar(`learning_rate/${network}`, learningRateAt(phase, network, index)),
  );
}

function phaseOf(spec: RunSpec, update: number): RunSpec['phases'][number] | undefined {
  let end = 0;
  return update < 0 ? undefined : spec.phases.find(({ steps }) => update < (end += steps));
}

/** An evaluation, and its picture where there is one. */
export function evaluationSummary(
  data: EventData<'sample.written'>,
  png: Uint8Array | undefined,
  wallTime: number,
): BoardEvent {
  const { psnr, ssim, identity } = data;
  const numbers = {
    ...{ psnr, ssim, identity, psnr_bicubic: data.bicubic_psnr },
    ...{ ssim_bicubic: data.bicubic_ssim, identity_bicubic: data.bicubic_identity },
  };
  const image = png === undefined ? undefined : pngImage(png);
  const value: SummaryValue[] = Object.entries(numbers).flatMap(([name, measured]) =>
    measured === undefined ? [] : [scalar(`evaluation/${name}`, measured)],
  );
  if (image !== undefined) value.push({ tag: 'samples', image });
  return { wallTime, step: data.step, summary: { value } };
}

/** The spec as hyperparameters, which TensorBoard shows beside those of other runs. */
export function specSummary(spec: RunSpec, run: string, wallTime: number): BoardEvent {
  const hparams = flatten('', spec);
  const experiment = {
    hparamInfos: Object.entries(hparams).map(([name, value]) => ({ name, type: typeOf(value) })),
    metricInfos: judgedBy.map((tag) => ({ name: { tag } })),
  };
  const sessionStartInfo = { hparams, groupName: run, startTimeSecs: wallTime };
  const value = [
    hparamsValue('experiment', { version: 0, experiment }),
    hparamsValue('session_start_info', { version: 0, sessionStartInfo }),
  ];
  return { wallTime, step: 0, summary: { value } };
}

/**
 * The end, for the table of runs. Only of a run that has finished: of several ends TensorBoard
 * believes the first, and any other end can be followed by a resume.
 */
export function endSummary(wallTime: number): BoardEvent {
  const sessionEndInfo = { status: succeeded, endTimeSecs: wallTime };
  const value = [hparamsValue('session_end_info', { version: 0, sessionEndInfo })];
  return { wallTime, step: 0, summary: { value } };
}

function hparamsValue(name: string, data: HparamsData): SummaryValue {
  const pluginData = { pluginName: 'hparams', content: encodeHparams(data) };
  const metadata = { pluginData, dataClass: tensorClass };
  return { tag: `_hparams_/${name}`, metadata, tensor: emptyTensor };
}

/** JSON writes null for what is not finite. */
function scalar(tag: string, measured: number | null): SummaryValue {
  return { tag, simpleValue: measured ?? Number.NaN };
}

/** "phases.0.loss.pixel" and its value, for every key of a document. */
function flatten(key: string, value: unknown): Record<string, HparamValue> {
  if (typeof value === 'number') return { [key]: { numberValue: value } };
  if (typeof value === 'boolean') return { [key]: { boolValue: value } };
  if (typeof value === 'string') return { [key]: { stringValue: value } };
  const members = Object.entries(Object(value) as object);
  return Object.assign(
    {},
    ...members.map(([name, item]) => flatten(key === '' ? name : `${key}.${name}`, item)),
  ) as Record<string, HparamValue>;
}

function typeOf(value: HparamValue): number {
  if ('numberValue' in value) return hparamTypes.number;
  return 'boolValue' in value ? hparamTypes.boolean : hparamTypes.string;
}

const pngStart = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** A PNG file with the size that its header gives; undefined when it is none. */
function pngImage(file: Uint8Array): SummaryValue['image'] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length < 33 || !bytes.subarray(0, 8).equals(pngStart)) return undefined;
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  return { width, height, colorspace: 3, encodedImageString: file };
}
