// Trainings on the engine xla, with the plugin for CPUs: any number of workers and devices gives the
// same bytes. The first run's two workers compile at the same time, and both run what one of them has
// stored; the others load it. A run that is stopped and resumed is in stored-executables.test.ts.

import { factoredRun, testAnyWorkers } from '../support/any-workers.js';
import { skipWithoutXla } from '../support/servers.js';

testAnyWorkers({
  engine: { name: 'xla', threads: 2 },
  worlds: [[2], [3], [1, '--devices', '2']],
  resumes: false,
  skip: skipWithoutXla,
  isNearReference: true,
  change: factoredRun('float32'),
  what: 'factors in float32',
});
