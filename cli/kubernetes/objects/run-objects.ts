// All objects of a run, in the order in which they are sent. Pure: parameters in, objects out.

import { stringify, type CreateNodeOptions, type ToStringOptions } from 'yaml';
import type { LaunchParameters } from '../launch-parameters.js';
import { accessObjects } from './access.js';
import { coordinatorJob, servicesOf, workerBudget, workerJob } from './jobs.js';
import { networkPolicies } from './network.js';
import { leaseObject, rootObject, type Manifest, type Owner } from './root.js';

/** What surrounds the Jobs, owned by the root; may be sent again and again. */
export function surroundings(owner: Owner, parameters: LaunchParameters): Manifest[] {
  return [
    ...accessObjects(owner, parameters),
    leaseObject(owner, parameters.workers),
    ...servicesOf(owner),
    ...networkPolicies(owner, parameters),
    workerBudget(owner, parameters.workers),
  ];
}

/**
 * The Jobs of a run that can have `microShards` workers; their templates can't be changed once they
 * are there.
 */
export function jobs(owner: Owner, parameters: LaunchParameters, microShards: number): Manifest[] {
  return [
    coordinatorJob(owner, parameters, microShards),
    workerJob(owner, parameters, microShards),
  ];
}

/** What else is known of a run: the root's uid, once the server has given one. */
export interface RunFacts {
  readonly uid?: string | undefined;
  /** How many workers it can have; as many as it has when not given. */
  readonly microShards?: number;
}

/** Everything but Secrets, the root first. */
export function runObjects(
  parameters: LaunchParameters,
  specText: string,
  { uid, microShards = parameters.workers }: RunFacts = {},
): Manifest[] {
  const { namespace, name } = parameters;
  const owner = { namespace, name, uid };
  return [
    rootObject(parameters, specText),
    ...surroundings(owner, parameters),
    ...jobs(owner, parameters, microShards),
  ];
}

/** How YAML is written. */
export const yamlForm: ToStringOptions & CreateNodeOptions = {
  aliasDuplicateObjects: false,
  blockQuote: 'literal',
  lineWidth: 100,
  singleQuote: true,
};

/** `from` is a word of TypeScript's to the library's types, but not on the wire. */
function wireNames(_: unknown, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('_from' in value)) return value;
  const { _from, ...rest } = value;
  return { from: _from, ...rest };
}

/** The objects as a stream of YAML documents, as `kubectl apply -f -` reads them. */
export function printObjects(objects: readonly Manifest[]): string {
  return objects.map((object) => stringify(object, wireNames, yamlForm)).join('---\n');
}
