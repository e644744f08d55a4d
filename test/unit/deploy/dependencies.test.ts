// Licences and known vulnerabilities of the packages that the lockfile names, and whether the
// checks notice what they are there for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAudit } from '../../dependencies/audit.js';
import {
  isFree,
  judgeLicences,
  licenceOfInstalled,
  lockedPackages,
} from '../../dependencies/licences.js';

test('every package of the lockfile has a licence that we may use', () => {
  const verdicts = judgeLicences(lockedPackages(), licenceOfInstalled);
  assert.ok(verdicts.length > 300, `${verdicts.length} packages`);
  assert.deepEqual(
    verdicts.filter(({ isAllowed }) => !isAllowed),
    [],
  );
});

test('a choice needs one licence that is allowed, a sum all of them', () => {
  for (const free of ['MIT', '(MIT OR GPL-3.0)', 'MIT AND (ISC OR X)', 'Apache-2.0 AND MIT'])
    assert.ok(isFree(free), free);
  const others = ['GPL-3.0', 'MIT AND GPL-3.0', '(X OR Y)', '', 'none', 'SEE LICENSE IN MIT'];
  for (const other of [...others, 'MIT WITH odd-exception', '(MIT', 'MIT)', 'MIT MIT', 'mit'])
    assert.ok(!isFree(other), other);
});

test('a package with another licence, or none, is found out', () => {
  const packages = {
    '': { license: 'GPL-3.0' },
    'node_modules/a': { license: 'MIT' },
    'node_modules/a/node_modules/@s/b': { license: 'AGPL-3.0-only' },
    'node_modules/c': {},
    'node_modules/d': {},
    // For tests it may be there, and only under the licence that was looked at.
    'node_modules/axe-core': { license: 'MPL-2.0' },
    'node_modules/x/node_modules/axe-core': { license: 'MPL-2.0', dev: true },
    'node_modules/h5wasm': { license: 'GPL-3.0' },
  };
  const verdicts = judgeLicences(packages, (path) => (path.endsWith('d') ? '(MIT)' : undefined));
  assert.deepEqual(
    verdicts.filter(({ isAllowed }) => !isAllowed),
    [
      { name: '@s/b', licence: 'AGPL-3.0-only', isAllowed: false },
      { name: 'c', licence: 'none', isAllowed: false },
      { name: 'axe-core', licence: 'MPL-2.0', isAllowed: false },
      { name: 'h5wasm', licence: 'GPL-3.0', isAllowed: false },
    ],
  );
});

const url = 'https://github.com/advisories/GHSA-x';
const report = (severity: string): string =>
  JSON.stringify({
    auditReportVersion: 2,
    vulnerabilities: {
      a: { name: 'a', severity, via: [{ url, severity }] },
      b: { name: 'b', severity, via: ['a'] },
    },
    metadata: { dependencies: { prod: 7 } },
  });

test('an advisory that is high or worse fails, unless it is listed', () => {
  for (const severity of ['high', 'critical'])
    assert.deepEqual(judgeAudit(report(severity), []), {
      ...{ kind: 'judged', packages: 7, failures: [`a: ${severity}, ${url}`] },
    });
  assert.deepEqual(judgeAudit(report('moderate'), []), {
    ...{ kind: 'judged', packages: 7, failures: [] },
  });
  const known = [{ url, why: 'not called', judged: '2026-11-29' }];
  assert.deepEqual(judgeAudit(report('high'), known), {
    ...{ kind: 'judged', packages: 7, failures: [] },
  });
});

test('a registry without the service is no failure, and is said', () => {
  const refused = JSON.stringify({ message: '405 Method Not Allowed', statusCode: 405 });
  assert.deepEqual(judgeAudit(refused), { kind: 'unanswered', reason: '405 Method Not Allowed' });
  assert.equal(judgeAudit('').kind, 'unanswered');
});
