// What is shipped: made from the source, small, typed, and packed with nothing beside it.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bundle, TARGET } from '../scripts/build.mjs';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('..', import.meta.url));

test('client.js is what `npm run build` makes of the source', async () => {
  assert.equal(await readFile(TARGET, 'utf8'), await bundle());
});

test('client.js is at most 6 kB, compressed', async () => {
  const size = gzipSync(await readFile(TARGET)).length;
  assert.ok(size <= 6_000, `${size} bytes`);
});

test('client.js imports nothing, and gives connect and NoticeError', async () => {
  assert.doesNotMatch(await readFile(TARGET, 'utf8'), /\bimport\s*["'{(]/);
  assert.deepEqual(Object.keys(await import(TARGET)).sort(), ['NoticeError', 'connect']);
});

test('a typed program compiles, and its mistakes are found', async () => {
  await run('npx', ['--no-install', 'tsc', '--project', 'test/types'], { cwd: folder })
    .catch(({ stdout }) => assert.fail(stdout));
});

test('the package has the module, its types, and no more than it needs', async () => {
  const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: folder });
  const [{ files }] = [JSON.parse(stdout)].flat();
  assert.deepEqual(files.map(({ path }) => path).sort(), ['README.md', 'client.d.ts', 'client.js', 'package.json']);
});
