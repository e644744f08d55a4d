// What a dry run prints in place of the Secret with the certificates, whose keys nobody should see
// in a terminal or a log: how to make it by hand.

import { authorityFile } from '../../../shared/tls/certificates.js';
import { anyName } from '../../../shared/tls/identity.js';
import { runId } from '../../stores.js';
import type { LaunchParameters } from '../launch-parameters.js';
import { objectNames } from '../names.js';
import { certificateHolders, hasOwnSecret, secretKey } from '../objects/certificates.js';

/** Comment lines of YAML before a run's objects; empty where a launch makes no Secret. */
export function secretWords(parameters: LaunchParameters, microShards: number): string {
  if (!hasOwnSecret(parameters)) return '';
  const { namespace, name, runUrl } = parameters;
  const secret = objectNames(name).certificates;
  const workers = certificateHolders(microShards).filter(({ role }) => role === 'worker');
  const ids = workers.map(({ worker = '' }) => worker).join(',');
  const files = [
    authorityFile,
    ...['coordinator', 'operator', 'observer'].flatMap((role) => [`${role}.crt`, `${role}.key`]),
  ];
  const isAny = workers.some(({ worker }) => worker === anyName);
  const ofWorkers = isAny
    ? workers.flatMap((holder) =>
        ['crt', 'key'].map(
          (end) => ` --from-file=${secretKey(holder)}.${end}='${secret}/worker-*.${end}'`,
        ),
      )
    : [` $(printf -- '--from-file=%s ' ${secret}/worker-*)`];
  return [
    `The Secret ${secret} is not printed, as it has keys. lockstep launch makes it; by hand:`,
    `  lockstep tls init ${secret} --run '${runId(runUrl)}' --workers '${ids}'`,
    `  kubectl -n ${namespace} create secret generic ${secret} \\`,
    `    ${files.map((file) => `--from-file=${secret}/${file}`).join(' ')}${ofWorkers.join('')}`,
  ]
    .map((line) => `# ${line}\n`)
    .join('');
}
