// `npm run schemas`: writes the JSON Schemas of the events, which the package carries.

import { mkdirSync, writeFileSync } from 'node:fs';
import { eventSchemas } from '../shared/events/schemas.js';
import { packageFile } from '../shared/paths.js';
import { printLine } from './output.js';

mkdirSync(packageFile('schemas/events'), { recursive: true });
for (const [name, text] of eventSchemas()) {
  writeFileSync(packageFile(`schemas/events/${name}`), text);
  printLine(`schemas/events/${name}`);
}
