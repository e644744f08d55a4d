// Workers export their steps where OpenTelemetry's variables say so: a receiver gets well-formed
// OTLP with every part of a step, an endpoint that is away is one notice, and without one nothing of
// OpenTelemetry is loaded.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { exitCodes } from '../../../shared/exit-codes.js';
import { createThinning } from '../../../worker/step-trace/otlp-exporter.js';
import { runLockstep } from '../../support/lockstep-command.js';
import { freePort } from '../../support/servers.js';
import { testFolder, writeRuns } from '../../support/tiny-run.js';

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string };
}

/** A span of OTLP as JSON: https://opentelemetry.io/docs/specs/otlp/ */
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
}

interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
}

const folder = testFolder();
const requests: { url: string; headers: IncomingHttpHeaders; body: OtlpRequest }[] = [];
let receiver: Server;
let endpoint: string;

before(async () => {
  await writeRuns(folder, { six: {} });
  receiver = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => (text += part));
    request.on('end', () => {
      const { url = '', headers } = request;
      requests.push({ url, headers, body: JSON.parse(text) as OtlpRequest });
      response.setHeader('content-type', 'application/json').end('{}');
    });
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  endpoint = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
});

after(() => receiver.close());

const trainTwo = (run: string): string[] => [
  ...['train', '-f', 'six.yaml', '--workers', '2', '--run', run, '--json'],
];
const valueOf = (attributes: readonly Attribute[], key: string): string => {
  const value = attributes.find((one) => one.key === key)?.value;
  return String(value?.stringValue ?? value?.intValue);
};

test('a step of two workers is one trace, with all of its parts', async () => {
  const { code, stderr } = await runLockstep(trainTwo('exported'), folder, {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-team=faces',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
  });
  assert.equal(code, exitCodes.ok, stderr);
  assert.ok(
    requests.every(({ url, headers }) => url === '/v1/traces' && headers['x-team'] === 'faces'),
  );
  const resources = requests.flatMap(({ body }) => body.resourceSpans);
  for (const { resource } of resources) {
    assert.equal(valueOf(resource.attributes, 'service.name'), 'lockstep-worker');
    assert.equal(valueOf(resource.attributes, 'deployment.environment.name'), 'test');
  }
  const spans = resources.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
  // The first step is always exported; how many follow depends on how fast they are.
  const first = spans.filter(({ attributes }) => valueOf(attributes, 'step') === '1');
  assert.equal(new Set(first.map(({ traceId }) => traceId)).size, 1);
  assert.match(first[0]?.traceId ?? '', /^[0-9a-f]{32}$/);
  for (const [rank, worker] of ['worker-0', 'worker-1'].entries())
    checkStep(
      first.filter(({ attributes }) => valueOf(attributes, 'worker') === worker),
      rank,
    );
  const traces = new Set(spans.map(({ traceId }) => traceId));
  const steps = new Set(spans.map(({ attributes }) => valueOf(attributes, 'step')));
  assert.equal(traces.size, steps.size);
});

/** One worker's spans of the first step. */
function checkStep(spans: readonly OtlpSpan[], rank: number): void {
  const root = spans.find(({ name }) => name === 'step');
  assert.ok(root !== undefined && !root.parentSpanId);
  assert.equal(valueOf(root.attributes, 'run'), 'exported');
  assert.equal(valueOf(root.attributes, 'rank'), `${rank}`);
  assert.equal(valueOf(root.attributes, 'phase'), 'pixel');
  assert.match(valueOf(root.attributes, 'generation'), /^\d+$/);
  const names = new Set(spans.map(({ name }) => name));
  for (const name of ['data', 'compute', 'exchange', 'update']) assert.ok(names.has(name), name);
  for (const span of spans) {
    const [start, end] = [BigInt(span.startTimeUnixNano), BigInt(span.endTimeUnixNano)];
    assert.ok(start <= end && Math.abs(Number(start / 1_000_000n) - Date.now()) < 300_000);
    if (span === root) continue;
    assert.equal(span.parentSpanId, root.spanId);
    assert.ok(start >= BigInt(root.startTimeUnixNano) && end <= BigInt(root.endTimeUnixNano));
  }
}

test('an endpoint that is away is one notice of each worker, and the bytes are the same', async () => {
  const away = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` };
  const { code, lines, stderr } = await runLockstep(trainTwo('away'), folder, away);
  const other = await runLockstep(trainTwo('plain'), folder, noted());
  assert.equal(code, exitCodes.ok, stderr);
  assert.equal(lines.at(-1)?.['sha256'], other.lines.at(-1)?.['sha256']);
  assert.equal(stderr.match(/spans are not exported/g)?.length, 2, stderr);
  assert.equal(other.code, exitCodes.ok, other.stderr);
  const loaded = readFileSync(noteFile, 'utf8');
  assert.match(loaded, /@grpc\/grpc-js/, 'what is loaded is noted');
  assert.doesNotMatch(loaded, /opentelemetry/);
});

const noteFile = join(folder, 'loaded.txt');

/** Has every process of a command write down what it resolves. */
function noted(): Record<string, string> {
  const hooks = join(folder, 'hooks.mjs');
  const register = join(folder, 'register.mjs');
  writeFileSync(
    hooks,
    `import { appendFileSync } from 'node:fs';
export function resolve(specifier, context, next) {
  appendFileSync(${JSON.stringify(noteFile)}, specifier + '\\n');
  return next(specifier, context);
}`,
  );
  writeFileSync(
    register,
    `import { register } from 'node:module';
register(${JSON.stringify(pathToFileURL(hooks).href)});`,
  );
  assert.ok(!existsSync(noteFile));
  return { NODE_OPTIONS: `--import ${pathToFileURL(register).href}` };
}

test('of a fast run every 2nd, 4th, ... step is exported, at most ten a second', () => {
  for (const [stepMs, every] of [
    [1_000, 1],
    [100, 1],
    [60, 2],
    [30, 4],
    [1, 128],
  ] as const) {
    const thinning = createThinning();
    const taken = Array.from({ length: 2_000 }, (_, i) => i + 1).filter((step) =>
      thinning.takes(step, step * stepMs),
    );
    const late = taken.filter((step) => step > 500);
    assert.equal(late.length, Math.floor(2_000 / every) - Math.floor(500 / every));
    assert.ok(late.every((step) => step % every === 0));
  }
});
