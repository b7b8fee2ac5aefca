// JSON schemas for kubeconform from what an API server says of its own kinds, CRDs included. Each
// kind's schema stands by itself and refuses unknown keys.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where kubeconform finds them below `folder`. */
export const location = (folder) => join(folder, '{{.ResourceKind}}{{.KindSuffix}}.json');

/** Writes one file for each kind of an OpenAPI v2 document. Returns how many. */
export function writeSchemas({ definitions }, folder) {
  mkdirSync(folder, { recursive: true });
  const strict = Object.fromEntries(Object.entries(definitions).map(([name, it]) => [name, schemaOf(name, it)]));
  let written = 0;
  for (const [name, definition] of Object.entries(definitions)) {
    for (const { group, version, kind } of definition['x-kubernetes-group-version-kind'] ?? []) {
      const suffix = group ? `-${group.split('.')[0]}-${version}` : `-${version}`;
      const schema = { $ref: `#/definitions/${name}`, definitions: reachable(name, strict) };
      writeFileSync(join(folder, `${kind}${suffix}.json`.toLowerCase()), JSON.stringify(schema));
      written += 1;
    }
  }
  return written;
}

function schemaOf(name, definition) {
  if (name === 'io.k8s.apimachinery.pkg.api.resource.Quantity') return { type: ['string', 'number'] };
  return strictly(definition);
}

function strictly(schema) {
  if (Array.isArray(schema)) return schema.map(strictly);
  if (schema === null || typeof schema !== 'object') return schema;
  if (schema.format === 'int-or-string') return { type: ['string', 'integer'] };
  const result = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key.startsWith('x-') || key === 'format' || key === 'default') continue;
    result[key] = key === 'properties'
      ? Object.fromEntries(Object.entries(value).map(([name, it]) => [name, strictly(it)])) : strictly(value);
  }
  if (schema.properties && !schema['x-kubernetes-preserve-unknown-fields']) result.additionalProperties ??= false;
  return result;
}

function reachable(name, definitions, found = {}) {
  if (found[name]) return found;
  found[name] = definitions[name];
  for (const [, next] of JSON.stringify(definitions[name]).matchAll(/"#\/definitions\/([^"]+)"/g)) {
    reachable(next, definitions, found);
  }
  return found;
}
