// All objects of a run, in the order in which they are sent. Pure: parameters in, objects out.

import { stringify, type CreateNodeOptions, type ToStringOptions } from 'yaml';
import type { LaunchParameters } from '../launch-parameters.js';
import { accessObjects } from './access.js';
import { coordinatorJob, coordinatorService } from './coordinator.js';
import { networkPolicies } from './network.js';
import type { Manifest, Owner } from './object.js';
import { leaseObject, rootObject } from './root.js';
import { workerBudget, workerJob, workersService } from './workers.js';

/** What surrounds the Jobs, owned by the root; may be sent again and again. */
export function surroundings(owner: Owner, parameters: LaunchParameters): Manifest[] {
  return [
    ...accessObjects(owner, parameters.serviceAccount),
    leaseObject(owner, parameters.workers),
    coordinatorService(owner),
    workersService(owner),
    ...networkPolicies(owner, parameters),
    workerBudget(owner, parameters.workers),
  ];
}

/** The Jobs; their templates can't be changed once they are there. */
export function jobs(owner: Owner, parameters: LaunchParameters): Manifest[] {
  return [coordinatorJob(owner, parameters), workerJob(owner, parameters)];
}

/** Everything, the root first; `uid` is that of the root, once the server has given one. */
export function runObjects(
  parameters: LaunchParameters,
  specText: string,
  uid?: string,
): Manifest[] {
  const { namespace, name } = parameters;
  const owner = { namespace, name, uid };
  return [
    rootObject(parameters, specText),
    ...surroundings(owner, parameters),
    ...jobs(owner, parameters),
  ];
}

const yamlForm: ToStringOptions & CreateNodeOptions = {
  aliasDuplicateObjects: false,
  blockQuote: 'literal',
  lineWidth: 100,
  singleQuote: true,
};

/** The objects as a stream of YAML documents, as `kubectl apply -f -` reads them. */
export function printObjects(objects: readonly Manifest[]): string {
  return objects.map((object) => stringify(object, yamlForm)).join('---\n');
}
