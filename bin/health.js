// The health check of the images: is anybody listening on one of these ports, on any address?
//   node health.js PORT...

import { readFileSync } from 'node:fs';

/** State of a socket that listens, and the port at the end of its local address, in hexadecimal. */
const listening = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A /gm;

const wanted = process.argv.slice(2).map(Number);
const tables = ['/proc/net/tcp', '/proc/net/tcp6'].map((table) => {
  try {
    return readFileSync(table, 'utf8');
  } catch {
    return ''; // A kernel without IPv6 has no such table.
  }
});
const found = [...tables.join('\n').matchAll(listening)].map(([, port]) => parseInt(port, 16));
process.exitCode = wanted.some((port) => found.includes(port)) ? 0 : 1;
