// Draws how runs went, from the events in their folders, as SVG for the docs:
// node dist/bench/curves.js OUT-FOLDER RUN-URL...

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ParsedEvent } from '../shared/events/bus.js';
import { readEvents } from '../shared/events/event-log.js';
import { openStore } from '../shared/store/open-store.js';
import { lineChart, type Series } from './chart.js';

type Line = Extract<ParsedEvent, { type: 'step.committed' | 'sample.written' }>;
type Point = readonly [step: number, value: number];

/** The events of a run that are drawn; a step that was taken twice counts once. */
async function readLines(url: string): Promise<Line[]> {
  const store = openStore(url, {});
  const lines = new Map<string, Line>();
  try {
    for await (const event of readEvents(store))
      if (event.type === 'step.committed' || event.type === 'sample.written')
        lines.set(`${event.type} ${event.data.step}`, event);
  } finally {
    await store.close();
  }
  return [...lines.values()].sort((a, b) => a.data.step - b.data.step);
}

/** Means over windows of so many steps that about a hundred points are left. */
function smoothed(points: readonly Point[]): Point[] {
  const window = Math.max(1, Math.ceil(points.length / 100));
  const means: Point[] = [];
  for (let from = 0; from + window <= points.length; from += window) {
    const part = points.slice(from, from + window);
    const mean = part.reduce((sum, [, value]) => sum + value, 0) / window;
    means.push([part[window - 1][0], mean]);
  }
  return means;
}

function metricOf(lines: readonly Line[], name: string): Point[] {
  const points = lines.flatMap((line): Point[] => {
    const value = line.type === 'step.committed' ? line.data.metrics[name] : undefined;
    return typeof value === 'number' ? [[line.data.step, value]] : [];
  });
  return smoothed(points);
}

function evaluationsOf(lines: readonly Line[], key: 'psnr' | 'bicubic_psnr'): Point[] {
  return lines.flatMap((line): Point[] => {
    const value = line.type === 'sample.written' ? line.data[key] : null;
    return value === null ? [] : [[line.data.step, value]];
  });
}

const scores = { 'D(real)': 'score/real', 'D(fake)': 'score/fake' };
const losses = { discriminator: 'loss/discriminator', adversarial: 'loss/adversarial' };

async function drawRun(folder: string, url: string): Promise<void> {
  const name = url.replace(/\/+$/, '').split('/').at(-1) ?? url;
  const lines = await readLines(url);
  const draw = async (what: string, title: string, series: Series[]): Promise<void> => {
    const drawn = series.filter(({ points }) => points.length > 1);
    if (drawn.length === 0) return;
    const file = join(folder, `${name}-${what}.svg`);
    await writeFile(file, lineChart(`${name}: ${title}`, 'step', drawn));
    process.stdout.write(`${file}\n`);
  };
  const named = (table: Readonly<Record<string, string>>): Series[] =>
    Object.entries(table).map(([label, metric]) => ({
      name: label,
      points: metricOf(lines, metric),
    }));
  await draw('psnr', 'PSNR on held-out faces (dB)', [
    { name: 'generated', points: evaluationsOf(lines, 'psnr') },
    { name: 'bicubic', points: evaluationsOf(lines, 'bicubic_psnr'), isDashed: true },
  ]);
  const first = lines.find((line) => line.type === 'step.committed');
  const content = Object.keys(first?.data.metrics ?? {}).filter((metric) =>
    /^loss\/(pixel|features)/.test(metric),
  );
  const labels = content.map((metric) => [metric.replace(/^loss\/(features\/)?/, ''), metric]);
  await draw('content', 'content losses', named(Object.fromEntries(labels) as typeof scores));
  await draw('scores', 'what the discriminator believes', named(scores));
  await draw('losses', 'losses of the game', named(losses));
}

const [folder, ...urls] = process.argv.slice(2);
if (urls.length === 0) {
  process.stderr.write('usage: node dist/bench/curves.js OUT-FOLDER RUN-URL...\n');
  process.exitCode = 64;
} else {
  await mkdir(folder, { recursive: true });
  for (const url of urls) await drawRun(folder, url);
}
