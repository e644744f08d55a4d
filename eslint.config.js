// The house rules that a machine can check. What eslint can't say is in test/unit/tidy.test.ts.

import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** One pattern of refused imports: paths with one of the folders; `message` is shown. */
const folders = (names, message) => ({ group: names.map((name) => `**/${name}/**`), message });
const noImports = (...patterns) => ({ 'no-restricted-imports': ['error', { patterns }] });

const belowPrograms = folders(
  ['coordinator', 'worker', 'cli', 'task', 'trace', 'test', 'inference', 'dataset', 'watch'],
  'shared/ is below both programs and knows neither.',
);
const tensorsOnly = folders(
  ['coordinator', 'worker', 'cli', 'test', 'store', 'events', 'checkpoint', 'control'],
  'task/ and trace/ know tensors, and nothing of the programs around them.',
);
const apart = 'coordinator/ and worker/ meet in shared/ only.';
const noWorker = folders(['worker', 'cli', 'test'], apart);
const noCoordinator = folders(['coordinator', 'cli', 'test'], apart);
const noEdge = folders(['edge'], 'A core knows no edge.');
const noHost = {
  regex: '^\\.\\./(?!core/)[^.]',
  message: 'A core is below what performs its decisions.',
};
const noNode = { group: ['node:*'], message: 'A core does no I/O.' };

const syntax = {
  enum: { selector: 'TSEnumDeclaration', message: 'Use a union of strings.' },
  barrel: { selector: 'ExportAllDeclaration', message: 'No barrels: import from the file itself.' },
  defaultExport: { selector: 'ExportDefaultDeclaration', message: 'Export by name.' },
  environment: {
    selector: "MemberExpression[object.name='process'][property.name='env']",
    message: 'process.env is read in shared/environment.ts only.',
  },
  asyncCore: {
    selector: ':function[async=true]',
    message: 'A core is synchronous: edges perform effects and report back as events.',
  },
  random: {
    selector: "MemberExpression[object.name='Math'][property.name='random']",
    message: 'Randomness is a seeded generator in the state.',
  },
};
const noSyntax = (...names) => ({
  'no-restricted-syntax': ['error', ...names.map((name) => syntax[name])],
});
const house = ['enum', 'barrel', 'defaultExport'];

const coreGlobals = [
  'Date',
  'process',
  'console',
  'performance',
  'fetch',
  'crypto',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'Buffer',
];

export default tseslint.config(
  { ignores: ['dist/', 'dist-*/', 'node_modules/', 'runs/', 'demo-out/'] },
  eslint.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommended],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      ...noSyntax(...house, 'environment'),
      'max-lines': ['error', 400],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      'no-console': 'error',
      eqeqeq: 'error',
      'prefer-const': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      // An index into an array needs no `!`, nor does anything else that is there by its type.
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
    },
  },
  {
    files: ['**/*.js'],
    languageOptions: { globals: { process: 'readonly', URL: 'readonly' } },
  },
  // The browser's names are known to `tsc -p web`.
  { files: ['web/**/*.js'], rules: { 'no-undef': 'off', 'max-lines': ['error', 400] } },
  // Decisions: pure, synchronous, without a clock.
  {
    files: ['**/core/**/*.ts', 'shared/plan/**/*.ts'],
    rules: {
      ...noSyntax(...house, 'environment', 'asyncCore', 'random'),
      'no-restricted-globals': ['error', ...coreGlobals],
    },
  },
  // Imports go one way: words <- plans <- core <- edge <- main. Where several entries match a
  // file, the last one holds.
  { files: ['shared/**/*.ts'], rules: noImports(belowPrograms) },
  { files: ['shared/plan/**/*.ts'], rules: noImports(belowPrograms, noNode) },
  { files: ['task/**/*.ts', 'trace/**/*.ts'], rules: noImports(tensorsOnly) },
  { files: ['coordinator/**/*.ts'], rules: noImports(noWorker) },
  { files: ['coordinator/core/**/*.ts'], rules: noImports(noWorker, noEdge, noNode) },
  { files: ['worker/**/*.ts'], rules: noImports(noCoordinator) },
  { files: ['worker/**/core/**/*.ts'], rules: noImports(noCoordinator, noEdge, noNode, noHost) },
  {
    files: ['dataset/**/*.ts', 'inference/**/*.ts'],
    rules: noImports(folders(['coordinator', 'cli', 'test'], 'Only tests import cli/ and test/.')),
  },
  {
    files: ['bench/**/*.ts'],
    rules: noImports(folders(['cli', 'test'], 'A bench measures both programs.')),
  },
  { files: ['cli/**/*.ts'], rules: noImports(folders(['test'], 'Only tests import test/.')) },
  { files: ['shared/environment.ts'], rules: noSyntax(...house) },
  { files: ['eslint.config.js'], rules: { 'no-restricted-syntax': 'off' } },
  // A suite is one long function, and a table of cases makes a long file.
  {
    files: ['test/**/*.ts'],
    rules: { 'max-lines-per-function': 'off', 'max-lines': ['error', 400] },
  },
);
