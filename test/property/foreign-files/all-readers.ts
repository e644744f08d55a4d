// Every reader of what comes from elsewhere that is tried with spoiled input, in one list.

import { binaryReaders } from './binaries.js';
import { documentReaders } from './documents.js';
import { messageReaders } from './messages.js';
import type { Reader } from './reader.js';

export const allReaders: readonly Reader[] = [
  ...documentReaders,
  ...binaryReaders,
  ...messageReaders,
];
