// Adds to a list of software in CycloneDX (as `npm sbom` prints it) what is in an image beside the
// packages of the lockfile: Node itself, Debian's packages by dpkg's status, other npm packages and
// Python's wheels by their metadata.
//   npm sbom --omit dev --sbom-format cyclonedx |
//     node sbom.js [--dpkg FILE] [--modules FOLDER]... [--wheels FOLDER]...

import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    dpkg: { type: 'string' },
    modules: { type: 'string', multiple: true, default: [] },
    wheels: { type: 'string', multiple: true, default: [] },
  },
});

/** A file of "Key: value" lines as [key, value]; lines that go on are left out. */
function fieldsOf(paragraph) {
  const lines = paragraph.split('\n').map((line) => /^([\w-]+): (.*)$/.exec(line));
  return new Map(lines.flatMap((match) => (match === null ? [] : [[match[1], match[2]]])));
}

function component(type, name, version, rest = {}) {
  const path = name.split('/').map(encodeURIComponent).join('/');
  const { namespace = '', qualifiers = '', ...others } = rest;
  const purl = `pkg:${type}/${namespace}${path}@${encodeURIComponent(version)}${qualifiers}`;
  return { 'bom-ref': purl, type: 'library', name, version, purl, ...others };
}

function debianPackages(file) {
  const { VERSION_ID: release = '' } = Object.fromEntries(
    readFileSync('/etc/os-release', 'utf8')
      .split('\n')
      .map((line) => line.replaceAll('"', '').split('=')),
  );
  const paragraphs = readFileSync(file, 'utf8').split(/\n\n+/).map(fieldsOf);
  return paragraphs
    .filter((fields) => fields.get('Status')?.endsWith(' installed'))
    .map((fields) => {
      const qualifiers = `?arch=${fields.get('Architecture')}&distro=debian-${release}`;
      const [name, version] = [fields.get('Package'), fields.get('Version')];
      return component('deb', name, version, { namespace: 'debian/', qualifiers });
    });
}

/** The npm packages below a folder: each right below it or below a node_modules, or in a scope. */
function modulesIn(folder) {
  const place = /^([^@][^/]*|(.*\/)?node_modules\/(@[^/]+\/)?[^/]+)\/package\.json$/;
  return filesIn(folder)
    .filter((path) => place.test(path))
    .flatMap((path) => {
      const { name, version } = JSON.parse(readFileSync(join(folder, path), 'utf8'));
      return name && version ? [component('npm', name, version)] : [];
    });
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
}

/** The packages whose metadata lie below a folder. */
function wheelsIn(folder) {
  return filesIn(folder)
    .filter((path) => basename(path) === 'METADATA' && dirname(path).endsWith('.dist-info'))
    .map((path) => {
      const [head] = readFileSync(join(folder, path), 'utf8').split(/\r?\n\r?\n/);
      const fields = fieldsOf(head.replaceAll('\r', ''));
      const name = fields
        .get('Name')
        .toLowerCase()
        .replaceAll(/[-_.]+/g, '-');
      return component('pypi', name, fields.get('Version'));
    });
}

const bom = JSON.parse(await text(process.stdin));
const found = [
  ...(values.dpkg === undefined
    ? []
    : [
        ...debianPackages(values.dpkg),
        component('generic', 'node', process.versions.node, { type: 'application' }),
      ]),
  ...values.modules.flatMap(modulesIn),
  ...values.wheels.flatMap(wheelsIn),
];
const known = new Set([bom.metadata.component, ...bom.components].map(({ purl }) => purl));
for (const one of found) {
  if (known.has(one.purl)) continue;
  known.add(one.purl);
  bom.components.push(one);
}
process.stdout.write(`${JSON.stringify(bom, undefined, 2)}\n`);
