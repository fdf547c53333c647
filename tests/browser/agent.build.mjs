// `npm run agent`: makes the agent that is served from its source.

import { readFile, writeFile } from 'node:fs/promises';
import { minify } from 'terser';

const { build } = JSON.parse(await readFile(new URL('package.json', import.meta.url), 'utf8'));
const script = new URL('../../src/gate/script/', import.meta.url);
const { code } = await minify(await readFile(new URL('agent.js', script), 'utf8'), build);
await writeFile(new URL('agent.min.js', script), code);
