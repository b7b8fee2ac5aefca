// Writes what the charts take from /crds: the operator chart's copies, and the part of the other
// chart's values.schema.json that is the NoticeCluster's spec. A test calls `generated` and compares.
//
//   npm run generate

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const copies = join(root, 'charts/notice-operator/files/crds');
const schemaFile = join(root, 'charts/notice-cluster/values.schema.json');

/** Each generated file's path and what must be in it. */
export function generated() {
  const files = crds().map(({ name, text }) => [join(copies, name), text]);
  return new Map([...files, [schemaFile, clusterSchema()]]);
}

/** Copies whose original is gone. */
export function leftOver() {
  const wanted = generated();
  return !existsSync(copies) ? [] : readdirSync(copies)
    .map((name) => join(copies, name)).filter((path) => !wanted.has(path));
}

function crds() {
  const folder = join(root, 'crds');
  return readdirSync(folder).filter((name) => name.endsWith('.yaml')).sort()
    .map((name) => ({ name: basename(name), text: readFileSync(join(folder, name), 'utf8') }));
}

function clusterSchema() {
  const crd = crds().map(({ text }) => parse(text))
    .find(({ spec }) => spec.names.kind === 'NoticeCluster');
  const { spec } = crd.spec.versions.find((version) => version.storage).schema.openAPIV3Schema.properties;
  const schema = JSON.parse(readFileSync(schemaFile, 'utf8'));
  // What the parts for trials add is missing in the values, so nothing at the top is required.
  const { required, ...rest } = strict(spec);
  schema.properties.spec = rest;
  return `${JSON.stringify(schema, null, 2)}\n`;
}

/** A CRD's schema as a JSON schema that refuses unknown keys. Rules and defaults stay the API server's. */
function strict(schema) {
  if (schema['x-kubernetes-int-or-string']) {
    return { ...described(schema), anyOf: [{ type: 'integer' }, { type: 'string' }] };
  }
  const kept = Object.entries(schema)
    .filter(([key]) => !key.startsWith('x-kubernetes-') && !['default', 'nullable', 'format'].includes(key));
  const result = Object.fromEntries(kept);
  if (schema.properties) {
    result.properties = mapValues(schema.properties, strict);
    if (!schema['x-kubernetes-preserve-unknown-fields']) result.additionalProperties = false;
  }
  if (schema.items) result.items = strict(schema.items);
  if (typeof schema.additionalProperties === 'object') {
    result.additionalProperties = strict(schema.additionalProperties);
  }
  return result;
}

function described({ description }) {
  return description ? { description } : {};
}

function mapValues(object, change) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(copies, { recursive: true });
  for (const [path, text] of generated()) writeFileSync(path, text);
  for (const path of leftOver()) console.error(`remove ${path}: it has no original`);
}
