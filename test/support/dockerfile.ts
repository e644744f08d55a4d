// The Dockerfile, taken apart: stages by name, each with its instructions, and what it copies.

import { readFileSync } from 'node:fs';
import { packageFile } from '../../shared/paths.js';

const file = 'deploy/docker/Dockerfile';
export const dockerfileText = readFileSync(packageFile(file), 'utf8');

export interface Stage {
  readonly name: string;
  /** The image or the stage that it begins with. */
  readonly from: string;
  /** Continued lines joined. */
  readonly lines: readonly string[];
}

/** All stages in their order. */
export const stages: readonly Stage[] = dockerfileText
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split(/^(?=FROM )/m)
  .slice(1)
  .map((text) => {
    const [head = '', ...lines] = text.split('\n').filter((line) => line !== '');
    const [, from = '', name = ''] = /^FROM (\S+) AS (\S+)$/.exec(head) ?? [];
    return { name, from, lines };
  });

/** A stage by its name. */
export function stage(name: string): Stage {
  const found = stages.find((one) => one.name === name);
  if (found === undefined) throw new Error(`there is no stage ${name}`);
  return found;
}

/** The arguments of a stage's instructions of one kind. */
export function argumentsOf({ lines }: Stage, instruction: string): string[] {
  return lines
    .filter((line) => line.startsWith(`${instruction} `))
    .map((line) => line.slice(instruction.length + 1));
}

/** What a stage copies out of the repository. */
export function copied(of: Stage): string[] {
  return argumentsOf(of, 'COPY')
    .filter((line) => !line.startsWith('--from'))
    .flatMap((line) => line.split(' ').slice(0, -1));
}

/** Top-level names that the builder is given: the patterns of Dockerfile.dockerignore, all of which
 * are `*` and `!name`. */
export function inContext(): string[] {
  const lines = readFileSync(packageFile(`${file}.dockerignore`), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  const [all, ...names] = lines;
  if (all !== '*' || !names.every((name) => /^![\w.-]+$/.test(name)))
    throw new Error('the ignore file says more than this reads');
  return names.map((name) => name.slice(1));
}
