// Makes client.js, the one file that is served and packed, from src. A test holds it against what this makes.

import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

export const TARGET = at('client.js');

/** The text of client.js. */
export async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [at('src/index.js')],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    legalComments: 'none',
    banner: { js: '// Notice client. SPDX-License-Identifier: Apache-2.0. Readable source: client/src of the Notice repository.' },
  });
  return outputFiles[0].text;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writeFile(TARGET, await bundle());
