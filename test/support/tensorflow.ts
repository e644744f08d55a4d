// Whether TensorFlow is set up on this machine; tests that need it skip by name elsewhere.

import { existsSync } from 'node:fs';
import { addonPath, findPackage } from '../../worker/engine/tensorflow/addon.js';

const found = findPackage();

/** For `{ skip }` of a test: false when the addon is built, else the reason. */
export const skipWithoutTensorflow: false | string =
  found !== undefined && existsSync(addonPath(found))
    ? false
    : 'TensorFlow is not set up: npm run setup:tensorflow';
