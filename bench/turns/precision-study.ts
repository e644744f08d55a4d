// What a way to exchange costs in quality: the same training from several seeds, with float32 sums
// and with another setting, judged on faces that training never sees.

import type { RunSpec } from '../../shared/spec/schema.js';
import { trainHere, withBenchFolder, type BenchFolder } from './local-run.js';
import { markdownTable } from './turns.js';

type Exchange = NonNullable<RunSpec['exchange']>;

export interface PrecisionStudyOptions {
  readonly spec: RunSpec;
  readonly seeds: readonly number[];
  readonly workers: number;
  /** Compared with float32 and nothing factored. */
  readonly exchange: Exchange;
  readonly say: (text: string) => void;
}

/** The last judgement of both trainings from a seed, in dB. */
export interface PrecisionStudy {
  readonly seed: number;
  readonly reference_db: number;
  readonly db: number;
  readonly difference_db: number;
  readonly bicubic_db: number;
  readonly faces: number;
}

const reference: Exchange = { factored: 'never', precision: 'float32' };

/** Trains; whatever fails ends it with what it said. */
export function studyPrecision(options: PrecisionStudyOptions): Promise<PrecisionStudy[]> {
  return withBenchFolder(async (folder) => {
    const rows: PrecisionStudy[] = [];
    for (const seed of options.seeds) {
      const plain = await judge(options, folder, seed, reference);
      const other = await judge(options, folder, seed, options.exchange);
      rows.push({
        ...{ seed, reference_db: plain.psnr, db: other.psnr },
        difference_db: other.psnr - plain.psnr,
        ...{ bicubic_db: plain.bicubic_psnr, faces: plain.faces },
      });
    }
    return rows;
  });
}

interface Judgement {
  readonly psnr: number;
  readonly bicubic_psnr: number;
  readonly faces: number;
}

async function judge(
  { spec, workers, say }: PrecisionStudyOptions,
  folder: BenchFolder,
  seed: number,
  exchange: Exchange,
): Promise<Judgement> {
  const name = `seed-${seed}-${exchange.precision}-${exchange.factored}`;
  const began = performance.now();
  let judgement: Judgement | undefined;
  await trainHere(
    folder,
    name,
    {
      ...{ ...spec, seed, exchange, dataset: { ...spec.dataset, url: folder.datasetUrl } },
      checkpoint: { ...spec.checkpoint, everySteps: 1_000_000 },
      evaluation: { ...spec.evaluation, everySteps: 0 },
    },
    ['--workers', String(workers)],
    (line) => {
      if (line['kind'] === 'evaluation') judgement = line as unknown as Judgement;
    },
  );
  if (judgement === undefined) throw new Error(`${name} was not judged`);
  const seconds = ((performance.now() - began) / 1e3).toFixed(0);
  say(`${name}: ${judgement.psnr.toFixed(3)} dB, after ${seconds} s`);
  return judgement;
}

/** The table, in Markdown. */
export function precisionTable(rows: readonly PrecisionStudy[], exchange: Exchange): string {
  const mean = (read: (row: PrecisionStudy) => number): number =>
    rows.reduce((sum, row) => sum + read(row), 0) / rows.length;
  const signed = (value: number): string => `${value < 0 ? '' : '+'}${value.toFixed(3)}`;
  const cells = (name: string, of: (read: (row: PrecisionStudy) => number) => number): string[] => [
    ...[name, of((row) => row.reference_db).toFixed(3), of((row) => row.db).toFixed(3)],
    signed(of((row) => row.difference_db)),
  ];
  const other = `${exchange.precision}, factored ${exchange.factored}`;
  return markdownTable([
    ['seed', 'float32, factored never', other, 'difference'],
    ...rows.map((row) => cells(String(row.seed), (read) => read(row))),
    cells('mean', mean),
  ]);
}
