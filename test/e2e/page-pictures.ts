// Takes the docs' pictures of the page: `npm run page:pictures -- RUN` serves the page of a run's
// folder for as long as it takes, and has Chromium draw it, light, dark and as on a phone.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { runUrl, storeOptions } from '../../cli/stores.js';
import { startHttpServer } from '../../shared/http/server.js';
import { packageFile } from '../../shared/paths.js';
import { openStore } from '../../shared/store/open-store.js';
import { readFolderHistory } from '../../watch/history/sources.js';
import { readPage } from '../../watch/server/page-files.js';
import { createWatchServer } from '../../watch/server/watch-server.js';
import { startBrowser } from './browser.js';

const looks = [
  { name: 'page', colorScheme: 'light', viewport: { width: 1280, height: 900 } },
  { name: 'page-dark', colorScheme: 'dark', viewport: { width: 1280, height: 900 } },
  { name: 'page-phone', colorScheme: 'light', viewport: { width: 360, height: 760 } },
] as const;

const [run = ''] = process.argv.slice(2);
const store = openStore(runUrl(run, { key: 'RUN' }), storeOptions());
const history = await readFolderHistory(store);
const watching = createWatchServer({ history, store, page: await readPage() });
const server = await startHttpServer({
  ...{ host: '127.0.0.1', port: 0, key: '--http', access: { kind: 'loopback' } },
  routes: watching.routes,
});
const browser = await startBrowser();
const folder = packageFile('docs/watching');
await mkdir(folder, { recursive: true });
for (const { name, ...look } of looks) {
  const page = await browser.newPage(look);
  await page.goto(server.url);
  await page.locator('.curves .legend li').first().waitFor();
  await page.locator('.faces img').waitFor();
  const picture = sharp(await page.screenshot({ fullPage: name !== 'page-phone' }));
  await picture.webp({ quality: 70, effort: 6 }).toFile(join(folder, `${name}.webp`));
}
await browser.close();
watching.close();
await server.close();
await store.close();
