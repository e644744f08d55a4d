// The Kubernetes manifests of the base as the tests look at them, and a container's arguments,
// parsed by the commands' own definitions. Tests beside a real API server check the schemas.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type {
  V1Container,
  V1JobSpec,
  V1NetworkPolicySpec,
  V1PodSpec,
  V1ServiceSpec,
} from '@kubernetes/client-node';
import { parse, parseAllDocuments } from 'yaml';
import yargs, { type CommandModule } from 'yargs';
import { coordinatorCommand } from '../../../cli/commands/coordinator.js';
import { workerCommand } from '../../../cli/commands/worker.js';
import { packageFile } from '../../../shared/paths.js';

/** The base's folder, relative to the package. */
export const base = 'deploy/k8s/base';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec?: unknown;
}

interface Kustomization {
  readonly resources: readonly string[];
  readonly configMapGenerator: readonly { readonly name: string; readonly files: string[] }[];
}

/** The base's kustomization. */
export function readKustomization(): Kustomization {
  return parse(readBase('kustomization.yaml')) as Kustomization;
}

/** Text of a file of the base. */
export function readBase(file: string): string {
  return readFileSync(packageFile(`${base}/${file}`), 'utf8');
}

/** Every document of the files that the kustomization lists, in their order. */
export function readManifests(): Manifest[] {
  return readKustomization().resources.flatMap((file) =>
    parseAllDocuments(readBase(file)).map((document) => {
      assert.deepEqual(document.errors, [], file);
      return document.toJS() as Manifest;
    }),
  );
}

function specOf(kind: string, name: string): unknown {
  const found = readManifests().filter((one) => one.kind === kind && one.metadata.name === name);
  assert.equal(found.length, 1, `${kind} ${name}`);
  return found[0]?.spec;
}

/** A Job, a Service or a NetworkPolicy by its name; throws unless there is exactly one. */
export const readJob = (name: string) => specOf('Job', name) as V1JobSpec;
export const readService = (name: string) => specOf('Service', name) as V1ServiceSpec;
export const readPolicy = (name: string) => specOf('NetworkPolicy', name) as V1NetworkPolicySpec;

/** What a Job's pods are. */
export const podOf = (job: V1JobSpec): V1PodSpec => job.template.spec ?? assert.fail('no pod');

/** The only container of a Job's pods. */
export function containerOf(job: V1JobSpec): V1Container {
  const { containers } = podOf(job);
  assert.equal(containers.length, 1);
  return containers[0] ?? assert.fail('no container');
}

/** Replaces `$(NAME)` as the kubelet does; throws for a name that the pod does not set. */
export function expand(args: readonly string[], values: Readonly<Record<string, string>>) {
  return args.map((arg) =>
    arg.replace(/\$\((\w+)\)/g, (_, name: string) => {
      const value = values[name];
      if (value === undefined) throw new Error(`${name} is not set`);
      return value;
    }),
  );
}

/** Parses as strictly as `lockstep` does, and runs nothing; throws what is wrong. */
export function parseCommandLine(args: readonly string[]) {
  let accepted: { command: string; values: Record<string, unknown> } | undefined;
  const listed = <T>(module: CommandModule<object, T>): CommandModule<object, T> => ({
    ...module,
    handler: ({ _: [command], ...values }) => {
      accepted = { command: String(command), values };
    },
  });
  yargs()
    .parserConfiguration({ 'greedy-arrays': false, 'dot-notation': false })
    .command(listed(coordinatorCommand))
    .command(listed(workerCommand))
    .demandCommand(1)
    .strict()
    .exitProcess(false)
    .fail((message, error) => {
      throw error instanceof Error ? error : new Error(message);
    })
    .parseSync([...args]);
  if (accepted === undefined) throw new Error(`no command: ${args.join(' ')}`);
  return accepted;
}
